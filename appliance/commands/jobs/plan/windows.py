"""Times in which work is offered: they begin as a crontab line says, by the clocks of a zone, and last some minutes.

Rules:
- Five fields: minute, hour, day of the month, month, day of the week. Where both days are restricted, either will do.
- A window lasts its minutes by a clock that nobody puts forward or back. When the local clock leaps over its
  beginning it begins at the leap; when the local clock shows its beginning twice it begins the first time.
- Windows that touch or overlap are one.
"""

import calendar
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from functools import lru_cache
from heapq import merge

import msgspec

from appliance.commands.jobs.model import Window as ShownWindow
from appliance.commands.jobs.plan.model import InvalidJobError, Window
from appliance.errors import InvalidInputError
from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS
from appliance.telemetry.asking.edges import zone_of

LONGEST_MINUTES = 1_430
_AHEAD_OPEN_MS = 8 * DAY_MS
"""How far the end of a window is looked for: whatever is repeated by hours or days of the week shows itself."""
_DAYS_AROUND = 4
"""A window that begins on one of so many, from the day before the day before a moment on, may reach it."""
_AHEAD_DAYS = 366 * 8 + 2
"""How far a beginning is looked for: between two 29ths of February there may be eight years."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECOND = timedelta(milliseconds=1)
_FIELDS_COUNT = 5
_MONTHS = {name.lower(): number for number, name in enumerate(calendar.month_abbr) if name}
_DAYS = {"sun": 0, "mon": 1, "tue": 2, "wed": 3, "thu": 4, "fri": 5, "sat": 6}
_RANGES = (("minute", 0, 59), ("hour", 0, 23), ("day of the month", 1, 31), ("month", 1, 12), ("day of the week", 0, 7))


class Cron(msgspec.Struct, frozen=True):
    """When something begins. Days of the week count from Sunday, 0."""

    minutes: tuple[int, ...]
    hours: tuple[int, ...]
    days: frozenset[int]
    months: frozenset[int]
    weekdays: frozenset[int]
    any_day: bool
    """Whether the day of the month is left open, by a star."""
    any_weekday: bool

    def is_on(self, day: date) -> bool:
        """Whether something begins on a day."""
        if day.month not in self.months:
            return False
        by_month, by_week = day.day in self.days, day.isoweekday() % 7 in self.weekdays
        return (by_month and by_week) if self.any_day or self.any_weekday else (by_month or by_week)


@lru_cache(256)
def cron_of(text: str) -> Cron:
    """Read a crontab line. Raises `InvalidJobError`."""
    fields = text.lower().split()
    if len(fields) != _FIELDS_COUNT or len(text) > 200:  # noqa: PLR2004  nobody writes a longer one by hand
        raise InvalidJobError(
            f"a window begins at {text[:60]!r}, expected five fields: minute, hour, day of the month, month, day of the"
            " week; for example 0 2 * * sun"
        )
    minutes, hours, days, months, weekdays = (
        _values(field, *range_) for field, range_ in zip(fields, _RANGES, strict=True)
    )
    return Cron(
        tuple(sorted(minutes)),
        tuple(sorted(hours)),
        days,
        months,
        frozenset(day % 7 for day in weekdays),
        fields[2].startswith("*"),
        fields[4].startswith("*"),
    )


def is_open(windows: Sequence[Window], zone: str, at: int) -> bool:
    """Whether a moment lies in one of the windows; without any it does."""
    return not windows or _is_in(tuple(windows), zone, at // MINUTE_MS)


def is_shown(windows: Sequence[ShownWindow], at: int) -> bool:
    """Whether an execution with these windows is shown to its device at a moment."""
    return not windows or any(_is_shown(one, at // MINUTE_MS) for one in windows)


def next_change(windows: Sequence[Window], zone: str, at: int) -> int | None:
    """The next moment at which it is otherwise.

    None when there is none: without windows, when one follows the other for the week to come, or when none ever comes.
    """
    if not windows:
        return None
    end = at
    for start, ended in _spans(windows, zone, at):
        if ended <= end:
            continue
        if start > end:
            return end if end > at else start
        end = ended
        if end - at > _AHEAD_OPEN_MS:
            return None
    return end if end > at else None


@lru_cache(1_024)
def _is_shown(window: ShownWindow, minute: int) -> bool:
    """Whether a minute lies in a window; one by the clocks of a zone that the machine knows no more stays shut."""
    try:
        return _is_in((Window(window.start, window.minutes),), window.zone, minute)
    except InvalidInputError:
        return False


@lru_cache(1_024)
def _is_in(windows: tuple[Window, ...], zone: str, minute: int) -> bool:
    """Whether a minute lies in one of the windows: they begin and end with minutes. Every device that asks wants it."""
    at = minute * MINUTE_MS
    days = [_first_day(zone, at) + timedelta(days=offset) for offset in range(_DAYS_AROUND)]
    return any(_is_within(_starts(window.start, zone, day), window, at) for window in windows for day in days)


def _is_within(starts: Sequence[int], window: Window, at: int) -> bool:
    """Whether the last of these beginnings that is past has not ended: each lasts as long."""
    last = bisect_right(starts, at) - 1
    return last >= 0 and at < starts[last] + window.duration_minutes * MINUTE_MS


def _first_day(zone: str, at: int) -> date:
    """The day before the day before a moment."""
    return (_EPOCH + timedelta(milliseconds=at)).astimezone(zone_of(zone)).date() - timedelta(days=2)


def _spans(windows: Sequence[Window], zone: str, at: int) -> Iterator[tuple[int, int]]:
    """Each window from the day before the day before a moment on, by its beginning."""
    first = _first_day(zone, at)
    return merge(*(_spans_of(window, zone, first) for window in windows))


def _spans_of(window: Window, zone: str, first: date) -> Iterator[tuple[int, int]]:
    for offset in range(_AHEAD_DAYS):
        for start in _starts(window.start, zone, first + timedelta(days=offset)):
            yield start, start + window.duration_minutes * MINUTE_MS


@lru_cache(256)
def _starts(line: str, zone: str, day: date) -> tuple[int, ...]:
    """What begins on a day. It is asked every second and by every device."""
    cron = cron_of(line)
    if not cron.is_on(day):
        return ()
    clocks = zone_of(zone)
    if _is_plain(zone, day):
        midnight = _moment(day, 0, 0, clocks)
        return tuple(midnight + hour * HOUR_MS + minute * MINUTE_MS for hour in cron.hours for minute in cron.minutes)
    # A leap may put two beginnings at one moment, or one behind another.
    return tuple(sorted({_moment(day, hour, minute, clocks) for hour in cron.hours for minute in cron.minutes}))


@lru_cache(256)
def _is_plain(zone: str, day: date) -> bool:
    """Whether the clock of a zone neither leaps on a day nor shows anything twice: then moments are sums."""
    midnight = datetime.combine(day, time(), tzinfo=zone_of(zone))
    hours = [midnight + timedelta(hours=hour) for hour in range(25)]
    return len({one.replace(fold=fold).utcoffset() for one in hours for fold in (0, 1)}) == 1


def _moment(day: date, hour: int, minute: int, clocks: tzinfo) -> int:
    """When the local clock first shows this, or leaps over it; UTC milliseconds."""
    local = datetime.combine(day, time(hour, minute), tzinfo=clocks)
    if local.astimezone(UTC).astimezone(clocks).replace(tzinfo=None) != local.replace(tzinfo=None):
        return _leap(local)
    return (local - _EPOCH) // _MILLISECOND


def _leap(local: datetime) -> int:
    """The moment at which the clock leaps over a time that it does not show.

    Read by what held before the leap it lies behind it, and read by what holds after it before it: the leap is in
    between, at the first moment by whose clock more than this has passed.
    """
    behind, before = ((local.replace(fold=fold) - _EPOCH) // _MILLISECOND for fold in (0, 1))
    wanted, clocks = local.replace(tzinfo=None), local.tzinfo
    while behind - before > 1:
        middle = (before + behind) // 2
        if (_EPOCH + middle * _MILLISECOND).astimezone(clocks).replace(tzinfo=None) > wanted:
            behind = middle
        else:
            before = middle
    return behind


def _values(field: str, name: str, least: int, greatest: int) -> frozenset[int]:
    found: set[int] = set()
    for part in field.split(","):
        whole, _, step = part.partition("/")
        first, dash, last = whole.partition("-")
        try:
            if whole == "*":
                bounds = (least, min(greatest, 6) if name == _RANGES[4][0] else greatest)
            else:
                start = _number(first)
                bounds = (start, _number(last) if dash else greatest if step else start)
            width = int(step) if "/" in part else 1
        except ValueError:
            bounds, width = (greatest + 1, least), 1
        if not least <= bounds[0] <= bounds[1] <= greatest or width < 1:
            raise InvalidJobError(
                f"{part[:40]!r} is no {name} of a crontab line, expected numbers from {least} to {greatest}, ranges,"
                " steps as in */15, or *"
            )
        found.update(range(bounds[0], bounds[1] + 1, width))
    return frozenset(found)


def _number(text: str) -> int:
    named = _MONTHS.get(text, _DAYS.get(text))
    if named is not None:
        return named
    if not (text.isascii() and text.isdigit()):
        raise ValueError(text)
    return int(text)
