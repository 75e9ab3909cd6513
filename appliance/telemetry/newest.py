"""The newest values of one device, and a few before them for a sparkline."""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import nlargest
from itertools import chain, islice, repeat
from math import isfinite
from operator import itemgetter, le
from typing import NamedTuple

import msgspec

from appliance.telemetry.column import Cell
from appliance.telemetry.model import Latest, Report, Value
from appliance.telemetry.rows import Rows
from appliance.telemetry.run import Run
from appliance.telemetry.strip import Strip

RECENT_COUNT = 60
"""How many numbers of each metric stay in memory when their chunk is sealed."""

PARTS_LIMIT = 512
"""Of more parts that leave memory at once, the latest are looked at for the numbers that stay."""

Pair = tuple[int, float]
"""A moment and a number."""

FEW_METRICS = 64
"""A device that names more may send each in a report of its own, wide or long: of so many reports all is kept."""

METRICS_LIMIT = 1_000
"""Of a device that names more metrics than this, those not heard of for longest are forgotten."""


class Numbers(NamedTuple):
    """Numbers with their moments, oldest first, in two columns of equal length. Nobody changes them."""

    at: "array[int]"
    values: "array[float]"


_NOTHING = Numbers(array("q"), array("d"))


class NewestValues(NamedTuple):
    """What `Newest` is restored from."""

    reports: list[Report]
    last_seen_at: int


class Closed(NamedTuple):
    """What was known of a device up to a log record."""

    report: Report
    """It had the newest reading of each metric."""
    log_id: int


