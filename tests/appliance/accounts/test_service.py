"""Accounts at work, over a real database."""

import asyncio
import sqlite3
import statistics
import time
from pathlib import Path

import argon2
import msgspec
import pytest

from appliance.accounts import queries
from appliance.accounts.model import (
    InvalidEmailError,
    OwnerExistsError,
    Role,
    SpentClaimError,
    UnknownClaimError,
    UnknownTokenError,
    WeakPasswordError,
)
from appliance.accounts.service import (
    CLAIM_LENGTH_MS,
    HASHING_LIMIT,
    REMEMBERED_ADDRESSES,
    Accounts,
    _forget_oldest,
)
from appliance.audit.service import Audit
from appliance.errors import ConflictError, InvalidInputError, NotFoundError, NotSignedInError, TooManyAttemptsError
from appliance.store.database import Database, UnwritableError
from tests.appliance.full_disk import full_disk

TENANT = 1
NOW = 1_795_000_000_000
MINUTE = 60_000
EMAIL = "ada@example.org"
PASSWORD = "tide lamp forty"
ADDRESS = "192.168.4.20"


class FakeClock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def accounts(database: Database, clock: FakeClock) -> Accounts:
    return Accounts(database, clock, session_idle_ms=30 * MINUTE, session_length_ms=12 * 60 * MINUTE)


async def owned(accounts: Accounts) -> str:
    return await accounts.claim(await accounts.open_claim(TENANT), EMAIL, PASSWORD)


async def test_the_claim_makes_the_owner_and_signs_them_in(accounts: Accounts) -> None:
    assert not await accounts.has_owner(TENANT)
    session = await accounts.claim(await accounts.open_claim(TENANT), " Ada@Example.org ", PASSWORD)
    assert await accounts.has_owner(TENANT)
    user = await accounts.user_of_session(session)
    assert (user.tenant_id, user.email, user.role) == (TENANT, EMAIL, Role.OWNER)


async def test_fifty_claims_at_once_give_one_owner(accounts: Accounts, database: Database) -> None:
    secret = await accounts.open_claim(TENANT)
    answers = await asyncio.gather(
        *(accounts.claim(secret, f"user{number}@example.org", PASSWORD) for number in range(50)),
        return_exceptions=True,
    )
    sessions = [answer for answer in answers if isinstance(answer, str)]
    assert len(sessions) == 1
    refused = [answer for answer in answers if not isinstance(answer, str)]
    assert all(isinstance(answer, ConflictError | TooManyAttemptsError) for answer in refused)
    assert len(await database.read(queries.select_owners(TENANT))) == 1


async def test_a_claim_works_once(accounts: Accounts) -> None:
    secret = await accounts.open_claim(TENANT)
    await accounts.claim(secret, EMAIL, PASSWORD)
    with pytest.raises(SpentClaimError):
        await accounts.claim(secret, "bob@example.org", PASSWORD)
    with pytest.raises(OwnerExistsError):
        await accounts.open_claim(TENANT)


async def test_a_claim_is_good_for_thirty_minutes(accounts: Accounts, clock: FakeClock) -> None:
    secret = await accounts.open_claim(TENANT)
    clock.now += CLAIM_LENGTH_MS
    with pytest.raises(SpentClaimError, match="too old"):
        await accounts.claim(secret, EMAIL, PASSWORD)
    clock.now -= 1
    await accounts.claim(secret, EMAIL, PASSWORD)


async def test_only_the_newest_claim_counts(accounts: Accounts) -> None:
    old = await accounts.open_claim(TENANT)
    new = await accounts.open_claim(TENANT)
    with pytest.raises(UnknownClaimError) as unknown:
        await accounts.claim(old, EMAIL, PASSWORD)
    assert isinstance(unknown.value, NotFoundError)
    await accounts.claim(new, EMAIL, PASSWORD)


async def test_a_claim_outlives_a_refused_password(accounts: Accounts) -> None:
    secret = await accounts.open_claim(TENANT)
    with pytest.raises(WeakPasswordError):
        await accounts.claim(secret, EMAIL, "short")
    with pytest.raises(InvalidEmailError):
        await accounts.claim(secret, "ada", PASSWORD)
    await accounts.claim(secret, EMAIL, PASSWORD)


async def test_who_has_no_claim_costs_no_hashing(accounts: Accounts) -> None:
    answers = await asyncio.gather(
        *(accounts.claim(f"guess {number}", EMAIL, PASSWORD) for number in range(100)), return_exceptions=True
    )
    assert all(isinstance(answer, UnknownClaimError) for answer in answers)


