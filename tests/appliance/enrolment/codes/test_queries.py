import sqlite3

import pytest

from appliance.enrolment.codes import queries
from appliance.enrolment.codes.model import (
    CODES_LIMIT,
    NewCode,
    SpentCodeError,
    TooManyCodesError,
    UnknownCodeError,
    Use,
)
from appliance.store.database import Database
from tests.appliance.enrolment.requests import NOW

USE = Use("pump-7", "key", "192.0.2.1", NOW + 1)


async def test_a_code_is_found_by_its_hash_and_used_once(database: Database) -> None:
    made = await database.write(queries.insert_code, 1, NewCode("pump-7", "pump", "hall"), "hash", NOW)
    assert await database.read(queries.select_code("hash")) == [made]
    await database.write(queries.update_used, 1, made.code_number, USE)
    with pytest.raises(SpentCodeError):
        await database.write(queries.update_used, 1, made.code_number, USE)
    await database.write(queries.update_repeated, 1, made.code_number)
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
    await database.write(queries.update_repeated, 2, made.code_number)
    assert await database.read(queries.select_codes(1)) == [made]


async def test_a_used_code_is_not_called_revoked(database: Database) -> None:
    made = await database.write(queries.insert_code, 1, NewCode("pump-7"), "1", NOW)
    await database.write(queries.update_used, 1, made.code_number, USE)
    await database.write(queries.update_revoked, 1, made.code_number, NOW)
    [code] = await database.read(queries.select_codes(1))
    assert code.revoked_at is None


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
