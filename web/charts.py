"""A chart of one metric over a range: what is drawn, and what is said of it. Pure.

Rules:
- Few readings are drawn as they are. Of more than a screen can tell apart bins are drawn: a line through their means,
  and a band from the least to the greatest reading of each.
- Where bins are missing, line and band are broken: nothing is drawn over a time of which nothing is known.
- Bins begin at multiples of their width since 1970, so those of hours and days are the ones of the roll-ups.
"""

from bisect import bisect_left
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby, pairwise
from math import fsum
from typing import NamedTuple

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS, day_of, to_text
from appliance.telemetry.bins import Bin as Known
from appliance.telemetry.bins import bin_of, number_of
from appliance.telemetry.model import Value
from appliance.telemetry.wanted import Check
from web import words
from web.figures import BOTTOM, HEIGHT, TOP, WIDTH, Sparkline, extent

POINTS_LIMIT = 600
"""So many readings are drawn one by one: more are closer together than a screen shows."""

LONGEST_READ_MS = 7 * DAY_MS
"""Readings of a longer range are not looked at: each of its days is a file."""

GAP_FACTOR = 5
"""A silence this many times the usual distance between readings is drawn as a gap."""

LONGEST_JOINED_MS = 26 * HOUR_MS
"""Bins further apart are never joined: a day is missing. Who reports once a day may be two hours late."""

DAYS_NAMED = 3
"""So many damaged days are named one by one."""

_DOT = 0.3
"""How wide a bin is drawn that stands alone, in hundredths of the width."""
_DIGITS = 7
"""Of the numbers of bins, so many digits are drawn: a screen has fewer points."""


class Range(NamedTuple):
    """One of the lengths of time that can be chosen."""

    label: str
    told: str
    length_ms: int
    bin_ms: int
    """How wide bins are when there are too many readings to be drawn one by one."""
    row_ms: int
    """A row of the table begins at a multiple of this."""
    row_letters: int = len("2026-01-31T10:30")
    """So much of its moment tells a row from the others."""

    @property
    def is_rolled_up(self) -> bool:
        """Whether its bins are those that roll-ups keep."""
        return self.bin_ms >= HOUR_MS


_DAY_LETTERS = len("2026-01-31")
_MONTH_LETTERS = len("2026-01")

RANGES: Mapping[str, Range] = {
    "1h": Range("1 h", "1 hour", HOUR_MS, 10 * SECOND_MS, 5 * MINUTE_MS),
    "6h": Range("6 h", "6 hours", 6 * HOUR_MS, MINUTE_MS, 30 * MINUTE_MS),
    "24h": Range("24 h", "24 hours", DAY_MS, 5 * MINUTE_MS, HOUR_MS),
    "7d": Range("7 d", "7 days", 7 * DAY_MS, HOUR_MS, DAY_MS, _DAY_LETTERS),
    "30d": Range("30 d", "30 days", 30 * DAY_MS, HOUR_MS, DAY_MS, _DAY_LETTERS),
    "1y": Range("1 y", "1 year", 365 * DAY_MS, DAY_MS, DAY_MS, _MONTH_LETTERS),
}
DEFAULT_RANGE = "1h"

_WIDTHS = {
    10 * SECOND_MS: "10 seconds",
    MINUTE_MS: "minute",
    5 * MINUTE_MS: "5 minutes",
    HOUR_MS: "hour",
    DAY_MS: "day",
}


class Bin(NamedTuple):
    """The numbers from `at` on, for the width of a bin; a reading that is drawn as it is is one without width."""

    at: int
    mean: float
    least: float
    greatest: float
    reading_count: int


class Row(NamedTuple):
    """A line of the table that tells the same as the drawing."""

    begin: str
    """In UTC."""
    mean: str
    least: str
    greatest: str
    readings: str


class Drawn(NamedTuple):
    """What is drawn: readings when the bins have no width."""

    bins: Sequence[Bin]
    bin_ms: int


class Picture(NamedTuple):
    """What stands on the page."""

    start: int
    end: int
    bin_ms: int
    longest_ms: int
    """How far one may lie from the next to be joined with it."""
    newest_count: int
    """How many readings the newest bin has."""
    points: Sequence[tuple[float | None, ...]]
    figure: Sparkline | None
    """The same for a browser without script."""
    said: str
    told: str
    rows: Sequence[Row]


