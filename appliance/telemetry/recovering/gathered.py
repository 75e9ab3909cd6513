"""Many records of the event log as runs: what each device sent, in columns.

To take a million reports up one by one takes longer than a start may take. Nearly always what one device sent in a row
differs in moments and values only; then it is one run a day. What does not is given report by report.

Until it is the turn of a device, its reports are rows in piles.
"""

from array import array
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import chain
from operator import itemgetter, lt
from typing import Any, TypeVar, cast

from appliance.instant import DAY_MS
from appliance.telemetry import log_record, naming
from appliance.telemetry.lanes import added, array_of, raised
from appliance.telemetry.model import Report, TimeSource, Value
from appliance.telemetry.packing import as_text
from appliance.telemetry.recovering.pile import Kind, Pile, kind_of
from appliance.telemetry.recovering.unpacked import Known, Origin, Packed, Shape, Unpacked, unpack
from appliance.telemetry.run import LoggedReport, Run
from appliance.telemetry.scaled import Scaled

T = TypeVar("T")

_ORIGIN_CELLS = 32
"""What each different topic, client identifier and source of the moment takes, in values."""
_TEXT_CELL = 8
"""So many characters of a text take as much as a value."""
_LOOSE_CELLS = 32
"""What it takes beside that where it is in no pile but on its own."""
_REPORTS_PER_SHAPE = 4
"""A record with fewer of each shape takes longer to part by shapes than runs could save: it is taken one by one."""
_JOINED_REPORTS = 262_144
"""Pieces of so many reports are joined by device: until then each takes as much memory again."""

_LOG_ID, _PLACE, _ORIGIN, _AT, _LAG, _SEQUENCE, _FIRST_VALUE = range(7)
"""The columns of a pile."""
_FEW = 1 << 16
"""Places in a record and numbers of origins up to this one need 16 bits."""

_WHOLE = {"q", "h", "H"}
"""Arrays of whole numbers."""

_TIME_SOURCES = {int(source): source for source in TimeSource}

Placed = tuple[tuple[int, int], LoggedReport]
"""A report, with its record and its place in it."""


class Gathered:
    """Reports of one tenant, in the order of the log."""

    def __init__(self, tenant_id: int) -> None:
        self._tenant_id = tenant_id
        self._origins = _Origins()
        self._piles: dict[tuple[tuple[str, ...], tuple[Kind, ...]], Pile] = {}
        self._loose: dict[bytes, list[Placed]] = {}
        """What is in no pile: the reports of each device."""
        self._unjoined = 0
        self._known = Known()
        self._are_lags_narrow = True
        self.cell_count = 0
        """How many values there are, about."""

    def add(self, log_id: int, record: bytes) -> None:
        """Take the next record of the log. Raises `ChunkError`, and takes nothing, when memory could not hold it."""
        found = unpack(record, self._known)
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
        holders: dict[bytes, list[tuple[tuple[str, ...], Pile]]] = {device: [] for device in self._loose}
        for (metrics, _), pile in self._piles.items():
            holder = metrics, pile
            for device in pile.joined:
                holders.setdefault(device, []).append(holder)
        for device, piles in holders.items():
            device_id, loose = as_text(device), self._loose.pop(device, [])
            if len(piles) == 1 and not loose:
                # Nearly always: what is there for the other cases takes as long as all the rest.
                [(metrics, pile)] = piles
                part = _Part(self._tenant_id, device_id, metrics, pile.taken(device), self._origins)
                yield device_id, part.runs() or [report for _, report in part.reports()]
                continue
            alike: defaultdict[tuple[str, ...], list[list[Packed]]] = defaultdict(list)
            for metrics, pile in piles:
                alike[metrics].append(pile.taken(device))
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
        numbers, lags = self._origin_numbers(found.origins), self._narrow_lags(found.lags)
        head: list[Packed] = [array("q", (log_id,)), _places(count), numbers, found.at, lags, found.sequences]
        if len(found.shapes) == 1:
            self._put(found.shapes[0], found.devices, head)
            return
        rows_of: list[list[int]] = [[] for _ in found.shapes]
        for row, number in enumerate(found.shape_numbers):
            rows_of[number].append(row)
        for shape, rows in zip(found.shapes, rows_of, strict=True):
            if rows:
                self._put(shape, _picked(found.devices, rows), [_picked_cells(column, rows) for column in head])

    def _put(self, shape: Shape, devices: Sequence[bytes], head: list[Packed]) -> None:
        columns = [*head, *shape.columns]
        kinds = tuple(map(kind_of, columns))
        key = shape.metrics, kinds
        pile = self._piles.get(key)
        if pile is None:
            pile = self._piles[key] = Pile(kinds)
        pile.add(devices, columns)

    def _origin_numbers(self, origins: Sequence[Origin]) -> "array[int]":
        numbers = list(map(self._origins.__getitem__, origins))
        return array_of("H", numbers) if len(self._origins) <= _FEW else array("q", numbers)

    def _narrow_lags(self, lags: "array[int]") -> "array[int]":
        """The same in 16 bits, until one needs more: then all that come, for what is alike is in one pile."""
        if self._are_lags_narrow:
            try:
                return array_of("h", lags)
            except OverflowError:
                self._are_lags_narrow = False
        return lags

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
        arrived_at = added(at, lags if lags.typecode == "q" else array_of("q", lags))
        return arrived_at, max(arrived_at)

    def reports(self) -> Iterator[Placed]:
        """The same report by report."""
        self._columns = {
            name: column.doubles() if type(column) is Scaled else column for name, column in self._columns.items()
        }
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
    ends, starts = ([(part[_LOG_ID][row], part[_PLACE][row]) for part in parts] for row in (-1, 0))
    columns = [_chained(pieces_of) for pieces_of in zip(*parts, strict=True)]
    if all(map(lt, ends, starts[1:])):
        # Mostly one pile ends where another begins, as a window was moved or a lag needs more bits.
        return columns
    placed = list(zip(columns[_LOG_ID], columns[_PLACE], strict=True))
    order = sorted(range(len(placed)), key=placed.__getitem__)
    return [_picked_column(column, order) for column in columns]


def _chained(columns: Sequence[Packed]) -> Packed:
    """Columns one after the other."""
    plain = [column.doubles() if type(column) is Scaled else column for column in columns]
    codes = {column.typecode if isinstance(column, array) else "" for column in plain}
    chained: list[Any] = list(chain.from_iterable(cast("Any", plain)))
    if codes == {"d"}:
        return array("d", chained)
    return array("q", chained) if codes <= _WHOLE else chained


def _weight_of(column: Packed) -> int:
    if not isinstance(column, list):
        return len(column)
    return len(column) + sum(len(cell) for cell in column if isinstance(cell, str)) // _TEXT_CELL


@lru_cache(maxsize=256)
def _places(count: int) -> "array[int]":
    return array("H" if count <= _FEW else "q", range(count))


def _picked(column: Sequence[T], rows: Sequence[int]) -> list[T]:
    return [column[row] for row in rows]


def _picked_cells(column: Packed, rows: Sequence[int]) -> Packed:
    """The same of a column of which one cell may stand for all."""
    return column if len(column) == 1 else _picked_column(column, rows)


def _picked_column(column: Packed, rows: Sequence[int]) -> Packed:
    picked = _picked(cast("Sequence[Any]", column), rows)
    return array(cast("Any", column.typecode), picked) if isinstance(column, array) else picked
