"""What the program that writes Parquet is handed: a heading, what follows it, and that it is the end; one a line.

Each line is JSON as Python reads it, so every value comes out as it went in: `NaN`, whole numbers of any size, and text
that holds half of a character of UTF-16.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import msgspec

from appliance.telemetry.asking.model import Row
from appliance.telemetry.model import Report, TimeSource, Value

NO_TENANT = 0
"""Whose a file is, is not told in it."""

Units = Mapping[str, Mapping[str, str]]
"""By device and metric."""
NO_UNITS: Mapping[str, str] = {}


class OfReadings(msgspec.Struct, frozen=True):
    """Heading: reports follow."""

    is_detailed: bool
    """Whether arrival, topic and client identifier are wanted."""


class OfBins(msgspec.Struct, frozen=True):
    """Heading: rows of bins follow."""

    key: str
    """The name of the column that says what a row is of; empty when there is none."""
    columns: tuple[str, ...]
    units: tuple[str | None, ...] = ()
    """Of each column, where one is told."""


class Bin(msgspec.Struct, frozen=True):
    """A row of bins."""

    at: int
    key: str
    values: Sequence[Value]


class InUnits(msgspec.Struct, frozen=True):
    """What the readings of a device are in, of which reports follow."""

    device_id: str
    units: Mapping[str, str]
    """By metric."""


Heading = OfReadings | OfBins
Line = Heading | InUnits | Report | Bin | Literal["end", "more"]

END, MORE = "end\n", "more\n"
"""Nothing follows; and: what is there of the file so far is wanted."""

_REPORT_LENGTH, _UNITS_LENGTH = 8, 2


def heading(of: Heading) -> str:
    """The line that says what follows."""
    return _line({"is_detailed": of.is_detailed} if isinstance(of, OfReadings) else {of.key: [of.columns, of.units]})


def reports(found: Sequence[Report], units: Units, *, is_detailed: bool) -> str:
    """A line for each report, and before the first of a device one with its units, if it has any.

    Without details topic and client identifier, which may be long, are left out.
    """
    return "".join(_lines(found, units, is_detailed=is_detailed))


def rows(found: Sequence[Row]) -> str:
    """A line for each row of bins."""
    return "".join(_line((row.place.at, row.place.key, row.values)) for row in found)


def read(line: bytes) -> Line:
    """What a line says."""
    word = line.decode()
    if word == END:
        return "end"
    if word == MORE:
        return "more"
    told = json.loads(word)
    if isinstance(told, list):
        if len(told) == _UNITS_LENGTH:
            return InUnits(*told)
        return _report(told) if len(told) == _REPORT_LENGTH else Bin(*told)
    [(key, value)] = told.items()
    return OfReadings(value) if isinstance(value, bool) else OfBins(key, *map(tuple, value))


def _lines(found: Sequence[Report], units: Units, *, is_detailed: bool) -> Iterator[str]:
    device_id: str | None = None
    for report in found:
        if units and report.device_id != device_id:
            device_id = report.device_id
            if device_id in units:
                yield _line((device_id, units[device_id]))
        yield _line(
            (
                report.device_id,
                report.at,
                report.sequence,
                report.arrived_at,
                report.time_source.value,
                report.topic if is_detailed else "",
                report.client_id if is_detailed else "",
                report.values,
            )
        )


def _report(told: Sequence[Any]) -> Report:
    device_id, at, sequence, arrived_at, source, topic, client_id, values = told
    return Report(
        NO_TENANT,
        device_id,
        at,
        arrived_at,
        TimeSource(source),
        topic,
        client_id,
        values,
        sequence,
    )


def _line(told: object) -> str:
    return json.dumps(told, separators=(",", ":")) + "\n"
