"""Answers to questions about readings, as JSON and as CSV.

Both are written in a thread, a few rows at a time: they may be long, one step of an encoder is one that no other thread
can come in between, and whoever asked may have gone.
"""

import csv
import io
from collections.abc import Iterator, Sequence

import msgspec

from appliance.instant import DAY_MS, MINUTE_MS, SECOND_MS, to_text
from appliance.registry.catalogue.table import escaped
from appliance.telemetry.asking.model import Row
from appliance.telemetry.asking.units import Units
from appliance.telemetry.model import Value
from appliance.telemetry.wanted import Check

ROWS_AT_ONCE = 256

_MINUTES = tuple(f"{hour:02d}:{minute:02d}:" for hour in range(24) for minute in range(60))
_SECONDS = tuple(f"{second:02d}." for second in range(60))
_MILLISECONDS = tuple(f"{millisecond:03d}Z" for millisecond in range(SECOND_MS))


class RowsOut(msgspec.Struct, frozen=True):
    """Rows, each with a value for every column. `next_cursor` asks for the page after this one; null on the last.

    `damaged_days` are those of the range of which stored readings are known to be damaged or missing, `coarse_days`
    those of which only roll-ups are left, where these cannot tell what was asked for. `units` has for each column the
    units it is in: none, one, or several where devices differ; null last, where some are not known.
    """

    columns: list[str]
    rows: list[list[Value]]
    next_cursor: str | None
    damaged_days: list[str]
    coarse_days: list[str]
    units: list[list[str | None]]


class MomentTexts:
    """Prints many moments as `to_text` does: what those of one day have in common is printed once."""

    def __init__(self) -> None:
        self._days: dict[int, str] = {}

    def text(self, at: int) -> str:
        """A moment as ISO 8601 with milliseconds."""
        day, rest = divmod(at, DAY_MS)
        date = self._days.get(day)
        if date is None:
            date = self._days[day] = to_text(at)[: -len("00:00:00.000Z")]
        minute, rest = divmod(rest, MINUTE_MS)
        second, rest = divmod(rest, SECOND_MS)
        return date + _MINUTES[minute] + _SECONDS[second] + _MILLISECONDS[rest]


class After(msgspec.Struct, frozen=True):
    """What an answer says behind its rows, as `RowsOut` does."""

    next_cursor: str | None = None
    damaged_days: Sequence[str] = ()
    coarse_days: Sequence[str] = ()
    units: Sequence[Units] = ()


def as_json(check: Check, columns: Sequence[str], rows: Sequence[Row], after: After, *, is_keyed: bool) -> bytes:
    """The answer as JSON, as a `RowsOut`. Numbers that JSON has no word for are null."""
    pieces = [b'{"columns":%b,"rows":[' % msgspec.json.encode(list(columns))]
    for some in _tables(check, rows, is_keyed=is_keyed):
        # The brackets of each list of rows go, and a comma comes between two: one copy of it all at the end is enough.
        pieces += (b"," if len(pieces) > 1 else b"", msgspec.json.encode(some)[1:-1])
    pieces += (b"],", msgspec.json.encode(after)[1:])
    return b"".join(pieces)


def as_csv(check: Check, columns: Sequence[str], rows: Sequence[Row], *, is_keyed: bool) -> bytes:
    """The answer as CSV (RFC 4180) with a heading. Nothing stands for null, and text can be no formula."""
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow([escaped(column) for column in columns])
    for some in _tables(check, rows, is_keyed=is_keyed):
        writer.writerows([_cell(value) for value in row] for row in some)
    return written.getvalue().encode("utf-8", "replace")


def _tables(check: Check, rows: Sequence[Row], *, is_keyed: bool) -> Iterator[list[list[Value]]]:
    """Some rows after the other, each as its moment, its key if rows have one, and its values."""
    text = MomentTexts().text
    for first in range(0, len(rows), ROWS_AT_ONCE):
        check()
        some = rows[first : first + ROWS_AT_ONCE]
        if is_keyed:
            yield [[text(row.place.at), row.place.key, *row.values] for row in some]
        else:
            yield [[text(row.place.at), *row.values] for row in some]


def _cell(value: Value) -> str | int | float:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return escaped(value) if isinstance(value, str) else value
