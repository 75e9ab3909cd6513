"""Which days are to be sealed, thinned and dropped, and when the disk will be full."""

from bisect import bisect_right
from collections.abc import Collection, Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import accumulate
from typing import NamedTuple

from appliance.instant import DAY_MS, HOUR_MS

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

HANDFUL = 7
"""At most so many days go in a night whose age nothing but the clock tells,"""
HANDFUL_SHARE = 4
"""and at most one of so many that there are, but always one: what was kept in vain must come to an end."""
NIGHT_MS = 20 * HOUR_MS
"""What may go in a night may go again after so long, by a clock that nobody sets."""


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
    CLOCK = "by the clock, it is older than what is to be kept"
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
    nightly_bytes: int | None = None
    """About how much may go in a night to keep to the budget; None when a person has said what it is."""


class Present(NamedTuple):
    """Which day it is, whole UTC days since 1970."""

    shown: int
    """By the clock, right or wrong. What is received is filed here."""
    passed: int
    """What has been reached for sure: it may be long behind."""

    @property
    def aged(self) -> int:
        """The day from which ages count: too late a one would make everything old, too early a one keeps it longer."""
        return min(self)

    def is_over(self, day: int) -> bool:
        """Whether nothing is filed there any more but what comes late."""
        return day != self.shown and day < max(self)


class Spent(NamedTuple):
    """What has gone in a night already."""

    began_ms: int = 0
    """By a clock that nobody sets."""
    day_count: int = 0
    """Days that were dropped or thinned because of the clock alone."""
    budget_bytes: int = 0


class Thinning(NamedTuple):
    """A day that stays, and the devices of which it is older than is to be kept of them."""

    day: int
    by_age: frozenset[tuple[int, str]]
    by_clock: frozenset[tuple[int, str]]
    """Those of which nothing but the clock says so."""


class Forecast(NamedTuple):
    """How the room goes."""

    growth_bytes: int
    """A day."""
    days_left: int | None
    """Until the budget is used up, 0 once it is; None when it never will be."""


