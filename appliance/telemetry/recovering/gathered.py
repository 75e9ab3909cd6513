"""Many records of the event log as runs: what each device sent, in columns.

To take a million reports up one by one takes longer than a start may take. Nearly always what one device sent in a row
differs in moments and values only; then it is one run. What does not is given report by report.
"""

from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, islice, repeat
from operator import itemgetter, le
from typing import TypeVar

from appliance.instant import DAY_MS
from appliance.telemetry import log_record, naming
from appliance.telemetry.log_record import Columns, Shape
from appliance.telemetry.model import Report, TimeSource, Value
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.run import LoggedReport, Run

T = TypeVar("T")

_HEAD_CELLS = 8
"""What a report takes beside its metrics, in values."""
_LOOSE_CELLS = 8
"""What it takes beside that where it is in no stack but on its own."""
_REPORTS_PER_SHAPE = 4
"""A record with fewer of each shape takes longer to part by shapes than runs could save: it is taken one by one."""


class Gathered:
    """Reports of one tenant, in the order of the log."""

    def __init__(self, tenant_id: int) -> None:
        self._tenant_id = tenant_id
        self._stacks: dict[tuple[str, ...], _Stack] = {}
        self._loose: dict[str, list[tuple[int, LoggedReport]]] = {}
        """What is in no stack: the reports of each device, with their places among all."""
        self._count = 0
        self.cell_count = 0
        """How many values there are, about."""

    def add(self, log_id: int, record: Columns) -> None:
        """Take the next record of the log. Raises `ChunkError`, and takes nothing, when memory could not hold it."""
        try:
            times = array("q", record.at), array("q", record.arrived_at)
        except OverflowError as error:
            raise ChunkError("a moment has more than 64 bits") from error
        count = len(record.devices)
        if len(record.shapes) == 1:
            self._stack(record.shapes[0]).add(log_id, range(self._count, self._count + count), record, times)
        elif len(record.shapes) * _REPORTS_PER_SHAPE > count:
            self._add_loose(log_id, record)
        else:
            self._add_picked(log_id, record, times)
        self.cell_count += count * _HEAD_CELLS
        self.cell_count += sum(len(column) for shape in record.shapes for column in shape.columns)
        self._count += count

    def devices(self) -> Iterator[tuple[str, Run | list[LoggedReport]]]:
        """Each device once, with all that is of it, in the order of the log: a run, or else every report."""
        holders: dict[str, list[_Stack]] = {device_id: [] for device_id in self._loose}
        for stack in self._stacks.values():
            stack.sort()
            for device_id in stack.rows:
                holders.setdefault(device_id, []).append(stack)
        for device_id, stacks in holders.items():
            loose = self._loose.get(device_id, [])
            run = stacks[0].run(device_id) if len(stacks) == 1 and not loose else None
            if run is None:
                pieces = chain(loose, *(stack.reports(device_id) for stack in stacks))
                yield device_id, [report for _, report in sorted(pieces, key=itemgetter(0))]
            else:
                yield device_id, run

    def _stack(self, shape: Shape) -> "_Stack":
        stack = self._stacks.get(shape.metrics)
        if stack is None:
            stack = self._stacks[shape.metrics] = _Stack(self._tenant_id, shape.metrics)
        return stack

    def _add_picked(self, log_id: int, record: Columns, times: "tuple[array[int], array[int]]") -> None:
        """Take a record of several shapes, each into its stack."""
        rows_of: list[list[int]] = [[] for _ in record.shapes]
        for row, number in enumerate(record.shape_numbers):
            rows_of[number].append(row)
        for shape, rows in zip(record.shapes, rows_of, strict=True):
            if rows:
                places = [self._count + row for row in rows]
                at, arrived_at = (array("q", _picked(moments, rows)) for moments in times)
                self._stack(shape).add(log_id, places, _picked_record(record, shape, rows), (at, arrived_at))

    def _add_loose(self, log_id: int, record: Columns) -> None:
        """Take a record report by report."""
        for place, report in enumerate(log_record.reports_of(record, self._tenant_id), self._count):
            self._loose.setdefault(report.device_id, []).append((place, LoggedReport(log_id, report)))
        self.cell_count += len(record.devices) * _LOOSE_CELLS


