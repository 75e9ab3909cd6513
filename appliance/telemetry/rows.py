"""The reports of one device on one day, as columns that grow while they come in.

Appending is on the way of every report, so it is plain: a column is an array as long as all its values are of
one kind and a list from the first that is not. What rarely changes (topic, client identifier, source of the
moment) is kept only where it changes.
"""

from array import array
from collections.abc import Iterable, Iterator, MutableSequence, Sequence
from itertools import compress
from typing import Any, Generic, Self, TypeVar

from appliance.instant import DAY_MS
from appliance.telemetry.column import MISSING, Cell
from appliance.telemetry.model import Report, TimeSource, Value
from appliance.telemetry.run import Run
from appliance.telemetry.scaled import Scaled

T = TypeVar("T")

Identity = tuple[int, int | None, tuple[tuple[str, str], ...]]
"""What two deliveries of one report have in common: moment, sequence number and values."""

_CODES: dict[type, str] = {float: "d", int: "q"}
_KINDS = {code: kind for kind, code in _CODES.items()}


class Column:
    """Values in the order of their rows."""

    __slots__ = ("_scaled", "cells", "kind")

    def __init__(self, cells: MutableSequence[Any], kind: type | None) -> None:
        self.cells = cells
        self.kind = kind
        """The one kind of value in an array; None for a list."""

    def append(self, cell: Cell) -> None:
        """Add a value of any kind."""
        if self.kind is not None:
            try:
                if type(cell) is self.kind:
                    self.cells.append(cell)
                    return
            except OverflowError:
                pass  # an integer beyond 64 bits: only a list holds it
            self.cells = list(self.cells)
            self.kind = None
        self.cells.append(cell)

    def extend(self, cells: Sequence[Cell]) -> None:
        """Add values as `append` does one after the other."""
        if type(cells) is Scaled:
            cells = cells.doubles()
        if isinstance(cells, array) and self.kind is not None and cells.typecode == _CODES[self.kind]:
            self.cells.extend(cells)
            return
        if self.kind is not None:
            try:
                if set(map(type, cells)) <= {self.kind}:
                    # As a whole first: an array that refuses one value keeps those before it.
                    self.cells.extend(array(_CODES[self.kind], cells))
                    return
            except OverflowError:
                pass
            self.cells = list(self.cells)
            self.kind = None
        self.cells.extend(cells)

    def copy(self) -> "Column":
        """The same values, which stay as they are now."""
        return Column(self.cells[:], self.kind)


class _Scaled(Column):
    """A column that is divided as soon as anybody looks at its cells, and is a column like any other from then on.

    So whoever uses columns need not know of it. Several threads may look at once at what grows no more: what each of
    them divides is the same.
    """

    __slots__ = ()

    def __init__(self, scaled: Scaled) -> None:
        self._scaled = scaled
        self.kind = float

    def __getattr__(self, name: str) -> Any:
        if name != "cells":
            raise AttributeError(f"a column has no {name}")
        self.cells = cells = self._scaled.doubles()
        self.__class__ = Column  # type: ignore[assignment]
        return cells

    def copy(self) -> Column:
        """The same values; nothing is divided for that."""
        return _Scaled(self._scaled)


def new_column(cell: Cell) -> Column:
    """An empty column of the kind that suits its first value."""
    kind = type(cell)
    code = _CODES.get(kind)
    return Column(array(code), kind) if code else Column([], None)


class Runs(Generic[T]):
    """Values in the order of their rows, kept only where they change."""

    __slots__ = ("starts", "values")

    def __init__(self, starts: list[int], values: list[T]) -> None:
        self.starts = starts
        self.values = values

    def append(self, row: int, value: T) -> None:
        """Say that from this row on the value is another one."""
        self.starts.append(row)
        self.values.append(value)

    def expanded(self, count: int) -> Iterator[T]:
        """The value of each row."""
        ends = [*self.starts[1:], count]
        for start, end, value in zip(self.starts, ends, self.values, strict=True):
            for _ in range(start, end):
                yield value

    def copy(self) -> "Runs[T]":
        """The same values, which stay as they are now."""
        return Runs(self.starts[:], self.values[:])


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
        "day",
        "device_id",
        "first_log_id",
        "has_texts",
        "last_log_id",
        "sequences",
        "tenant_id",
        "time_sources",
        "topics",
    )

    def __init__(self, tenant_id: int, device_id: str, day: int) -> None:
        self.tenant_id = tenant_id
        self.device_id = device_id
        self.day = day
        """Whole UTC days since 1970."""
        self.first_log_id = 0
        self.last_log_id = 0
        self.at: array[int] = array("q")
        self.arrived_at: array[int] = array("q")
        self.sequences = Column(array("q"), int)
        self.topics: Runs[str] = Runs([], [])
        self.client_ids: Runs[str] = Runs([], [])
        self.time_sources: Runs[TimeSource] = Runs([], [])
        self.columns: dict[str, Column] = {}
        """A column for each metric, all as long as there are rows."""
        self.has_texts = False
        """Whether any value is a text, which may be long."""
        self._topic: str | None = None
        self._client_id: str | None = None
        self._time_source: TimeSource | None = None

    @classmethod
    def of(cls, reports: Sequence[Report], log_id: int) -> Self:
        """Some reports of one device and one day; at least one."""
        first = reports[0]
        rows = cls(first.tenant_id, first.device_id, first.at // DAY_MS)
        for report in reports:
            rows.append(report, log_id)
        return rows

    @property
    def count(self) -> int:
        """How many reports there are."""
        return len(self.at)

    def append(self, report: Report, log_id: int) -> None:
        """Add the next report, which the log holds under this id."""
        row = len(self.at)
        if row == 0:
            self.first_log_id = log_id
        self.last_log_id = log_id
        self.at.append(report.at)
        self.arrived_at.append(report.arrived_at)
        self.sequences.append(report.sequence)
        if (
            report.topic != self._topic
            or report.client_id != self._client_id
            or report.time_source is not self._time_source
        ):
            self._append_source(report, row)
        self._append_values(report, row)

    def extend(self, run: Run) -> None:
        """Add reports of the same device and day, which have the same metrics as all that are there."""
        row = len(self.at)
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
                column = self.columns[name] = _column_of(cells)
            else:
                column.extend(cells)
            if column.kind is None and not self.has_texts:
                self.has_texts = any(type(cell) is str for cell in cells)

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
        copied.at, copied.arrived_at = self.at[:], self.arrived_at[:]
        copied.sequences = self.sequences.copy()
        copied.topics, copied.client_ids = self.topics.copy(), self.client_ids.copy()
        copied.time_sources = self.time_sources.copy()
        copied.columns = {name: column.copy() for name, column in self.columns.items()}
        return copied

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
                column = columns[name] = _column_with_missing(row) if row else new_column(value)
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


def _column_of(cells: Sequence[Value]) -> Column:
    """A column of these values, of which there is one at least."""
    if type(cells) is Scaled:
        return _Scaled(cells)
    if isinstance(cells, array):
        return Column(cells[:], _KINDS[cells.typecode])
    column = new_column(cells[0])
    column.extend(cells)
    return column


def _column_with_missing(count: int) -> Column:
    return Column([MISSING] * count, None)


def _present(names: tuple[str, ...], cells: tuple[Cell, ...]) -> dict[str, Value]:
    return {name: cell for name, cell in zip(names, cells, strict=True) if cell is not MISSING}
