import sqlite3
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from appliance.enrolment.tray import queries
from appliance.enrolment.tray.model import (
    FORGET_MS,
    WAITING_LIMIT,
    WAITING_OF_NETWORK_LIMIT,
    CrowdedTrayError,
    DecidedKnockError,
    KnockState,
    NewKnock,
    UnknownKnockError,
)
from appliance.enrolment.tray.room import origin_of
from appliance.enrolment.turnstile import network_of
from appliance.store.database import Database
from appliance.store.migrate import migrations, run
from tests.appliance.enrolment.requests import NOW
from tests.appliance.enrolment.tray.examples import new_knock

ORIGINS_SINCE = 15
"""The number of the migration that gave knocks their origins."""


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


async def names(database: Database) -> set[str]:
    return {knock.common_name for knock in await database.read(queries.select_waiting(1))}


async def test_a_full_tray_takes_one_more_in_the_place_of_the_longest_silent_of_the_fullest_network(
    database: Database,
) -> None:
    crowd, few = WAITING_OF_NETWORK_LIMIT, WAITING_LIMIT // WAITING_OF_NETWORK_LIMIT
    await database.write(queries.insert_knock, 1, new_knock(9_999), NOW - 1)
    for part in range(few):
        await database.write(insert_many_of_one, part * crowd, crowd - (part == 0), f"address-{part}", "192.0.2.0/24")
    await database.write(queries.insert_knock, 1, made(0, "address-0", "192.0.2.0/24"), NOW + WAITING_LIMIT)
    assert len(await names(database)) == WAITING_LIMIT
    await database.write(queries.insert_knock, 1, new_knock(8_888), NOW + WAITING_LIMIT + 1)
    expected = {f"pump-{number}" for number in range(WAITING_LIMIT) if number not in (1, crowd - 1)}
    assert await names(database) == expected | {"pump-9999", "pump-8888"}


async def test_who_comes_from_the_fullest_network_is_refused_at_a_full_tray_and_pushes_nobody_out(
    database: Database,
) -> None:
    await database.write(insert_many, WAITING_LIMIT - 2)
    await database.write(insert_many_of_one, WAITING_LIMIT, 2, "address", "192.0.2.0/24")
    before = await names(database)
    with pytest.raises(CrowdedTrayError, match="of no network more than of yours"):
        await database.write(queries.insert_knock, 1, made(5_000, "another", "192.0.2.0/24"), NOW)
    assert await names(database) == before
    # Who waits already may go on asking.
    await database.write(queries.insert_knock, 1, made(WAITING_LIMIT, "address", "192.0.2.0/24"), NOW)


def made(number: int, network: str, origin: str = "") -> NewKnock:
    return msgspec.structs.replace(new_knock(number), network=network, origin=origin or network)


def insert_many_of_one(connection: sqlite3.Connection, first: int, count: int, network: str, origin: str = "") -> None:
    for number in range(first, first + count):
        queries.insert_knock(connection, 1, made(number, network, origin), NOW + number)


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


def test_knocks_of_before_have_the_origin_that_they_would_have_now(tmp_path: Path) -> None:
    addresses = ("192.0.2.7", "192.0.2.200", "2001:db8:1:2:3::4")
    with closing(sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)) as connection:
        run(connection, [step for step in migrations() if step[0] < ORIGINS_SINCE])
        for number, address in enumerate(addresses):
            connection.execute(
                """
                INSERT INTO knock (tenant_id, key_fingerprint, key_kind, subject, common_name, serial_number, label,
                    address, network, first_at, last_at, state, request)
                VALUES (1, ?, '', '', '', '', '', ?, ?, 0, 0, 'waiting', x'')
                """,
                (str(number), address, network_of(address)),
            )
        run(connection, migrations())
        found = connection.execute("SELECT origin FROM knock ORDER BY knock_number").fetchall()
    assert [origin for (origin,) in found] == [origin_of(address) for address in addresses]
