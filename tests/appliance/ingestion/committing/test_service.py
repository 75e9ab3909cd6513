import asyncio
import secrets
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from appliance.config import IngestionConfig
from appliance.ingestion.service import OVERTAKEN_MS
from appliance.store.database import Afterwards, UnwritableError, nothing_left
from broker.message import Message
from broker.ports import Turn
from tests.appliance.ingestion.examples import message, turn
from tests.appliance.ingestion.gateway import TOGETHER, ingesting, until


class Desk:
    """A room that writes down who asks; it fails at what it is told to fail at."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.unserved_topics: list[str] = []
        self.most = 2_000
        """Requests that can be done together."""

    def unserved(self, message: Message) -> None:
        self.unserved_topics.append(message.topic)

    def takes(self, topic: str) -> bool:
        return topic.startswith("$aws/desk/")

    def apply(self, messages: Sequence[Message], connection: sqlite3.Connection, now: int) -> Afterwards:
        topics = [one.topic for one in messages]
        for topic in topics:
            connection.execute("CREATE TABLE IF NOT EXISTS asked (topic TEXT, at INTEGER)")
            connection.execute("INSERT INTO asked VALUES (?, ?)", (topic, now))
        if len(messages) > self.most or any(one.payload == b"fail" for one in messages):
            raise ValueError(f"asked to fail at {topics[0]}")
        return lambda: self.told.extend(topics)


def asking(topic: str, payload: bytes = b"") -> Message:
    return message(payload, topic=topic)


async def test_what_clients_ask_for_is_on_disk_before_they_are_acknowledged_and_told_after(tmp_path: Path) -> None:
    desk = Desk()
    seen: list[tuple[list[str], int]] = []
    async with ingesting(tmp_path) as gateway:
        gateway.ingestion.company.rooms = (desk,)
        gateway.broker.on_acknowledge = lambda: seen.append(
            (list(desk.told), len(gateway.on_disk("SELECT topic FROM asked")))
        )
        gateway.ingestion.accept(turn([asking("$aws/desk/1"), asking("$aws/other"), asking("$aws/desk/2")], ["asked"]))
        await gateway.broker.until(lambda broker: broker.receipts == ["asked"])
        await gateway.ingestion.together(lambda _, __: lambda: None)
    assert seen == [([], 2)]
    assert desk.told == ["$aws/desk/1", "$aws/desk/2"]


async def test_a_room_that_fails_loses_what_it_wrote_and_nobody_else_anything(tmp_path: Path) -> None:
    desk = Desk()
    async with ingesting(tmp_path) as gateway:
        gateway.ingestion.company.rooms = (desk,)
        gateway.ingestion.accept(turn([asking("$aws/desk/1", b"fail"), message({"flow": 1})], ["both"]))
        await gateway.broker.until(lambda broker: broker.receipts == ["both"])
    assert desk.told == []
    assert gateway.messages_on_disk() == 1
    assert gateway.on_disk("SELECT name FROM sqlite_master WHERE name = 'asked'") == []


async def test_what_fails_together_is_done_in_halves_and_costs_nobody_else_anything(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk()
    payloads = {"1": b"", "2": b"fail", "3": b"", "4": b"fail", "5": b""}
    seen: list[list[str]] = []
    async with ingesting(tmp_path) as gateway:
        gateway.ingestion.company.rooms = (desk,)
        gateway.broker.on_acknowledge = lambda: seen.append(list(desk.told))
        asked = [asking(f"$aws/desk/{name}", payload) for name, payload in payloads.items()]
        gateway.ingestion.accept(turn([*asked, message({"flow": 1})], ["all"]))
        await gateway.broker.until(lambda broker: broker.receipts == ["all"])
        await gateway.ingestion.together(lambda _, __: lambda: None)
        good = ["$aws/desk/1", "$aws/desk/3", "$aws/desk/5"]
        assert gateway.on_disk("SELECT topic FROM asked ORDER BY rowid") == [(topic,) for topic in good]
    assert seen == [[]]
    assert desk.told == good
    assert desk.unserved_topics == ["$aws/desk/2", "$aws/desk/4"]
    assert gateway.messages_on_disk() == 1
    [record] = [one for one in caplog.records if one.levelname == "ERROR"]
    assert "requests failed count=2 error=ValueError" in record.getMessage()
    assert "in apply" in record.getMessage()
    assert "desk/2" not in caplog.text


async def test_what_can_be_done_apart_but_not_together_is_done_in_its_order_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    desk = Desk()
    desk.most = 2
    topics = [f"$aws/desk/{number}" for number in range(7)]
    async with ingesting(tmp_path) as gateway:
        gateway.ingestion.company.rooms = (desk,)
        gateway.ingestion.accept(turn([asking(topic) for topic in topics], ["all"]))
        await gateway.broker.until(lambda broker: broker.receipts == ["all"])
        await gateway.ingestion.together(lambda _, __: lambda: None)
        assert gateway.on_disk("SELECT topic FROM asked ORDER BY rowid") == [(topic,) for topic in topics]
    assert (desk.told, desk.unserved_topics) == (topics, [])
    assert "requests failed count=1 error=ValueError" in caplog.text


async def test_while_the_disk_is_full_requests_wait_and_are_not_done_in_halves(tmp_path: Path) -> None:
    desk = Desk()
    tried: list[int] = []
    apply = desk.apply

    def counted(messages: Sequence[Message], connection: sqlite3.Connection, now: int) -> Afterwards:
        tried.append(len(messages))
        for _ in messages:
            connection.execute("INSERT INTO bulk VALUES (?)", (secrets.token_bytes(30_000),))
        return apply(messages, connection, now)

    desk.apply = counted  # type: ignore[method-assign]
    async with ingesting(tmp_path) as gateway:
        await gateway.database.write(lambda connection: connection.execute("CREATE TABLE bulk (bytes BLOB)"))
        gateway.ingestion.company.rooms = (desk,)
        await gateway.limit_pages(2)
        gateway.ingestion.accept(turn([asking("$aws/desk/1"), asking("$aws/desk/2")], ["late"]))
        await until(lambda: not gateway.ingestion.status().ok)
        assert (gateway.broker.receipts, desk.told) == ([], [])
        await gateway.limit_pages(None)
        await gateway.broker.until(lambda broker: broker.receipts == ["late"])
        await gateway.ingestion.together(lambda _, __: lambda: None)
    assert set(tried) == {2}
    assert desk.told == ["$aws/desk/1", "$aws/desk/2"]


async def test_an_errand_is_done_in_the_transaction_and_its_rest_afterwards(tmp_path: Path) -> None:
    done: list[str] = []

    def work(connection: sqlite3.Connection, now: int) -> Afterwards:
        connection.execute("CREATE TABLE errand (at INTEGER)")
        connection.execute("INSERT INTO errand VALUES (?)", (now,))
        return lambda: done.append("told")

    async with ingesting(tmp_path) as gateway:
        await gateway.ingestion.together(work)
        assert done == ["told"]
        assert gateway.on_disk("SELECT at FROM errand") == [(gateway.now,)]


async def test_whoever_waits_for_an_errand_hears_how_it_failed(tmp_path: Path) -> None:
    def work(connection: sqlite3.Connection, _: int) -> Afterwards:
        connection.execute("CREATE TABLE errand (at INTEGER)")
        raise ValueError("no such thing")

    def rest(_: sqlite3.Connection, __: int) -> Afterwards:
        def tell() -> None:
            raise ValueError("cannot be told")

        return tell

    async with ingesting(tmp_path) as gateway:
        with pytest.raises(ValueError, match="no such thing"):
            await gateway.ingestion.together(work)
        with pytest.raises(ValueError, match="cannot be told"):
            await gateway.ingestion.together(rest)
        assert gateway.on_disk("SELECT name FROM sqlite_master WHERE name = 'errand'") == []


async def test_while_the_disk_is_full_whoever_waits_for_an_errand_is_told_so(tmp_path: Path) -> None:
    done: list[int] = []

    def work(_: sqlite3.Connection, now: int) -> Afterwards:
        return lambda: done.append(now)

    async with ingesting(tmp_path, IngestionConfig(commit_interval_ms=0)) as gateway:
        await gateway.limit_pages(2)
        large = {f"text_{number}": secrets.token_hex(1_500) for number in range(20)}
        gateway.ingestion.accept(turn([message({"flow": 1, **large})], ["late"]))
        with pytest.raises(UnwritableError):
            await gateway.ingestion.together(work)
        with pytest.raises(UnwritableError):
            await gateway.ingestion.together(work)
        await gateway.limit_pages(None)
        await gateway.broker.until(lambda broker: broker.receipts == ["late"])
        assert done == []
        await gateway.ingestion.together(work)
    assert len(done) == 1


@pytest.mark.parametrize("waited_ms", [-1, 0, OVERTAKEN_MS - 1, OVERTAKEN_MS])
async def test_what_comes_first_overtakes_messages_unless_they_wait_too_long(tmp_path: Path, waited_ms: int) -> None:
    seen: list[list[object]] = []
    async with ingesting(tmp_path, TOGETHER) as gateway:
        gateway.ingestion.accept(turn([message({"flow": 1})], ["late"]))
        gateway.now += waited_ms
        await gateway.ingestion.first(lambda _, __: lambda: seen.append(list(gateway.broker.receipts)))
        is_overtaken = 0 <= waited_ms < OVERTAKEN_MS
        assert seen == [[] if is_overtaken else ["late"]]
        assert gateway.messages_on_disk() == (0 if is_overtaken else 1)
    assert gateway.broker.receipts == ["late"]
    assert gateway.messages_on_disk() == 1


async def test_whoever_comes_first_may_go_on_before_the_messages_that_came_meanwhile(tmp_path: Path) -> None:
    seen: list[list[object]] = []
    async with ingesting(tmp_path, IngestionConfig(commit_interval_ms=0, batch_messages=1)) as gateway:
        for number in range(3):
            arriving = turn([message({"flow": number})], [f"late {number}"])

            def rest(arriving: Turn = arriving) -> None:
                seen.append(list(gateway.broker.receipts))
                gateway.ingestion.accept(arriving)

            await gateway.ingestion.first(lambda _, __, rest=rest: rest)  # type: ignore[misc]
        await gateway.broker.until(lambda broker: len(broker.receipts) == 3)
    assert seen == [[], [], []]


@pytest.mark.parametrize(
    ("statement", "told"),
    [("SELECT CAST(x'c1c1' AS TEXT)", "decode"), ("SELECT json_quote(x'70')", "JSON")],
    ids=["a row that is no text", "a value with which a statement cannot be done"],
)
async def test_what_a_row_has_ends_one_errand_and_neither_the_batch_nor_the_gateway(
    tmp_path: Path, statement: str, told: str
) -> None:
    def unreadable(connection: sqlite3.Connection, _: int) -> Afterwards:
        connection.execute("CREATE TABLE errand (at INTEGER)")
        connection.execute(statement).fetchall()
        raise AssertionError

    async with ingesting(tmp_path) as gateway:
        with pytest.raises(sqlite3.OperationalError, match=told):
            await gateway.ingestion.together(unreadable)
        assert gateway.on_disk("SELECT name FROM sqlite_master WHERE name = 'errand'") == []
        gateway.ingestion.accept(turn([message({"flow": 1})], ["one"]))
        await gateway.broker.until(lambda broker: broker.receipts == ["one"])
    assert gateway.messages_on_disk() == 1


async def test_requests_are_heard_of_in_their_order_once_they_are_acknowledged(tmp_path: Path) -> None:
    heard: list[tuple[str, list[object]]] = []
    topics = ("$aws/certificates/create/json", "sensors/pump/telemetry", "other", "$aws/things/pump/jobs/get")
    async with ingesting(tmp_path) as gateway:
        gateway.ingestion.requested = lambda messages: heard.extend(
            (each.topic, list(gateway.broker.receipts)) for each in messages
        )
        gateway.ingestion.accept(turn([message({"flow": 1}, topic=topic) for topic in topics], ["receipt"]))
    assert heard == [(topics[0], ["receipt"]), (topics[3], ["receipt"])]


@pytest.mark.parametrize(("commit_ms", "answer_ms"), [(60_000, 1), (1, 60_000)])
async def test_a_batch_with_a_request_waits_for_the_shorter_interval(
    tmp_path: Path, commit_ms: int, answer_ms: int
) -> None:
    config = IngestionConfig(commit_interval_ms=commit_ms, answer_interval_ms=answer_ms)
    async with ingesting(tmp_path, config) as gateway:
        gateway.ingestion.accept(turn([message({"flow": 1})], ["told"]))
        await asyncio.sleep(0)
        gateway.ingestion.accept(turn([asking("$aws/things/pump/shadow/get")], ["asked"]))
        await gateway.broker.until(lambda broker: broker.receipts == ["told", "asked"])


async def test_what_failed_in_the_middle_of_a_question_holds_the_file_at_nothing(tmp_path: Path) -> None:
    def work(connection: sqlite3.Connection, _now: int) -> Afterwards:
        [int(f"no {number}") for (number,) in connection.execute("SELECT tenant_id FROM tenant UNION ALL SELECT 2")]
        return nothing_left

    async with ingesting(tmp_path) as gateway:
        with pytest.raises(ValueError, match="no 1") as caught:
            await gateway.ingestion.together(work)
        checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)"
        [busy, *_] = await gateway.database.maintain(lambda connection: connection.execute(checkpoint).fetchone())
        # As long as anybody has the error.
        assert (busy, type(caught.value)) == (0, ValueError)
