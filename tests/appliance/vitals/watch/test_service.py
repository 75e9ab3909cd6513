import asyncio
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.alerts.book import Book, Overlay
from appliance.alerts.model import AlertOpened, AlertResolved, NewRule
from appliance.notifications.model import NoticesQueued
from appliance.vitals.watch import service
from appliance.vitals.watch.service import WAITING_LIMIT, Measured, Watch, _judge
from tests.appliance.alerts.examples import COOLDOWNS, limit
from tests.appliance.full_disk import full_disk
from tests.appliance.ingestion.examples import NOW, message, turn
from tests.appliance.ingestion.gateway import Gateway, built, until
from tests.appliance.vitals.rooms import LAGS, observed

METRIC = LAGS.metric


class Lagging:
    """A watch whose lag is what a test says, at the moment that it is then."""

    def __init__(self, gateway: Gateway) -> None:
        self.lag_s = 0.0
        self._gateway = gateway
        self.watch = Watch(gateway.database, gateway.alerts.book, gateway.bus, self._measured)

    async def see(self, lag_s: float, after_ms: int = 5_000) -> None:
        """One measurement, judged at once."""
        await self.measure(lag_s, after_ms)
        assert await self.watch.judge()

    async def measure(self, lag_s: float, after_ms: int = 5_000) -> None:
        self._gateway.now += after_ms
        self.lag_s = lag_s
        await self.watch.measure()

    async def _measured(self) -> Measured:
        return Measured(self._gateway.now, {METRIC: self.lag_s})


async def test_a_lag_that_lasts_opens_one_alert_tells_people_and_ends_it(tmp_path: Path) -> None:
    async with built(tmp_path) as gateway:
        lagging = Lagging(gateway)
        await gateway.alerts.add_rule(1, LAGS)
        with gateway.bus.subscribe(AlertOpened, AlertResolved, NoticesQueued) as heard:
            for _ in range(12):
                await lagging.see(11)
            assert gateway.alerts.firing_count(1) == 0
            await lagging.see(12.5)
            assert gateway.alerts.firing_count(1) == 1
            opened, queued = await heard.next_batch()
            assert isinstance(opened, AlertOpened)
            assert queued == NoticesQueued(1)
            await lagging.see(12)
            await lagging.see(3)
            [resolved] = await heard.next_batch()
            assert isinstance(resolved, AlertResolved)
        [alert] = await gateway.alerts.alerts(1)
        assert (alert.device_id, alert.opened_value) == ("$gateway", 12.5)
        assert alert.opened_at - alert.breached_at == 60_000
        assert alert.resolved_at == NOW + 15 * 5_000
        notices = gateway.on_disk("SELECT recipient, subject FROM outbox ORDER BY notice_id")
        assert [recipient for recipient, _ in notices] == list(LAGS.recipients)
        assert "This gateway ($gateway): gateway.ingestion_lag_seconds is 12.5 (Ingestion lags)" in notices[0][1]


async def test_nothing_is_measured_while_no_rule_would_look_at_it(tmp_path: Path) -> None:
    async with built(tmp_path) as gateway:
        lagging = Lagging(gateway)
        await gateway.alerts.add_rule(1, NewRule("Hot", "temperature", "GREATER_THAN", 60))
        await lagging.measure(99)
        assert len(lagging.watch._waiting) == 0
        rule = await gateway.alerts.add_rule(1, LAGS)
        await lagging.measure(99)
        assert len(lagging.watch._waiting) == 1
        await gateway.alerts.set_enabled(1, rule.rule_id, enabled=False)
        await lagging.measure(99)
        assert len(lagging.watch._waiting) == 1


async def test_a_rule_of_zones_and_a_rule_of_another_tenant_are_not_about_the_gateway(tmp_path: Path) -> None:
    async with built(tmp_path) as gateway:
        lagging = Lagging(gateway)
        await gateway.database.write(
            lambda connection: connection.execute(
                "INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'other', 0)"
            )
        )
        at_once = msgspec.structs.replace(LAGS, hold_ms=0)
        await gateway.alerts.add_rule(1, msgspec.structs.replace(at_once, zones=("north",)))
        await gateway.alerts.add_rule(2, at_once)
        await lagging.see(99)
        assert gateway.alerts.firing_count(1) == gateway.alerts.firing_count(2) == 0


async def test_while_nothing_can_be_written_figures_wait_and_are_then_judged_with_their_moments(tmp_path: Path) -> None:
    async with built(tmp_path) as gateway:
        lagging = Lagging(gateway)
        await gateway.alerts.add_rule(1, LAGS)
        async with full_disk(gateway.database):
            for lag_s in (*[20.0] * 14, 0.0):
                await lagging.measure(lag_s)
                assert not await lagging.watch.judge()
            assert gateway.alerts.book.states() == {}
        await lagging.see(0)
        [alert] = await gateway.alerts.alerts(1)
        assert (alert.breached_at, alert.opened_at) == (NOW + 5_000, NOW + 65_000)
        assert alert.resolved_at == NOW + 75_000
        assert len(lagging.watch._waiting) == 0


