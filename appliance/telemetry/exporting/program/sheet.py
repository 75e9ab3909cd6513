"""A Parquet file of readings or bins as it is written, row group by row group; only the program imports it.

What the columns are is in docs/reference/export.md. A row group is written when it has so many rows, or so much text:
what waits for it lies in memory.
"""

from collections.abc import Sequence
from typing import Any, BinaryIO

import pyarrow as pa

from appliance.telemetry.cold import table
from appliance.telemetry.cold.worker.parquet import FIELDS, GROUP_ROWS, MOMENT, NEVER_NULL, VERSION, opened
from appliance.telemetry.model import Report, Value
from appliance.telemetry.tables.handed import Bin, Heading, InUnits, OfBins, OfReadings
from appliance.telemetry.tables.layout import AT, DETAILS, METRIC, UNIT

GROUP_CELLS = 500_000
"""The same of rows of bins, which may have many columns."""
GROUP_CHARACTERS = 16_000_000

_REPORTS_AT_ONCE = 100
_COUNT = "count("


class Readings:
    """One row for each reading, as the files of the cold tier have them."""

    def __init__(self, sink: BinaryIO, of: OfReadings) -> None:
        left_out = {"tenant_id"} if of.is_detailed else {"tenant_id", *DETAILS}
        self._names = [name for name in table.NAMES if name not in left_out]
        self._names.insert(self._names.index(METRIC) + 1, UNIT)
        # Numbers go on from day to day: there may be many more reports than of one day.
        fields = FIELDS | {"report": pa.int64(), UNIT: pa.string()}
        self._sheet = _Sheet(
            sink, [pa.field(name, fields[name], nullable=name not in NEVER_NULL) for name in self._names]
        )
        self._reports: list[Report] = []
        self._waiting = _empty()
        self._in_units = InUnits("", {})
        self._character_count = 0
        self._device_id: str | None = None
        self._number = 0

    def begin(self, told: InUnits) -> None:
        """Hear what the readings of a device are in, before they come."""
        self._take()
        self._in_units = told

    def add(self, report: Report) -> None:
        """Write a report: those of a device come one after the other."""
        if self._device_id != report.device_id:
            self._take()
            self._device_id, self._number = report.device_id, 0
        self._reports.append(report)
        self._character_count += _characters(report)
        if len(self._reports) >= _REPORTS_AT_ONCE or self._character_count >= GROUP_CHARACTERS:
            self._take()

    def close(self) -> None:
        """Write what waits, and the end of the file."""
        self._take()
        self._flush()
        self._sheet.close()

    def _take(self) -> None:
        self._number = table.add(self._waiting, self._reports, self._number)
        units = self._in_units.units if self._in_units.device_id == self._device_id else {}
        in_units = self._waiting[UNIT]
        in_units += [units.get(metric) for metric in self._waiting[METRIC][len(in_units) :]]
        self._reports = []
        if len(self._waiting[AT]) >= GROUP_ROWS or self._character_count >= GROUP_CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        self._sheet.write({name: self._waiting[name] for name in self._names})
        self._waiting, self._character_count = _empty(), 0


class Bins:
    """One row for each bin of each key."""

    def __init__(self, sink: BinaryIO, of: OfBins) -> None:
        key = [pa.field(of.key, pa.string(), nullable=False)] if of.key else []
        self._has_key = bool(of.key)
        self._types = [int if name.startswith(_COUNT) else float for name in of.columns]
        units = of.units or [None] * len(of.columns)
        columns = [
            pa.field(table.escaped(name), pa.int64() if kind is int else pa.float64(), metadata=unit and {UNIT: unit})
            for name, kind, unit in zip(of.columns, self._types, units, strict=True)
        ]
        self._sheet = _Sheet(sink, [pa.field(AT, MOMENT, nullable=False), *key, *columns])
        self._names = self._sheet.names
        self._rows: list[tuple[Any, ...]] = []
        self._character_count = 0

    def add(self, row: Bin) -> None:
        """Write a row."""
        key = (table.escaped(row.key),) if self._has_key else ()
        numbers = (_number(value, kind) for value, kind in zip(row.values, self._types, strict=True))
        self._rows.append((row.at, *key, *numbers))
        self._character_count += len(row.key)
        is_much = self._character_count >= GROUP_CHARACTERS
        if is_much or len(self._rows) >= GROUP_ROWS or len(self._rows) * len(self._names) >= GROUP_CELLS:
            self._flush()

    def close(self) -> None:
        """Write what waits, and the end of the file."""
        self._flush()
        self._sheet.close()

    def _flush(self) -> None:
        if self._rows:
            self._sheet.write(dict(zip(self._names, zip(*self._rows, strict=True), strict=True)))
        self._rows, self._character_count = [], 0


def sheet(sink: BinaryIO, of: Heading) -> Readings | Bins:
    """The file that a heading asks for, begun."""
    return Readings(sink, of) if isinstance(of, OfReadings) else Bins(sink, of)


class _Sheet:
    """What is written already."""

    def __init__(self, sink: BinaryIO, fields: Sequence[Any]) -> None:
        self._schema = pa.schema(fields, metadata={"headworks.version": VERSION})
        self._writer = opened(sink, self._schema)

    @property
    def names(self) -> list[str]:
        """Of the columns."""
        return list(self._schema.names)

    def write(self, columns: dict[str, Sequence[Any]]) -> None:
        """Write a row group, if there are rows."""
        count = len(columns[AT])
        if count:
            self._writer.write_table(pa.table(columns, schema=self._schema), row_group_size=count)

    def close(self) -> None:
        """Write the end of the file."""
        self._writer.close()


def _empty() -> dict[str, list[Any]]:
    return table.empty() | {UNIT: []}


def _number(value: Value, kind: type[int | float]) -> int | float | None:
    return kind(value) if isinstance(value, int | float) else None


def _characters(report: Report) -> int:
    """How much text the rows of a report have: each tells all of it anew."""
    of_each = len(report.device_id) + len(report.topic) + len(report.client_id)
    return sum(
        of_each + len(metric) + (len(value) if isinstance(value, str) else 0) for metric, value in report.values.items()
    )