def picture(check: Check, drawn: Drawn, range_: Range, now: int, limit: float | None) -> Picture:
    """What stands on the page of what is drawn. A few milliseconds."""
    check()
    start, end = span_of(drawn, range_, now)
    return Picture(
        start=start,
        end=end,
        bin_ms=drawn.bin_ms,
        longest_ms=longest_ms(drawn),
        newest_count=drawn.bins[-1].reading_count if drawn.bins else 0,
        points=points(drawn),
        figure=figure(drawn, start, end, limit),
        said=said(drawn),
        told=told(drawn),
        rows=table(drawn, range_),
    )


def as_they_are(at: Sequence[int], values: Sequence[Value]) -> list[Bin]:
    """Readings that are drawn one by one; what is no number is left out."""
    numbers = ((moment, number_of(value)) for moment, value in zip(at, values, strict=True))
    return [Bin(moment, number, number, number, 1) for moment, number in numbers if number is not None]


def binned(check: Check, at: Sequence[int], values: Sequence[Value], bin_ms: int) -> list[Bin]:
    """Bins of readings that stand in the order of time; those without numbers are left out."""
    found = []
    low = 0
    while low < len(at):
        check()
        begin = at[low] // bin_ms * bin_ms
        high = bisect_left(at, begin + bin_ms, low)
        each = bin_of(at[low:high], values[low:high])
        if each is not None:
            found.append(Bin(begin, each.mean, each.minimum, each.maximum, each.count))
        low = high
    return found


def drawn_of_readings(check: Check, at: Sequence[int], values: Sequence[Value], bin_ms: int) -> Drawn:
    """What is drawn of readings that stand in the order of time."""
    if len(at) <= POINTS_LIMIT:
        return Drawn(as_they_are(at, values), 0)
    return Drawn(binned(check, at, values, bin_ms), bin_ms)


def told_by(bounds: Sequence[int], known: Mapping[int, Known]) -> list[Bin]:
    """Bins out of what is known of them by their place between the bounds."""
    return [
        Bin(bounds[place], each.mean, each.minimum, each.maximum, each.count) for place, each in sorted(known.items())
    ]


def may_be_read(bins: Iterable[Bin], range_: Range) -> bool:
    """Whether the readings behind bins are few enough to be looked at, and drawn one by one."""
    return range_.length_ms <= LONGEST_READ_MS and sum(each.reading_count for each in bins) <= POINTS_LIMIT


def preferred(readings: Sequence[Bin], bins: Drawn, start: int) -> Drawn:
    """The readings since `start`, unless some of those that the bins tell of were let go meanwhile."""
    if len(readings) < sum(each.reading_count for each in bins.bins):
        return bins
    return Drawn([each for each in readings if each.at >= start], 0)


def span_of(drawn: Drawn, range_: Range, now: int) -> tuple[int, int]:
    """Where a drawing begins and ends: with whole bins, if it is of bins, and after whatever is drawn."""
    start, end = now - range_.length_ms, now
    if drawn.bin_ms:
        start, end = start // drawn.bin_ms * drawn.bin_ms, -(-end // drawn.bin_ms) * drawn.bin_ms
    return start, max(end, drawn.bins[-1].at + drawn.bin_ms) if drawn.bins else end


