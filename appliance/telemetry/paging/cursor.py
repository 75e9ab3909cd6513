"""Where the first page begins, and the text that asks for the next one."""

from appliance.telemetry.cursor_text import CursorText
from appliance.telemetry.paging.model import Cursor, Going, Place


def beginning(start: int, end: int) -> Cursor:
    """The cursor of the first page of a range, `start <= at < end`."""
    return Cursor(start, end, (Going(Place(end, 0), ()),))


_TEXT = CursorText(Cursor, lambda cursor: all(cursor.start <= each.before.at <= cursor.end for each in cursor.going))
written, read = _TEXT.written, _TEXT.read
