"""Which days are to be sealed, thinned and dropped, and when the disk will be full."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import NamedTuple

from appliance.instant import DAY_MS

SMALL_BYTES = 64 * 1024 * 1024
"""A sealed day up to this size is written anew for every late reading."""
LATE_SHARE = 20
"""A larger one is, when what came late is at least one part in so many of it,"""
PATIENCE_MS = 7 * DAY_MS
"""or when nothing more came for so long."""

GROWTH_DAYS = 7
"""The growth of the last days tells the growth of the next ones."""
FREE_SHARE = 0.15
"""Of the disk stays free when nobody says how much may be used: flash that is nearly full wears out and gets slow."""


class DayUse(NamedTuple):
    """What a day takes on the disk."""

    day: int
    """Whole UTC days since 1970."""
    open_bytes: int
    sealed_bytes: int
    changed_at: int = 0
    """When its open part was last written, UTC milliseconds."""

    @property
    def total_bytes(self) -> int:
        """Both parts."""
        return self.open_bytes + self.sealed_bytes


class Cause(StrEnum):
    """Why a day is dropped."""

    AGE = "it is older than what is to be kept"
    BUDGET = "the readings take more room than they may"
    FULL = "the disk was full"


class Drop(NamedTuple):
    """A day that is to go, and why."""

    day: int
    cause: Cause


class Limits(NamedTuple):
    """What is to be kept."""

    keep_days: int
    """Whole days that are over; 0 keeps them for as long as there is room."""
    budget_bytes: int
    """For everything in the data folder together."""


class Forecast(NamedTuple):
    """How the room goes."""

    growth_bytes: int
    """A day."""
    days_left: int | None
    """Until the budget is used up; None when it never will be."""


def budget(asked_bytes: int, used_bytes: int, free_bytes: int, disk_bytes: int) -> int:
    """How much everything together may take; `asked_bytes` is what the settings say, 0 for nothing."""
    if asked_bytes:
        return asked_bytes
    return max(0, used_bytes + free_bytes - int(disk_bytes * FREE_SHARE))


def due_for_sealing(days: Sequence[DayUse], now: int, grace_ms: int) -> list[int]:
    """The days that are over, and of which something is not sealed that is worth it; the oldest first."""
    return sorted(
        use.day
        for use in days
        if use.open_bytes and (use.day + 1) * DAY_MS + grace_ms <= now and _is_worth_it(use, now)
    )


def due_for_dropping(
    days: Sequence[DayUse], other_bytes: int, limits: Limits, now: int, rolled_up: Collection[int]
) -> list[Drop]:
    """The days that are to go, the oldest first. Today stays, and so does a day that is not rolled up yet."""
    today = now // DAY_MS
    over = sorted(use for use in days if use.day < today and use.day in rolled_up)
    drops = []
    used = other_bytes + sum(use.total_bytes for use in days)
    for use in over:
        if limits.keep_days and use.day < today - limits.keep_days:
            drops.append(Drop(use.day, Cause.AGE))
        elif used > limits.budget_bytes:
            drops.append(Drop(use.day, Cause.BUDGET))
        else:
            continue
        used -= use.total_bytes
    return drops


def forecast(days: Sequence[DayUse], other_bytes: int, limits: Limits, now: int) -> Forecast:
    """When the budget is used up, if it goes on as in the last whole days."""
    today = now // DAY_MS
    last = [use.total_bytes for use in days if today - GROWTH_DAYS <= use.day < today]
    first = min((use.day for use in days), default=today)
    # A day without readings counts, but none before the first one.
    spanned = min(GROWTH_DAYS, today - first)
    growth = sum(last) // spanned if spanned > 0 else 0
    used = other_bytes + sum(use.total_bytes for use in days)
    left = max(0, limits.budget_bytes - used)
    if growth == 0:
        return Forecast(0, None)
    if limits.keep_days and other_bytes + (limits.keep_days + 1) * growth <= limits.budget_bytes:
        return Forecast(growth, None)
    return Forecast(growth, left // growth)


def keep_days_of(
    devices: Iterable[tuple[int, str, str]], by_type: Mapping[str, int], by_device: Mapping[str, int]
) -> dict[tuple[int, str], int]:
    """The devices, each a tenant, an id and a type, that have days of their own to be kept, and how many."""
    found = {
        (tenant_id, device_id): by_device.get(device_id, by_type.get(type_)) for tenant_id, device_id, type_ in devices
    }
    return {device: days for device, days in found.items() if days is not None}


def too_old(day: int, keep_days_of: Mapping[tuple[int, str], int], now: int) -> frozenset[tuple[int, str]]:
    """The devices that have days of their own to be kept, and of which this day is older than that."""
    age = now // DAY_MS - day
    return frozenset(device for device, keep_days in keep_days_of.items() if age > keep_days)


def _is_worth_it(use: DayUse, now: int) -> bool:
    if use.sealed_bytes <= SMALL_BYTES or use.open_bytes * LATE_SHARE >= use.sealed_bytes:
        return True
    return now - use.changed_at >= PATIENCE_MS
