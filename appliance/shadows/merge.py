"""How a patch changes what is kept, and the moments of its leaves with it.

Objects are merged, null removes a key at any depth, anything else replaces what was there.
Nothing that is given is changed: what the patch does not touch is shared by the old and the new.
"""

from typing import Any

SECTIONS = ("desired", "reported")

_NESTED = (dict, list)


def merged(
    state: dict[str, Any], metadata: dict[str, Any], patch: dict[str, Any], second: int
) -> tuple[dict[str, Any], dict[str, Any]]:
    """State and metadata with a patch at this second; a section that has no key left is not there any more."""
    new_state, new_metadata = _merged(state, metadata, patch, {"timestamp": second})
    for section in SECTIONS:
        if section in new_state and not new_state[section]:
            del new_state[section], new_metadata[section]
    return new_state, new_metadata


def mirrored(value: object, stamp: object) -> Any:
    """The shape of a value with a stamp in the place of each leaf; null is a leaf too."""
    if isinstance(value, dict):
        return {
            # Most are leaves: a call for each would cost the most of all that is done here.
            key: mirrored(inner, stamp) if isinstance(inner, _NESTED) else stamp
            for key, inner in value.items()
        }
    if isinstance(value, list):
        return [mirrored(inner, stamp) for inner in value]
    return stamp


def _merged(
    state: dict[str, Any], metadata: dict[str, Any], patch: dict[str, Any], stamp: dict[str, int]
) -> tuple[dict[str, Any], dict[str, Any]]:
    state, metadata = state.copy(), metadata.copy()
    for key, wish in patch.items():
        if wish is None:
            state.pop(key, None)
            metadata.pop(key, None)
        elif isinstance(wish, dict):
            there = state.get(key)
            kept, times = (there, metadata[key]) if isinstance(there, dict) else ({}, {})
            state[key], metadata[key] = _merged(kept, times, wish, stamp)
        else:
            state[key] = wish
            metadata[key] = mirrored(wish, stamp)
    return state, metadata
