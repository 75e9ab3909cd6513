"""Where in which file a roll-up lies: one file a month, the hour or day of the month before the device."""

from collections.abc import Iterator
from datetime import UTC, datetime

from appliance.instant import DAY_MS, day_of, from_text
from appliance.telemetry.rollups.metric_days import NUMBER_BITS
from appliance.telemetry.rollups.stale import HOURS_PER_DAY

NAMES = "????-??.db"
"""What the names of the files look like."""

DEVICE_SHIFT = 40
"""An identifier is the hour or day of the month, shifted by this, and the device's number."""


DEVICE_MASK = (1 << DEVICE_SHIFT) - 1

METRIC_DAY_SHIFT = 32
"""The rows of metrics have the number of the metric below that of the device, for which so many bits are left."""

METRIC_DAY_MASK = (1 << METRIC_DAY_SHIFT) - 1

NUMBER_MASK = (1 << NUMBER_BITS) - 1


def month_of(day: int) -> str:
    """The UTC month of a day, counted since 1970, as YYYY-MM."""
    return day_of(day * DAY_MS)[:7]


def file_name(month: str) -> str:
    """The name of the file of a month."""
    return f"{month}.db"


def is_month(name: str) -> bool:
    """Whether this is a month as `month_of` names it: a folder may hold files that somebody put there."""
    try:
        return month_of(first_day(name)) == name
    except ValueError:
        return False


def first_day(month: str) -> int:
    """The first day of a month, counted since 1970. Raises `ValueError` when it is no month."""
    return from_text(f"{month}-01") // DAY_MS


def end_day(month: str) -> int:
    """The day after the last one of a month."""
    year, number = map(int, month.split("-"))
    later = datetime(year + number // 12, number % 12 + 1, 1, tzinfo=UTC)
    return from_text(later.isoformat()) // DAY_MS


def spans(first: int, end: int) -> Iterator[tuple[str, int, int]]:
    """The months of a range of days, with the part of the range that lies in each."""
    while first < end:
        month = month_of(first)
        last = min(end, end_day(month))
        yield month, first, last
        first = last


def hour_key(hour: int, month: str, device_number: int) -> int:
    """Where the roll-up of an hour, counted since 1970, lies."""
    return (hour - first_day(month) * HOURS_PER_DAY) << DEVICE_SHIFT | device_number


def hour_keys(day: int, device_number: int) -> list[int]:
    """Where the roll-ups of the hours of a day, counted since 1970, lie."""
    hours, month = range(day * HOURS_PER_DAY, (day + 1) * HOURS_PER_DAY), month_of(day)
    return [hour_key(hour, month, device_number) for hour in hours]


def day_key(day: int, month: str, device_number: int) -> int:
    """Where the roll-up of a day, counted since 1970, lies."""
    return (day - first_day(month)) << DEVICE_SHIFT | device_number


def metric_day_key(day_key: int) -> int:
    """Where the rows of the metrics of a device's day begin to lie, of which the roll-up of the day lies there."""
    day, number = day_key >> DEVICE_SHIFT, day_key & DEVICE_MASK
    return (day << METRIC_DAY_SHIFT | number) << NUMBER_BITS


def is_day_key(key: int, month: str, last_number: int) -> bool:
    """Whether the roll-up of a day may lie there, of devices that have the numbers from 1 to the last one."""
    is_of_month = 0 <= key >> DEVICE_SHIFT < end_day(month) - first_day(month)
    return is_of_month and 0 < key & DEVICE_MASK <= last_number


def day_key_of_hour(key: int) -> int:
    """Where the roll-up of a day lies, by where that of one of its hours does."""
    return (key >> DEVICE_SHIFT) // HOURS_PER_DAY << DEVICE_SHIFT | key & DEVICE_MASK


def day_key_of(place: int) -> int:
    """Where the roll-up of a day lies, by where one of its rows of metrics does."""
    return day_of_place(place) << DEVICE_SHIFT | place >> NUMBER_BITS & METRIC_DAY_MASK


def day_of_place(place: int) -> int:
    """The day of the month, from 0, by where a row of metrics lies."""
    return place >> METRIC_DAY_SHIFT + NUMBER_BITS
