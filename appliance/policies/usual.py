"""What the default table lets a device do with one topic, without making it the device's own first.

With thousands of devices and topics that come once, that would cost more than everything else about a message. It says
only what is allowed; why something is not, `evaluate` tells.
"""

from collections.abc import Sequence
from typing import NamedTuple

from appliance.policies.default import TABLE
from appliance.policies.model import Action
from appliance.policies.variables import may_widen

_OWN = "{device_id}"

Levels = tuple[str | None, ...]
"""All but a last `#`; None is the device's own name."""


class _Row(NamedTuple):
    """A row of the table that is about topics."""

    before: str
    after: str
    """What stands before the device's own name and after it, without a last `/#`; of a row without a `+`."""
    levels: Levels | None
    """Of a row with a `+`."""
    is_open: bool
    """Whether it ended with `#`, which also stands for nothing: `a/#` matches `a`."""


def lets(device_id: str, action: Action, topic: str) -> bool:
    """Whether the default table allows it: to publish, retain or receive."""
    first = topic.partition("/")[0]
    levels: list[str] = []
    for before, after, row, is_open in _ROWS.get((action, first), ()):
        if row is None:
            # One comparison of texts, where looking at each level would take three times as long.
            own = f"{before}{device_id}{after}"
            is_meant = topic == own or (is_open and topic.startswith(f"{own}/"))
        else:
            levels = levels or topic.split("/")
            is_meant = _is_meant(row, levels, device_id, is_open=is_open)
        if is_meant:
            # Of what is reserved nothing is in the table, but for names that are none.
            return not ("+" in topic or "#" in topic or may_widen(device_id))
    return False


def _is_meant(row: Levels, levels: Sequence[str], device_id: str, *, is_open: bool) -> bool:
    if len(levels) < len(row) or (len(levels) > len(row) and not is_open):
        return False
    for wanted, level in zip(row, levels, strict=False):
        if wanted != "+" and level != (device_id if wanted is None else wanted):
            return False
    return True


def _rows() -> dict[tuple[Action, str], list[_Row]]:
    """The rows that are about topics, by action and first level."""
    found: dict[tuple[Action, str], list[_Row]] = {}
    for actions, text in TABLE:
        for action in actions:
            if action in (Action.PUBLISH, Action.RETAIN_PUBLISH, Action.RECEIVE):
                is_open = text.endswith("/#")
                kept = text.removesuffix("/#")
                before, _, after = kept.partition(_OWN)
                levels = tuple(None if level == _OWN else level for level in kept.split("/"))
                row = _Row(before, after, levels if "+" in levels else None, is_open)
                found.setdefault((action, levels[0] or ""), []).append(row)
    return found


_ROWS = _rows()
