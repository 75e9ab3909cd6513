"""The reports of one device on one day, as columns that grow while they come in.

Appending is on the way of every report, so it is plain: a column is an array as long as all its values are of
one kind and a list from the first that is not. What rarely changes (topic, client identifier, source of the
moment) is kept only where it changes.

The reports that came last and are alike lie side by side, row by row, until there are `STRIP_ROWS` or anybody looks:
among ten thousand devices, each object that a report touches has to be fetched from memory, and those of five columns
are many. Who hands rows to another thread has them settled before.
"""

from array import array
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from itertools import compress
from typing import Self, cast

from appliance.instant import DAY_MS
from appliance.telemetry.column import MISSING, Cell
from appliance.telemetry.growing import Column, Runs, column_of, column_with_missing, new_column
from appliance.telemetry.model import Report, TimeSource, Value
from appliance.telemetry.row_shape import Shape, shape_of
from appliance.telemetry.run import Run

Identity = tuple[int, int | None, tuple[tuple[str, str], ...]]
"""What two deliveries of one report have in common: moment, sequence number and values."""

STRIP_ROWS = 16
"""Reports that lie side by side, at most: what is no fraction takes several times the memory there."""
STRIP_NAMES = 64
"""Wider reports are put where they belong at once."""
_HEADS = 3
"""Of a report in the strip: moment, arrival, sequence number."""


