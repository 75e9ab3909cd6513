"""What the default table lets a device do with one topic, without making it the device's own first.

With thousands of devices and topics that come once, that would cost more than everything else about a message. It says
only what is allowed; why something is not, `evaluate` tells.
"""

from appliance.policies.default import TABLE
from appliance.policies.model import Action
from appliance.policies.reserved import reserve
from appliance.policies.variables import may_widen

_OWN = "{device_id}"


def lets(device_id: str, action: Action, topic: str) -> bool:
    """Whether the default table allows it: to publish, retain or receive."""
    levels = topic.split("/")
    rows = _ROWS.get((action, levels[0]), ())
    return any(_matches(row, levels, device_id) for row in rows) and not (
        may_widen(device_id) or reserve(action, topic) is not None
    )


def _matches(row: list[str], levels: list[str], device_id: str) -> bool:
    if len(levels) != len(row) and row[-1] != "#":
        return False
    for position, wanted in enumerate(row):
        if wanted == "#":
            # Also the parent: `a/#` matches `a`.
            return True
        if position == len(levels):
            return False
        if wanted != "+" and levels[position] != (device_id if wanted == _OWN else wanted):
            return False
    return True


def _rows() -> dict[tuple[Action, str], list[list[str]]]:
    """The rows that are about topics, by action and first level."""
    found: dict[tuple[Action, str], list[list[str]]] = {}
    for actions, text in TABLE:
        for action in actions:
            if action in (Action.PUBLISH, Action.RETAIN_PUBLISH, Action.RECEIVE):
                row = text.split("/")
                found.setdefault((action, row[0]), []).append(row)
    return found


_ROWS = _rows()
