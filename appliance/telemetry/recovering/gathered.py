"""Many records of the event log as runs: what each device sent, in columns.

To take a million reports up one by one takes longer than a start may take. Nearly always what one device sent in a row
differs in moments and values only; then it is one run a day. What does not is given report by report.

The reports of a record become rows of 64-bit numbers, side by side in one piece of memory. Cut apart and joined again
by device, and taken apart again by columns, each of them is touched only in its device's turn.
"""

from array import array
from bisect import bisect_left
from collections import defaultdict, deque
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter
from typing import Any, TypeVar, cast

from appliance.instant import DAY_MS
from appliance.telemetry import log_record, naming
from appliance.telemetry.column import Cell
from appliance.telemetry.lanes import added, raised
from appliance.telemetry.model import Report, TimeSource, Value
from appliance.telemetry.packing import as_text
from appliance.telemetry.pieces import pieces
from appliance.telemetry.recovering.unpacked import Names, Origin, Packed, Shape, Unpacked, unpack
from appliance.telemetry.run import LoggedReport, Run

T = TypeVar("T")

_ORIGIN_CELLS = 32
"""What each different topic, client identifier and source of the moment takes, in values."""
_TEXT_CELL = 8
"""So many characters of a text take as much as a value."""
_LOOSE_CELLS = 32
"""What it takes beside that where it is in no pile but on its own."""
_REPORTS_PER_SHAPE = 4
"""A record with fewer of each shape takes longer to part by shapes than runs could save: it is taken one by one."""
_JOINED_REPORTS = 131_072
"""Pieces of so many reports are joined by device: until then each takes as much memory again."""

_LOG_ID, _PLACE, _ORIGIN, _AT, _LAG, _SEQUENCE, _FIRST_VALUE = range(7)
"""The numbers in a row."""
_CELL = 8

_TIME_SOURCES = {int(source): source for source in TimeSource}

Placed = tuple[tuple[int, int], LoggedReport]
"""A report, with its record and its place in it."""


class Gathered:
    """Reports of one tenant, in the order of the log."""

    def __init__(self, tenant_id: int) -> None:
        self._tenant_id = tenant_id
        self._origins = _Origins()
        self._piles: dict[tuple[tuple[str, ...], str], _Pile] = {}
        self._loose: dict[bytes, list[Placed]] = {}
        """What is in no pile: the reports of each device."""
        self._unjoined = 0
        self._names: dict[int, Names] = {}
        self.cell_count = 0
        """How many values there are, about."""

    def add(self, log_id: int, record: bytes) -> None:
        """Take the next record of the log. Raises `ChunkError`, and takes nothing, when memory could not hold it."""
        found = unpack(record, self._names)
        count, origin_count = len(found.devices), len(self._origins)
        if len(found.shapes) > 1 and len(found.shapes) * _REPORTS_PER_SHAPE > count:
            self._add_loose(log_id, log_record.decode(record, self._tenant_id))
        elif count:
            self._add_piled(log_id, found)
        self.cell_count += (len(self._origins) - origin_count) * _ORIGIN_CELLS + count * _FIRST_VALUE
        self.cell_count += sum(_weight_of(column) for shape in found.shapes for column in shape.columns)
        self._unjoined += count
        if self._unjoined > _JOINED_REPORTS:
            self._join()

    def devices(self) -> Iterator[tuple[str, Sequence[Run | LoggedReport]]]:
        """Each device once, with all that is of it, in the order of the log. What was given is here no more."""
        self._join()
        holders: dict[bytes, list[_Pile]] = {device: [] for device in self._loose}
        for pile in self._piles.values():
            for device in pile.joined:
                holders.setdefault(device, []).append(pile)
        for device, piles in holders.items():
            device_id, loose = as_text(device), self._loose.pop(device, [])
            if len(piles) == 1 and not loose:
                # Nearly always: what is there for the other cases takes as long as all the rest.
                part = _Part(self._tenant_id, device_id, piles[0].metrics, piles[0].taken(device), self._origins)
                yield device_id, part.runs() or [report for _, report in part.reports()]
                continue
            alike: defaultdict[tuple[str, ...], list[list[Packed]]] = defaultdict(list)
            for pile in piles:
                alike[pile.metrics].append(pile.taken(device))
            parts = [_Part(self._tenant_id, device_id, each, _together(alike[each]), self._origins) for each in alike]
            runs = parts[0].runs() if len(parts) == 1 and not loose else None
            if runs is None:
                placed = sorted(chain(loose, *(part.reports() for part in parts)), key=itemgetter(0))
                yield device_id, [report for _, report in placed]
            else:
                yield device_id, runs

    def _join(self) -> None:
        self._unjoined = 0
        for pile in self._piles.values():
            pile.join()

    def _add_piled(self, log_id: int, found: Unpacked) -> None:
        count = len(found.devices)
        head: list[Packed] = [array("q", (log_id,)) * count, _places(count)]
        if len(found.origins) == 1:
            head.append(array("q", (self._origins[found.origins[0]],)) * count)
        else:
            head.append(array("q", map(self._origins.__getitem__, found.origins)))
        head += found.at, found.lags, found.sequences
        if len(found.shapes) == 1:
            self._put(found.shapes[0], found.devices, head)
            return
        rows_of: list[list[int]] = [[] for _ in found.shapes]
        for row, number in enumerate(found.shape_numbers):
            rows_of[number].append(row)
        for shape, rows in zip(found.shapes, rows_of, strict=True):
            if rows:
                self._put(shape, _picked(found.devices, rows), [_picked_column(column, rows) for column in head])

    def _put(self, shape: Shape, devices: Sequence[bytes], head: list[Packed]) -> None:
        columns = [*head, *shape.columns]
        codes = "".join(column.typecode if isinstance(column, array) else _OBJECT for column in columns)
        pile = self._piles.get((shape.metrics, codes))
        if pile is None:
            pile = self._piles[shape.metrics, codes] = _Pile(shape.metrics, codes)
        pile.add(devices, columns)

    def _add_loose(self, log_id: int, reports: Sequence[Report]) -> None:
        """Take a record report by report."""
        for place, report in enumerate(reports):
            device = report.device_id.encode("utf-8", "surrogatepass")
            self._loose.setdefault(device, []).append(((log_id, place), LoggedReport(log_id, report)))
        self.cell_count += len(reports) * _LOOSE_CELLS