class Newest:
    """The newest report of each metric. At equal moments the first that came stays.

    Only for the loop, questions too: what nobody has looked at yet lies in what grows.
    """

    __slots__ = (
        "_at",
        "_held",
        "_last_seen_at",
        "_noted",
        "_recent",
        "_row",
        "_rows",
        "_told",
        "_told_at",
        "_told_for",
        "strip",
    )

    def __init__(self) -> None:
        self._held: dict[str, Report] = {}
        """But for what the strip or the row has: that report is made only when anybody looks."""
        self.strip = Strip(self)
        """Where the newest reports lie that are not filed yet."""
        self._rows: Rows | None = None
        self._row = 0
        """Where the newest report lies that was filed from the strip, if it is in none of those held."""
        self._recent: dict[str, Numbers] = {}
        self._noted = 0
        """How many reports came since all were rid of what newer ones tell."""
        self._told: bytes | None = None
        """How all of it was told last; None from the next report on that is noted."""
        self._told_at: int | None = None
        """The newest moment of all, then."""
        self._told_for = 0
        """What `told` was told for then."""
        self._at: int | None = None
        self._last_seen_at: int | None = None
        """Of what the strip does not have."""

    @property
    def at(self) -> int | None:
        """The newest moment of all."""
        return self.strip.newest_at if self.strip.used else self._at

    @property
    def last_seen_at(self) -> int | None:
        """When the newest arrival was."""
        if not self.strip.used:
            return self._last_seen_at
        return max(self.strip.last_arrival, self._last_seen_at or 0)

    def note_filed(self, rows: Rows, at: int, last_seen_at: int) -> None:
        """Hear that the newest report is the last one of these rows now, and when the newest of the strip arrived."""
        self._rows, self._row = rows, rows.count - 1
        self._at = at
        if self._last_seen_at is None or last_seen_at > self._last_seen_at:
            self._last_seen_at = last_seen_at

    def note(self, report: Report) -> None:
        """Take a report, in whatever order they come."""
        self.strip.end()
        self._told = None
        if self._last_seen_at is None or report.arrived_at > self._last_seen_at:
            self._last_seen_at = report.arrived_at
        reports = self._reports
        if self._at is None or report.at > self._at:
            self._at = report.at
            for metric in report.values:
                reports[metric] = report
        else:
            for metric in report.values:
                known = reports.get(metric)
                if known is None or report.at > known.at:
                    reports[metric] = report
        if len(reports) > FEW_METRICS:
            self._forget_some()

    @property
    def _reports(self) -> dict[str, Report]:
        """The report with the newest reading of each metric."""
        self._look()
        return self._held

    def _look(self) -> None:
        """Make the newest report, if nobody has looked at it yet."""
        rows, self._rows = self._rows, None
        if self.strip.used:
            report = self.strip.last()
        elif rows is not None:
            report = rows.report(self._row)
        else:
            return
        # What was filed from a strip named what the strip names.
        self._held |= dict.fromkeys(report.values, report)
        if len(self._held) > FEW_METRICS:
            self._forget_some()

    def _forget_some(self) -> None:
        """Let go of metrics that are too many, and now and then of what newer reports have told since."""
        if len(self._held) > METRICS_LIMIT:
            kept = nlargest(METRICS_LIMIT // 2, self._held.items(), key=lambda item: item[1].at)
            self._held = dict(kept)
            self._recent = {metric: self._recent[metric] for metric in self._held if metric in self._recent}
        self._noted += 1
        if self._noted >= FEW_METRICS:
            self._noted = 0
            for report in self.as_of_now().reports:
                # Whoever looks comes here.
                self._held.update(dict.fromkeys(report.values, report))

    def note_run(self, run: Run) -> None:
        """Take several reports: only the first of those with the newest moment can stay."""
        self.note(run.report(bisect_left(run.at, run.at[-1])))
        if self._last_seen_at is None or run.last_seen_at > self._last_seen_at:
            self._last_seen_at = run.last_seen_at

    def latest(self) -> dict[str, Latest]:
        """The newest reading of each metric."""
        return {
            metric: Latest(report.at, report.values[metric], report.time_source)
            for metric, report in self._reports.items()
        }

    def told(
        self, name: str, tell: Callable[[str, Mapping[str, Report], int | None], bytes], told_for: int = 0
    ) -> bytes:
        """What `tell` makes of a name, the report with the newest reading of each metric, and `last_seen_at`.

        It is made once and kept until the next report, or until it is told for another number, which stands for what
        else `tell` looks at: whoever looks at all devices sees most of them as before. So there is one way of telling,
        whoever asks.
        """
        told, strip = self._told, self.strip
        at = strip.newest_at if strip.used else self._at
        if told is None or self._told_at != at or self._told_for != told_for:
            told = self._told = tell(name, self._reports, self.last_seen_at)
            self._told_at, self._told_for = at, told_for
        return told

    def moment_of(self, metric: str) -> int | None:
        """The moment of the newest reading of a metric; None when there is none."""
        if (self.strip.used or self._rows is not None) and metric in self.strip.shape.names:
            return self.at
        report = self._reports.get(metric)
        return report.at if report else None

    def metrics(self) -> list[str]:
        """The names of the metrics, sorted."""
        return sorted(self._reports)

    def as_of_now(self) -> NewestValues:
        """Reports that hold each newest reading and no other, and when the device was last seen."""
        values: dict[int, dict[str, Value]] = {}
        reports: dict[int, Report] = {}
        for metric, report in self._reports.items():
            reports[id(report)] = report
            values.setdefault(id(report), {})[metric] = report.values[metric]
        held = [
            report if len(values[key]) == len(report.values) else msgspec.structs.replace(report, values=values[key])
            for key, report in reports.items()
        ]
        return NewestValues(held, self.last_seen_at or 0)

    def closed(self, log_id: int) -> Closed | None:
        """What is known up to a log id, if one report has the newest reading of each metric; else it takes longer."""
        reports = iter(self._reports.values())
        first = next(reports, None)
        if first is None or len(first.values) != len(self._reports) or any(report is not first for report in reports):
            return None
        return Closed(first, log_id)

    def restore(self, reports: Iterable[Report], last_seen_at: int) -> None:
        """Take what `as_of_now` gave before a restart."""
        for report in reports:
            self.note(report)
        self._last_seen_at = max(self._last_seen_at or 0, last_seen_at)
        self._told = None

    def recent(self, metric: str, count: int, parts: Iterable[Rows]) -> list[Pair]:
        """The newest numbers of a metric, oldest first: of what was remembered and of these parts."""
        held = newest_numbers(metric, count, map(_Tail.of, _latest_first(parts), repeat(count)))
        found = _together(self._recent.get(metric, _NOTHING), held, count)
        return list(zip(found.at, found.values, strict=True))

    def remember(self, last: Mapping[str, Numbers]) -> None:
        """Keep the last numbers of reports that are about to leave memory, as `last_numbers` gives them."""
        for metric, numbers in last.items():
            if numbers.at and metric in self._reports:
                known = self._recent.get(metric, _NOTHING)
                is_all = len(numbers.at) >= RECENT_COUNT and (not known.at or known.at[-1] <= numbers.at[0])
                self._recent[metric] = numbers if is_all else _together(known, numbers, RECENT_COUNT)


class _Tail(NamedTuple):
    """The end of a part, where its newest numbers are looked for."""

    part: Rows
    at: "array[int]"
    is_rising: bool

    @classmethod
    def of(cls, part: Rows, count: int) -> "_Tail":
        """The last so many reports."""
        at = part.at[-count:]
        return cls(part, at, _is_rising(at))

    def numbers(self, metric: str) -> Numbers:
        """The numbers of a metric, oldest first."""
        column = self.part.columns.get(metric)
        if column is None:
            return _NOTHING
        cells = column.cells[-len(self.at) :]
        if self.is_rising and column.kind is not None and isfinite(sum(cells)):
            # Nearly always: no number need be looked at.
            return Numbers(self.at, array("d", cells))
        pairs = zip(self.at, map(_number, cells), strict=True)
        return _of_pairs(sorted([(at, number) for at, number in pairs if number is not None], key=itemgetter(0)))


def newest_numbers(metric: str, count: int, tails: Iterable[_Tail]) -> Numbers:
    """The newest numbers of a metric, oldest first. The ends of the parts are given latest first."""
    found = _NOTHING
    for tail in tails:
        # Once there are enough, what ended before the oldest of them brings nothing: a device may have thousands.
        if len(found.at) == count and tail.at[-1] <= found.at[0]:
            break
        found = _together(tail.numbers(metric), found, count)
    return found


def last_numbers(parts: Iterable[Rows]) -> dict[str, Numbers]:
    """The newest numbers of each metric: of very many parts those of the latest, of very many metrics some."""
    latest = _latest_first(parts)[:PARTS_LIMIT]
    metrics: dict[str, None] = {}
    for part in latest:
        metrics |= dict.fromkeys(part.columns)
        if len(metrics) > METRICS_LIMIT:
            break
    tails = [_Tail.of(part, RECENT_COUNT) for part in latest]
    return {metric: newest_numbers(metric, RECENT_COUNT, tails) for metric in metrics}


def _latest_first(parts: Iterable[Rows]) -> list[Rows]:
    """Parts in the order in which their numbers are looked for: the one that ends last is the first."""
    return sorted((part for part in parts if part.at), key=_last_moment, reverse=True)


def _together(one: Numbers, other: Numbers, count: int) -> Numbers:
    """The newest of both; at equal moments those of the first one come first."""
    if not other.at:
        return one if len(one.at) <= count else Numbers(one.at[-count:], one.values[-count:])
    if not one.at or one.at[-1] <= other.at[0]:
        return Numbers((one.at + other.at)[-count:], (one.values + other.values)[-count:])
    pairs = chain(zip(one.at, one.values, strict=True), zip(other.at, other.values, strict=True))
    return _of_pairs(sorted(pairs, key=itemgetter(0))[-count:])


def _of_pairs(pairs: Sequence[Pair]) -> Numbers:
    return Numbers(array("q", [at for at, _ in pairs]), array("d", [number for _, number in pairs]))


def _is_rising(moments: Sequence[int]) -> bool:
    """Whether none is less than the one before."""
    return all(map(le, moments, islice(moments, 1, None)))


def _last_moment(part: Rows) -> int:
    return part.at[-1]


def _number(cell: Cell) -> float | None:
    """A value as a number that can be drawn; None when it is none."""
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return None
    try:
        number = float(cell)
    except OverflowError:
        return None
    return number if isfinite(number) else None
