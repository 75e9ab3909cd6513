import asyncio
import secrets
import sqlite3
from pathlib import Path

import msgspec
import pytest

from appliance.alerts.model import AlertOpened, AlertResolved, NewRule
from appliance.config import IngestionConfig
from appliance.ingestion.backlog import BYTES_LIMIT
from appliance.ingestion.model import PresenceChanged, Problem, ProblemsWritten
from appliance.ingestion.pieces import PIECE_MESSAGES
from appliance.ingestion.service import MISHAPS_LIMIT
from appliance.notifications.model import NoticesQueued
from appliance.telemetry import log_record
from appliance.telemetry.model import ReportsCommitted
from broker.changes import Change, ChangeKey, SessionKept
from broker.message import Message
from broker.ports import Connected, Disconnected, Refused, Turn
from tests.appliance.ingestion.examples import NOW, message, turn
from tests.appliance.ingestion.gateway import AT_ONCE, TOGETHER, built, ingesting, until

RULE = NewRule(
    name="High pressure",
    metric="pressure",
    operator="GREATER_THAN",
    threshold=60,
    hold_ms=10_000,
    severity="high",
    recipients=("maria@example.com", "juan@example.com"),
)


class BodyBrokenError(Exception):
    """Raised by whoever lets ingestion run."""


def numbered(end: int, start: int = 0) -> Turn:
    """Messages that count, with a receipt each."""
    return turn([message({"flow": number}) for number in range(start, end)], range(start, end))


def pressure(value: float, after_ms: int) -> Message:
    return message({"pressure": value, "timestamp": NOW + after_ms})


def session_kept(number: int) -> dict[ChangeKey, Change]:
    return {("session", number, 0): SessionKept(number, 1, "pump", "pump", 60, None)}


def refused(client_id: str, *, principal: str = "", kind: str = "publish_denied", address: str = "10.0.0.9") -> Refused:
    return Refused(1, principal, client_id, address, kind, "it may not", NOW)


