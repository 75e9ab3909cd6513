"""Where bins begin: at local midnight, Monday or month, or counted from local midnight.

Rules:
- A bin begins at the first moment at which the local clock shows its beginning; when the clock leaps over that, at the
  leap. So days have 23 or 25 hours when the clock is put forward or back, and bins follow each other without a gap.
- Bins of at most an hour tell the two hours apart that a clock put back shows alike: the second has bins of its own.
- Widths that do not divide the day begin anew at each midnight. Days and weeks count from Monday 1970-01-05, months
  from January 1970.
"""

import re
import zoneinfo
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from pathlib import Path

from appliance.errors import InvalidInputError
from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from appliance.telemetry.asking.model import Unit, Width
from appliance.telemetry.wanted import Check, is_wanted

_WIDTH = re.compile(r"(?P<count>[1-9]\d{0,5})(?P<unit>mo|[smhdw])")
_CLOCK_MS = {Unit.SECOND: SECOND_MS, Unit.MINUTE: MINUTE_MS, Unit.HOUR: HOUR_MS}
_DAYS = {Unit.DAY: 1, Unit.WEEK: 7}
_SHORTEST_MONTH_MS = 28 * DAY_MS
_LONGEST_DAYS = 366
_LONGEST_MONTHS = 12
_MONTHS = 12
_FIRST_YEAR = 1970
_FIRST_MONDAY = 4
"""The 5th of January 1970, in days since the 1st."""
_MOST_PUT_BACK_MS = 2 * DAY_MS
_STEP_MS = 15 * MINUTE_MS
_CHECKED_EVERY = 100
"""Days, or longer bins: about two milliseconds."""
_MILLISECOND = timedelta(milliseconds=1)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_WALL_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001  what a clock on the wall shows belongs to no zone


def width_of(text: str) -> Width:
    """A width such as 10s, 15m, 1h, 1d, 1w or 1mo. Raises `InvalidInputError`."""
    found = _WIDTH.fullmatch(text)
    if found is None:
        raise InvalidInputError(f"bin is {text[:40]!r}, expected for example 10s, 15m, 1h, 1d, 1w or 1mo")
    width = Width(int(found["count"]), Unit(found["unit"]))
    if width.unit in _CLOCK_MS and least_ms(width) > DAY_MS:
        raise InvalidInputError(
            f"bin is {text}: beyond 24 hours bins are counted in days (d), weeks (w) or months (mo)"
        )
    if width.count * _DAYS.get(width.unit, 0) > _LONGEST_DAYS or (
        width.unit is Unit.MONTH and width.count > _LONGEST_MONTHS
    ):
        raise InvalidInputError(f"bin is {text}, which is longer than a year")
    return width


def zone_of(name: str) -> tzinfo:
    """A time zone by its IANA name. Raises `InvalidInputError`."""
    if name == "UTC":
        return UTC
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        if not any(Path(folder).is_dir() for folder in zoneinfo.TZPATH):
            raise InvalidInputError(
                "this machine knows no time zone but UTC: the system package tzdata brings the others"
            ) from None
        raise InvalidInputError(f"{name[:80]!r} is no time zone: expected a name such as Europe/Berlin") from None


def least_ms(width: Width) -> int:
    """A length that no bin of this width falls below but where the clock is changed."""
    if width.unit is Unit.MONTH:
        return width.count * _SHORTEST_MONTH_MS
    if width.unit in _CLOCK_MS:
        return width.count * _CLOCK_MS[width.unit]
    return width.count * _DAYS[width.unit] * DAY_MS


def edges(start: int, end: int, width: Width, zone: tzinfo, check: Check = is_wanted) -> list[int]:
    """Where the bins of a range begin, the first of which holds `start`, and where the last one ends.

    Empty when the range is. A zone that changes its clock is asked about every day: that may take seconds.
    """
    if start >= end:
        return []
    even = _even(start, end, width, zone, check)
    if even is not None:
        return even
    found = sorted(set(_around(start, end, width, zone, check)))
    return found[bisect_right(found, start) - 1 : bisect_left(found, end) + 1]


