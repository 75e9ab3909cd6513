"""The reports of one device on one day, as columns that grow while they come in.

Appending is on the way of every report, so it is plain: a column is an array as long as all its values are of
one kind and a list from the first that is not. What rarely changes (topic, client identifier, source of the
moment) is kept only where it changes.
"""

from array import array
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import compress
from typing import Self

from appliance.instant import DAY_MS
from appliance.telemetry.column import MISSING, Cell
from appliance.telemetry.growing import Column, Runs, column_of, column_with_missing, new_column
from appliance.telemetry.model import Report, TimeSource, Value
from appliance.telemetry.row_shape import HEADS, Shape
from appliance.telemetry.run import Run

Identity = tuple[int, int | None, tuple[tuple[str, str], ...]]
"""What two deliveries of one report have in common: moment, sequence number and values."""


class Rows:
    """The reports of one device on one UTC day. They come in the order of the event log."""

    __slots__ = (
        "_client_id",
        "_time_source",
        "_topic",
        "arrived_at",
        "at",
        "client_ids",
        "columns",
        "count",
        "day",
        "device_id",
        "first_log_id",
        "has_texts",
        "last_log_id",
        "sequences",
        "tenant_id",
        "time_sources",
        "topics",
        "width",
    )

    def __init__(self, tenant_id: int, device_id: str, day: int) -> None:
        self.tenant_id = tenant_id
        self.device_id = device_id
        self.day = day
        """Whole UTC days since 1970."""
        self.count = 0
        """How many reports there are."""
        self.width = 0
        """How many metrics there are, while rows grow."""
        self.first_log_id = 0
        self.last_log_id = 0
        self.at: array[int] = array("q")
        """The moment of each report."""
        self.arrived_at: array[int] = array("q")
        """When each report arrived."""
        self.sequences = Column(array("q"), int)
        """The sequence number of each report, or None."""
        self.columns: dict[str, Column] = {}
        """A column for each metric, all as long as there are rows."""
        self.topics: Runs[str] = Runs([], [])
        self.client_ids: Runs[str] = Runs([], [])
        self.time_sources: Runs[TimeSource] = Runs([], [])
        self.has_texts = False
        """Whether any value is a text, which may be long."""
        self._topic: str | None = None
        self._client_id: str | None = None
        self._time_source: TimeSource | None = None

    @property
    def names(self) -> AbstractSet[str]:
        """The metrics."""
        return self.columns.keys()

    @classmethod
    def of(cls, reports: Sequence[Report], log_id: int) -> Self:
        """Some reports of one device and one day; at least one."""
        first = reports[0]
        rows = cls(first.tenant_id, first.device_id, first.at // DAY_MS)
        for report in reports:
            rows.append(report, log_id)
        return rows

    def append(self, report: Report, log_id: int) -> int:
        """Add the next report, which the log holds under this id, and give its row."""
        row = self.count
        if row == 0:
            self.first_log_id = log_id
        self.last_log_id = log_id
        self.at.append(report.at)
        self.arrived_at.append(report.arrived_at)
        self.sequences.append(report.sequence)
        self.count = row + 1
        if (
            report.topic != self._topic
            or report.client_id != self._client_id
            or report.time_source is not self._time_source
        ):
            self._append_source(report, row)
        self._append_values(report, row)
        self.width = len(self.columns)
        return row

    def extend_packed(self, shape: Shape, packed: memoryview, last_log_id: int) -> None:
        """Add reports packed row by row, from the same source as the last one, whose metrics all have a column."""
        row, width = self.count, shape.width
        wholes, fractions = packed.cast("q"), packed.cast("d")
        at = wholes[0::width]
        count = len(at)
        self.count = row + count
        self.last_log_id = last_log_id
        self.at.frombytes(at.tobytes())
        self.arrived_at.frombytes(wholes[1::width].tobytes())
        if shape.is_numbered:
            self.sequences.extend_packed(wholes[2::width], int)
        else:
            self.sequences.extend([None] * count)
        columns = self.columns
        for place, (name, kind) in enumerate(zip(shape.names, shape.kinds[1:], strict=True), HEADS):
            cells = fractions if kind is float else wholes
            columns[name].extend_packed(cells[place::width], kind)
        if len(shape.names) != len(columns):
            self._fill(row, count)

    def report(self, row: int) -> Report:
        """One of the reports."""
        cells = {name: column.cells[row] for name, column in self.columns.items()}
        return Report(
            self.tenant_id,
            self.device_id,
            self.at[row],
            self.arrived_at[row],
            self.time_sources.at(row),
            self.topics.at(row),
            self.client_ids.at(row),
            {name: cell for name, cell in cells.items() if cell is not MISSING},
            self.sequences.cells[row],
        )

    def extend(self, run: Run) -> None:
        """Add reports of the same device and day, which have the same metrics as all that are there."""
        row = self.count
        self.count += len(run.at)
        if row == 0:
            self.first_log_id = run.log_ids[0]
        self.last_log_id = run.log_ids[-1]
        self.at.extend(run.at)
        self.arrived_at.extend(run.arrived_at)
        self.sequences.extend(run.sequences)
        self._append_source(run.first, row)
        for name, cells in run.columns.items():
            column = self.columns.get(name)
            if column is None:
                column = self.columns[name] = column_of(cells)
            else:
                column.extend(cells)
            if column.kind is None and not self.has_texts:
                self.has_texts = any(type(cell) is str for cell in cells)
        self.width = len(self.columns)

    def reports(self, chosen: Iterable[object] | None = None) -> list[Report]:
        """Every report, in the order of the log, or those of the rows at whose place something true stands."""
        count = self.count
        names = tuple(self.columns)
        cells = zip(*(column.cells for column in self.columns.values()), strict=True) if names else iter([()] * count)
        rows = zip(
            self.at,
            self.arrived_at,
            self.time_sources.expanded(count),
            self.topics.expanded(count),
            self.client_ids.expanded(count),
            cells,
            self.sequences.cells,
            strict=True,
        )
        return [
            Report(
                self.tenant_id, self.device_id, at, arrived_at, source, topic, client_id, _present(names, row), sequence
            )
            for at, arrived_at, source, topic, client_id, row, sequence in (
                rows if chosen is None else compress(rows, chosen)
            )
        ]

    def identity(self, row: int) -> Identity:
        """What tells the report of a row from every other, and not from its own redelivery."""
        values = sorted(
            (name, repr(column.cells[row])) for name, column in self.columns.items() if column.cells[row] is not MISSING
        )
        return self.at[row], self.sequences.cells[row], tuple(values)

    def whole(self) -> "Rows":
        """The same reports: nothing of them is left out here."""
        return self

    def copy(self) -> "Rows":
        """The same reports, for another thread to read while more come in."""
        copied = Rows(self.tenant_id, self.device_id, self.day)
        copied.first_log_id, copied.last_log_id = self.first_log_id, self.last_log_id
        copied.has_texts = self.has_texts
        copied.put(self.at[:], self.arrived_at[:], self.sequences.copy())
        copied.topics, copied.client_ids = self.topics.copy(), self.client_ids.copy()
        copied.time_sources = self.time_sources.copy()
        copied.columns.update({name: column.copy() for name, column in self.columns.items()})
        return copied

    def put(self, at: "array[int]", arrived_at: "array[int]", sequences: Column) -> None:
        """Have so many reports where there were none: when they are of, when they arrived, and their numbers."""
        self.count = len(at)
        self.at, self.arrived_at, self.sequences = at, arrived_at, sequences

    def _append_source(self, report: Report, row: int) -> None:
        if report.topic != self._topic:
            self._topic = report.topic
            self.topics.append(row, report.topic)
        if report.client_id != self._client_id:
            self._client_id = report.client_id
            self.client_ids.append(row, report.client_id)
        if report.time_source is not self._time_source:
            self._time_source = report.time_source
            self.time_sources.append(row, report.time_source)

    def _append_values(self, report: Report, row: int) -> None:
        columns = self.columns
        values = report.values
        for name, value in values.items():
            column = columns.get(name)
            if column is None:
                column = columns[name] = column_with_missing(row) if row else new_column(value)
            if column.kind is float and type(value) is float:
                column.cells.append(value)
            else:
                column.append(value)
                if type(value) is str:
                    self.has_texts = True
        if len(values) != len(columns):
            self._fill(row, 1)

    def _fill(self, row: int, count: int) -> None:
        """Note in the columns that got nothing that so many reports from this row on have no such metric."""
        for column in self.columns.values():
            if len(column.cells) == row:
                column.extend([MISSING] * count)


def identity_of(report: Report) -> Identity:
    """What tells a report from every other of its device, as `Rows.identity` tells it."""
    return report.at, report.sequence, tuple(sorted((name, repr(value)) for name, value in report.values.items()))


def _present(names: tuple[str, ...], cells: tuple[Cell, ...]) -> dict[str, Value]:
    return {name: cell for name, cell in zip(names, cells, strict=True) if cell is not MISSING}
