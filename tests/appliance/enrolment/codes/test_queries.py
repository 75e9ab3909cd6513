import asyncio
import sqlite3

import pytest

from appliance.enrolment.codes import queries
from appliance.enrolment.codes.fitness import REPEAT_MS, REPEATS
from appliance.enrolment.codes.model import (
    CODES_LIMIT,
    NewCode,
    SpentCodeError,
    TooManyCodesError,
    UnknownCodeError,
    Use,
)
from appliance.registry import queries as devices
from appliance.registry.model import DeviceState, NewDevice
from appliance.store.database import Database
from tests.appliance.enrolment.requests import NOW

USE = Use("pump-7", "key", "192.0.2.1", NOW + 1)


async def test_a_code_is_found_by_its_hash_and_used_once(database: Database) -> None:
    made = await database.write(queries.insert_code, 1, NewCode("pump-7", "pump", "hall"), "hash", NOW)
    assert await database.read(queries.select_code("hash")) == [made]
    await database.write(queries.update_used, 1, made.code_number, USE)
    with pytest.raises(SpentCodeError):
        await database.write(queries.update_used, 1, made.code_number, USE)
    await database.write(insert_device, NewDevice("pump-7"))
    await database.write(queries.update_repeated, 1, made.code_number, USE)
    [used] = await database.read(queries.select_codes(1))
    assert (used.used_at, used.used_by, used.used_from, used.used_key, used.use_count) == (
        NOW + 1,
        "pump-7",
        "192.0.2.1",
        "key",
        2,
    )


async def test_a_code_that_was_revoked_or_expired_is_not_used(database: Database) -> None:
    revoked = await database.write(queries.insert_code, 1, NewCode("a"), "1", NOW)
    expired = await database.write(queries.insert_code, 1, NewCode("b", length_ms=1), "2", NOW)
    await database.write(queries.update_revoked, 1, revoked.code_number, NOW)
    for code in (revoked, expired):
        with pytest.raises(SpentCodeError):
            await database.write(queries.update_used, 1, code.code_number, USE)


async def test_another_tenant_neither_sees_nor_uses_nor_revokes_a_code(database: Database) -> None:
    made = await database.write(queries.insert_code, 1, NewCode("a"), "1", NOW)
    assert await database.read(queries.select_codes(2)) == []
    with pytest.raises(SpentCodeError):
        await database.write(queries.update_used, 2, made.code_number, USE)
    with pytest.raises(UnknownCodeError):
        await database.write(queries.update_revoked, 2, made.code_number, NOW)
    with pytest.raises(SpentCodeError):
        await database.write(queries.update_repeated, 2, made.code_number, USE)
    assert await database.read(queries.select_codes(1)) == [made]


async def used_code(database: Database) -> int:
    made = await database.write(queries.insert_code, 1, NewCode("pump-7"), "1", NOW)
    await database.write(queries.update_used, 1, made.code_number, USE)
    await database.write(insert_device, NewDevice("pump-7"))
    return made.code_number


async def test_a_used_code_is_revoked_too_and_answers_no_more(database: Database) -> None:
    number = await used_code(database)
    await database.write(queries.update_revoked, 1, number, NOW + 2)
    await database.write(queries.update_revoked, 1, number, NOW + 3)
    [code] = await database.read(queries.select_codes(1))
    assert (code.used_by, code.revoked_at) == ("pump-7", NOW + 2)
    with pytest.raises(SpentCodeError):
        await database.write(queries.update_repeated, 1, number, USE)


async def test_of_many_repetitions_at_once_no_more_than_the_limit_pass(database: Database) -> None:
    number = await used_code(database)
    answers = await asyncio.gather(
        *(database.write(queries.update_repeated, 1, number, USE) for _ in range(REPEATS + 3)), return_exceptions=True
    )
    assert [answer for answer in answers if answer is None] == [None] * (REPEATS - 1)
    assert sum(isinstance(answer, SpentCodeError) for answer in answers) == 4
    [code] = await database.read(queries.select_codes(1))
    assert code.use_count == REPEATS


@pytest.mark.parametrize(
    "use",
    [
        Use("pump-8", "key", "192.0.2.1", NOW + 1),
        Use("pump-7", "other", "192.0.2.1", NOW + 1),
        Use("pump-7", "", "192.0.2.1", NOW + 1),
        Use("pump-7", "key", "192.0.2.1", NOW),
        Use("pump-7", "key", "192.0.2.1", NOW + 1 + REPEAT_MS),
    ],
)
async def test_another_use_is_no_repetition(database: Database, use: Use) -> None:
    number = await used_code(database)
    with pytest.raises(SpentCodeError):
        await database.write(queries.update_repeated, 1, number, use)


@pytest.mark.parametrize("state", [DeviceState.SUSPENDED, DeviceState.RETIRED])
async def test_a_device_that_takes_no_part_is_not_answered_again(database: Database, state: DeviceState) -> None:
    number = await used_code(database)
    await database.write(devices.update_state, 1, "pump-7", state)
    with pytest.raises(SpentCodeError):
        await database.write(queries.update_repeated, 1, number, USE)


def insert_device(connection: sqlite3.Connection, new: NewDevice) -> None:
    devices.insert_device(connection, 1, new, NOW)


def insert_many(connection: sqlite3.Connection, count: int) -> None:
    sql = """
        INSERT INTO enrolment_code (tenant_id, code_hash, target, type, zone, created_at, expires_at)
        VALUES (1, ?, 'a', '', '', ?, ?)
    """
    connection.executemany(sql, [(str(number), NOW, NOW + 1) for number in range(count)])


async def test_open_codes_are_not_without_number(database: Database) -> None:
    await database.write(insert_many, CODES_LIMIT)
    with pytest.raises(TooManyCodesError, match=f"{CODES_LIMIT} open"):
        await database.write(queries.insert_code, 1, NewCode("a"), "one more", NOW)
    await database.write(queries.update_revoked, 1, 1, NOW)
    await database.write(queries.insert_code, 1, NewCode("a"), "one more", NOW)
