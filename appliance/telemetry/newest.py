"""The newest values of one device, and a few before them for a sparkline."""

from array import array
from collections.abc import Iterable, Mapping, Sequence
from heapq import nlargest
from math import isfinite
from operator import itemgetter
from typing import NamedTuple

import msgspec

from appliance.telemetry.column import Cell
from appliance.telemetry.model import Latest, Report, Value
from appliance.telemetry.rows import Rows

RECENT_COUNT = 60
"""How many numbers of each metric stay in memory when their chunk is sealed."""

METRICS_LIMIT = 1_000
"""Of a device that names more metrics than this, those not heard of for longest are forgotten."""


class NewestValues(NamedTuple):
    """What `Newest` is restored from."""

    reports: list[Report]
    last_seen_at: int


class Newest:
    """The newest report of each metric. At equal moments the first that came stays."""

    __slots__ = ("_recent", "_reports", "at", "last_seen_at")

    def __init__(self) -> None:
        self._reports: dict[str, Report] = {}
        self._recent: dict[str, tuple[array[int], array[float]]] = {}
        self.at: int | None = None
        """The newest moment of all."""
        self.last_seen_at: int | None = None
        """When the newest arrival was."""

    def note(self, report: Report) -> None:
        """Take a report, in whatever order they come."""
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

    def latest(self) -> dict[str, Latest]:
        """The newest reading of each metric."""
        return {
            metric: Latest(report.at, report.values[metric], report.time_source)
            for metric, report in self._reports.items()
        }

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

    def recent(self, metric: str, count: int, parts: Iterable[Rows]) -> list[tuple[int, float]]:
        """The newest numbers of a metric, oldest first: of what was remembered and of these parts."""
        moments, numbers = self._recent.get(metric, ((), ()))
        pairs = list(zip(moments, numbers, strict=True))
        for part in parts:
            column = part.columns.get(metric)
            if column is not None:
                pairs += _numbers(part.at[-count:], column.cells[-count:])
        pairs.sort(key=itemgetter(0))
        return pairs[-count:]

    def remember(self, parts: Sequence[Rows]) -> None:
        """Keep the last numbers of reports that are about to leave memory."""
        metrics: Mapping[str, None] = {metric: None for part in parts for metric in part.columns}
        for metric in metrics:
            if metric in self._reports:
                pairs = self.recent(metric, RECENT_COUNT, parts)
                self._recent[metric] = (array("q", [at for at, _ in pairs]), array("d", [value for _, value in pairs]))


def _numbers(moments: Sequence[int], cells: Sequence[Cell]) -> list[tuple[int, float]]:
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