class _Stack:
    """Reports with the same metrics, in columns."""

    def __init__(self, tenant_id: int, metrics: tuple[str, ...]) -> None:
        self._tenant_id = tenant_id
        self._metrics = metrics
        self.rows: dict[str, list[int]] = {}
        """The rows of each device."""
        self._starts: dict[str, int] = {}
        """Where they begin, once they lie side by side."""
        self._places: list[int] = []
        self._log_ids: list[int] = []
        self._topics: list[str] = []
        self._clients: list[str] = []
        self._time_sources: list[TimeSource] = []
        self._at: array[int] = array("q")
        self._arrived_at: array[int] = array("q")
        self._sequences: list[int | None] = []
        self._columns: list[list[Value]] = [[] for _ in metrics]

    def add(self, log_id: int, places: Sequence[int], record: Columns, times: "tuple[array[int], array[int]]") -> None:
        rows = self.rows
        for row, device_id in enumerate(record.devices, len(self._log_ids)):
            if device_id in rows:
                rows[device_id].append(row)
            else:
                rows[device_id] = [row]
        self._places += places
        self._log_ids += repeat(log_id, len(record.devices))
        self._topics += record.topics
        self._clients += record.clients
        self._time_sources += record.time_sources
        self._at += times[0]
        self._arrived_at += times[1]
        self._sequences += record.sequences
        for column, cells in zip(self._columns, record.shapes[0].columns, strict=True):
            column.extend(cells)

    def sort(self) -> None:
        """Put the reports of each device side by side, in the order of the log."""
        order = list(chain.from_iterable(self.rows.values()))
        self._starts = dict(zip(self.rows, accumulate(map(len, self.rows.values()), initial=0), strict=False))
        self._places = _ordered(self._places, order)
        self._log_ids = _ordered(self._log_ids, order)
        self._topics = _ordered_names(self._topics, order)
        self._clients = _ordered_names(self._clients, order)
        self._time_sources = _ordered_names(self._time_sources, order)
        self._at = array("q", _ordered(self._at, order))
        self._arrived_at = array("q", _ordered(self._arrived_at, order))
        self._sequences = _ordered(self._sequences, order)
        self._columns = [_ordered(column, order) for column in self._columns]

    def run(self, device_id: str) -> Run | None:
        """All that is of a device; None when it is no run."""
        start = self._starts[device_id]
        end = start + len(self.rows[device_id])
        at = self._at[start:end]
        if at[0] // DAY_MS != at[-1] // DAY_MS or not all(map(le, at, islice(at, 1, None))):
            return None
        if not (
            _is_same(self._topics, start, end)
            and _is_same(self._clients, start, end)
            and _is_same(self._time_sources, start, end)
        ):
            return None
        columns = {name: column[start:end] for name, column in zip(self._metrics, self._columns, strict=True)}
        arrived_at, sequences = self._arrived_at[start:end], self._sequences[start:end]
        log_ids = self._log_ids[start:end]
        return Run(self._report(device_id, start), log_ids, at, arrived_at, sequences, columns)

    def reports(self, device_id: str) -> Iterator[tuple[int, LoggedReport]]:
        """The same report by report, each with its place among all that were gathered."""
        start = self._starts[device_id]
        for row in range(start, start + len(self.rows[device_id])):
            yield self._places[row], LoggedReport(self._log_ids[row], self._report(device_id, row))

    def _report(self, device_id: str, row: int) -> Report:
        return Report(
            self._tenant_id,
            device_id,
            self._at[row],
            self._arrived_at[row],
            self._time_sources[row],
            naming.absolute(self._topics[row], device_id),
            naming.absolute(self._clients[row], device_id),
            {name: column[row] for name, column in zip(self._metrics, self._columns, strict=True)},
            self._sequences[row],
        )


def _picked_record(record: Columns, shape: Shape, rows: Sequence[int]) -> Columns:
    """The reports of a record that have one of its shapes; their moments are picked elsewhere."""
    return Columns(
        devices=_picked(record.devices, rows),
        topics=_picked(record.topics, rows),
        clients=_picked(record.clients, rows),
        at=[],
        arrived_at=[],
        time_sources=_picked(record.time_sources, rows),
        sequences=_picked(record.sequences, rows),
        shape_numbers=[],
        shapes=[shape],
    )


def _picked(column: Sequence[T], rows: Sequence[int]) -> list[T]:
    return [column[row] for row in rows]


def _is_same(names: Sequence[T], start: int, end: int) -> bool:
    return names[start:end].count(names[start]) == end - start


def _ordered(column: Sequence[T], order: Sequence[int]) -> list[T]:
    return list(itemgetter(*order)(column)) if len(order) > 1 else list(column)


def _ordered_names(column: list[T], order: Sequence[int]) -> list[T]:
    """The same; mostly they are all equal."""
    if column[-1] == column[0] and column.count(column[0]) == len(column):
        return column
    return _ordered(column, order)
