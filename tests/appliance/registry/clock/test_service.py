"""The clock, and what is known of the time, over restarts."""

import pytest

from appliance.instant import DAY_MS, HOUR_MS
from appliance.registry.authority import RELEASED_AT
from appliance.registry.clock.service import TrustedClock
from appliance.registry.clock.trust import ClockState
from appliance.registry.model import DEFAULT_TENANT
from appliance.registry.service import Registry
from appliance.store.database import Database
from tests.appliance.registry.examples import NOW, FakeClock

LONG_MS = 60_000
"""No test takes as long as this."""


@pytest.fixture
async def time(database: Database, clock: FakeClock) -> TrustedClock:
    return await opened(database, clock)


async def opened(database: Database, clock: FakeClock, *, is_vouched_for: bool = False) -> TrustedClock:
    made = TrustedClock(database, clock)
    made.is_vouched_for = lambda _: is_vouched_for
    await made.open()
    return made


async def test_the_first_floor_is_the_release(time: TrustedClock, clock: FakeClock) -> None:
    assert RELEASED_AT <= time.reading().floor_at < RELEASED_AT + LONG_MS
    assert time.status().details["state"] == ClockState.FLOOR
    clock.now = 0
    assert time.status().details["state"] == ClockState.UNTRUSTED
    assert time.issuing_at >= RELEASED_AT
    assert not time.status().ok


async def test_a_certificate_raises_the_floor_to_a_day_before_it(
    database: Database, registry: Registry, clock: FakeClock
) -> None:
    await registry.add_device(DEFAULT_TENANT, "pump")
    await registry.issue_certificate(DEFAULT_TENANT, "pump")
    clock.now = NOW - 2 * DAY_MS
    assert (await opened(database, clock)).state is ClockState.UNTRUSTED
    clock.now = NOW - DAY_MS + LONG_MS
    assert (await opened(database, clock)).state is ClockState.FLOOR


async def test_a_clock_that_a_time_server_set_raises_the_floor_for_the_next_start(
    database: Database, clock: FakeClock
) -> None:
    first = await opened(database, clock, is_vouched_for=True)
    assert (first.state, first.issuing_at) == (ClockState.SYNCHRONISED, NOW)
    clock.now = NOW + 50 * DAY_MS
    await first.mark()
    clock.now -= HOUR_MS
    assert first.state is ClockState.UNTRUSTED
    assert (await opened(database, clock)).state is ClockState.UNTRUSTED


async def test_a_clock_that_nobody_stands_behind_raises_the_floor_by_what_has_passed_alone(
    database: Database, time: TrustedClock, clock: FakeClock
) -> None:
    clock.now = NOW + 50 * DAY_MS
    await time.mark()
    again = await opened(database, clock)
    assert RELEASED_AT <= again.reading().floor_at < RELEASED_AT + LONG_MS
    assert again.status().ok
