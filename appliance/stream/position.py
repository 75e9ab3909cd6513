"""Places in the event log as text: `LOG_ID`, or `LOG_ID.LEFT` in the middle of a record."""

import re

from appliance.stream.model import BadPositionError, Position

_WRITTEN = re.compile(r"(0|[1-9][0-9]{0,17})(?:\.([1-9][0-9]{0,8}))?")


def printed(position: Position) -> str:
    """A place as it is told to readers."""
    return str(position.log_id) if position.left_count is None else f"{position.log_id}.{position.left_count}"


def parsed(text: str) -> Position:
    """The place that `printed` wrote. Raises `BadPositionError`."""
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise BadPositionError(f"{text[:64]!r} is no place in the log: give one that this gateway has told")
    return Position(int(found[1]), int(found[2]) if found[2] else None)
