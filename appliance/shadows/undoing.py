"""How a document becomes again what it was before a change: a patch that goes back.

Null removes a key, as in any patch; no document has a null of its own, so that the way back is exact.
"""

from typing import Any

EXACT = (str, int, bool)
"""Types whose equal values are written alike: a float may be -0.0."""


def way_back(after: dict[str, Any], before: dict[str, Any]) -> dict[str, Any]:
    """The patch that makes `before` of `after`. What both share is not looked at."""
    patch: dict[str, Any] = {key: None for key in after if key not in before}
    for key, old in before.items():
        new = after.get(key)
        if new is old and new is not None:
            continue
        if isinstance(old, dict) and isinstance(new, dict):
            if inner := way_back(new, old):
                patch[key] = inner
        elif type(old) is not type(new) or old != new or type(old) not in EXACT:
            patch[key] = old
    return patch


def gone_back(after: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """What a document was before a change, by its way back."""
    before = after.copy()
    for key, old in patch.items():
        if old is None:
            before.pop(key, None)
        elif isinstance(old, dict):
            there = before.get(key)
            before[key] = gone_back(there if isinstance(there, dict) else {}, old)
        else:
            before[key] = old
    return before