async def test_while_nothing_can_be_written_nothing_is_judged_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[Measured] = []

    def noted(overlay: Overlay, measured: Measured) -> None:
        judged.append(measured)
        _judge(overlay, measured)

    monkeypatch.setattr(service, "_judge", noted)
    async with built(tmp_path) as gateway:
        lagging = Lagging(gateway)
        await gateway.alerts.add_rule(1, LAGS)
        async with full_disk(gateway.database):
            for _ in range(20):
                await lagging.measure(20)
                assert not await lagging.watch.judge()
                assert not await lagging.watch.judge()
            assert len(judged) == 20
            # By another rule each is judged differently.
            rules = gateway.alerts.book.rules(1)
            gateway.alerts.book.put(msgspec.structs.replace(rules[0], threshold=19.0))
            assert not await lagging.watch.judge()
            assert len(judged) == 40
            gateway.alerts.book.put(rules[0])
        await lagging.see(0)
        [alert] = await gateway.alerts.alerts(1)
        assert alert.opened_at == NOW + 65_000


async def test_a_disk_that_hangs_does_not_keep_the_gateway_from_measuring(tmp_path: Path) -> None:
    async with built(tmp_path) as gateway:
        lagging = Lagging(gateway)
        await gateway.alerts.add_rule(1, LAGS)
        judging = asyncio.create_task(lagging.watch.judge_for_ever())
        async with gateway.disk_busy():
            for _ in range(14):
                await lagging.measure(20)
                await asyncio.sleep(0)
            assert gateway.alerts.firing_count(1) == 0
        await until(lambda: gateway.alerts.firing_count(1) == 1)
        judging.cancel()
        [alert] = await gateway.alerts.alerts(1)
        assert alert.opened_at - alert.breached_at == 60_000


async def test_what_could_not_be_written_is_tried_again_without_being_asked(tmp_path: Path) -> None:
    async with built(tmp_path) as gateway:
        lagging = Lagging(gateway)
        await gateway.alerts.add_rule(1, msgspec.structs.replace(LAGS, hold_ms=0))
        judging = asyncio.create_task(lagging.watch.judge_for_ever())
        async with full_disk(gateway.database):
            await lagging.measure(20)
            await until(lambda: bool(lagging.watch._trouble))
            assert gateway.alerts.firing_count(1) == 0
        await until(lambda: gateway.alerts.firing_count(1) == 1)
        assert not lagging.watch._trouble
        judging.cancel()


async def test_a_firing_alert_outlives_a_restart_and_ends_after_it(tmp_path: Path) -> None:
    async with built(tmp_path) as gateway:
        await gateway.alerts.add_rule(1, msgspec.structs.replace(LAGS, hold_ms=0))
        await Lagging(gateway).see(20)
        assert gateway.alerts.firing_count(1) == 1
    async with built(tmp_path) as gateway:
        assert gateway.alerts.firing_count(1) == 1
        await Lagging(gateway).see(0, after_ms=60_000)
        assert gateway.alerts.firing_count(1) == 0


async def test_only_so_many_measurements_wait_and_what_is_judged_waits_no_more(tmp_path: Path) -> None:
    async with built(tmp_path) as gateway:
        lagging = Lagging(gateway)
        await gateway.alerts.add_rule(1, LAGS)
        for _ in range(WAITING_LIMIT + 10):
            await lagging.measure(0)
        assert len(lagging.watch._waiting) == WAITING_LIMIT
        assert await lagging.watch.judge()
        assert len(lagging.watch._waiting) == 0


async def test_what_a_person_changed_meanwhile_wins(tmp_path: Path) -> None:
    async with built(tmp_path) as gateway:
        lagging = Lagging(gateway)
        rule = await gateway.alerts.add_rule(1, msgspec.structs.replace(LAGS, hold_ms=0))
        await lagging.measure(20)
        async with gateway.disk_busy():
            switching = asyncio.create_task(gateway.alerts.set_enabled(1, rule.rule_id, enabled=False))
            await asyncio.sleep(0)
            judging = asyncio.create_task(lagging.watch.judge())
            await asyncio.sleep(0)
        await asyncio.gather(switching, judging)
        assert gateway.alerts.firing_count(1) == 0
        assert await gateway.alerts.alerts(1) == []


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 40_000), st.booleans()), max_size=30))
def test_however_the_measurements_are_batched_the_same_comes_of_them(steps: list[tuple[int, int, bool]]) -> None:
    at_once, in_batches = Book(COOLDOWNS), Book(COOLDOWNS)
    for book in (at_once, in_batches):
        book.put(msgspec.structs.replace(limit(threshold=10, hold_ms=60_000), metric=METRIC))
    at, changes = NOW, []
    whole, part = at_once.overlay(), in_batches.overlay()
    for lag_s, after_ms, ends_batch in steps:
        at += after_ms
        for overlay in (whole, part):
            _judge(overlay, Measured(at, {METRIC: lag_s}))
        if ends_batch:
            changes += part.changes()
            in_batches.merge(part)
            part = in_batches.overlay()
    in_batches.merge(part)
    at_once.merge(whole)
    assert in_batches.states() == at_once.states()
    assert [*changes, *part.changes()] == whole.changes()


async def test_a_real_lag_of_ingestion_opens_the_alert_once_the_disk_answers(tmp_path: Path) -> None:
    async with observed(tmp_path) as seen:
        gateway = seen.gateway
        await gateway.alerts.add_rule(1, LAGS)
        async with gateway.disk_busy():
            gateway.ingestion.accept(turn([message({"flow": 1})], [1]))
            await until(lambda: not gateway.ingestion._backlog)
            for _ in range(20):
                gateway.now += 5_000
                await seen.vitals.watch.measure()
        await gateway.broker.until(lambda broker: broker.receipts == [1])
        assert await seen.vitals.watch.judge()
        [alert] = await gateway.alerts.alerts(1)
        assert (alert.metric, alert.device_id) == (METRIC, "$gateway")
        assert alert.opened_at == alert.breached_at + 60_000 == NOW + 75_000