def longest_ms(drawn: Drawn) -> int:
    """How far one may lie from the next to be joined with it."""
    distances = sorted(later.at - earlier.at for earlier, later in pairwise(drawn.bins))
    usual = max(distances[len(distances) // 2], 1) if distances else 1
    if not drawn.bin_ms:
        return GAP_FACTOR * usual
    # Whoever reports more seldom than bins begin is not silent in every one that is missing.
    return drawn.bin_ms if usual <= drawn.bin_ms else min(GAP_FACTOR * usual, LONGEST_JOINED_MS)


def runs(drawn: Drawn) -> list[Sequence[Bin]]:
    """What is joined by a line, in pieces between which nothing is known."""
    longest, bins = longest_ms(drawn), drawn.bins
    cuts = [place for place in range(1, len(bins)) if bins[place].at - bins[place - 1].at > longest]
    return [bins[low:high] for low, high in pairwise([0, *cuts, len(bins)]) if low < high]


def points(drawn: Drawn) -> list[tuple[float | None, ...]]:
    """The same as the chart's script reads it: moments with a number, or with mean, least and greatest of a bin.

    Between two pieces is a moment with nothing.
    """
    found: list[tuple[float | None, ...]] = []
    for run in runs(drawn):
        if found:
            found.append((run[0].at - 1, *[None] * (3 if drawn.bin_ms else 1)))
        if drawn.bin_ms:
            found += [(each.at, *map(_rounded, (each.mean, each.least, each.greatest))) for each in run]
        else:
            found += [(each.at, each.mean) for each in run]
    return found


def figure(drawn: Drawn, start: int, end: int, limit: float | None) -> Sparkline | None:
    """The same in a box of 100 by 28, for a browser without script; None when there is nothing."""
    if not drawn.bins:
        return None
    lowest, highest, limit = extent(
        min(each.least for each in drawn.bins), max(each.greatest for each in drawn.bins), limit
    )
    spread = (highest - lowest) or 1.0
    length = max(end - start, 1)

    def across(each: Bin) -> float:
        return min(max(WIDTH * (each.at + drawn.bin_ms // 2 - start) / length, 0.0), WIDTH)

    def height(value: float) -> float:
        return BOTTOM - (BOTTOM - TOP) * (value - lowest) / spread

    lines, areas = [], []
    for run in runs(drawn):
        places = [across(each) for each in run]
        means, tops = [height(each.mean) for each in run], [height(each.greatest) for each in run]
        floors = [height(each.least) if drawn.bin_ms else HEIGHT for each in run]
        if len(run) == 1:
            # Alone it would be too narrow to be seen.
            places = [places[0] - _DOT / 2, places[0] + _DOT / 2]
            means, tops, floors = means * 2, tops * 2, floors * 2
        lines.append(_path(places, means))
        areas.append(_path([*places, *reversed(places)], [*tops, *reversed(floors)]) + "Z")
    return Sparkline("".join(lines), "".join(areas), None if limit is None else round(height(limit), 1))


def table(drawn: Drawn, range_: Range) -> list[Row]:
    """What is drawn as numbers, in as many rows as somebody reads."""
    found = []
    for begin, some in groupby(drawn.bins, lambda each: _begin(each.at, range_)):
        bins = list(some)
        count = sum(each.reading_count for each in bins)
        least, greatest = min(each.least for each in bins), max(each.greatest for each in bins)
        mean = min(max(fsum(each.mean * (each.reading_count / count) for each in bins), least), greatest)
        numbers = [words.measured(value) for value in (mean, least, greatest)]
        found.append(Row(begin, numbers[0], numbers[1], numbers[2], words.count(count)))
    return found


def told(drawn: Drawn) -> str:
    """What the line and the band are, in sentences; what is not drawn, too."""
    count = sum(each.reading_count for each in drawn.bins)
    if not drawn.bin_ms:
        return {0: "", 1: "One reading as it came."}.get(count, f"Each of {words.count(count)} readings as it came.")
    zone = " Days begin at midnight UTC." if drawn.bin_ms == DAY_MS else ""
    width = _WIDTHS[drawn.bin_ms]
    sentence = f"The line is the mean of each {width}, the band reaches from its least to its greatest reading.{zone}"
    if len(runs(drawn)) > 1:
        sentence += " Where the line is broken, there are no readings."
    return f"{sentence} {words.count(count)} readings in all."


def said(drawn: Drawn) -> str:
    """The drawing in one line, for who does not see it; empty when there is nothing."""
    if not drawn.bins:
        return ""
    least, greatest = min(each.least for each in drawn.bins), max(each.greatest for each in drawn.bins)
    last = drawn.bins[-1].mean
    return f"lowest {words.measured(least)}, highest {words.measured(greatest)}, at the end {words.measured(last)}"


def damaged(days: Sequence[int]) -> str:
    """Which days, counted since 1970, were damaged; empty when none was."""
    if len(days) <= DAYS_NAMED:
        return ", ".join(day_of(day * DAY_MS) for day in days)
    return f"{words.count(len(days))} days from {day_of(days[0] * DAY_MS)} to {day_of(days[-1] * DAY_MS)}"


def _begin(at: int, range_: Range) -> str:
    return to_text(at // range_.row_ms * range_.row_ms)[: range_.row_letters].replace("T", " ")


def _path(places: Sequence[float], heights: Sequence[float]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in zip(places, heights, strict=True))


def _rounded(value: float) -> float:
    return float(f"{value:.{_DIGITS}g}")
