"""Reports as the columns of a table, one row for each reading, and back, exactly.

The columns are in docs/reference/cold.md. Names and texts that are no Unicode, and whole numbers of more than 64 bits,
stand as JSON: nothing else could read them.
"""

import json
from collections.abc import Mapping, Sequence
from enum import StrEnum
from itertools import groupby
from typing import Any

from appliance.telemetry.model import Report, TimeSource, Value
from appliance.telemetry.rows import identity_of

Columns = dict[str, list[Any]]
"""Columns of equal length by their names."""

NAMES = (
    "tenant_id",
    "device_id",
    "at",
    "metric",
    "kind",
    "number",
    "integer",
    "boolean",
    "text",
    "report",
    "arrived_at",
    "time_source",
    "sequence",
    "wide_sequence",
    "topic",
    "client_id",
)

_EXACT_LIMIT = 1 << 53
_WORD_LIMIT = 1 << 63
_ESCAPE = "\0"
_SOURCES = {
    TimeSource.DEVICE: "device",
    TimeSource.ARRIVAL_NO_CLOCK: "no_clock",
    TimeSource.ARRIVAL_CLOCK_AHEAD: "clock_ahead",
    TimeSource.ARRIVAL_CLOCK_BEHIND: "clock_behind",
}
_SOURCES_BACK = {word: source for source, word in _SOURCES.items()}


class Kind(StrEnum):
    """What a reading's value is."""

    NULL = "null"
    FLOAT = "float"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    TEXT = "text"
    JSON = "json"


Cells = tuple[Kind, float | None, int | None, bool | None, str | None]
"""Kind, number, integer, boolean and text of one reading."""


def empty() -> Columns:
    """Columns without rows."""
    return {name: [] for name in NAMES}


def add(columns: Columns, reports: Sequence[Report], first_number: int) -> int:
    """Add the readings of reports, which are numbered on from `first_number`; give the number after the last one.

    A report without readings leaves no row, and has no number.
    """
    number = first_number
    for metrics, group in groupby((report for report in reports if report.values), lambda each: tuple(each.values)):
        number = _add_alike(columns, metrics, list(group), number)
    return number


def reports_of(columns: Mapping[str, Sequence[Any]]) -> list[Report]:
    """The reports of which the readings are, one after the other."""
    reports: list[Report] = []
    values: dict[str, Value] = {}
    last: tuple[Any, ...] | None = None
    for row in zip(*(columns[name] for name in NAMES), strict=True):
        key = (row[0], row[1], row[9])
        if key != last:
            values = {}
            reports.append(_report(row, values))
            last = key
        values[unescaped(row[3])] = row[5] if row[4] == Kind.FLOAT else value_of(row[4:9])
    return reports


def distinct(reports: Sequence[Report]) -> list[Report]:
    """The same in the order of their moments; of what was delivered twice the first."""
    kept: list[Report] = []
    seen: set[object] = set()
    at: int | None = None
    for report in sorted(reports, key=lambda each: each.at):
        if report.at != at:
            seen.clear()
            at = report.at
        elif not seen:
            seen.add(identity_of(kept[-1]))
        if seen:
            identity = identity_of(report)
            if identity in seen:
                continue
            seen.add(identity)
        kept.append(report)
    return kept


def cells_of(value: Value) -> Cells:
    """How a value stands in the table."""
    match value:
        case None:
            return Kind.NULL, None, None, None, None
        case bool():
            return Kind.BOOLEAN, None, None, value, None
        case float():
            return Kind.FLOAT, value, None, None, None
        case int():
            return _cells_of_integer(value)
        case str():
            if _is_unicode(value):
                return Kind.TEXT, None, None, None, value
            return Kind.JSON, None, None, None, json.dumps(value)


def value_of(cells: Sequence[Any]) -> Value:
    """The value that stands so in the table."""
    kind, number, integer, boolean, text = cells
    value: Value
    match kind:
        case Kind.NULL:
            value = None
        case Kind.BOOLEAN:
            value = boolean
        case Kind.FLOAT:
            value = number
        case Kind.INTEGER:
            value = int(number) if integer is None else integer
        case Kind.TEXT:
            value = text
        case _:
            value = json.loads(text)
    return value


def escaped(name: str) -> str:
    """A name as Unicode: as it is if it can be."""
    return name if _is_unicode(name) and not name.startswith(_ESCAPE) else _ESCAPE + json.dumps(name)


def unescaped(name: str) -> str:
    """What `escaped` was given."""
    return str(json.loads(name[1:])) if name.startswith(_ESCAPE) else name


def _add_alike(columns: Columns, metrics: tuple[str, ...], reports: Sequence[Report], first_number: int) -> int:
    """Add reports that have the same metrics, each of which gives as many rows."""
    number = first_number + len(reports)
    put: dict[str, Sequence[Any]] = dict(
        zip(_SPREAD, zip(*(_of_report(report) for report in reports), strict=True), strict=True)
    )
    put["report"] = tuple(range(first_number, number))
    for name, cells in put.items():
        columns[name] += [cell for cell in cells for _ in metrics]
    columns["metric"] += [escaped(metric) for metric in metrics] * len(reports)
    values = [value for report in reports for value in report.values.values()]
    if set(map(type, values)) == {float}:
        # So are nearly all, and they need not be looked at one by one.
        nothing = [None] * len(values)
        of_values: list[Sequence[Any]] = [[Kind.FLOAT] * len(values), values, nothing, nothing, nothing]
    else:
        of_values = list(zip(*map(cells_of, values), strict=True))
    for name, cells in zip(NAMES[4:9], of_values, strict=True):
        columns[name] += cells
    return number


_SPREAD = ("tenant_id", "device_id", "at", *NAMES[10:])
"""What the readings of one report have in common, without its number."""


def _of_report(report: Report) -> tuple[Any, ...]:
    return (
        report.tenant_id,
        escaped(report.device_id),
        report.at,
        report.arrived_at,
        _SOURCES[report.time_source],
        *_sequence(report.sequence),
        escaped(report.topic),
        escaped(report.client_id),
    )


def _cells_of_integer(value: int) -> Cells:
    if -_EXACT_LIMIT <= value <= _EXACT_LIMIT:
        return Kind.INTEGER, float(value), None, None, None
    if -_WORD_LIMIT <= value < _WORD_LIMIT:
        return Kind.INTEGER, float(value), value, None, None
    return Kind.JSON, _nearest(value), None, None, json.dumps(value)


def _nearest(value: int) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def _sequence(sequence: int | None) -> tuple[int | None, str | None]:
    if sequence is None or -_WORD_LIMIT <= sequence < _WORD_LIMIT:
        return sequence, None
    return None, str(sequence)


def _report(row: Sequence[Any], values: dict[str, Value]) -> Report:
    sequence = row[12] if row[13] is None else int(row[13])
    return Report(
        row[0],
        unescaped(row[1]),
        row[2],
        row[10],
        _SOURCES_BACK[row[11]],
        unescaped(row[14]),
        unescaped(row[15]),
        values,
        sequence,
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