async def test_signing_in_and_out(accounts: Accounts) -> None:
    first = await owned(accounts)
    second = await accounts.sign_in("ADA@example.org ", PASSWORD, ADDRESS)
    assert first != second
    assert (await accounts.user_of_session(second)).email == EMAIL
    await accounts.sign_out(second)
    await accounts.sign_out(second)
    with pytest.raises(NotSignedInError):
        await accounts.user_of_session(second)
    assert (await accounts.user_of_session(first)).email == EMAIL


async def test_unknown_user_and_wrong_password_sound_the_same(accounts: Accounts) -> None:
    await owned(accounts)
    words = []
    for email, password in ((EMAIL, "wrong"), ("bob@example.org", PASSWORD), ("", ""), (EMAIL, "\ud800" * 2_000)):
        with pytest.raises(NotSignedInError) as refusal:
            await accounts.sign_in(email, password, ADDRESS)
        words.append(str(refusal.value))
    assert len(set(words)) == 1


async def test_unknown_user_and_wrong_password_take_the_same_time(accounts: Accounts, clock: FakeClock) -> None:
    await owned(accounts)
    taken: dict[str, list[float]] = {EMAIL: [], "bob@example.org": []}
    for _ in range(9):
        for email, times in taken.items():
            clock.now += 60 * MINUTE
            started = time.process_time()
            with pytest.raises(NotSignedInError):
                await accounts.sign_in(email, "wrong password", ADDRESS)
            times.append(time.process_time() - started)
    known, unknown = (statistics.median(times) for times in taken.values())
    # A missing hash would differ by a factor of ten and more.
    assert abs(known - unknown) < max(known, unknown) / 2


async def test_after_five_mistakes_the_right_password_waits_too(accounts: Accounts, clock: FakeClock) -> None:
    await owned(accounts)
    for _ in range(5):
        with pytest.raises(NotSignedInError):
            await accounts.sign_in(EMAIL, "wrong", ADDRESS)
    with pytest.raises(TooManyAttemptsError, match="in 1 seconds"):
        await accounts.sign_in(EMAIL, PASSWORD, ADDRESS)
    # Another address is another person.
    await accounts.sign_in(EMAIL, PASSWORD, "192.168.4.21")
    clock.now += 1_000
    await accounts.sign_in(EMAIL, PASSWORD, ADDRESS)
    with pytest.raises(NotSignedInError):
        await accounts.sign_in(EMAIL, "wrong", ADDRESS)


async def test_many_guesses_at_once_are_many(accounts: Accounts) -> None:
    await owned(accounts)
    answers = await asyncio.gather(
        *(accounts.sign_in(EMAIL, f"guess {number}", ADDRESS) for number in range(40)), return_exceptions=True
    )
    assert sum(isinstance(answer, NotSignedInError) for answer in answers) == 5
    assert sum(isinstance(answer, TooManyAttemptsError) for answer in answers) == 35


async def test_an_address_that_tries_many_accounts_is_slowed_down(accounts: Accounts, clock: FakeClock) -> None:
    for number in range(20):
        with pytest.raises(NotSignedInError):
            await accounts.sign_in(f"user{number}@example.org", PASSWORD, ADDRESS)
    with pytest.raises(TooManyAttemptsError):
        await accounts.sign_in("another@example.org", PASSWORD, ADDRESS)
    clock.now += MINUTE
    with pytest.raises(NotSignedInError):
        await accounts.sign_in("another@example.org", PASSWORD, ADDRESS)


async def test_only_a_few_wait_for_hashing(accounts: Accounts) -> None:
    answers = await asyncio.gather(
        *(accounts.sign_in(EMAIL, PASSWORD, f"192.168.4.{number}") for number in range(30)), return_exceptions=True
    )
    assert sum(isinstance(answer, NotSignedInError) for answer in answers) == HASHING_LIMIT
    assert sum(isinstance(answer, TooManyAttemptsError) for answer in answers) == 30 - HASHING_LIMIT


def test_the_throttle_forgets_the_oldest_and_never_grows_beyond_its_bound() -> None:
    remembered = dict.fromkeys(range(REMEMBERED_ADDRESSES + 5))
    _forget_oldest(remembered)
    assert list(remembered) == list(range(5, REMEMBERED_ADDRESSES + 5))


