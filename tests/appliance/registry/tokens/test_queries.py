"""What is written of a token is what is read, and no tenant touches another's."""

import sqlite3

import pytest

from appliance.registry import queries as registry_queries
from appliance.registry.model import NewDevice, UnknownDeviceError
from appliance.registry.tokens import queries
from appliance.registry.tokens.model import DeviceToken, KeptToken, NewToken, UnknownDeviceTokenError, Use
from appliance.store.database import Database
from tests.appliance.registry.examples import NOW

OTHER = 2


def new(secret_hash: str) -> NewToken:
    return NewToken("old pump", secret_hash, NOW, NOW + 1)


@pytest.fixture
async def two(database: Database) -> Database:
    def add_tenant(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'other', 0)")

    await database.write(add_tenant)
    for tenant_id in (1, OTHER):
        await database.write(registry_queries.insert_device, tenant_id, NewDevice("a"), NOW)
    return database


async def test_a_token_belongs_to_the_device_of_its_tenant(two: Database) -> None:
    first = await two.write(queries.insert_token, 1, "a", new("f1"))
    second = await two.write(queries.insert_token, OTHER, "a", new("f2"))
    assert await two.read(queries.select_all_tokens()) == [first, second]
    assert first == KeptToken(1, "a", "f1", DeviceToken(1, "old pump", NOW, NOW + 1))
    with pytest.raises(UnknownDeviceError):
        await two.write(queries.insert_token, 1, "b", new("f3"))


async def test_a_token_is_revoked_once_and_by_its_own_tenant(two: Database) -> None:
    await two.write(queries.insert_token, 1, "a", new("f1"))
    assert await two.write(queries.update_revoked, 1, "a", 1, NOW) == NOW
    assert await two.write(queries.update_revoked, 1, "a", 1, NOW + 9) == NOW
    for tenant_id, device_id, number in ((OTHER, "a", 1), (1, "b", 1), (1, "a", 2)):
        with pytest.raises(UnknownDeviceTokenError):
            await two.write(queries.update_revoked, tenant_id, device_id, number, NOW)


async def test_a_use_is_noted_for_the_tenant_that_is_named(two: Database) -> None:
    await two.write(queries.insert_token, 1, "a", new("f1"))
    await two.write(queries.update_uses, [Use(OTHER, 1, NOW, "192.0.2.9")])
    [kept] = await two.read(queries.select_all_tokens())
    assert kept.token.used_at is None
    await two.write(queries.update_uses, [Use(1, 1, NOW, "192.0.2.9")])
    [kept] = await two.read(queries.select_all_tokens())
    assert (kept.token.used_at, kept.token.used_from) == (NOW, "192.0.2.9")
