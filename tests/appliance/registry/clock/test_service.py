"""The clock, and what is known of the time, over restarts."""

import asyncio
import threading
from pathlib import Path

import pytest

from appliance.audit.service import Audit
from appliance.instant import DAY_MS, HOUR_MS
from appliance.registry.authority import RELEASED_AT
from appliance.registry.clock import queries
from appliance.registry.clock.model import ClockNotSetError
from appliance.registry.clock.service import TrustedClock
from appliance.registry.clock.trust import FURTHEST_JUMP_MS, HOLD_MS, SLACK_MS, ClockState, Doubt, Mark
from appliance.registry.model import DEFAULT_TENANT, DeviceState
from appliance.registry.service import Registry
from appliance.store.database import Database
from broker.ports import Principal
from tests.appliance.registry.examples import NOW, FakeClock, credentials, der

LONG_MS = 60_000
"""No test takes as long as this."""


@pytest.fixture
async def time(database: Database, clock: FakeClock) -> TrustedClock:
    return await opened(database, clock)


async def opened(database: Database, clock: FakeClock, *, is_vouched_for: bool = False) -> TrustedClock:
    made = TrustedClock(database, clock, Audit(database, clock))
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


@pytest.mark.parametrize("ahead_ms", [DAY_MS, 300 * DAY_MS, FURTHEST_JUMP_MS - DAY_MS])
async def test_a_certificate_that_was_issued_by_a_clock_that_nobody_vouches_for_does_not_raise_the_floor(
    database: Database, registry: Registry, clock: FakeClock, ahead_ms: int
) -> None:
    registry.time.is_vouched_for = lambda _: False
    await registry.add_device(DEFAULT_TENANT, "pump")
    clock.now = NOW + ahead_ms
    await registry.issue_certificate(DEFAULT_TENANT, "pump")
    await registry.time.mark()
    clock.now = NOW
    again = await opened(database, clock)
    assert RELEASED_AT <= again.reading().floor_at < RELEASED_AT + LONG_MS
    assert again.state is ClockState.FLOOR


async def test_what_was_believed_is_kept_when_the_gateway_stops(
    database: Database, tmp_path: Path, clock: FakeClock
) -> None:
    async with Registry(database, tmp_path / "pki", clock).opened() as registry:
        registry.time.is_vouched_for = lambda _: True
        clock.now = NOW + 50 * DAY_MS
    again = await opened(database, clock)
    assert clock.now - 2 * SLACK_MS <= again.reading().floor_at <= clock.now


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


async def test_a_time_server_that_was_wrong_leaves_nothing_behind_once_it_is_right_again(
    database: Database, registry: Registry, clock: FakeClock
) -> None:
    await registry.add_device(DEFAULT_TENANT, "pump")
    bundle = await registry.issue_certificate(DEFAULT_TENANT, "pump")
    registry.time.is_vouched_for = lambda _: True
    clock.now = NOW + FURTHEST_JUMP_MS + 50 * DAY_MS
    await registry.time.mark()
    assert not registry.time.status().ok
    assert isinstance(registry.authenticate(credentials("pump", der(bundle))), Principal)
    # What is issued by the wrong time must not lift the floor of the next start either.
    await registry.issue_certificate(DEFAULT_TENANT, "pump")
    assert (await opened(database, clock, is_vouched_for=True)).state is ClockState.UNTRUSTED
    clock.now = NOW + HOUR_MS
    await registry.time.mark()
    assert registry.time.status().details["state"] == "synchronised"
    assert (await opened(database, clock, is_vouched_for=True)).state is ClockState.SYNCHRONISED


async def test_a_floor_that_was_lifted_by_a_wrong_time_comes_down_by_a_reset_that_is_audited(
    database: Database, registry: Registry, clock: FakeClock
) -> None:
    registry.time.is_vouched_for = lambda _: True
    clock.now = NOW + 300 * DAY_MS
    await registry.add_device(DEFAULT_TENANT, "pump")
    await registry.issue_certificate(DEFAULT_TENANT, "pump")
    await registry.time.mark()
    clock.now = NOW
    assert registry.time.state is ClockState.UNTRUSTED
    assert "clock reset" in registry.time.report().told
    report = await registry.time.reset()
    assert report.state == "synchronised"
    assert registry.time.status().ok
    again = await opened(database, clock, is_vouched_for=True)
    assert again.state is ClockState.SYNCHRONISED
    assert NOW - SLACK_MS <= again.reading().floor_at < NOW
    [entry] = [one for one in await registry.audit.entries(DEFAULT_TENANT) if one.action == "clock.reset"]
    assert entry.subject == "clock"
    assert '"to":"2026-11-21T06:00:00.000Z"' in entry.details


