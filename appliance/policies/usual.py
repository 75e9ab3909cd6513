"""What the default table lets a device do with one topic, without making it the device's own first.

With thousands of devices and topics that come once, that would cost more than everything else about a message. It says
only what is allowed; why something is not, `evaluate` tells.
"""

from typing import NamedTuple

from appliance.policies.default import TABLE
from appliance.policies.model import Action
from appliance.policies.variables import may_widen

_OWN = "{device_id}"


class _Row(NamedTuple):
    """A row of the table that is about topics."""

    levels: tuple[str | None, ...]
    """All but a last `#`; None is the device's own name."""
    is_open: bool
    """Whether it ended with `#`, which also stands for nothing: `a/#` matches `a`."""


def lets(device_id: str, action: Action, topic: str) -> bool:
    """Whether the default table allows it: to publish, retain or receive."""
    levels = topic.split("/")
    count = len(levels)
    for row, is_open in _ROWS.get((action, levels[0]), ()):
        if count < len(row) or (count > len(row) and not is_open):
            continue
        for wanted, level in zip(row, levels, strict=False):
            if wanted != "+" and level != (device_id if wanted is None else wanted):
                break
        else:
            # Of what is reserved nothing is in the table, but for names that are none.
            return not ("+" in topic or "#" in topic or may_widen(device_id))
    return False


def _rows() -> dict[tuple[Action, str], list[_Row]]:
    """The rows that are about topics, by action and first level."""
    found: dict[tuple[Action, str], list[_Row]] = {}
    for actions, text in TABLE:
        for action in actions:
            if action in (Action.PUBLISH, Action.RETAIN_PUBLISH, Action.RECEIVE):
                levels = text.split("/")
                is_open = levels[-1] == "#"
                kept = tuple(None if level == _OWN else level for level in levels[: -1 if is_open else None])
                found.setdefault((action, levels[0]), []).append(_Row(kept, is_open))
    return found


_ROWS = _rows()