class Rows:
    """The reports of one device on one UTC day. They come in the order of the event log."""

    __slots__ = (
        "_arrived_at",
        "_at",
        "_cells",
        "_client_id",
        "_columns",
        "_heads",
        "_sequences",
        "_shape",
        "_time_source",
        "_topic",
        "alike_from",
        "client_ids",
        "count",
        "day",
        "device_id",
        "first_log_id",
        "has_texts",
        "last_log_id",
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
        self._at: array[int] = array("q")
        self._arrived_at: array[int] = array("q")
        self._sequences = Column(array("q"), int)
        self._columns: dict[str, Column] = {}
        self.topics: Runs[str] = Runs([], [])
        self.client_ids: Runs[str] = Runs([], [])
        self.time_sources: Runs[TimeSource] = Runs([], [])
        self.has_texts = False
        """Whether any value is a text, which may be long."""
        self._topic: str | None = None
        self._client_id: str | None = None
        self._time_source: TimeSource | None = None
        self.alike_from = 0
        """The row from which on all reports name the same metrics."""
        self._shape: Shape | None = None
        """What the reports of the strip have in common: the last one before it had that, too."""
        self._heads: array[int] = array("q")
        """Moment, arrival and sequence number of each report of the strip."""
        self._cells: array[float] | list[Value] = []
        """The values of each report of the strip."""

    @property
    def at(self) -> "array[int]":
        """The moment of each report."""
        if self._heads:
            self.settle()
        return self._at

    @property
    def arrived_at(self) -> "array[int]":
        """When each report arrived."""
        if self._heads:
            self.settle()
        return self._arrived_at

    @property
    def sequences(self) -> Column:
        """The sequence number of each report, or None."""
        if self._heads:
            self.settle()
        return self._sequences

    @property
    def columns(self) -> dict[str, Column]:
        """A column for each metric, all as long as there are rows."""
        if self._heads:
            self.settle()
        return self._columns

    @property
    def names(self) -> AbstractSet[str]:
        """The metrics: a report in the strip brings no new ones."""
        return self._columns.keys()

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
        self.last_log_id = log_id
        shape = self._shape
        if (
            shape is not None
            and shape.names == (*report.values,)
            and shape.kinds == [report.sequence.__class__, *map(type, report.values.values())]
            and report.topic == self._topic
            and report.client_id == self._client_id
            and report.time_source is self._time_source
        ):
            try:
                self._heads.extend((report.at, report.arrived_at, report.sequence or 0))
            except OverflowError:
                # An integer beyond 64 bits, after two that were taken.
                del self._heads[-2:]
            else:
                self._cells.extend(report.values.values())  # type: ignore[arg-type]
                self.count = row + 1
                if len(self._heads) == STRIP_ROWS * _HEADS:
                    self.settle()
                return row
        self._append_unlike(report, log_id)
        return row

    def surely_has(self, row: int, metric: str) -> bool:
        """Whether a report is known to name a metric, without a look at it."""
        return self._shape is not None and row >= self.alike_from and metric in self._shape.names

    def settle(self) -> None:
        """Put the strip where all other reports are."""
        heads, shape = self._heads, self._shape
        if not heads or shape is None:
            return
        row, count = len(self._at), len(heads) // _HEADS
        self._at.extend(heads[0::_HEADS])
        self._arrived_at.extend(heads[1::_HEADS])
        self._sequences.extend(heads[2::_HEADS] if shape.is_numbered else [None] * count)
        columns, names = self._columns, shape.names
        for place, name in enumerate(names):
            columns[name].extend(self._cells[place :: len(names)])
        if len(names) != len(columns):
            for column in columns.values():
                if len(column.cells) == row:
                    column.extend([MISSING] * count)
        del heads[:], self._cells[:]

    def report(self, row: int) -> Report:
        """One of the reports."""
        if row < (settled := len(self._at)):
            columns = self._columns.items()
            cells = {name: column.cells[row] for name, column in columns}
            values = {name: cell for name, cell in cells.items() if cell is not MISSING}
            at, arrived_at, sequence = self._at[row], self._arrived_at[row], self._sequences.cells[row]
        else:
            shape = cast("Shape", self._shape)
            at, arrived_at, sequence = self._heads[(row - settled) * _HEADS : (row - settled + 1) * _HEADS]
            width = len(shape.names)
            values = dict(zip(shape.names, self._cells[(row - settled) * width :], strict=False))
            sequence = sequence if shape.is_numbered else None
        return Report(
            self.tenant_id,
            self.device_id,
            at,
            arrived_at,
            self.time_sources.at(row),
            self.topics.at(row),
            self.client_ids.at(row),
            values,
            sequence,
        )

    def extend(self, run: Run) -> None:
        """Add reports of the same device and day, which have the same metrics as all that are there."""
        row = self.alike_from = self.count
        self.settle()
        self._shape = None
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
        self.width = len(self._columns)

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
        self._at, self._arrived_at, self._sequences = at, arrived_at, sequences

    def _append_unlike(self, report: Report, log_id: int) -> None:
        """Add a report that is not like those of the strip; of two that are like each other, the next may be, too."""
        self.settle()
        row = self.count
        if row == 0:
            self.first_log_id = log_id
        self._at.append(report.at)
        self._arrived_at.append(report.arrived_at)
        self._sequences.append(report.sequence)
        self.count = row + 1
        if (
            report.topic != self._topic
            or report.client_id != self._client_id
            or report.time_source is not self._time_source
        ):
            self._append_source(report, row)
        self._append_values(report, row)
        self.width = len(self._columns)
        names, before = (*report.values,), self._shape
        if before is None or names != before.names:
            self.alike_from = row
        if 0 < len(names) <= STRIP_NAMES:
            self._shape = shape_of(names, (report.sequence.__class__, *map(type, report.values.values())))
            self._cells = self._shape.cells()
        else:
            self._shape = None

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
        columns = self._columns
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
            for column in columns.values():
                if len(column.cells) == row:
                    column.append(MISSING)


def identity_of(report: Report) -> Identity:
    """What tells a report from every other of its device, as `Rows.identity` tells it."""
    return report.at, report.sequence, tuple(sorted((name, repr(value)) for name, value in report.values.items()))


def _present(names: tuple[str, ...], cells: tuple[Cell, ...]) -> dict[str, Value]:
    return {name: cell for name, cell in zip(names, cells, strict=True) if cell is not MISSING}
