import asyncio
import secrets
import sqlite3
import time
from pathlib import Path

import pytest

from appliance.alerts.model import NewRule
from appliance.config import IngestionConfig
from appliance.ingestion.backlog import BATCH_BYTES
from appliance.ingestion.service import EARLY_WEIGHT
from appliance.ingestion.settling.service import WAITING_LIMIT
from appliance.store.database import Afterwards, UnwritableError, nothing_left
from broker.message import Message
from broker.ports import Turn
from tests.appliance.ingestion.examples import NOW, message, turn
from tests.appliance.ingestion.gateway import Gateway, ingesting, until

FOUR = IngestionConfig(commit_interval_ms=0, batch_messages=4)
AT_MOST = 4 * (1 + WAITING_LIMIT)
"""Messages that are decided while the disk is busy: those of a batch on its way, and of those that wait."""


def each(numbers: range, **more: object) -> list[Turn]:
    """A turn for each number, with a message that tells it and a receipt."""
    return [turn([message({"flow": number, "timestamp": NOW + number, **more})], [number]) for number in numbers]


async def given_to(gateway: Gateway, turns: list[Turn]) -> None:
    for one in turns:
        gateway.ingestion.accept(one)
        await asyncio.sleep(0)


async def all_decided(gateway: Gateway, left: int = 0) -> None:
    await until(lambda: gateway.ingestion._backlog.weight <= left)


async def test_full_batches_are_decided_while_the_disk_is_busy(tmp_path: Path) -> None:
    async with ingesting(tmp_path, FOUR) as gateway:
        async with gateway.disk_busy():
            await given_to(gateway, each(range(AT_MOST + 10)))
            await all_decided(gateway, 10)
            for _ in range(50):
                await asyncio.sleep(0)
            assert gateway.ingestion._backlog.weight == 10
            assert (gateway.broker.receipts, gateway.telemetry.latest(1, "pump")) == ([], {})
            gateway.now += 700
            assert gateway.ingestion.rates().lag_ms == 700
        await gateway.broker.until(lambda broker: len(broker.receipts) == AT_MOST + 10)
        assert gateway.broker.receipts == list(range(AT_MOST + 10))
    counts = [count for (count,) in gateway.on_disk("SELECT message_count FROM log ORDER BY log_id")]
    assert counts[: 1 + WAITING_LIMIT] == [4] * (1 + WAITING_LIMIT)
    assert sum(counts) == AT_MOST + 10
    assert gateway.telemetry.latest(1, "pump")["flow"].value == AT_MOST + 9


async def test_few_that_come_while_the_disk_is_busy_go_together(tmp_path: Path) -> None:
    async with ingesting(tmp_path, FOUR) as gateway:
        async with gateway.disk_busy():
            await given_to(gateway, each(range(1)))
            await all_decided(gateway)
            for one in each(range(1, 4)):
                await given_to(gateway, [one])
                for _ in range(20):
                    await asyncio.sleep(0)
        await gateway.broker.until(lambda broker: len(broker.receipts) == 4)
    assert gateway.on_disk("SELECT message_count FROM log ORDER BY log_id") == [(1,), (3,)]


