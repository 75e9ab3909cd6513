"""Which hours of which devices have chunks that their roll-ups do not know yet.

Rules:
- An hour is stale from the moment on at which a chunk that reaches into it leaves memory, until a roll-up that was
  computed from its chunks after that moment is committed.
- A day is in doubt when it may have chunks, sealed before the last start, that no roll-up knows: every hour of it
  counts as stale then.
- The oldest log id that is not rolled up is never told too high: it says from where on to look after a crash.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from typing import NamedTuple

from appliance.instant import DAY_MS, HOUR_MS
from appliance.telemetry.wanted import Check

HOURS_PER_DAY = DAY_MS // HOUR_MS

Device = tuple[int, str]
"""Tenant and device."""


class DeviceHour(NamedTuple):
    """One hour of one device. Hours are counted since 1970."""

    device: Device
    hour: int


class _Hour:
    """What is stale of one hour."""

    __slots__ = ("devices", "oldest_log_id", "rolling")

    def __init__(self) -> None:
        self.devices: set[Device] = set()
        self.rolling: set[Device] = set()
        """Those whose roll-up is being computed; one that is in both gets another afterwards."""
        self.oldest_log_id: int | None = None


class Stale:
    """What is to be rolled up."""

    def __init__(self) -> None:
        self._hours: dict[int, _Hour] = {}
        self.doubts: dict[int, int] = {}
        """By day: the log id up to which every chunk of it is rolled up."""

    def mark(self, device: Device, hours: Iterable[int], log_id: int | None) -> None:
        """Say that a chunk with reports up to this log id reaches into these hours, or only that they are stale."""
        for number in hours:
            hour = self._hours.get(number)
            if hour is None:
                hour = self._hours[number] = _Hour()
            hour.devices.add(device)
            if log_id is not None:
                hour.oldest_log_id = log_id if hour.oldest_log_id is None else min(hour.oldest_log_id, log_id)

    def hours(self, device: Device, first: int, end: int) -> set[int]:
        """The hours of a range that are stale of a device."""
        if len(self._hours) <= end - first:
            numbers: Iterable[int] = [number for number in self._hours if first <= number < end]
        else:
            numbers = [number for number in range(first, end) if number in self._hours]
        stale = {
            number
            for number in numbers
            if device in self._hours[number].devices or device in self._hours[number].rolling
        }
        for day in self.doubts:
            stale.update(range(max(first, day * HOURS_PER_DAY), min(end, (day + 1) * HOURS_PER_DAY)))
        return stale

    def days_over(self, now: int) -> list[int]:
        """The days of hours that are over and stale, newest first."""
        return sorted({number // HOURS_PER_DAY for number in self._over(now)}, reverse=True)

    def over(self, day: int, now: int) -> dict[int, set[Device]]:
        """What is stale of those hours of a day that are over, but for what is being rolled up."""
        hours = {number: self._hours[number] for number in self._over(now) if number // HOURS_PER_DAY == day}
        # Whole sets at a time: there may be every hour of thousands of devices, and the loop waits for this.
        return {
            number: hour.devices - hour.rolling if hour.rolling else hour.devices.copy()
            for number, hour in hours.items()
        }

    def begin(self, taken: Collection[DeviceHour]) -> None:
        """Say that these are being rolled up from now on. Whatever is marked after this stays stale."""
        for device, number in taken:
            hour = self._hours.setdefault(number, _Hour())
            hour.devices.discard(device)
            hour.rolling.add(device)

    def finish(self, taken: Collection[DeviceHour]) -> None:
        """Say that the roll-ups of these are committed."""
        for device, number in taken:
            hour = self._hours[number]
            hour.rolling.discard(device)
            if not hour.devices and not hour.rolling:
                del self._hours[number]

    def fail(self, taken: Collection[DeviceHour]) -> None:
        """Say that these could not be rolled up."""
        for device, number in taken:
            hour = self._hours[number]
            hour.rolling.discard(device)
            hour.devices.add(device)

    def _over(self, now: int) -> list[int]:
        return [number for number, hour in self._hours.items() if hour.devices and (number + 1) * HOUR_MS <= now]

    def is_clean(self, day: int) -> bool:
        """Whether nothing of a day is stale."""
        numbers = range(day * HOURS_PER_DAY, (day + 1) * HOURS_PER_DAY)
        return day not in self.doubts and not any(number in self._hours for number in numbers)

    def oldest_log_id(self, day: int) -> int | None:
        """A log id below which nothing of a day is stale; None when nothing is."""
        numbers = range(day * HOURS_PER_DAY, (day + 1) * HOURS_PER_DAY)
        found = [self._hours[number].oldest_log_id for number in numbers if number in self._hours]
        oldest = [log_id for log_id in found if log_id is not None]
        if day in self.doubts:
            oldest.append(self.doubts[day] + 1)
        return min(oldest, default=None)


def by_device(over: Mapping[int, Iterable[Device]], check: Check) -> dict[Device, set[int]]:
    """The hours of each device, out of the devices of each hour. There may be many."""
    hours: dict[Device, set[int]] = defaultdict(set)
    for hour, devices in over.items():
        check()
        for device in devices:
            hours[device].add(hour)
    return hours