async def test_a_session_ends_when_nobody_uses_it(accounts: Accounts, clock: FakeClock) -> None:
    session = await owned(accounts)
    for _ in range(5):
        clock.now += 29 * MINUTE
        await accounts.user_of_session(session)
    clock.now += 30 * MINUTE
    with pytest.raises(NotSignedInError):
        await accounts.user_of_session(session)


async def test_asking_how_long_a_session_lasts_does_not_prolong_it(accounts: Accounts, clock: FakeClock) -> None:
    session = await owned(accounts)
    for rest in range(30, 0, -1):
        assert await accounts.session_rest_ms(session) == rest * MINUTE
        clock.now += MINUTE
    with pytest.raises(NotSignedInError):
        await accounts.session_rest_ms(session)


async def test_a_session_ends_after_twelve_hours_however_much_it_is_used(accounts: Accounts, clock: FakeClock) -> None:
    session = await owned(accounts)
    for _ in range(12 * 60 // 20 - 1):
        clock.now += 20 * MINUTE
        await accounts.user_of_session(session)
    clock.now += 20 * MINUTE
    with pytest.raises(NotSignedInError):
        await accounts.user_of_session(session)


@pytest.mark.parametrize("secret", ["", "x", "\ud800", "a" * 10_000, "' OR 1=1 --"])
async def test_a_made_up_secret_is_nobody(accounts: Accounts, secret: str) -> None:
    await owned(accounts)
    with pytest.raises(NotSignedInError):
        await accounts.user_of_session(secret)
    with pytest.raises(NotSignedInError):
        await accounts.user_of_token(secret)


async def test_a_session_outlives_a_restart(accounts: Accounts, database: Database, clock: FakeClock) -> None:
    session = await owned(accounts)
    again = Accounts(database, clock, session_idle_ms=30 * MINUTE, session_length_ms=12 * 60 * MINUTE)
    assert (await again.user_of_session(session)).email == EMAIL
    assert await again.sign_in(EMAIL, PASSWORD, ADDRESS)


async def test_a_token_stands_for_its_tenant_until_it_is_revoked(accounts: Accounts) -> None:
    token = await accounts.add_token(TENANT, " backup script ")
    assert token.startswith("hw_1.")
    user = await accounts.user_of_token(token)
    assert (user.tenant_id, user.email, user.role) == (TENANT, "token:backup script", Role.OPERATOR)
    [listed] = await accounts.tokens(TENANT)
    assert (listed.name, listed.revoked_at) == ("backup script", None)
    await accounts.revoke_token(TENANT, listed.token_id)
    with pytest.raises(NotSignedInError, match="revoked"):
        await accounts.user_of_token(token)
    assert await accounts.tokens(2) == []
    with pytest.raises(UnknownTokenError):
        await accounts.revoke_token(2, listed.token_id)


async def test_a_token_that_is_nearly_right_is_wrong(accounts: Accounts) -> None:
    token = await accounts.add_token(TENANT, "one")
    other = await accounts.add_token(TENANT, "two")
    number, secret = token.split(".")
    for wrong in (
        *(token + "x", token[:-1], token.upper(), token.removeprefix("hw_"), secret, f"{number}.", f"hw_.{secret}"),
        *(f"{number}.{other.split('.')[1]}", f"hw_{'9' * 40}.{secret}", f"hw_-1.{secret}", f"hw_٣.{secret}"),
    ):
        with pytest.raises(NotSignedInError, match="not known"):
            await accounts.user_of_token(wrong)


@pytest.mark.parametrize("name", ["", "  ", "x" * 101])
async def test_a_token_has_a_name_that_can_be_shown(accounts: Accounts, name: str) -> None:
    with pytest.raises(InvalidInputError):
        await accounts.add_token(TENANT, name)


async def test_no_secret_is_kept_as_it_is(accounts: Accounts, tmp_path: Path) -> None:
    claim = await accounts.open_claim(TENANT)
    session = await accounts.claim(claim, EMAIL, PASSWORD)
    token = await accounts.add_token(TENANT, "script")
    kept = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert EMAIL.encode() in kept
    for secret in (claim, session, token.split(".")[1], PASSWORD):
        assert secret.encode() not in kept
    assert b"$argon2id$v=19$m=19456,t=2,p=1$" in kept


async def test_a_password_kept_in_a_weaker_form_is_hashed_anew(accounts: Accounts, database: Database) -> None:
    await owned(accounts)
    [known] = await database.read(queries.select_user(EMAIL))
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1).hash(PASSWORD)
    await database.write(queries.update_password_hash, TENANT, known.user.user_id, weak)
    await accounts.sign_in(EMAIL, PASSWORD, ADDRESS)
    [after] = await database.read(queries.select_user(EMAIL))
    assert "m=19456" in after.password_hash
    await accounts.sign_in(EMAIL, PASSWORD, ADDRESS)


