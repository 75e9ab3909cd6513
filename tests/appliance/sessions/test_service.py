import contextlib
import logging
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest

from appliance.sessions import queries
from appliance.sessions.service import Sessions
from appliance.store.database import Database
from broker.changes import (
    Change,
    DeliveryKept,
    IdentifierTaken,
    RetainedKept,
    SessionGone,
    StoredSession,
    SubscriptionKept,
)
from broker.packets import Subscription
from broker.ports import SessionStore
from tests.appliance.examples import stored
from tests.appliance.sessions.examples import HOUR_S, NOW, delivery, merged, message, session

FULL: list[Change] = [
    session(1, client_id="pump"),
    SubscriptionKept(1, Subscription("cmd/pump/#", 2, no_local=True, identifier=7)),
    IdentifierTaken(1, 513),
    DeliveryKept(1, delivery(5, message("cmd/pump/restart"))),
    session(2, client_id="valve"),
    DeliveryKept(2, delivery(6, message("cmd/valve/restart"))),
    RetainedKept(message("fw/pump/offer")),
]
TABLES = "SELECT count(*) FROM session", "SELECT count(*) FROM delivery", "SELECT count(*) FROM waiting_message"


async def save(database: Database, *changes: Change) -> None:
    await database.write(queries.save, merged(changes))


async def execute(database: Database, sql: str, *values: Any) -> None:
    def run(connection: sqlite3.Connection) -> None:
        connection.execute(sql, values)

    await database.write(run)


async def counted(database: Database) -> list[int]:
    def run(connection: sqlite3.Connection) -> list[int]:
        return [connection.execute(sql).fetchone()[0] for sql in TABLES]

    return await database.maintain(run)


async def handed_out(database: Database, now: int = NOW) -> tuple[list[StoredSession], list[str]]:
    """What the broker is given at a start: sessions, and the topics of retained messages."""
    async with Sessions(database, lambda: now).opened() as sessions:
        store: SessionStore = sessions
        return list(store.sessions()), [each.topic for each in store.retained()]


async def test_what_was_saved_is_handed_out_after_a_new_start(tmp_path: Path) -> None:
    async with stored(tmp_path) as database:
        await save(database, *FULL)
    async with stored(tmp_path) as database:
        [pump, valve], topics = await handed_out(database)
    assert pump == StoredSession(
        session(1),
        (Subscription("cmd/pump/#", 2, no_local=True, identifier=7),),
        (delivery(5, message("cmd/pump/restart")),),
        (513,),
    )
    assert (valve.session.client_id, valve.subscriptions, valve.deliveries[0].number) == ("valve", (), 6)
    assert topics == ["fw/pump/offer"]


async def test_one_message_for_many_is_one_value_in_memory(tmp_path: Path) -> None:
    async with stored(tmp_path) as database:
        await save(database, session(1), session(2))
        await save(database, *(DeliveryKept(number, delivery(10 + number, message(), 9)) for number in (1, 2)))
        found, _ = await handed_out(database)
    assert found[0].deliveries[0].message is found[1].deliveries[0].message


async def test_what_was_handed_out_is_forgotten(tmp_path: Path) -> None:
    async with stored(tmp_path) as database:
        await save(database, *FULL)
        async with Sessions(database, lambda: NOW).opened() as sessions:
            given = sessions.sessions()
            assert next(given).session.number == 1
            assert len(sessions._sessions) == 1
            assert [each.session.number for each in given] == [2]
            assert list(sessions.sessions()) == []
            assert [len(list(sessions.retained())) for _ in range(2)] == [1, 0]


async def test_what_was_handed_out_lives_no_longer_than_who_has_it(tmp_path: Path) -> None:
    async with stored(tmp_path) as database:
        await save(database, *FULL)
        async with Sessions(database, lambda: NOW).opened() as sessions:
            held = list(sessions.sessions())
            before = [sys.getrefcount(each) for each in held]
            retained = list(sessions.retained())
            alone = [object()]
            reference = [sys.getrefcount(each) for each in alone]
            assert before == reference * len(held)
            assert [sys.getrefcount(each) for each in retained] == reference