async def test_large_messages_do_not_wait_decided_in_any_number(tmp_path: Path) -> None:
    async with ingesting(tmp_path, FOUR) as gateway:
        large = each(range(12), text="x" * (BATCH_BYTES // 4))
        async with gateway.disk_busy():
            await given_to(gateway, large)
            await all_decided(gateway, 4)
            for _ in range(50):
                await asyncio.sleep(0)
            assert gateway.ingestion._backlog.weight == 4
        await gateway.broker.until(lambda broker: len(broker.receipts) == 12)


async def test_a_batch_is_acknowledged_while_the_next_one_goes_to_the_disk(tmp_path: Path) -> None:
    seen: list[int] = []
    async with ingesting(tmp_path, FOUR) as gateway:

        def acknowledged() -> None:
            # The loop stands still here: only what the writer was given before gets to the disk.
            wanted, ended_at = min(len(gateway.broker.receipts) + 4, 8), time.monotonic() + 10
            while gateway.messages_on_disk() < wanted and time.monotonic() < ended_at:
                pass
            seen.append(gateway.messages_on_disk())

        gateway.broker.on_acknowledge = acknowledged
        async with gateway.disk_busy():
            await given_to(gateway, each(range(8)))
            await all_decided(gateway)
        await gateway.broker.until(lambda broker: len(broker.receipts) == 8)
    assert seen == [8, 8]


async def test_what_cannot_be_written_is_overtaken_by_nothing(tmp_path: Path) -> None:
    async with ingesting(tmp_path, FOUR) as gateway:
        texts = {f"text_{number}": secrets.token_hex(1_500) for number in range(20)}
        await gateway.limit_pages(2)
        await given_to(gateway, each(range(4), **texts))
        await until(lambda: not gateway.ingestion.status().ok)
        await given_to(gateway, each(range(4, 12)))
        await all_decided(gateway)
        with pytest.raises(UnwritableError):
            await gateway.ingestion.together(lambda *_: nothing_left)
        assert (gateway.messages_on_disk(), gateway.broker.receipts) == (0, [])
        await gateway.limit_pages(None)
        await gateway.broker.until(lambda broker: len(broker.receipts) == 12)
        assert gateway.ingestion.status().ok
    assert gateway.broker.receipts == list(range(12))
    assert gateway.on_disk("SELECT message_count FROM log ORDER BY log_id") == [(4,), (4,), (4,)]


async def test_an_errand_is_done_when_all_before_it_is_remembered(tmp_path: Path) -> None:
    seen: list[object] = []
    async with ingesting(tmp_path, FOUR) as gateway:

        def work(_: sqlite3.Connection, __: int) -> Afterwards:
            known = gateway.telemetry.latest(1, "pump")["flow"].value
            seen.append((known, len(gateway.broker.receipts), gateway.ingestion._backlog.weight))
            return lambda: seen.append(gateway.ingestion._backlog.weight)

        async with gateway.disk_busy():
            await given_to(gateway, each(range(8)))
            await all_decided(gateway)
            asking = asyncio.create_task(gateway.ingestion.together(work))
            await asyncio.sleep(0)
            await given_to(gateway, each(range(8, 20)))
        await asking
        # What came after those it went with waits until it is told.
        assert seen == [(7, 8, 8), 8]
        await gateway.broker.until(lambda broker: len(broker.receipts) == 20)


async def test_a_reading_that_comes_again_while_the_first_waits_is_kept_once(tmp_path: Path) -> None:
    async with ingesting(tmp_path, FOUR) as gateway:
        readings = [message({"flow": number, "timestamp": NOW - 20 + number}) for number in range(4)]
        fresh = message({"flow": 9, "timestamp": NOW})
        async with gateway.disk_busy():
            for messages in (readings, [*readings[:3], fresh], readings):
                await given_to(gateway, [turn(messages, messages)])
            await all_decided(gateway)
        await gateway.broker.until(lambda broker: len(broker.receipts) == 12)
    assert gateway.on_disk("SELECT message_count FROM log ORDER BY log_id") == [(4,), (1,)]


async def test_an_alert_opens_once_however_many_batches_wait(tmp_path: Path) -> None:
    rule = NewRule(
        name="High", metric="pressure", operator="GREATER_THAN", threshold=60, hold_ms=0, severity="high", recipients=()
    )

    def pressures(values: list[int], at: int) -> list[Message]:
        return [message({"pressure": value, "timestamp": at + place}) for place, value in enumerate(values)]

    async with ingesting(tmp_path, FOUR) as gateway:
        await gateway.alerts.add_rule(1, rule)
        async with gateway.disk_busy():
            for place, values in enumerate(([1, 1, 1, 99], [99, 99, 99, 99], [99, 1, 1, 1], [1, 1, 1, 1])):
                messages = pressures(values, NOW + 10 * place)
                await given_to(gateway, [turn(messages, messages)])
            await all_decided(gateway)
        await gateway.broker.until(lambda broker: len(broker.receipts) == 16)
        assert gateway.alerts.book.firing_count(1) == 0
    assert gateway.on_disk("SELECT opened_at, resolved_at FROM alert") == [(NOW + 3, NOW + 21)]


async def test_all_that_waits_is_settled_when_it_stops(tmp_path: Path) -> None:
    async with ingesting(tmp_path, FOUR) as gateway, gateway.disk_busy():
        await given_to(gateway, each(range(AT_MOST + 10)))
        await all_decided(gateway, 10)
    assert gateway.broker.receipts == list(range(AT_MOST + 10))
    assert gateway.messages_on_disk() == AT_MOST + 10


async def test_an_errand_that_goes_first_goes_ahead_of_those_that_wait(tmp_path: Path) -> None:
    seen: list[int] = []
    async with ingesting(tmp_path, FOUR) as gateway:

        def work(connection: sqlite3.Connection, _: int) -> Afterwards:
            [(count,)] = connection.execute("SELECT count(*) FROM log").fetchall()
            seen.append(count)
            return nothing_left

        async with gateway.disk_busy():
            await given_to(gateway, each(range(AT_MOST)))
            await all_decided(gateway)
            asking = [asyncio.create_task(gateway.ingestion.first(work)) for _ in range(2)]
            await asyncio.sleep(0)
            # This one waits until those are told.
            await until(lambda: not gateway.ingestion.company.has_first)
            asking.append(asyncio.create_task(gateway.ingestion.first(work)))
            for _ in range(20):
                await asyncio.sleep(0)
            assert gateway.ingestion.company.has_first
        await asyncio.gather(*asking)
        assert seen[:2] == [1, 1]
        assert 2 <= seen[2] < 1 + WAITING_LIMIT
        await gateway.broker.until(lambda broker: len(broker.receipts) == AT_MOST)
        assert gateway.broker.receipts == list(range(AT_MOST))
        await gateway.ingestion.settled()


async def test_whoever_waits_when_the_disk_fills_up_is_told(tmp_path: Path) -> None:
    async with ingesting(tmp_path, FOUR) as gateway:
        texts = {f"text_{number}": secrets.token_hex(1_500) for number in range(20)}
        await gateway.limit_pages(2)
        async with gateway.disk_busy():
            await given_to(gateway, each(range(8), **texts))
            await all_decided(gateway)
            tasks = [
                asyncio.create_task(ask(lambda *_: nothing_left))
                for ask in (gateway.ingestion.together, gateway.ingestion.first)
            ]
            await asyncio.sleep(0)
        told = await asyncio.wait_for(asyncio.gather(*tasks, return_exceptions=True), 30)
        assert [type(each) for each in told] == [UnwritableError] * 2
        await gateway.limit_pages(None)
        await gateway.broker.until(lambda broker: len(broker.receipts) == 8)


async def test_what_comes_while_it_stops_is_settled(tmp_path: Path) -> None:
    async with ingesting(tmp_path, FOUR) as gateway:
        more = each(range(1, 8))
        asked: list[asyncio.Task[None]] = []

        def acknowledged() -> None:
            if more:
                gateway.ingestion.accept(more.pop(0))
                asked.append(asyncio.create_task(gateway.ingestion.together(lambda *_: nothing_left)))

        gateway.broker.on_acknowledge = acknowledged
        gateway.ingestion.accept(each(range(1))[0])
    assert gateway.broker.receipts == list(range(8))
    assert gateway.messages_on_disk() == 8
    assert [task.done() for task in asked] == [True] * 7


async def test_what_a_person_changes_is_seen_by_what_waits_to_be_decided(tmp_path: Path) -> None:
    """And not what a batch had left that was committed in the meantime."""
    rule = NewRule(
        name="High", metric="pressure", operator="GREATER_THAN", threshold=60, hold_ms=0, severity="high", recipients=()
    )
    in_hand = [turn([message({"flow": number})]) for number in range(EARLY_WEIGHT)]
    config = IngestionConfig(commit_interval_ms=60_000, batch_messages=2 * EARLY_WEIGHT)
    async with ingesting(tmp_path, config) as gateway:
        limit = await gateway.alerts.add_rule(1, rule)
        async with gateway.disk_busy():
            await given_to(gateway, [turn([message({"pressure": 99})] * 2 * EARLY_WEIGHT, ["full"])])
            await all_decided(gateway)
            await given_to(gateway, in_hand)
            await until(lambda: gateway.ingestion._backlog.waiting_weight < EARLY_WEIGHT)
        await gateway.broker.until(lambda broker: broker.receipts == ["full"])
        await until(lambda: gateway.alerts.firing_count(1) == 1)
        for enabled in (False, True):
            await gateway.alerts.set_enabled(1, limit.rule_id, enabled=enabled)
        await given_to(gateway, [turn([message({"pressure": 99, "timestamp": NOW + 10})] * EARLY_WEIGHT, ["more"])])
        await gateway.broker.until(lambda broker: "more" in broker.receipts)
        await until(lambda: gateway.alerts.firing_count(1) == 1)
