import sqlite3

import msgspec
import pytest

from appliance.enrolment.tray import queries
from appliance.enrolment.tray.model import (
    FORGET_MS,
    WAITING_LIMIT,
    WAITING_OF_NETWORK_LIMIT,
    DecidedKnockError,
    KnockState,
    UnknownKnockError,
)
from appliance.store.database import Database
from tests.appliance.enrolment.requests import NOW
from tests.appliance.enrolment.tray.examples import new_knock


async def test_who_knocks_again_is_the_same_one(database: Database) -> None:
    first = await database.write(queries.insert_knock, 1, new_knock(), NOW)
    moved = msgspec.structs.replace(new_knock(), address="192.0.2.8", subject="CN=other")
    again = await database.write(queries.insert_knock, 1, moved, NOW + 5)
    assert again == msgspec.structs.replace(first, address="192.0.2.8", last_at=NOW + 5, knock_count=2)
    assert await database.read(queries.select_waiting(1)) == [again]
    assert await database.read(queries.select_knock_of_key(1, first.key_fingerprint)) == [again]


def insert_many(connection: sqlite3.Connection, count: int) -> None:
    for number in range(count):
        queries.insert_knock(connection, 1, new_knock(number), NOW + number)


async def test_only_so_many_wait_and_the_longest_silent_goes_first(database: Database) -> None:
    await database.write(insert_many, WAITING_LIMIT)
    await database.write(queries.insert_knock, 1, new_knock(0), NOW + WAITING_LIMIT)
    await database.write(queries.insert_knock, 1, new_knock(WAITING_LIMIT), NOW + WAITING_LIMIT + 1)
    waiting = {knock.common_name for knock in await database.read(queries.select_waiting(1))}
    assert waiting == {f"pump-{number}" for number in range(WAITING_LIMIT + 1) if number != 1}


def insert_many_of_one(connection: sqlite3.Connection, first: int, count: int, network: str) -> None:
    for number in range(first, first + count):
        new = msgspec.structs.replace(new_knock(number), network=network)
        queries.insert_knock(connection, 1, new, NOW + number)


async def test_one_network_does_not_fill_the_tray_nor_push_anybody_else_out(database: Database) -> None:
    limit = WAITING_OF_NETWORK_LIMIT
    await database.write(queries.insert_knock, 1, new_knock(9_999), NOW - 1)
    await database.write(insert_many_of_one, 0, limit + 5, "192.0.2.7")
    waiting = {knock.common_name for knock in await database.read(queries.select_waiting(1))}
    assert waiting == {"pump-9999", *(f"pump-{number}" for number in range(5, limit + 5))}


async def test_that_a_certificate_was_fetched_is_noted_once(database: Database) -> None:
    knock = await database.write(queries.insert_knock, 1, new_knock(), NOW)
    await database.write(queries.update_fetched, knock, NOW + 1)
    await database.write(queries.update_fetched, knock, NOW + 2)
    [noted] = await database.read(queries.select_knock(1, knock.knock_number))
    assert noted.fetched_at == NOW + 1


async def test_who_does_not_come_back_for_a_week_is_forgotten(database: Database) -> None:
    await database.write(queries.insert_knock, 1, new_knock(1), NOW)
    await database.write(queries.insert_knock, 1, new_knock(2), NOW + FORGET_MS + 1)
    assert [knock.common_name for knock in await database.read(queries.select_waiting(1))] == ["pump-2"]


async def test_a_knock_is_decided_once(database: Database) -> None:
    knock = await database.write(queries.insert_knock, 1, new_knock(), NOW)
    await database.write(queries.update_accepted, knock, "pump-1", "PEM", NOW + 1)
    for decide in (
        database.write(queries.update_refused, 1, knock.knock_number, NOW),
        database.write(queries.update_accepted, knock, "pump-2", "PEM", NOW),
    ):
        with pytest.raises(DecidedKnockError):
            await decide
    [decided] = await database.read(queries.select_knock(1, knock.knock_number))
    assert (decided.state, decided.device_id, decided.certificate) == (KnockState.ACCEPTED, "pump-1", "PEM")
    assert await database.read(queries.select_waiting(1)) == []


async def test_another_tenant_neither_sees_nor_decides(database: Database) -> None:
    knock = await database.write(queries.insert_knock, 1, new_knock(), NOW)
    assert await database.read(queries.select_waiting(2)) == []
    assert await database.read(queries.select_knock(2, knock.knock_number)) == []
    with pytest.raises(UnknownKnockError):
        await database.write(queries.update_refused, 2, knock.knock_number, NOW)