async def test_another_tenant_has_its_own_owner(accounts: Accounts, database: Database) -> None:
    def add_tenant(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'other', 0)")

    await database.write(add_tenant)
    await owned(accounts)
    assert not await accounts.has_owner(2)
    session = await accounts.claim(await accounts.open_claim(2), "bob@example.org", PASSWORD)
    assert (await accounts.user_of_session(session)).tenant_id == 2


@pytest.mark.parametrize("role", list(Role))
async def test_a_token_has_the_role_that_it_was_given(accounts: Accounts, role: Role) -> None:
    token = await accounts.add_token(TENANT, "script", role)
    assert (await accounts.user_of_token(token)).role is role
    [listed] = await accounts.tokens(TENANT)
    assert listed.role is role


async def test_people_and_tokens_are_in_the_audit_log_without_their_secrets(
    accounts: Accounts, database: Database, clock: FakeClock
) -> None:
    secret = await owned(accounts)
    await accounts.sign_in(EMAIL, PASSWORD, ADDRESS)
    token = await accounts.add_token(TENANT, "script", Role.VIEWER)
    await accounts.revoke_token(TENANT, 1)
    with pytest.raises(UnknownTokenError):
        await accounts.revoke_token(TENANT, 2)
    entries = await Audit(database, clock).entries(TENANT)
    assert [(one.actor, one.address, one.action, one.subject) for one in entries] == [
        ("gateway", "", "api_token.revoke", "script"),
        ("gateway", "", "api_token.add", "script"),
        (EMAIL, ADDRESS, "user.sign_in", EMAIL),
        (EMAIL, "", "user.add", EMAIL),
        ("gateway", "", "owner_claim.open", "gateway"),
    ]
    for told in (secret, PASSWORD, token.split(".")[-1]):
        assert told not in str(entries)


async def refused(accounts: Accounts, email: str, password: str, address: str = ADDRESS) -> None:
    with pytest.raises((NotSignedInError, TooManyAttemptsError)):
        await accounts.sign_in(email, password, address)


async def refusals_told(database: Database, clock: FakeClock) -> list[tuple[str, str, dict[str, str]]]:
    entries = reversed(await Audit(database, clock).entries(TENANT))
    found = [one for one in entries if one.action == "user.refuse"]
    return [(one.actor, one.address, msgspec.json.decode(one.details)) for one in found]


async def test_failed_sign_ins_are_one_entry_for_each_address_and_minute_and_no_password_is_in_it(
    accounts: Accounts, database: Database, clock: FakeClock
) -> None:
    await owned(accounts)
    for attempt in range(7):
        await refused(accounts, EMAIL, f"wrong {attempt}")
    await refused(accounts, "tide lamp forty", "x", "192.168.4.21")
    assert await refusals_told(database, clock) == []
    await accounts.tell_refused(TENANT)
    await accounts.tell_refused(TENANT)
    told = await refusals_told(database, clock)
    assert told == [
        ("nobody", ADDRESS, {"count": "5", "unheard_count": "0", "accounts": EMAIL}),
        ("nobody", ADDRESS, {"count": "2", "unheard_count": "2"}),
        ("nobody", "192.168.4.21", {"count": "1", "unheard_count": "0"}),
    ]
    clock.now += MINUTE
    await refused(accounts, EMAIL, "wrong again")
    await accounts.tell_refused(TENANT)
    assert len(await refusals_told(database, clock)) == len(told) + 1
    assert (await Audit(database, clock).verify(TENANT)).fault == ""


async def test_failed_sign_ins_wait_for_a_full_disk(accounts: Accounts, database: Database, clock: FakeClock) -> None:
    await owned(accounts)
    await refused(accounts, EMAIL, "wrong")
    async with full_disk(database):
        with pytest.raises(UnwritableError):
            await accounts.tell_refused(TENANT)
        await refused(accounts, EMAIL, "wrong again")
    await accounts.tell_refused(TENANT)
    assert await refusals_told(database, clock) == [
        ("nobody", ADDRESS, {"count": "2", "unheard_count": "0", "accounts": EMAIL})
    ]