class _Origins(dict[Origin, int]):
    """The number of each origin."""

    def __init__(self) -> None:
        self.every: list[Origin] = []
        """By their numbers."""

    def __missing__(self, origin: Origin) -> int:
        number = self[origin] = len(self.every)
        self.every.append(origin)
        return number


_OBJECT = "O"
"""A column of whatever no array holds: in its rows stand places in a list."""


class _Pile:
    """Reports with the same metrics, whose values are of the same kinds: a row of numbers for each of them."""

    def __init__(self, metrics: tuple[str, ...], codes: str) -> None:
        self.metrics = metrics
        self.codes = codes
        """The kinds of the numbers in a row."""
        self.objects: list[list[Cell]] = [[] for _ in codes]
        """By column, what stands in no row."""
        self.joined: defaultdict[bytes, list[bytes]] = defaultdict(list)
        """The rows of each device, but for the newest."""
        self._rows: defaultdict[bytes, list[bytes]] = defaultdict(list)

    def add(self, devices: Sequence[bytes], columns: Sequence[Packed]) -> None:
        """Add a row for each device."""
        width = len(columns)
        # Whatever is in it at first: each number is overwritten.
        cells = cast("array[int]", columns[_LOG_ID]) * width
        for place, column in enumerate(columns):
            cells[place::width] = self._numbers(place, column)
        # By device at once, and nothing of it in a loop of ours: this is on the way of each of a million reports.
        deque(map(list.append, map(self._rows.__getitem__, devices), pieces(cells, _CELL * width)), maxlen=0)

    def join(self) -> None:
        """Put the rows of each device together."""
        for device, rows in self._rows.items():
            self.joined[device].append(b"".join(rows))
        self._rows.clear()

    def taken(self, device: bytes) -> list[Packed]:
        """All rows of a device, by columns. They are here no more."""
        rows, width = b"".join(self.joined.pop(device)), len(self.codes)
        numbers = array("q", rows)
        doubles = array("d", rows)
        columns: list[Packed] = []
        for place, code in enumerate(self.codes):
            if code == "q":
                columns.append(numbers[place::width])
            elif code == "d":
                columns.append(doubles[place::width])
            else:
                columns.append(list(map(self.objects[place].__getitem__, numbers[place::width])))
        return columns

    def _numbers(self, place: int, column: Packed) -> "array[int]":
        if not isinstance(column, array):
            objects = self.objects[place]
            objects += column
            return array("q", range(len(objects) - len(column), len(objects)))
        return cast("array[int]", column) if column.typecode == "q" else array("q", column.tobytes())