async def test_numbers_go_on_after_the_highest_one_that_ever_was(tmp_path: Path) -> None:
    async with stored(tmp_path) as database:
        async with Sessions(database, lambda: NOW).opened() as sessions:
            assert sessions.highest_number() == 0
        await save(database, session(3), DeliveryKept(3, delivery(40, message(), 41)))
        await save(database, SessionGone(3))
    async with stored(tmp_path) as database, Sessions(database, lambda: NOW).opened() as sessions:
        assert list(sessions.sessions()) == []
        assert sessions.highest_number() == 41


async def test_what_is_over_is_neither_handed_out_nor_left_on_disk(tmp_path: Path) -> None:
    async with stored(tmp_path) as database:
        await save(
            database,
            *FULL,
            DeliveryKept(1, delivery(8, message(expires_at=NOW + 1))),
            RetainedKept(message("gone", expires_at=NOW + 1)),
            session(2, client_id="valve", expiry_s=1),
        )
        found, topics = await handed_out(database, NOW + 1_000)
        assert [each.session.number for each in found] == [1]
        assert [each.number for each in found[0].deliveries] == [5]
        assert topics == ["fw/pump/offer"]
        assert await counted(database) == [1, 1, 1]


async def test_the_time_of_a_connection_that_a_crash_ended_begins_at_the_next_start_once(tmp_path: Path) -> None:
    async with stored(tmp_path) as database:
        await save(database, session(1, left_at=None))
        for now, expected in ((NOW, 1), (NOW + HOUR_S * 1_000 - 1, 1), (NOW + HOUR_S * 1_000, 0)):
            found, _ = await handed_out(database, now)
            assert len(found) == expected
            assert [each.session.left_at for each in found] == [NOW] * expected


@pytest.mark.parametrize(
    ("damage", "sessions", "deliveries", "retained"),
    [
        ("UPDATE waiting_message SET properties = x'c1' WHERE message_number = 5", [1, 2], [6], 1),
        ("UPDATE waiting_message SET topic = CAST(x'ff' AS TEXT) WHERE message_number = 5", [1, 2], [6], 1),
        ("UPDATE waiting_message SET qos = 7 WHERE message_number = 5", [1, 2], [6], 1),
        ("UPDATE delivery SET identifiers = '[' WHERE delivery_number = 6", [1, 2], [5], 1),
        ("UPDATE subscription SET topic_filter = CAST(x'ff' AS TEXT)", [2], [6], 1),
        ("UPDATE taken_identifier SET packet_id = 70000", [2], [6], 1),
        ("UPDATE session SET client_id = CAST(x'ff' AS TEXT) WHERE session_number = 2", [1], [5], 1),
        ("UPDATE retained_message SET properties = x'93'", [1, 2], [5, 6], 0),
    ],
)
async def test_a_row_that_cannot_be_read_costs_what_it_must_and_keeps_nobody_from_starting(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: str,
    sessions: list[int],
    deliveries: list[int],
    retained: int,
) -> None:
    async with stored(tmp_path) as database:
        await save(database, *FULL)
        await execute(database, damage)
        found, topics = await handed_out(database)
        assert [each.session.number for each in found] == sessions
        assert [each.number for kept in found for each in kept.deliveries] == deliveries
        assert len(topics) == retained
        [warning] = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert "=1" in warning.getMessage()
        # What is not handed out is not there the next time either.
        assert await counted(database) == [len(sessions), len(deliveries), len(deliveries)]


async def test_a_file_that_cannot_be_written_keeps_nobody_from_starting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with stored(tmp_path) as database:
        await save(database, session(1, left_at=None), session(2, expiry_s=0))
        await database.maintain(lambda connection: connection.execute("PRAGMA busy_timeout = 0") and None)
        with contextlib.closing(sqlite3.connect(database.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            found, _ = await handed_out(database)
            other.execute("ROLLBACK")
        assert [each.session for each in found] == [session(1, left_at=NOW)]
        assert "rows that are over not removed" in caplog.text
        assert (await counted(database))[0] == 2
        await handed_out(database)
        assert (await counted(database))[0] == 1