async def test_a_message_is_acknowledged_only_once_another_program_sees_it_on_disk(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    async with ingesting(tmp_path) as gateway:
        broker = gateway.broker
        broker.on_acknowledge = lambda: seen.append((len(broker.receipts), gateway.messages_on_disk()))
        for first in range(0, 30, 3):
            gateway.ingestion.accept(numbered(first + 3, first))
            await asyncio.sleep(0)
        await broker.until(lambda broker: len(broker.receipts) == 30)
    assert all(acknowledged <= on_disk for acknowledged, on_disk in seen)


async def test_nothing_is_acknowledged_or_remembered_while_the_commit_is_under_way(tmp_path: Path) -> None:
    async with ingesting(tmp_path) as gateway:
        async with gateway.disk_busy():
            gateway.ingestion.accept(numbered(3))
            await until(lambda: not gateway.ingestion._backlog)
            for _ in range(20):
                await asyncio.sleep(0)
            assert gateway.broker.receipts == []
            assert gateway.telemetry.latest(1, "pump") == {}
            gateway.now += 700
            assert gateway.ingestion.rates().lag_ms == 700
        await gateway.broker.until(lambda broker: broker.receipts == [0, 1, 2])
        assert gateway.telemetry.latest(1, "pump")["flow"].value is not None
        assert gateway.ingestion.rates().lag_ms == 0
        assert gateway.ingestion.rates().lag_p95_ms == 700


async def test_receipts_come_back_once_each_in_the_order_of_arrival(tmp_path: Path) -> None:
    count = 3 * PIECE_MESSAGES
    async with ingesting(tmp_path, IngestionConfig(commit_interval_ms=0, batch_messages=400)) as gateway:
        start = 0
        for size in (1, 2, 600, 7, 140):
            gateway.ingestion.accept(numbered(start + size, start))
            start += size
            await asyncio.sleep(0)
        assert start == count
    assert gateway.broker.receipts == list(range(count))
    rows = gateway.on_disk("SELECT record, tenant_id FROM log ORDER BY log_id")
    reports = [report for record, tenant_id in rows for report in log_record.decode(record, tenant_id)]
    assert [report.values["flow"] for report in reports] == list(range(count))


async def test_what_nobody_waits_for_is_kept_and_what_is_no_telemetry_is_acknowledged(tmp_path: Path) -> None:
    other = message({"flow": 1}, topic="fw/pump/status")
    async with ingesting(tmp_path) as gateway:
        gateway.ingestion.accept(turn([message({"flow": 1}), other, message(b"{")], ["other", "bad"]))
    assert gateway.broker.receipts == ["other", "bad"]
    assert gateway.messages_on_disk() == 1


async def test_what_a_turn_changes_is_on_disk_exactly_when_it_is_acknowledged(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    async with ingesting(tmp_path) as gateway:
        broker = gateway.broker
        broker.on_acknowledge = lambda: seen.append(
            (len(broker.receipts), len(gateway.on_disk("SELECT * FROM session")))
        )
        for number in range(1, 31):
            gateway.ingestion.accept(turn([], [number], session_kept(number)))
            await asyncio.sleep(0)
        await broker.until(lambda broker: len(broker.receipts) == 30)
    assert all(acknowledged == on_disk for acknowledged, on_disk in seen)
    assert gateway.broker.receipts == list(range(1, 31))


async def test_a_turn_is_committed_whole_however_many_messages_it_has(tmp_path: Path) -> None:
    config = msgspec.structs.replace(TOGETHER, batch_messages=4)
    async with ingesting(tmp_path, config) as gateway:
        gateway.ingestion.accept(turn([message({"flow": 1})] * 3, ["a"], session_kept(1)))
        gateway.ingestion.accept(turn([message({"flow": 1})] * 6, ["b"], session_kept(2)))
        gateway.ingestion.accept(turn([message({"flow": 1})], ["c"], session_kept(3)))
        await gateway.broker.until(lambda broker: broker.receipts == ["a", "b"])
        assert gateway.on_disk("SELECT message_count FROM log") == [(9,)]
        assert gateway.on_disk("SELECT session_number FROM session") == [(1,), (2,)]
    assert gateway.on_disk("SELECT message_count FROM log") == [(9,), (1,)]
    assert gateway.broker.receipts == ["a", "b", "c"]


async def test_a_batch_waits_for_company_until_it_is_full(tmp_path: Path) -> None:
    config = msgspec.structs.replace(TOGETHER, batch_messages=4)
    async with ingesting(tmp_path, config) as gateway:
        for number in range(4):
            assert gateway.messages_on_disk() == 0
            gateway.ingestion.accept(numbered(number + 1, number))
            await asyncio.sleep(0)
        await gateway.broker.until(lambda broker: len(broker.receipts) == 4)
        assert len(gateway.on_disk("SELECT * FROM log")) == 1


async def test_a_clock_that_is_set_back_keeps_no_batch_waiting(tmp_path: Path) -> None:
    async with ingesting(tmp_path, IngestionConfig(commit_interval_ms=1)) as gateway:
        gateway.now -= 3_600_000
        gateway.ingestion.accept(numbered(1))
        await gateway.broker.until(lambda broker: broker.receipts == [0])


async def test_a_full_backlog_pauses_reading_until_half_of_it_is_gone(tmp_path: Path) -> None:
    config = IngestionConfig(commit_interval_ms=0, batch_messages=4, backlog_messages=10)
    left: list[int] = []
    async with ingesting(tmp_path, config) as gateway:
        gateway.broker.on_resume = lambda: left.append(gateway.ingestion._backlog.weight)
        async with gateway.disk_busy():
            for number in range(9):
                gateway.ingestion.accept(numbered(number + 1, number))
            assert gateway.broker.turns == []
            for number in range(9, 20):
                gateway.ingestion.accept(numbered(number + 1, number))
            assert gateway.broker.turns == ["pause"]
        await gateway.broker.until(lambda broker: len(broker.receipts) == 20)
        assert gateway.broker.turns == ["pause", "resume"]
        assert left == [4]
        gateway.ingestion.accept(numbered(12))
        assert gateway.broker.turns == ["pause", "resume", "pause"]


async def test_few_large_messages_pause_reading_as_many_small_ones_do(tmp_path: Path) -> None:
    count = 8
    async with ingesting(tmp_path) as gateway:
        async with gateway.disk_busy():
            large = [message(b" " * (BYTES_LIMIT // count)) for _ in range(count)]
            gateway.ingestion.accept(turn(large[:-1]))
            assert gateway.broker.turns == []
            gateway.ingestion.accept(turn(large[-1:]))
            assert gateway.broker.turns == ["pause"]
        await gateway.broker.until(lambda broker: broker.turns == ["pause", "resume"])
        assert not gateway.ingestion._backlog.is_filled(2)


async def test_stopping_commits_and_acknowledges_what_waits(tmp_path: Path) -> None:
    async with ingesting(tmp_path, TOGETHER) as gateway:
        gateway.ingestion.accept(numbered(5_000))
        gateway.ingestion.note(refused("pump"))
    assert gateway.broker.receipts == list(range(5_000))
    assert gateway.messages_on_disk() == 5_000
    assert gateway.on_disk("SELECT device_id FROM problem") == [("pump",)]


async def test_a_part_that_fails_ends_ingestion_without_draining(tmp_path: Path) -> None:
    async with built(tmp_path, TOGETHER) as gateway:

        async def body() -> None:
            async with gateway.ingesting():
                gateway.ingestion.accept(numbered(3))
                raise BodyBrokenError

        with pytest.raises(ExceptionGroup) as caught:
            await body()
        assert caught.group_contains(BodyBrokenError)
        assert gateway.broker.receipts == []
        assert gateway.messages_on_disk() == 0


async def test_a_full_disk_is_waited_for_and_nothing_is_acknowledged_meanwhile(tmp_path: Path) -> None:
    large = {f"text_{number}": secrets.token_hex(1_500) for number in range(20)}
    async with ingesting(tmp_path) as gateway:
        await gateway.alerts.add_rule(1, msgspec.structs.replace(RULE, metric="flow", threshold=0, hold_ms=0))
        await gateway.limit_pages(2)
        gateway.ingestion.accept(turn([message({"flow": 1, **large})], ["large"], session_kept(1)))
        gateway.ingestion.note(refused("pump"))
        await until(lambda: not gateway.ingestion.status().ok)
        gateway.now += 5_000
        status = gateway.ingestion.status()
        assert "gateway.db cannot be written: database or disk is full" in status.summary
        assert status.details["lag_ms"] == 5_000
        assert gateway.broker.receipts == []
        assert gateway.alerts.firing_count(1) == 0
        assert gateway.on_disk("SELECT * FROM alert") == gateway.on_disk("SELECT * FROM outbox") == []
        assert gateway.on_disk("SELECT * FROM session") == []
        await gateway.limit_pages(None)
        await gateway.broker.until(lambda broker: broker.receipts == ["large"])
        assert gateway.ingestion.status().ok
        assert gateway.messages_on_disk() == 1
        assert gateway.alerts.firing_count(1) == 1
        assert len(gateway.on_disk("SELECT * FROM alert")) == len(gateway.on_disk("SELECT * FROM session")) == 1
    assert gateway.on_disk("SELECT occurrence_count FROM problem") == [(1,)]


@pytest.mark.parametrize(
    "damage",
    [
        "DROP TABLE log",
        "CREATE TRIGGER broken BEFORE INSERT ON outbox BEGIN SELECT RAISE(ABORT, 'no'); END",
    ],
)
async def test_any_other_error_ends_ingestion_and_leaves_nothing_of_the_batch(tmp_path: Path, damage: str) -> None:
    async with built(tmp_path, AT_ONCE) as gateway:
        await gateway.alerts.add_rule(1, msgspec.structs.replace(RULE, hold_ms=0))
        await gateway.database.maintain(lambda connection: connection.execute(damage) and None)

        async def body() -> None:
            async with gateway.ingesting():
                gateway.ingestion.accept(turn([pressure(70, 0), message(b"{")], ["lost"], session_kept(1)))
                await asyncio.Event().wait()

        with pytest.raises(ExceptionGroup) as caught:
            await body()
        assert caught.group_contains(sqlite3.Error)
        assert gateway.broker.receipts == []
        assert gateway.alerts.firing_count(1) == 0
        assert gateway.telemetry.latest(1, "pump") == {}
        for table in ("alert", "alert_state", "outbox", "problem", "session", *(() if "log" in damage else ("log",))):
            assert gateway.on_disk(f"SELECT * FROM {table}") == [], table


async def test_a_breach_shorter_than_its_hold_tells_nobody(tmp_path: Path) -> None:
    async with ingesting(tmp_path) as gateway:
        await gateway.alerts.add_rule(1, RULE)
        gateway.ingestion.accept(turn([pressure(70, -30_000), pressure(70, -21_000), pressure(50, -20_500)]))
    assert gateway.on_disk("SELECT * FROM alert") == gateway.on_disk("SELECT * FROM outbox") == []


async def test_a_breach_as_long_as_its_hold_is_on_disk_with_its_alert_and_a_notice_to_each(tmp_path: Path) -> None:
    found: list[object] = []
    async with ingesting(tmp_path) as gateway:
        await gateway.alerts.add_rule(1, RULE)
        gateway.broker.on_acknowledge = lambda: found.append(
            (
                gateway.messages_on_disk(),
                gateway.on_disk("SELECT device_id, opened_value FROM alert"),
                gateway.on_disk("SELECT recipient, channel, alert_id FROM outbox ORDER BY notice_id"),
                gateway.on_disk("SELECT phase FROM alert_state"),
            )
        )
        gateway.ingestion.accept(turn([pressure(70, -20_000)], ["first"]))
        await gateway.broker.until(lambda broker: broker.receipts == ["first"])
        gateway.ingestion.accept(turn([pressure(71, -10_000)], ["second"]))
        await gateway.broker.until(lambda broker: broker.receipts == ["first", "second"])
        assert gateway.alerts.firing_count(1) == 1
    notices = [("maria@example.com", "email", 1), ("juan@example.com", "email", 1)]
    assert found == [(1, [], [], [("pending",)]), (2, [("pump", 71.0)], notices, [("firing",)])]
    [(subject, body), _] = gateway.on_disk("SELECT subject, body FROM outbox")
    assert "Pump" in subject
    assert "High pressure" in body


async def test_a_breach_that_began_before_a_restart_opens_after_it(tmp_path: Path) -> None:
    async with ingesting(tmp_path) as gateway:
        await gateway.alerts.add_rule(1, RULE)
        gateway.ingestion.accept(turn([pressure(70, -20_000)]))
    async with ingesting(tmp_path) as gateway:
        gateway.ingestion.accept(turn([pressure(0, -25_000), pressure(70, -10_000)]))
    assert gateway.on_disk("SELECT breached_at, opened_at FROM alert") == [(NOW - 20_000, NOW - 10_000)]
    assert gateway.messages_on_disk() == 3


async def test_what_was_committed_is_announced_to_those_who_asked(tmp_path: Path) -> None:
    async with ingesting(tmp_path) as gateway:
        await gateway.alerts.add_rule(1, msgspec.structs.replace(RULE, hold_ms=0))
        kinds = (ReportsCommitted, AlertOpened, AlertResolved, NoticesQueued, ProblemsWritten)
        with gateway.bus.subscribe(*kinds) as subscription:
            gateway.ingestion.accept(turn([pressure(70, 0), pressure(50, 1), message(b"{", "valve")]))
            announced = await subscription.next_batch()
    assert [type(event) for event in announced] == list(kinds)
    assert announced[-1] == ProblemsWritten(1, ("valve",))
    [committed] = [event for event in announced if isinstance(event, ReportsCommitted)]
    assert committed.counts == {1: 2}


async def test_a_refused_device_finds_the_reason_in_its_own_problems(tmp_path: Path) -> None:
    async with ingesting(tmp_path) as gateway:
        gateway.ingestion.note(refused("pump", principal="pump"))
        gateway.ingestion.note(refused("pump"))
        gateway.ingestion.note(refused("stranger", kind="will_denied", address=""))
    async with built(tmp_path) as gateway:
        problem = Problem("pump", "publish_denied", "it may not (from 10.0.0.9)", 2, NOW, NOW)
        assert await gateway.ingestion.problems(1, "pump") == [problem]
        [stranger] = await gateway.ingestion.problems(1, "")
        assert stranger.reason == "client identifier 'stranger': it may not"
        assert {each.kind for each in await gateway.ingestion.recent_problems(1, 10)} == {
            "publish_denied",
            "will_denied",
        }
        assert await gateway.ingestion.problems(2, "pump") == []


async def test_messages_that_are_not_understood_are_counted_at_their_device(tmp_path: Path) -> None:
    async with ingesting(tmp_path) as gateway:
        gateway.ingestion.accept(turn([message(b"{", "valve"), message({"flow": 1}), message(b"[", "valve")]))
    async with built(tmp_path) as gateway:
        [problem] = await gateway.ingestion.problems(1, "valve")
        assert (problem.kind, problem.occurrence_count) == ("not_json", 2)
        assert await gateway.ingestion.problems(1, "pump") == []
    assert gateway.messages_on_disk() == 1


async def test_a_flood_of_refusals_is_cut_off(tmp_path: Path) -> None:
    async with ingesting(tmp_path) as gateway:
        for number in range(MISHAPS_LIMIT + 50):
            gateway.ingestion.note(refused("stranger", kind=f"kind-{number}"))
    assert gateway.on_disk("SELECT count(*) FROM problem") == [(MISHAPS_LIMIT,)]


async def test_presence_is_known_and_announced(tmp_path: Path) -> None:
    async with built(tmp_path) as gateway:
        with gateway.bus.subscribe(PresenceChanged) as subscription:
            gateway.ingestion.note(Connected(1, "pump", "pump", "10.0.0.7", NOW))
            assert gateway.registry.presence(1, "pump").connected
            assert await subscription.next_batch() == [PresenceChanged(1, "pump", connected=True)]
            gateway.ingestion.note(Disconnected(1, "pump", "pump", "keep alive ran out", NOW))
            assert not gateway.registry.presence(1, "pump").connected
            assert await subscription.next_batch() == [PresenceChanged(1, "pump", connected=False)]


async def test_the_status_says_how_fast_messages_come_and_get_to_the_disk(tmp_path: Path) -> None:
    async with ingesting(tmp_path) as gateway:
        assert gateway.ingestion.status().summary == "0 messages/s, p95 0 ms to disk"
        gateway.ingestion.accept(numbered(50))
        await gateway.broker.until(lambda broker: len(broker.receipts) == 50)
        gateway.now += 1_000
        status = gateway.ingestion.status()
        assert status.ok
        assert status.details == {
            "messages_per_second": 5.0,
            "lag_ms": 0,
            "lag_p95_ms": 0,
            "backlog_messages": 0,
            "committed_messages": 50,
        }


async def test_where_a_rule_stands_in_memory_is_where_it_stands_on_disk(tmp_path: Path) -> None:
    async with ingesting(tmp_path) as gateway:
        await gateway.alerts.add_rule(1, msgspec.structs.replace(RULE, hold_ms=5))
        for step in range(60):
            value = 70 if step % 7 in (1, 2, 3, 5) else 50
            gateway.ingestion.accept(turn([pressure(value, step * 3 - 1_000)], [step]))
            await gateway.broker.until(lambda broker, step=step: len(broker.receipts) == step + 1)  # type: ignore[misc]
            states = gateway.alerts.book.states().values()
            assert [(state.phase,) for state in states] == gateway.on_disk("SELECT phase FROM alert_state")
    assert len(gateway.on_disk("SELECT * FROM alert")) > 3
