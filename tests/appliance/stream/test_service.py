"""Whoever reads gets every report once and in order, or is told exactly what is missing."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.errors import InvalidInputError
from appliance.instant import HOUR_MS
from appliance.stream.model import (
    BadPositionError,
    ConsumerInUseError,
    Gap,
    MovedError,
    Position,
    Start,
    UnknownConsumerError,
)
from appliance.stream.service import TRIMMED
from appliance.stream.wanted import Wanted
from appliance.telemetry.keeping import queries as keeping_queries
from tests.appliance.stream.story import Log, backed_up, restore
from tests.appliance.telemetry.reports import NOON, report

steps = st.lists(
    st.one_of(
        st.tuples(st.just("append"), st.integers(1, 6)),
        st.tuples(st.just("read"), st.integers(1, 7)),
        st.tuples(st.just("read and trim and commit"), st.integers(1, 7)),
        st.tuples(st.just("read and crash"), st.integers(1, 7)),
        st.tuples(st.just("trim"), st.sampled_from([0, 150, 400, 10_000])),
        st.tuples(st.just("tend"), st.just(0)),
        st.tuples(st.just("restart"), st.just(0)),
    ),
    max_size=25,
)


class Readers:
    """Two consumers, of which one reads little, and what both must get."""

    def __init__(self) -> None:
        self.sent: list[int] = []
        self.got: list[int] = []
        """Numbers, and for a gap of n reports n times -1."""

    def check(self) -> None:
        assert len(self.got) <= len(self.sent)
        for number, got in zip(self.sent, self.got, strict=False):
            assert got in (number, -1)

    async def append(self, log: Log, count: int) -> None:
        first = len(self.sent)
        numbers = range(first, first + count)
        self.sent += numbers
        log.now += 100
        await log.take(*[report("abc"[n % 3], NOON + n * 1_000, arrived_at=log.now, values={"n": n}) for n in numbers])

    async def step(self, log: Log, kind: str, argument: int) -> None:
        match kind:
            case "append":
                await self.append(log, argument)
            case "trim":
                log.hold(argument)
                log.now += 700_000
                await log.telemetry.seal_all()
            case "tend":
                await log.stream.tend()
            case _:
                await self.read(log, kind, argument)

    async def read(self, log: Log, kind: str, most: int) -> None:
        async with log.stream.consumer(1, "slow") as reader:
            batch = await reader.peek(most=most)
            if kind == "read and crash":
                return
            if kind == "read and trim and commit":
                log.hold(0)
                await log.telemetry.seal_all()
            await reader.commit(batch)
        assert len(batch.reports) <= most
        if batch.gap:
            assert batch.gap.report_count
            self.got += [-1] * batch.gap.report_count
        self.got += [int(taken.report.values["n"]) for taken in batch.reports]  # type: ignore[arg-type]


@given(steps)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
async def test_a_consumer_gets_every_report_once_in_order_or_a_gap_of_exactly_what_is_missing(
    chosen: list[tuple[str, Any]],
) -> None:
    readers = Readers()
    with tempfile.TemporaryDirectory() as folder:
        log = Log(Path(folder))
        remaining = iter([*chosen, *[("read", 7)] * 80])
        alive = True
        async with log.running():
            await log.stream.add(1, "slow", Start.OLDEST)
        while alive:
            async with log.running():
                alive = False
                for kind, argument in remaining:
                    if kind == "restart":
                        alive = True
                        break
                    await readers.step(log, kind, argument)
                    readers.check()
    assert len(readers.got) == len(readers.sent)


async def test_a_batch_that_was_not_committed_comes_again(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log, log.stream.consumer(1, "uplink", Start.OLDEST) as reader:
        await log.take(report(values={"n": 1}), report(values={"n": 2}))
        first = await reader.read(gather_s=0)
        again = await reader.read(gather_s=0)
        assert first == again
        await reader.commit(first)
        with pytest.raises(MovedError):
            await reader.commit(again)
        assert (await reader.peek()).is_empty


async def test_a_reader_that_waits_hears_of_what_comes(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log, log.stream.consumer(1, "uplink") as reader, asyncio.timeout(10):
        waiting = asyncio.create_task(reader.read(gather_s=0))
        await asyncio.sleep(0)
        await log.take(report())
        assert len((await waiting).reports) == 1


async def test_a_new_consumer_begins_now_or_with_the_oldest(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await log.take(report())
        async with log.stream.consumer(1, "now") as now, log.stream.consumer(1, "old", Start.OLDEST) as old:
            assert (await now.peek()).is_empty
            assert len((await old.peek()).reports) == 1


async def test_the_log_waits_for_the_slowest_and_goes_when_it_has_gone_on(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await log.stream.add(1, "slow", Start.OLDEST)
        await log.take(report())
        await log.telemetry.seal_all()
        assert (await log.stream.view(1, "slow")).lag.report_count == 1
        async with log.stream.consumer(1, "slow") as reader:
            batch = await reader.peek()
            assert len(batch.reports) == 1
            await reader.commit(batch)
        await log.stream.tend()
        batch = await log.stream.read(1, Position(1))
        assert batch.gap
        assert log.stream.status().ok


async def test_what_is_held_for_consumers_is_not_replayed_at_a_start(tmp_path: Path) -> None:
    log = Log(tmp_path)
    async with log.running():
        await log.stream.add(1, "slow", Start.OLDEST)
        await log.take(*[report(at=NOON + n) for n in range(5)])
        await log.telemetry.seal_all()
    async with log.running():
        assert log.telemetry._chunks.report_count == 0
        assert (await log.stream.view(1, "slow")).lag.report_count == 5
        assert len(log.telemetry.latest(1, "sensor-001")) == 2


async def test_without_room_the_log_is_trimmed_past_a_consumer_which_is_told(tmp_path: Path) -> None:
    async with Log(tmp_path, hold_mb=0).running() as log:
        await log.stream.add(1, "slow", Start.OLDEST)
        await log.take(report(), report(at=NOON + 1))
        last = await log.take(report(at=NOON + 2))
        await log.telemetry.seal_all()
        status = log.stream.status()
        assert not status.ok
        assert status.is_serving
        assert "trimmed past 1 consumer:" in status.summary
        assert "slow" in log.stream.status(1).summary
        async with log.stream.consumer(1, "slow") as reader:
            batch = await reader.peek()
            assert batch.gap is not None
            assert (batch.gap.start, batch.gap.through_log_id) == (Position(1), last)
            assert (batch.gap.report_count, batch.gap.until_at, batch.gap.why) == (3, NOON, TRIMMED)
            await reader.commit(batch)
            assert (await reader.peek()).is_empty
        assert log.stream.status().ok


async def test_a_consumer_of_a_restored_log_is_told_that_something_is_missing(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await log.stream.add(1, "restored", Start.NOW)
        await log.take(report())
        await backed_up(log)
        last = [await log.take(report(at=NOON + step)) for step in range(1, 6)][-1]
        await log.telemetry.seal_all()
    restore(log)
    log.now += HOUR_MS
    async with log.running():
        assert "restored" in log.stream.status(1).summary
        new = await log.take(report(at=NOON + 9))
        async with log.stream.consumer(1, "restored") as reader:
            batch = await reader.peek()
            assert batch.gap == Gap(Position(1), last, None, log.now, TRIMMED)
            await reader.commit(batch)
            batch = await reader.peek()
            assert ([each.report.at for each in batch.reports], batch.end) == ([NOON + 9], Position(new + 1))


async def test_a_reader_without_a_name_holds_nothing_and_is_told_that_something_is_missing(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await log.take(report())
        await log.telemetry.seal_all()
        await log.take(report(at=NOON + 1))
        batch = await log.stream.read(1, Position(1))
        assert batch.gap is not None
        assert (batch.gap.report_count, batch.end) == (None, Position(2))
        assert len((await log.stream.read(1, batch.end)).reports) == 1


async def test_nobody_reads_as_a_consumer_that_another_one_reads_as(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log, log.stream.consumer(1, "a"):
        with pytest.raises(ConsumerInUseError):
            async with log.stream.consumer(1, "a"):
                pass


async def test_a_consumer_that_was_removed_is_gone(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        async with log.stream.consumer(1, "a") as reader:
            await log.stream.remove(1, "a")
            with pytest.raises(UnknownConsumerError):
                await reader.peek()
        with pytest.raises(UnknownConsumerError):
            await log.stream.remove(1, "a")
        assert await log.stream.views(1) == []


@pytest.mark.parametrize("name", ["", "a b", "-a", "x" * 65, "ü"])
async def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    async with Log(tmp_path).running() as log:
        with pytest.raises(InvalidInputError):
            await log.stream.add(1, name, Start.NOW)


async def test_a_consumer_can_go_back_and_not_beyond_the_end(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log, log.stream.consumer(1, "a", Start.OLDEST) as reader:
        await log.take(report())
        await reader.commit(await reader.peek())
        await log.stream.move(1, "a", Position(1))
        assert len((await reader.peek()).reports) == 1
        with pytest.raises(BadPositionError):
            await log.stream.move(1, "a", Position(9))
        await log.stream.move(1, "a", Position(2))
        await log.stream.tend()
        await log.telemetry.seal_all()
        moved = await log.stream.move(1, "a", Position(1))
        assert moved.gap is not None
        assert moved.gap.report_count is None


async def test_erased_reports_are_given_to_nobody_and_others_stay(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log, log.stream.consumer(1, "a", Start.OLDEST) as reader:
        await log.take(report("private"), report("other"), report("private"), report("other", NOON + 1))
        await reader.commit(await reader.peek(most=1))
        await log.telemetry.forget(lambda: log.database.write(keeping_queries.insert_erasures, 1, ["private"], log.now))
        batch = await reader.peek()
        assert [taken.report.device_id for taken in batch.reports] == ["other", "other"]


async def test_a_filter_hides_reports_and_the_reader_goes_on(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log, log.stream.consumer(1, "a", Start.OLDEST) as reader:
        await log.take(report("a"), report("b"), report("c"))
        batch = await reader.peek(Wanted(frozenset({"b"})))
        assert [taken.report.device_id for taken in batch.reports] == ["b"]
        await reader.commit(batch)
        assert (await reader.peek()).is_empty


async def test_a_damaged_record_is_a_gap(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await log.take(report())
        await log.database.write(
            lambda connection: connection.execute("UPDATE log SET record = x'00' WHERE tenant_id = 1")
        )
        await log.take(report(at=NOON + 1))
        batch = await log.stream.read(1, Position(1))
        assert batch.gap is not None
        assert batch.gap.through_log_id == 1
        assert len((await log.stream.read(1, batch.end)).reports) == 1


async def test_a_tenant_reads_its_own_log_and_holds_its_own_alone(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await log.database.write(
            lambda connection: connection.execute(
                "INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'second', 0)"
            )
        )
        await log.stream.add(2, "other", Start.OLDEST)
        await log.take(report())
        assert (await log.stream.read(2, Position(1))).is_empty
        assert await log.stream.views(1) == []
        await log.telemetry.seal_all()
        assert (await log.stream.read(1, Position(1))).gap


async def test_who_lags_far_behind_is_named_before_anything_is_lost(tmp_path: Path) -> None:
    async with Log(tmp_path).running() as log:
        await log.stream.add(1, "slow", Start.OLDEST)
        await log.take(*[report(at=NOON + n) for n in range(5)])
        log.hold(100)
        log.now += 3_000
        await log.stream.tend()
        status = log.stream.status()
        assert (status.ok, status.is_serving) == (False, True)
        assert "kept for consumers: 1 consumer" in status.summary
        assert "kept for consumers: slow" in log.stream.status(1).summary
        assert (status.details["lag_reports"], status.details["lag_ms"]) == (5, 3_000)
        assert list(log.stream.parts()) == ["stream"]