def _even(start: int, end: int, width: Width, zone: tzinfo, check: Check) -> list[int] | None:
    """The same where every edge is as far from the next one as the bins are wide; None when that is not certain."""
    step = least_ms(width)
    if width.unit is Unit.MONTH or (width.unit in _CLOCK_MS and DAY_MS % step):
        return None
    if zone is not UTC and step > DAY_MS:
        # There are fewer edges to ask the zone about than days.
        return None
    offset = _offset(start, zone)
    origin = (0 if width.unit in _CLOCK_MS else _FIRST_MONDAY * DAY_MS) - offset
    first = (start - origin) // step * step + origin
    last = -(-(end - origin) // step) * step + origin
    # A clock that is changed stays so for longer than a day.
    days = _checked(range(first - DAY_MS, last + 2 * DAY_MS, DAY_MS), check)
    if zone is not UTC and any(_offset(at, zone) != offset for at in days):
        return None
    return list(range(first, last + 1, step))


def _around(start: int, end: int, width: Width, zone: tzinfo, check: Check) -> list[int]:
    """More than enough of them, in any order."""
    first, last = _wall(start - _MOST_PUT_BACK_MS, zone), _wall(end + _MOST_PUT_BACK_MS, zone)
    if width.unit in _CLOCK_MS:
        width_ms = least_ms(width)
        # A bin of more than an hour lasts longer than its width when the clock is put back.
        slack = width_ms if width_ms <= HOUR_MS else width_ms + DAY_MS
        reach = (start - slack, end + slack)
        return [
            edge
            for day in _checked(range(first // DAY_MS, last // DAY_MS + 1), check)
            for edge in _edges_of_day(day * DAY_MS, width_ms, zone, reach)
        ]
    if width.unit is Unit.MONTH:
        return [_first_shown(wall, zone) for wall in _checked(_months(first, last, width.count), check)]
    step, origin = _DAYS[width.unit] * width.count * DAY_MS, _FIRST_MONDAY * DAY_MS
    walls = range((first - origin) // step * step + origin, last + step + 1, step)
    return [_first_shown(wall, zone) for wall in _checked(walls, check)]


def _checked(moments: Iterable[int], check: Check) -> Iterator[int]:
    """The same, with a check before each few of them."""
    for place, moment in enumerate(moments):
        if not place % _CHECKED_EVERY:
            check()
        yield moment


def _months(first: int, last: int, count: int) -> list[int]:
    begin = (_WALL_EPOCH + timedelta(milliseconds=first)).replace(day=1)
    month = (begin.year - _FIRST_YEAR) * _MONTHS + begin.month - 1
    month -= month % count
    walls: list[int] = []
    while not walls or walls[-1] <= last:
        beginning = datetime(_FIRST_YEAR + month // _MONTHS, month % _MONTHS + 1, 1)  # noqa: DTZ001  as above
        walls.append((beginning - _WALL_EPOCH) // _MILLISECOND)
        month += count
    return walls


def _edges_of_day(wall: int, width_ms: int, zone: tzinfo, reach: tuple[int, int]) -> list[int]:
    """The edges of a local day as far as they lie within reach, where a day begins always."""
    begin, end = _first_shown(wall, zone), _first_shown(wall + DAY_MS, zone)
    if begin > reach[1] or end < reach[0]:
        return []
    found = [begin]
    seen = 0
    for low, high in _segments(begin, end, zone):
        shown = _wall(low, zone) - wall
        if width_ms <= HOUR_MS:
            # What the clock shows again counts again.
            found.append(low)
            seen = shown
        elif (seen // width_ms + 1) * width_ms <= shown:
            found.append(low)  # the clock leaped over the edge, or shows it just now
        first = max(max(seen, shown) // width_ms + 1, (reach[0] - low + shown) // width_ms)
        stop = -(-(min(high, reach[1]) - low + shown) // width_ms)
        found += range(low + first * width_ms - shown, low + stop * width_ms - shown, width_ms)
        seen = max(seen, high - 1 - low + shown)
    return found


def _segments(begin: int, end: int, zone: tzinfo) -> list[tuple[int, int]]:
    """A stretch of time, cut where the clock is changed."""
    if end - begin == DAY_MS and _offset(begin, zone) == _offset(end - 1, zone):
        return [(begin, end)]
    cuts = [begin]
    for low in range(begin, end, _STEP_MS):
        high = min(low + _STEP_MS, end - 1)
        if _offset(low, zone) != _offset(high, zone):
            cuts.append(_change(low, high, zone))
    return list(zip(cuts, [*cuts[1:], end], strict=True))


def _first_shown(wall: int, zone: tzinfo) -> int:
    """The first moment at which the local clock shows this, or the one at which it leaps over it."""
    naive = _WALL_EPOCH + timedelta(milliseconds=wall)
    first, second = (
        wall - (zone.utcoffset(naive.replace(tzinfo=zone, fold=fold)) or timedelta()) // _MILLISECOND for fold in (0, 1)
    )
    return first if first <= second else _change(second, first, zone)


def _change(low: int, high: int, zone: tzinfo) -> int:
    """The moment at which the clock is changed between two at which it has different offsets."""
    before = _offset(low, zone)
    return bisect_left(range(low, high + 1), True, key=lambda at: _offset(at, zone) != before) + low


def _wall(at: int, zone: tzinfo) -> int:
    """What the local clock shows, as milliseconds since it showed 1970."""
    return at + _offset(at, zone)


def _offset(at: int, zone: tzinfo) -> int:
    moment = (_EPOCH + timedelta(milliseconds=at)).astimezone(zone)
    return (moment.utcoffset() or timedelta()) // _MILLISECOND
