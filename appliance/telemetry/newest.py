"""The newest values of one device, and a few before them for a sparkline."""

from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Mapping, Sequence
from heapq import nlargest
from math import isfinite
from operator import itemgetter
from typing import NamedTuple

import msgspec

from appliance.telemetry.column import Cell
from appliance.telemetry.model import Latest, Report, Value
from appliance.telemetry.rows import Rows
from appliance.telemetry.run import Run

RECENT_COUNT = 60
"""How many numbers of each metric stay in memory when their chunk is sealed."""

PARTS_LIMIT = 512
"""Of more parts that leave memory at once, the latest are looked at for the numbers that stay."""

Pair = tuple[int, float]
"""A moment and a number."""

METRICS_LIMIT = 1_000
"""Of a device that names more metrics than this, those not heard of for longest are forgotten."""


class NewestValues(NamedTuple):
    """What `Newest` is restored from."""

    reports: list[Report]
    last_seen_at: int


class Newest:
    """The newest report of each metric. At equal moments the first that came stays."""

    __slots__ = ("_recent", "_reports", "_told", "at", "last_seen_at")

    def __init__(self) -> None:
        self._reports: dict[str, Report] = {}
        self._recent: dict[str, tuple[array[int], array[float]]] = {}
        self._told: bytes | None = None
        """How all of it was told last; None from the next report on."""
        self.at: int | None = None
        """The newest moment of all."""
        self.last_seen_at: int | None = None
        """When the newest arrival was."""

    def note(self, report: Report) -> None:
        """Take a report, in whatever order they come."""
        self._told = None
        if self.last_seen_at is None or report.arrived_at > self.last_seen_at:
            self.last_seen_at = report.arrived_at
        reports = self._reports
        if self.at is None or report.at > self.at:
            self.at = report.at
            for metric in report.values:
                reports[metric] = report
        else:
            for metric in report.values:
                known = reports.get(metric)
                if known is None or report.at > known.at:
                    reports[metric] = report
        if len(reports) > METRICS_LIMIT:
            kept = nlargest(METRICS_LIMIT // 2, reports.items(), key=lambda item: item[1].at)
            self._reports = dict(kept)
            self._recent = {metric: self._recent[metric] for metric in self._reports if metric in self._recent}

    def note_run(self, run: Run) -> None:
        """Take several reports: only the first of those with the newest moment can stay."""
        self.note(run.report(bisect_left(run.at, run.at[-1])))
        last_seen_at = max(run.arrived_at)
        if self.last_seen_at is None or last_seen_at > self.last_seen_at:
            self.last_seen_at = last_seen_at

    def latest(self) -> dict[str, Latest]:
        """The newest reading of each metric."""
        return {
            metric: Latest(report.at, report.values[metric], report.time_source)
            for metric, report in self._reports.items()
        }

    def told(self, name: str, tell: Callable[[str, Mapping[str, Report], int | None], bytes]) -> bytes:
        """What `tell` makes of a name, the report with the newest reading of each metric, and `last_seen_at`.

        It is made once and kept until the next report: whoever looks at all devices sees most of them as before. So
        there is one way of telling, whoever asks.
        """
        told = self._told
        if told is None:
            told = self._told = tell(name, self._reports, self.last_seen_at)
        return told

    def moment_of(self, metric: str) -> int | None:
        """The moment of the newest reading of a metric; None when there is none."""
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

    def restore(self, reports: Iterable[Report], last_seen_at: int) -> None:
        """Take what `as_of_now` gave before a restart."""
        for report in reports:
            self.note(report)
        self.last_seen_at = max(self.last_seen_at or 0, last_seen_at)
        self._told = None

    def recent(self, metric: str, count: int, parts: Iterable[Rows]) -> list[Pair]:
        """The newest numbers of a metric, oldest first: of what was remembered and of these parts."""
        remembered = list(zip(*self._recent.get(metric, ((), ())), strict=True))
        return _together(remembered, newest_numbers(metric, count, latest_first(parts)), count)

    def remember(self, last: Mapping[str, Sequence[Pair]]) -> None:
        """Keep the last numbers of reports that are about to leave memory, as `last_numbers` gives them."""
        for metric, pairs in last.items():
            if pairs and metric in self._reports:
                moments, numbers = self._recent.get(metric, ((), ()))
                kept = pairs
                if moments and (len(pairs) < RECENT_COUNT or moments[-1] > pairs[0][0]):
                    kept = _together(list(zip(moments, numbers, strict=True)), pairs, RECENT_COUNT)
                self._recent[metric] = (array("q", [at for at, _ in kept]), array("d", [value for _, value in kept]))


def latest_first(parts: Iterable[Rows]) -> list[Rows]:
    """Parts in the order in which their numbers are looked for: the one that ends last is the first."""
    return sorted((part for part in parts if part.at), key=_last_moment, reverse=True)


def newest_numbers(metric: str, count: int, parts: Iterable[Rows]) -> list[Pair]:
    """The newest numbers of a metric, oldest first. The parts are given latest first."""
    pairs: list[Pair] = []
    for part in parts:
        # Once there are enough, what ended before the oldest of them brings nothing: a device may have thousands.
        if len(pairs) == count and part.at[-1] <= pairs[0][0]:
            break
        column = part.columns.get(metric)
        if column is not None:
            pairs = _numbers(part.at[-count:], column.cells[-count:]) + pairs
            if len(pairs) >= count:
                pairs = _together(pairs, (), count)
    return _together(pairs, (), count)


def last_numbers(parts: Iterable[Rows]) -> dict[str, list[Pair]]:
    """The newest numbers of each metric: of very many parts those of the latest, of very many metrics some."""
    latest = latest_first(parts)[:PARTS_LIMIT]
    metrics: dict[str, None] = {}
    for part in latest:
        metrics |= dict.fromkeys(part.columns)
        if len(metrics) > METRICS_LIMIT:
            break
    return {metric: newest_numbers(metric, RECENT_COUNT, latest) for metric in metrics}


def _together(one: Sequence[Pair], other: Sequence[Pair], count: int) -> list[Pair]:
    """The newest of both; at equal moments those of the first one come first."""
    return sorted([*one, *other], key=itemgetter(0))[-count:]


def _last_moment(part: Rows) -> int:
    return part.at[-1]


def _numbers(moments: Sequence[int], cells: Sequence[Cell]) -> list[Pair]:
    pairs = zip(moments, map(_number, cells), strict=True)
    return [(at, number) for at, number in pairs if number is not None]


def _number(cell: Cell) -> float | None:
    """A value as a number that can be drawn; None when it is none."""
    if isinstance(cell, bool) or not isinstance(cell, int | float):
        return None
    try:
        number = float(cell)
    except OverflowError:
        return None
    return number if isfinite(number) else None
