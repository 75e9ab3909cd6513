"""The reports of one tenant in one commit, in their order, packed from the moment that they are read.

A report is gone through several times on its way: for the log, for its chunk, for what is known of its device. As an
object with a dictionary of numbers it is some twenty pieces of memory, and two thousand of those are more than the
processor's cache holds while everything else goes on. Packed, a report is a row of some hundred bytes beside others.

Rules:
- What cannot be packed (texts, nulls, very many values, numbers beyond 64 bits) stays the object that it is.
- A sheaf grows while a batch is decided and never after that: then any thread may read it.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import repeat
from typing import Any, TypeVar, overload

from appliance.telemetry import naming
from appliance.telemetry.model import Report, TimeSource, Value
from appliance.telemetry.row_shape import ARRIVAL, HEADS, MOMENT, NUMBER, Shape, shape_of

T = TypeVar("T")

Row = bytes | Report
"""A report as `Shape.pack` packed it; or as it is."""


class Group:
    """Those reports of a sheaf that have one shape, in their order."""

    __slots__ = ("names", "number", "packed", "shape")

    def __init__(self, shape: Shape, number: int) -> None:
        self.number = number
        self.shape = shape
        self.names = shape.names
        """Their metrics."""
        self.packed = bytearray()

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.packed) // self.shape.row_bytes

    def rows(self) -> Sequence[Row]:
        """Each for itself."""
        packed, size = bytes(self.packed), self.shape.row_bytes
        return [packed[start : start + size] for start in range(0, len(packed), size)]

    def row(self, place: int) -> Row:
        """One of them."""
        size = self.shape.row_bytes
        return bytes(self.packed[place * size : (place + 1) * size])

    def at(self) -> Sequence[int]:
        """The moment of each."""
        return self._heads(MOMENT)

    def arrived_at(self) -> Sequence[int]:
        """When each arrived."""
        return self._heads(ARRIVAL)

    def sequences(self) -> Sequence[int | None]:
        """The sequence number of each, or None."""
        return self._heads(NUMBER) if self.shape.is_numbered else [None] * self.count

    def columns(self) -> Sequence[Sequence[Value]]:
        """The values of each metric."""
        width = self.shape.width
        columns: list[Sequence[Value]] = []
        with memoryview(self.packed) as packed, packed.cast("q") as wholes, packed.cast("d") as fractions:
            for place, kind in enumerate(self.shape.kinds[1:], HEADS):
                cells = fractions[place::width].tolist() if kind is float else wholes[place::width].tolist()
                columns.append(list(map(bool, cells)) if kind is bool else cells)
        return columns

    def _heads(self, place: int) -> list[int]:
        with memoryview(self.packed) as packed, packed.cast("q") as cells:
            return cells[place :: self.shape.width].tolist()


class Loose:
    """Those that are not packed and name the same metrics in the same order."""

    __slots__ = ("names", "number", "reports")

    def __init__(self, names: tuple[str, ...], number: int) -> None:
        self.number = number
        self.names = names
        self.reports: list[Report] = []

    @property
    def count(self) -> int:
        """How many there are."""
        return len(self.reports)

    def rows(self) -> Sequence[Row]:
        """Each for itself."""
        return self.reports

    def row(self, place: int) -> Row:
        """One of them."""
        return self.reports[place]

    def at(self) -> Sequence[int]:
        """The moment of each."""
        return [report.at for report in self.reports]

    def arrived_at(self) -> Sequence[int]:
        """When each arrived."""
        return [report.arrived_at for report in self.reports]

    def sequences(self) -> Sequence[int | None]:
        """The sequence number of each, or None."""
        return [report.sequence for report in self.reports]

    def columns(self) -> Sequence[Sequence[Value]]:
        """The values of each metric."""
        return list(zip(*[report.values.values() for report in self.reports], strict=True))


class Sheaf(Sequence[Report]):
    """Reports of one tenant. Taken out one by one they are objects; what is asked of all is there as columns."""

    __slots__ = (
        "_loose",
        "_packed",
        "client_ids",
        "device_ids",
        "groups",
        "numbers",
        "tenant_id",
        "time_sources",
        "topics",
    )

    def __init__(self, tenant_id: int, reports: Iterable[Report] = ()) -> None:
        self.tenant_id = tenant_id
        self.device_ids: list[str] = []
        self.topics: list[str] = []
        """Relative names, as are those of clients."""
        self.client_ids: list[str] = []
        self.time_sources: list[TimeSource] = []
        self.numbers: list[int] = []
        """Of which group each report is."""
        self.groups: list[Group | Loose] = []
        self._packed: dict[Shape, Group] = {}
        self._loose: dict[tuple[str, ...], Loose] = {}
        for report in reports:
            self.append(report)

    def add(
        self, device_id: str, topic: str, client_id: str, time_source: TimeSource, shape: Shape, packed: bytes
    ) -> None:
        """Add a report that `Shape.pack` packed; the names of its topic and its client are relative."""
        group = self._packed.get(shape) or self._group(shape)
        group.packed += packed
        self._note(device_id, topic, client_id, time_source, group.number)

    def extend(self, other: "Sheaf") -> None:
        """Add all reports of another one of the same tenant."""
        numbers: list[int] = []
        for group in other.groups:
            if isinstance(group, Group):
                own = self._group(group.shape)
                own.packed += group.packed
                numbers.append(own.number)
            else:
                loose = self._loose_of(group.names)
                loose.reports += group.reports
                numbers.append(loose.number)
        self.numbers += [numbers[number] for number in other.numbers]
        self.device_ids += other.device_ids
        self.topics += other.topics
        self.client_ids += other.client_ids
        self.time_sources += other.time_sources

    def append(self, report: Report) -> None:
        """Add a report."""
        device_id, source, values = report.device_id, report.time_source, report.values
        topic, client_id = naming.relative(report.topic, device_id), naming.relative(report.client_id, device_id)
        names = (*values,)
        shape = shape_of(names, (report.sequence.__class__, *map(type, values.values())))
        packed = None if shape is None else shape.packed(report)
        if shape is not None and packed is not None:
            self.add(device_id, topic, client_id, source, shape, packed)
            return
        loose = self._loose_of(names)
        loose.reports.append(report)
        self._note(device_id, topic, client_id, source, loose.number)

    def rows(self) -> Sequence[Row]:
        """Each report for itself."""
        return self._merged([group.rows() for group in self.groups])

    def at(self) -> Sequence[int]:
        """The moment of each report, UTC milliseconds."""
        return self._merged([group.at() for group in self.groups])

    def arrived_at(self) -> Sequence[int]:
        """When each report arrived, UTC milliseconds."""
        return self._merged([group.arrived_at() for group in self.groups])

    def sequences(self) -> Sequence[int | None]:
        """The sequence number of each report, or None."""
        return self._merged([group.sequences() for group in self.groups])

    def shapes(self) -> tuple[dict[tuple[str, ...], Sequence[Sequence[Value]]], Sequence[int]]:
        """The columns of the reports by the metrics that they name, and for each report the number of these."""
        groups, alike = self.groups, dict[tuple[str, ...], list[int]]()
        for number, group in enumerate(groups):
            alike.setdefault(group.names, []).append(number)
        if len(alike) == len(groups):
            return {group.names: group.columns() for group in groups}, self.numbers
        # The same metrics, once with a number and once with a text, or once whole and once not.
        place_of = {number: place for place, numbers in enumerate(alike.values()) for number in numbers}
        return {names: self._columns(numbers) for names, numbers in alike.items()}, [place_of[n] for n in self.numbers]

    @property
    def value_count(self) -> int:
        """How many values the reports have."""
        return sum(group.count * len(group.names) for group in self.groups)

    @property
    def packed_bytes(self) -> int:
        """How many bytes the packed reports take."""
        return sum([len(group.packed) for group in self.groups if isinstance(group, Group)])

    def report(self, place: int, row: Row) -> Report:
        """The report in this place, of which `rows` gave this."""
        if isinstance(row, Report):
            return row
        shape, device_id = self.groups[self.numbers[place]].shape, self.device_ids[place]  # type: ignore[union-attr]
        at, arrived_at, number, values = shape.unpacked(row)
        topic = naming.absolute(self.topics[place], device_id)
        client_id = naming.absolute(self.client_ids[place], device_id)
        source = self.time_sources[place]
        return Report(self.tenant_id, device_id, at, arrived_at, source, topic, client_id, values, number)

    def __len__(self) -> int:
        """Count the reports."""
        return len(self.numbers)

    def __iter__(self) -> Iterator[Report]:
        """Give the reports in their order."""
        return map(self.report, range(len(self)), self.rows())

    @overload
    def __getitem__(self, place: int) -> Report: ...

    @overload
    def __getitem__(self, place: slice) -> Sequence[Report]: ...

    def __getitem__(self, place: int | slice) -> Report | Sequence[Report]:
        """Give one of the reports, or some."""
        if isinstance(place, slice):
            return list(self)[place]
        number = self.numbers[place]
        before = self.numbers[: range(len(self))[place]].count(number)
        return self.report(place, self.groups[number].row(before))

    def __eq__(self, other: object) -> bool:
        """Whether the other one has the same reports."""
        return isinstance(other, Sheaf) and list(self) == list(other)

    def __repr__(self) -> str:
        """Show the reports."""
        return f"Sheaf({self.tenant_id}, {list(self)})"

    def __hash__(self) -> int:
        """Refuse: it grows."""
        raise TypeError("a sheaf is no key")

    def _group(self, shape: Shape) -> Group:
        group = self._packed.get(shape)
        if group is None:
            group = self._packed[shape] = Group(shape, len(self.groups))
            self.groups.append(group)
        return group

    def _loose_of(self, names: tuple[str, ...]) -> Loose:
        loose = self._loose.get(names)
        if loose is None:
            loose = self._loose[names] = Loose(names, len(self.groups))
            self.groups.append(loose)
        return loose

    def _note(self, device_id: str, topic: str, client_id: str, time_source: TimeSource, number: int) -> None:
        self.device_ids.append(device_id)
        self.topics.append(topic)
        self.client_ids.append(client_id)
        self.time_sources.append(time_source)
        self.numbers.append(number)

    def _merged(self, by_group: Sequence[Sequence[T]]) -> Sequence[T]:
        """What is told of each group's reports, in the order of all."""
        if len(by_group) == 1:
            # Mostly all are alike.
            return by_group[0]
        following = [iter(told).__next__ for told in by_group]
        return [following[number]() for number in self.numbers]

    def _columns(self, numbers: Sequence[int]) -> Sequence[Sequence[Value]]:
        """The columns of some groups that name the same metrics."""
        if len(numbers) == 1:
            return self.groups[numbers[0]].columns()
        following: dict[int, Callable[[], Any]] = {}
        for number in numbers:
            columns = self.groups[number].columns()
            following[number] = (zip(*columns, strict=True) if columns else repeat(())).__next__
        rows = [following[number]() for number in self.numbers if number in following]
        return list(zip(*rows, strict=True))