class _Part:
    """The reports of a device that have the same metrics, by columns."""

    __slots__ = (
        "_at",
        "_columns",
        "_device_id",
        "_lags",
        "_log_ids",
        "_origin_numbers",
        "_origins",
        "_places",
        "_sequences",
        "_tenant_id",
    )

    def __init__(
        self, tenant_id: int, device_id: str, metrics: Sequence[str], columns: Sequence[Packed], origins: _Origins
    ) -> None:
        self._tenant_id = tenant_id
        self._device_id = device_id
        self._log_ids, self._places, self._origin_numbers, self._at, self._lags = cast(
            "list[array[int]]", columns[:_SEQUENCE]
        )
        self._sequences = cast("Sequence[int | None]", columns[_SEQUENCE])
        self._columns = dict(zip(metrics, cast("list[Sequence[Value]]", columns[_FIRST_VALUE:]), strict=True))
        self._origins = origins

    def runs(self) -> list[Run] | None:
        """All of them, day by day; None when they are no runs."""
        at, origins = self._at, self._origin_numbers
        moments = at.tolist()
        # What is in order is sorted in one pass, sooner than each moment is compared with the one before it.
        if origins != origins[:1] * len(at) or moments != sorted(moments):
            return None
        arrived_at, last_seen_at = self._arrivals()
        run = Run(self._report(0), self._log_ids, at, arrived_at, last_seen_at, self._sequences, self._columns)
        if at[0] // DAY_MS == at[-1] // DAY_MS:
            return [run]
        runs, start = list[Run](), 0
        while start < len(at):
            end = bisect_left(at, (at[start] // DAY_MS + 1) * DAY_MS, start)
            runs.append(run.cut(start, end))
            start = end
        return runs

    def _arrivals(self) -> "tuple[array[int], int]":
        """When each of them arrived, and the last; they are in the order of moments."""
        at, lags = self._at, self._lags
        if lags == lags[:1] * len(lags):
            return raised(at, lags[0], 0), at[-1] + lags[0]
        arrived_at = added(at, lags)
        return arrived_at, max(arrived_at)

    def reports(self) -> Iterator[Placed]:
        """The same report by report."""
        for row, place in enumerate(zip(self._log_ids, self._places, strict=True)):
            yield place, LoggedReport(place[0], self._report(row))

    def _report(self, row: int) -> Report:
        topic, client_id, time_source = self._origins.every[self._origin_numbers[row]]
        return Report(
            self._tenant_id,
            self._device_id,
            self._at[row],
            self._at[row] + self._lags[row],
            _TIME_SOURCES[time_source],
            naming.absolute(topic, self._device_id),
            naming.absolute(client_id, self._device_id),
            {name: column[row] for name, column in self._columns.items()},
            self._sequences[row],
        )


def _together(parts: Sequence[list[Packed]]) -> list[Packed]:
    """Rows of one device out of several piles, in the order of the log."""
    if len(parts) == 1:
        return parts[0]
    columns = [list(chain.from_iterable(cast("Any", pieces_of))) for pieces_of in zip(*parts, strict=True)]
    placed = list(zip(columns[_LOG_ID], columns[_PLACE], strict=True))
    order = sorted(range(len(placed)), key=placed.__getitem__)
    ordered = [_picked(column, order) for column in columns]
    return [*(array("q", column) for column in ordered[:_SEQUENCE]), *ordered[_SEQUENCE:]]


def _weight_of(column: Packed) -> int:
    if isinstance(column, array):
        return len(column)
    return len(column) + sum(len(cell) for cell in column if isinstance(cell, str)) // _TEXT_CELL


@lru_cache(maxsize=256)
def _places(count: int) -> "array[int]":
    return array("q", range(count))


def _picked(column: Sequence[T], rows: Sequence[int]) -> list[T]:
    return [column[row] for row in rows]


def _picked_column(column: Packed, rows: Sequence[int]) -> Packed:
    picked = _picked(cast("Sequence[Any]", column), rows)
    return array(cast("Any", column.typecode), picked) if isinstance(column, array) else picked