def present(wall_at: int, passed_at: int) -> Present:
    """Which day it is by a clock that shows `wall_at`, when `passed_at` has passed for sure; UTC milliseconds."""
    return Present(wall_at // DAY_MS, passed_at // DAY_MS)


def tonight(spent: Spent, uptime_ms: int) -> Spent:
    """What has gone in this night; nothing once another one has begun, however often the clock was set meanwhile."""
    return spent if uptime_ms - spent.began_ms < NIGHT_MS else Spent(uptime_ms)


def resumed(spent: Spent, seen_ms: int, uptime_ms: int, *, is_same_boot: bool) -> Spent:
    """What had gone in a night that was last seen to go on at `seen_ms`, by the clock of now.

    That of another boot began at 0, and nobody knows how long the machine was off: that part of the night lasts on.
    """
    if is_same_boot and uptime_ms >= seen_ms:
        return spent
    return spent._replace(began_ms=spent.began_ms - seen_ms)


def is_spent(spent: Spent) -> bool:
    """Whether anything has gone in a night."""
    return bool(spent.day_count or spent.budget_bytes)


def spend(spent: Spent, cause: Cause, freed_bytes: int) -> Spent:
    """What has gone once one more day has, for this cause."""
    match cause:
        case Cause.CLOCK:
            return spent._replace(day_count=spent.day_count + 1)
        case Cause.BUDGET:
            return spent._replace(budget_bytes=spent.budget_bytes + freed_bytes)
        case Cause.AGE | Cause.FULL:
            return spent


def handful(day_count: int) -> int:
    """How many of so many days may go in a night because of the clock alone."""
    return max(1, min(HANDFUL, day_count // HANDFUL_SHARE))


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
    days: Sequence[DayUse],
    other_bytes: int,
    limits: Limits,
    today: Present,
    rolled_up: Collection[int],
    spent: Spent,
) -> list[Drop]:
    """The days that are to go in what is left of the night, the oldest first; none that is not rolled up yet.

    By age, a day goes when it is older than what is to be kept by a moment that has passed for sure. Days that were
    received prove that time has passed: a day with as many later ones as are to be kept goes at once. Of the others,
    which only the clock calls old, a handful goes in a night: a clock that was set wrong shows before much is lost.
    """
    movable = sorted(use for use in days if today.is_over(use.day) and use.day in rolled_up)
    drops = []
    if limits.keep_days:
        age = _Age(days, today)
        old = [use.day for use in movable if age.is_over(use.day, limits.keep_days)]
        by_age = [day for day in old if age.is_proven(day, limits.keep_days)]
        left = max(0, handful(len(days)) - spent.day_count)
        by_clock = old[len(by_age) : len(by_age) + left]
        drops = [Drop(day, Cause.AGE) for day in by_age] + [Drop(day, Cause.CLOCK) for day in by_clock]
    gone = {drop.day for drop in drops}
    excess = other_bytes + sum(use.total_bytes for use in days if use.day not in gone) - limits.budget_bytes
    movable = [use for use in movable if use.day not in gone]
    nightly = None if limits.nightly_bytes is None else limits.nightly_bytes - spent.budget_bytes
    return sorted(drops + [Drop(day, Cause.BUDGET) for day in _due_for_budget(movable, excess, nightly)])


def due_for_thinning(
    days: Sequence[DayUse], keep_days_of: Mapping[tuple[int, str], int], today: Present
) -> list[Thinning]:
    """The days that are too old for devices that have days of their own to be kept, the oldest first."""
    age = _Age(days, today)
    found = []
    for day in sorted(use.day for use in days):
        old = {device: keep_days for device, keep_days in keep_days_of.items() if age.is_over(day, keep_days)}
        by_age = frozenset(device for device, keep_days in old.items() if age.is_proven(day, keep_days))
        if old:
            found.append(Thinning(day, by_age, frozenset(old) - by_age))
    return found


def waiting_for_age(days: Sequence[DayUse], keep_days: int, today: Present) -> int:
    """How many days the clock alone calls older than what is to be kept."""
    age = _Age(days, today)
    return sum(age.is_over(use.day, keep_days) and not age.is_proven(use.day, keep_days) for use in days if keep_days)


def due_on_full_disk(days: Sequence[DayUse], missing_bytes: int, today: Present) -> int | None:
    """The day that goes because the disk is full; None when all of them would not make up for what is missing."""
    movable = sorted(use for use in days if today.is_over(use.day))
    reach = sum(use.total_bytes for use in movable)
    return movable[0].day if movable and missing_bytes <= reach else None


def growth(days: Sequence[DayUse], now: int) -> int:
    """How many bytes a usual day takes: as the last whole ones did."""
    today = now // DAY_MS
    last = [use.total_bytes for use in days if today - GROWTH_DAYS <= use.day < today]
    first = min((use.day for use in days), default=today)
    # A day without readings counts, but none before the first one.
    spanned = min(GROWTH_DAYS, today - first)
    return sum(last) // spanned if spanned > 0 else 0


def nightly(days: Sequence[DayUse], now: int) -> int:
    """How many bytes may go in a night when nobody says how much may be used: what a usual day takes.

    What there is counts, too: while nobody sends, or by a clock that runs ahead, the last days took nothing.
    """
    return max(growth(days, now), -(-sum(use.total_bytes for use in days) // max(1, len(days))))


def forecast(days: Sequence[DayUse], other_bytes: int, limits: Limits, now: int) -> Forecast:
    """When the budget is used up, if it goes on as in the last whole days."""
    usual = growth(days, now)
    used = other_bytes + sum(use.total_bytes for use in days)
    left = limits.budget_bytes - used
    if left < 0:
        return Forecast(usual, 0)
    if usual == 0:
        return Forecast(0, None)
    if limits.keep_days and other_bytes + (limits.keep_days + 1) * usual <= limits.budget_bytes:
        return Forecast(usual, None)
    return Forecast(usual, left // usual)


def keep_days_of(
    devices: Iterable[tuple[int, str, str]], by_type: Mapping[str, int], by_device: Mapping[tuple[int, str], int]
) -> dict[tuple[int, str], int]:
    """The devices, each a tenant, an id and a type, that have days of their own to be kept, and how many."""
    found = {
        (tenant_id, device_id): by_device.get((tenant_id, device_id), by_type.get(type_))
        for tenant_id, device_id, type_ in devices
    }
    return {device: days for device, days in found.items() if days is not None}


class _Age:
    """How old days are, and what proves it."""

    def __init__(self, days: Iterable[DayUse], today: Present) -> None:
        self._today = today.aged
        self._numbers = sorted(use.day for use in days if use.day < self._today)

    def is_over(self, day: int, keep_days: int) -> bool:
        """Whether a day is older than so many days by a moment that has passed for sure."""
        return day < self._today - keep_days

    def is_proven(self, day: int, keep_days: int) -> bool:
        """Whether so many days were received after it that are over themselves."""
        return len(self._numbers) - bisect_right(self._numbers, day) >= keep_days


def _due_for_budget(movable: Sequence[DayUse], excess: int, nightly_bytes: int | None) -> list[int]:
    """The oldest days that make up for an excess, about as far as may go in a night.

    None when all of them would not: whatever fills the disk then is not the readings.
    """
    if excess > sum(use.total_bytes for use in movable):
        return []
    enough = excess if nightly_bytes is None else min(excess, nightly_bytes)
    freed = accumulate((use.total_bytes for use in movable), initial=0)
    return [use.day for use, before in zip(movable, freed, strict=False) if before < enough]


def _is_worth_it(use: DayUse, now: int) -> bool:
    if use.sealed_bytes <= SMALL_BYTES or use.open_bytes * LATE_SHARE >= use.sealed_bytes:
        return True
    return now - use.changed_at >= PATIENCE_MS
