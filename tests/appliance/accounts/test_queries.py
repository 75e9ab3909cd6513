"""What accounts write is what they read, and no tenant changes another's."""

import sqlite3

import pytest

from appliance.accounts import queries
from appliance.accounts.model import (
    Claim,
    EmailTakenError,
    OwnerExistsError,
    Role,
    SpentClaimError,
    Token,
    UnknownClaimError,
    UnknownTokenError,
    User,
)
from appliance.accounts.session import Lifetime
from appliance.store.database import Database

LIFETIME = Lifetime(idle_ms=100, length_ms=1_000)


def add_tenant(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'other', 0)")


async def owner(database: Database, tenant_id: int = 1, email: str = "ada@example.org") -> User:
    await database.write(queries.insert_claim, tenant_id, f"claim {tenant_id}", 0, 100)
    return await database.write(queries.insert_owner, f"claim {tenant_id}", email, "hash", f"session {tenant_id}", 10)


async def test_a_claim_becomes_an_owner_with_a_session_at_once(database: Database) -> None:
    user = await owner(database)
    assert user == User(1, 1, "ada@example.org", Role.OWNER)
    assert await database.read(queries.select_owners(1)) == [user.user_id]
    assert await database.read(queries.select_claim("claim 1")) == [Claim(1, 100, 10)]
    [session] = await database.read(queries.select_session("session 1"))
    assert (session.user, session.created_at, session.seen_at) == (user, 10, 10)
    [known] = await database.read(queries.select_user("ada@example.org"))
    assert (known.user, known.password_hash) == (user, "hash")


async def test_a_newer_claim_makes_the_unused_older_one_void(database: Database) -> None:
    await database.write(add_tenant)
    await database.write(queries.insert_claim, 2, "of another", 0, 100)
    await database.write(queries.insert_claim, 1, "old", 0, 100)
    await database.write(queries.insert_claim, 1, "new", 1, 101)
    assert await database.read(queries.select_claim("old")) == []
    assert await database.read(queries.select_claim("new")) == [Claim(1, 101, None)]
    assert len(await database.read(queries.select_claim("of another"))) == 1


async def test_a_claim_works_once_and_in_time(database: Database) -> None:
    with pytest.raises(UnknownClaimError):
        await database.write(queries.insert_owner, "none", "a@b", "hash", "s", 10)
    await database.write(queries.insert_claim, 1, "claim", 0, 100)
    with pytest.raises(SpentClaimError):
        await database.write(queries.insert_owner, "claim", "a@b", "hash", "s", 100)
    await database.write(queries.insert_owner, "claim", "a@b", "hash", "s", 99)
    with pytest.raises(SpentClaimError):
        await database.write(queries.insert_owner, "claim", "c@d", "hash", "t", 99)
    with pytest.raises(OwnerExistsError):
        await database.write(queries.insert_claim, 1, "another", 0, 100)


async def test_a_taken_address_leaves_the_claim_unused(database: Database) -> None:
    await database.write(add_tenant)
    await owner(database, 1)
    with pytest.raises(EmailTakenError):
        await owner(database, 2)
    assert await database.read(queries.select_claim("claim 2")) == [Claim(2, 100, None)]
    assert await database.read(queries.select_owners(2)) == []


async def test_a_session_is_seen_opened_and_ended(database: Database) -> None:
    user = await owner(database)
    await database.write(queries.update_session_seen, 1, "session 1", 50)
    [session] = await database.read(queries.select_session("session 1"))
    assert (session.created_at, session.seen_at) == (10, 50)
    await database.write(queries.open_session, user, "next", LIFETIME, 149)
    assert len(await database.read(queries.select_session("session 1"))) == 1
    await database.write(queries.delete_session, "session 1")
    assert await database.read(queries.select_session("session 1")) == []
    assert len(await database.read(queries.select_session("next"))) == 1


@pytest.mark.parametrize(("seen_at", "now"), [(50, 150), (1_009, 1_010)])
async def test_ended_sessions_are_forgotten_when_one_is_opened(database: Database, seen_at: int, now: int) -> None:
    user = await owner(database)
    await database.write(queries.update_session_seen, 1, "session 1", seen_at)
    await database.write(queries.open_session, user, "next", LIFETIME, now)
    assert await database.read(queries.select_session("session 1")) == []


async def test_a_password_is_kept_anew_for_that_user_only(database: Database) -> None:
    await database.write(add_tenant)
    first, second = await owner(database, 1), await owner(database, 2, "bob@example.org")
    await database.write(queries.update_password_hash, 1, first.user_id, "stronger")
    await database.write(queries.update_password_hash, 1, second.user_id, "not theirs")
    hashes = [
        (await database.read(queries.select_user(email)))[0].password_hash
        for email in ("ada@example.org", "bob@example.org")
    ]
    assert hashes == ["stronger", "hash"]


async def test_a_token_is_kept_listed_and_revoked_within_its_tenant(database: Database) -> None:
    await database.write(add_tenant)
    token_id = await database.write(queries.insert_token, 1, "script", "hash", 5)
    [known] = await database.read(queries.select_token(token_id))
    assert (known.token, known.secret_hash) == (Token(token_id, 1, "script", 5, None), "hash")
    assert await database.read(queries.select_tokens(2)) == []
    with pytest.raises(UnknownTokenError):
        await database.write(queries.update_token_revoked, 2, token_id, 6)
    await database.write(queries.update_token_revoked, 1, token_id, 7)
    await database.write(queries.update_token_revoked, 1, token_id, 8)
    assert await database.read(queries.select_tokens(1)) == [Token(token_id, 1, "script", 5, 7)]
