"""Many records of the event log as runs: what each device sent, in columns.

To take a million reports up one by one takes longer than a start may take. Nearly always what one device sent in a row
differs in moments and values only; then it is one run. What does not is given report by report.
"""

from array import array
from collections.abc import Iterator, Sequence
from itertools import accumulate, chain, compress, islice, repeat
from operator import eq, itemgetter, le
from typing import TypeVar

from appliance.instant import DAY_MS
from appliance.telemetry import naming
from appliance.telemetry.log_record import Columns
from appliance.telemetry.model import Report, TimeSource, Value
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.run import LoggedReport, Run

T = TypeVar("T")

_HEAD_CELLS = 8
"""What a report takes beside its metrics, in values."""


class Gathered:
    """Reports of one tenant, in the order of the log."""

    def __init__(self, tenant_id: int) -> None:
        self._tenant_id = tenant_id
        self._stacks: dict[tuple[str, ...], _Stack] = {}
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
        places: Sequence[int] = range(self._count, self._count + count)
        for number, shape in enumerate(record.shapes):
            stack = self._stacks.get(shape.metrics)
            if stack is None:
                stack = self._stacks[shape.metrics] = _Stack(self._tenant_id, shape.metrics)
            if len(record.shapes) == 1:
                stack.add(log_id, places, record, times)
            else:
                chosen = list(map(eq, record.shape_numbers, repeat(number)))
                at, arrived_at = (array("q", compress(moments, chosen)) for moments in times)
                stack.add(log_id, list(compress(places, chosen)), _picked(record, chosen, number), (at, arrived_at))
            self.cell_count += count * len(shape.metrics)
        self.cell_count += count * _HEAD_CELLS
        self._count += count

    def devices(self) -> Iterator[tuple[str, Run | list[LoggedReport]]]:
        """Each device once, with all that is of it, in the order of the log: a run, or else every report."""
        stacks = list(self._stacks.values())
        seen, shared = set[str](), set[str]()
        for stack in stacks:
            shared |= seen & stack.rows.keys()
            seen |= stack.rows.keys()
        for stack in stacks:
            stack.sort()
        for stack in stacks:
            for device_id in stack.rows:
                if device_id not in shared:
                    run = stack.run(device_id)
                    yield device_id, run or [report for _, report in stack.reports(device_id)]
        for device_id in shared:
            pieces = chain.from_iterable(stack.reports(device_id) for stack in stacks if device_id in stack.rows)
            yield device_id, [report for _, report in sorted(pieces, key=itemgetter(0))]


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


def _picked(record: Columns, chosen: Sequence[bool], number: int) -> Columns:
    """The reports of a record that have one of its shapes; their moments are picked elsewhere."""
    return Columns(
        devices=list(compress(record.devices, chosen)),
        topics=list(compress(record.topics, chosen)),
        clients=list(compress(record.clients, chosen)),
        at=[],
        arrived_at=[],
        time_sources=list(compress(record.time_sources, chosen)),
        sequences=list(compress(record.sequences, chosen)),
        shape_numbers=[],
        shapes=[record.shapes[number]],
    )


def _is_same(names: Sequence[T], start: int, end: int) -> bool:
    return names[start:end].count(names[start]) == end - start


def _ordered(column: Sequence[T], order: Sequence[int]) -> list[T]:
    return list(itemgetter(*order)(column)) if len(order) > 1 else list(column)


def _ordered_names(column: list[T], order: Sequence[int]) -> list[T]:
    """The same; mostly they are all equal."""
    if column[-1] == column[0] and column.count(column[0]) == len(column):
        return column
    return _ordered(column, order)