async def test_a_clock_from_before_the_release_is_not_made_the_floor(time: TrustedClock, clock: FakeClock) -> None:
    clock.now = RELEASED_AT - 1
    with pytest.raises(ClockNotSetError, match="set it first"):
        await time.reset()
    assert time.reading().floor_at >= RELEASED_AT


async def test_a_doubt_is_known_after_a_restart_and_goes_on_where_it_was(database: Database, clock: FakeClock) -> None:
    first = await opened(database, clock, is_vouched_for=True)
    await first.mark()
    clock.now += FURTHEST_JUMP_MS + DAY_MS
    await first.mark()
    again = await opened(database, clock)
    # Nobody vouches for it right after a start: it is the same clock all the same.
    assert (again.state, again.reading().is_doubted) == (ClockState.UNTRUSTED, True)
    await again.mark()
    again.is_vouched_for = lambda _: True
    await again.mark()
    assert again.state is ClockState.UNTRUSTED
    [mark] = await database.read(queries.select_mark(DEFAULT_TENANT))
    assert mark.doubt is not None
    # As if it had held for a day by now, most of it before the restart.
    held = Mark(mark.marked_at, Doubt(mark.doubt.said_at, HOLD_MS))
    await database.write(queries.save_mark, DEFAULT_TENANT, held)
    last = await opened(database, clock, is_vouched_for=True)
    assert last.state is ClockState.UNTRUSTED
    await last.mark()
    assert last.status().details["state"] == ClockState.SYNCHRONISED
    [mark] = await database.read(queries.select_mark(DEFAULT_TENANT))
    assert mark.doubt is None


async def test_a_mark_that_is_under_way_does_not_undo_a_reset(database: Database, clock: FakeClock) -> None:
    time = await opened(database, clock, is_vouched_for=True)
    clock.now = NOW + 300 * DAY_MS
    await time.mark()
    for first, second in ((time.mark, time.reset), (time.reset, time.mark)):
        clock.now = NOW
        held, free = threading.Event(), threading.Event()
        blocking = asyncio.create_task(database.write(_hold, held, free))
        await asyncio.to_thread(held.wait)
        beginning = asyncio.create_task(first())
        await asyncio.sleep(0)
        following = asyncio.create_task(second())
        await asyncio.sleep(0)
        free.set()
        await asyncio.gather(blocking, beginning, following)
        assert time.state is ClockState.SYNCHRONISED
        assert (await opened(database, clock, is_vouched_for=True)).state is ClockState.SYNCHRONISED
        clock.now = NOW + 300 * DAY_MS
        await time.mark()


def _hold(_: object, held: threading.Event, free: threading.Event) -> None:
    """Keep the writer busy until it is let go."""
    held.set()
    free.wait(20)


async def test_what_was_over_by_a_clock_that_was_reset_is_judged_again(registry: Registry, clock: FakeClock) -> None:
    changed: list[tuple[int, str]] = []
    registry.rights_changed = lambda *whose: changed.append(whose)
    registry.time.is_vouched_for = lambda _: True
    await registry.add_device(DEFAULT_TENANT, "pump")
    bundle = await registry.issue_certificate(DEFAULT_TENANT, "pump")
    await registry.tokens.issue(DEFAULT_TENANT, "pump", "spare", 365)
    for _ in range(2):
        clock.now = NOW + 370 * DAY_MS
        assert [bound.device_id for bound in registry.newly_over()] == ["pump"]
        await registry.tokens.look_after()
        assert changed.pop() == (DEFAULT_TENANT, "pump")
        clock.now = NOW
        await registry.time.reset()
        assert isinstance(registry.authenticate(credentials("pump", der(bundle))), Principal)
        assert registry.newly_over() == []
        await registry.tokens.look_after()
        assert changed == []


async def test_what_was_forgotten_by_a_clock_that_was_reset_is_known_again(
    registry: Registry, clock: FakeClock
) -> None:
    registry.time.is_vouched_for = lambda _: True
    await registry.add_device(DEFAULT_TENANT, "pump")
    bundle = await registry.issue_certificate(DEFAULT_TENANT, "pump")
    await registry.set_state(DEFAULT_TENANT, "pump", DeviceState.RETIRED)
    listed = await registry.revocation_list()
    clock.now = NOW + 500 * DAY_MS
    await registry.time.reset()
    assert registry.forget_long_over() == 1
    clock.now = NOW
    await registry.time.reset()
    assert registry.is_revoked(bundle.fingerprint)
    assert await registry.revocation_list() == listed


async def test_a_doubted_time_is_believed_when_a_person_says_so(time: TrustedClock, clock: FakeClock) -> None:
    time.is_vouched_for = lambda _: True
    clock.now = NOW + 2_000 * DAY_MS
    status = time.status()
    assert (status.ok, status.is_serving) == (False, True)
    # Certificates that are made meanwhile are to live on when it was right.
    assert time.issuing_at == clock.now
    await time.reset()
    assert time.state is ClockState.SYNCHRONISED
