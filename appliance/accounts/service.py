"""Accounts at work: claiming the gateway, signing in and out, sessions and tokens.

Rules: of a secret only its SHA-256 is kept; of a password, argon2id. Hashing a password costs much
on purpose, so one is hashed at a time, a few may wait, and nobody without a valid claim or within
the throttle gets that far.
"""

import asyncio
import contextlib
import hashlib
import hmac
import logging
import re
import secrets
from collections.abc import AsyncIterator
from typing import Any

import argon2

from appliance.accounts import password as password_rules
from appliance.accounts import queries, refusals, throttle
from appliance.accounts.model import (
    TOKEN_NAME_LENGTH,
    Role,
    Session,
    SpentClaimError,
    Token,
    UnknownClaimError,
    User,
    UserWithPassword,
    canonical_email,
)
from appliance.accounts.session import Lifetime
from appliance.audit.acting import acting_as
from appliance.audit.model import Entry
from appliance.audit.service import Audit
from appliance.errors import InvalidInputError, NotSignedInError, TooManyAttemptsError
from appliance.instant import MINUTE_MS, Clock, to_text
from appliance.store.database import Database, UnwritableError

log = logging.getLogger(__name__)

CLAIM_LENGTH_MS = 30 * MINUTE_MS
HASHING_LIMIT = 8
"""How many passwords may be hashed or wait for it; one more is told to come back."""

REMEMBERED_ADDRESSES = 10_000
"""How many accounts and addresses the throttle remembers; beyond, the oldest are forgotten."""

TOKEN_PREFIX = "hw_"  # noqa: S105  how a token begins, not a secret

_TOKEN_ID = re.compile(r"[0-9]{1,18}")
_WRONG = "the e-mail address or the password is wrong"


class Accounts:
    """Who may use the gateway."""

    def __init__(self, database: Database, clock: Clock, *, session_idle_ms: int, session_length_ms: int) -> None:
        self._database = database
        self._clock = clock
        self._audit = Audit(database, clock)
        self._lifetime = Lifetime(session_idle_ms, session_length_ms)
        # 19 MiB and two passes: the least that is recommended, for memory is short on a small machine.
        self._hasher = argon2.PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)
        self._hashing = asyncio.Lock()
        self._hashing_count = 0
        self._decoy = ""
        self._failures: dict[tuple[str, str], throttle.Failures] = {}
        self._minutes: dict[str, throttle.Minute] = {}
        self._refused: refusals.Gathered = {}
        """Since the log was told last."""

    # The first owner.

    async def has_owner(self, tenant_id: int) -> bool:
        """Whether the tenant has been claimed."""
        return bool(await self._database.read(queries.select_owners(tenant_id)))

    async def open_claim(self, tenant_id: int) -> str:
        """The secret that makes its bearer the owner, once, within 30 minutes; an older one is void.

        Raises `OwnerExistsError`.
        """
        secret = secrets.token_urlsafe(32)
        now = self._clock()
        details = {"expires_at": to_text(now + CLAIM_LENGTH_MS)}
        await self._audit.recorded(
            tenant_id,
            [Entry("owner_claim.open", "gateway", details)],
            *(queries.insert_claim, tenant_id, _hashed(secret), now, now + CLAIM_LENGTH_MS),
        )
        log.info("claim opened tenant_id=%s", tenant_id)
        return secret

    async def claim(self, secret: str, email: str, password: str) -> str:
        """Make the first owner and give the secret of their session. Of many at once, one succeeds.

        Raises `UnknownClaimError`, `SpentClaimError`, `OwnerExistsError`, `InvalidEmailError`,
        `WeakPasswordError`, `TooManyAttemptsError`.
        """
        claim_hash = _hashed(secret)
        tenant_id = await self._check_claim(claim_hash)
        address = canonical_email(email)
        password_rules.check(password, address)
        async with self._hashing_turn():
            password_hash = await asyncio.to_thread(self._hasher.hash, password_rules.prepared(password))
        session_secret = secrets.token_urlsafe(32)
        with acting_as(address):
            user = await self._audit.recorded(
                tenant_id,
                [Entry("user.add", address, {"role": Role.OWNER.value})],
                *(queries.insert_owner, claim_hash, address, password_hash, _hashed(session_secret), self._clock()),
            )
        log.info("gateway claimed tenant_id=%s user_id=%s", user.tenant_id, user.user_id)
        return session_secret

    # Sessions.

    async def sign_in(self, email: str, password: str, address: str) -> str:
        """Open a session and give its secret. `address` is where the request came from.

        Raises `NotSignedInError`, in the same words and the same time for an unknown user and a wrong
        password, and `TooManyAttemptsError`.
        """
        account = email.strip().lower()[:254]
        try:
            self._throttle(account, address)
            self._refuse_when_busy()
        except TooManyAttemptsError:
            refusals.gather(self._refused, refusals.Refusal(address, None, "", is_heard=False))
            raise
        # Counted before the answer is known: many attempts at once are many.
        self._count_attempt(account, address)
        async with self._hashing_turn():
            user = await self._verified(account, password, address)
        self._failures.pop((account, address), None)
        session_secret = secrets.token_urlsafe(32)
        with acting_as(user.email, address):
            await self._audit.recorded(
                user.tenant_id,
                [Entry("user.sign_in", user.email)],
                *(queries.open_session, user, _hashed(session_secret), self._lifetime, self._clock()),
            )
        log.info("user signed in user_id=%s address=%s", user.user_id, address)
        return session_secret

    async def tell_refused(self, tenant_id: int) -> None:
        """Write down which attempts to sign in have failed since this was last done; meant for once a minute.

        The tenant hears of those for accounts that do not exist. Raises `UnwritableError`; they are kept for next time.
        """
        for _ in range(len(self._refused)):
            of_tenant, address = key = next(iter(self._refused))
            # Taken out before: what comes meanwhile has an entry of its own.
            attempts = self._refused.pop(key)
            try:
                with acting_as("nobody", "" if address == refusals.OTHERS else address):
                    entry = refusals.entry(address, attempts)
                    await self._audit.record(tenant_id if of_tenant is None else of_tenant, entry)
            except UnwritableError:
                self._refused[key] = refusals.together(attempts, self._refused.get(key))
                raise

    async def sign_out(self, session_secret: str) -> None:
        """End a session; one that has ended stays so."""
        await self._database.write(queries.delete_session, _hashed(session_secret))

    async def user_of_session(self, session_secret: str) -> User:
        """Whose session this is. Raises `NotSignedInError` when it has ended or never was."""
        session_hash = _hashed(session_secret)
        now = self._clock()
        session = await self._session(session_hash, now)
        if self._lifetime.is_worth_noting(session, now):
            await self._database.write(queries.update_session_seen, session.user.tenant_id, session_hash, now)
        return session.user

    async def session_rest_ms(self, session_secret: str) -> int:
        """How much longer a session lasts that nobody uses; asking is no use. Raises `NotSignedInError`."""
        now = self._clock()
        return self._lifetime.ends_at(await self._session(_hashed(session_secret), now)) - now

    # Tokens.

    async def add_token(self, tenant_id: int, name: str, role: Role = Role.OPERATOR) -> str:
        """A new token, `hw_<id>.<secret>`; this is the one time that it is told.

        Raises `InvalidInputError` when the name is empty or too long.
        """
        if not 0 < len(name.strip()) <= TOKEN_NAME_LENGTH:
            raise InvalidInputError(f"the name of a token has 1 to {TOKEN_NAME_LENGTH} characters")
        secret = secrets.token_urlsafe(32)
        token_id = await self._audit.told(
            tenant_id,
            lambda number: [Entry("api_token.add", name.strip(), {"token_id": str(number), "role": role.value})],
            *(queries.insert_token, tenant_id, name.strip(), _hashed(secret), self._clock(), role),
        )
        log.info("token added tenant_id=%s token_id=%s role=%s", tenant_id, token_id, role)
        return f"{TOKEN_PREFIX}{token_id}.{secret}"

    async def user_of_token(self, token: str) -> User:
        """Whom this token stands for: nobody in person, with its own role. Raises `NotSignedInError`."""
        token_id, _, secret = token.removeprefix(TOKEN_PREFIX).partition(".")
        is_token = token.startswith(TOKEN_PREFIX) and _TOKEN_ID.fullmatch(token_id)
        found = await self._database.read(queries.select_token(int(token_id))) if is_token else []
        if not found or not hmac.compare_digest(found[0].secret_hash, _hashed(secret)):
            raise NotSignedInError("the token is not known")
        known = found[0].token
        if known.revoked_at is not None:
            raise NotSignedInError("the token was revoked")
        return User(0, known.tenant_id, f"token:{known.name}", known.role)

    async def tokens(self, tenant_id: int) -> list[Token]:
        """The tokens of a tenant, newest first, revoked ones too."""
        return await self._database.read(queries.select_tokens(tenant_id))

    async def revoke_token(self, tenant_id: int, token_id: int) -> None:
        """Let a token open nothing from now on. Raises `UnknownTokenError`."""
        await self._audit.told(
            tenant_id,
            lambda known: [Entry("api_token.revoke", known, {"token_id": str(token_id)})],
            *(queries.update_token_revoked, tenant_id, token_id, self._clock()),
        )
        log.info("token revoked tenant_id=%s token_id=%s", tenant_id, token_id)

    async def _session(self, session_hash: str, now: int) -> Session:
        found = await self._database.read(queries.select_session(session_hash))
        if not found or self._lifetime.has_ended(found[0], now):
            raise NotSignedInError("the session has ended: sign in again")
        return found[0]

    async def _check_claim(self, claim_hash: str) -> int:
        """The tenant whose owner the bearer of a good claim becomes."""
        # Before any hashing: who has no valid claim costs the gateway nothing.
        found = await self._database.read(queries.select_claim(claim_hash))
        if not found:
            raise UnknownClaimError("this claim link is not known: a newer one may have been printed")
        if found[0].used_at is not None:
            raise SpentClaimError("this claim link has been used: sign in instead")
        if found[0].expires_at <= self._clock():
            raise SpentClaimError("this claim link is too old: start the gateway again for a new one")
        return found[0].tenant_id

    def _throttle(self, account: str, address: str) -> None:
        now = self._clock()
        failures = self._failures.get((account, address), throttle.Failures())
        minute = self._minutes.get(address, throttle.Minute())
        wait_ms = max(throttle.wait_ms(failures, now), throttle.minute_wait_ms(minute, now))
        if wait_ms:
            wait_s = -(-wait_ms // 1000)
            raise TooManyAttemptsError(f"too many attempts: try again in {wait_s} seconds", wait_s)

    def _count_attempt(self, account: str, address: str) -> None:
        now = self._clock()
        failures = self._failures.pop((account, address), throttle.Failures())
        self._failures[account, address] = throttle.after_failure(failures, now)
        minute = self._minutes.pop(address, throttle.Minute())
        self._minutes[address] = throttle.after_attempt(minute, now)
        _forget_oldest(self._failures)
        _forget_oldest(self._minutes)

    def _refuse_when_busy(self) -> None:
        if self._hashing_count >= HASHING_LIMIT:
            raise TooManyAttemptsError("too many people are signing in at this moment: try again in a few seconds")

    @contextlib.asynccontextmanager
    async def _hashing_turn(self) -> AsyncIterator[None]:
        self._refuse_when_busy()
        self._hashing_count += 1
        try:
            async with self._hashing:
                yield
        finally:
            self._hashing_count -= 1

    async def _verified(self, account: str, password: str, address: str) -> User:
        found = await self._database.read(queries.select_user(account))
        known_password = password_rules.prepared(password[: password_rules.MOST_LENGTH + 1])
        # An unknown user costs the same hashing as a known one: the time taken tells nobody who exists.
        password_hash = await self._decoy_hash()
        if found:
            password_hash = found[0].password_hash
        is_right = await asyncio.to_thread(self._verify, password_hash, known_password)
        if not found or not is_right:
            tenant_id, known = (found[0].user.tenant_id, found[0].user.email) if found else (None, "")
            refusals.gather(self._refused, refusals.Refusal(address, tenant_id, known, is_heard=True))
            raise NotSignedInError(_WRONG)
        await self._strengthen(found[0], known_password)
        return found[0].user

    def _verify(self, password_hash: str, password: bytes) -> bool:
        try:
            return self._hasher.verify(password_hash, password)
        except argon2.exceptions.VerifyMismatchError:
            return False

    async def _decoy_hash(self) -> str:
        if not self._decoy:
            self._decoy = await asyncio.to_thread(self._hasher.hash, secrets.token_bytes(16))
        return self._decoy

    async def _strengthen(self, known: UserWithPassword, password: bytes) -> None:
        """Hash a password again that was kept with weaker parameters than those of today."""
        if self._hasher.check_needs_rehash(known.password_hash):
            password_hash = await asyncio.to_thread(self._hasher.hash, password)
            user = known.user
            await self._database.write(queries.update_password_hash, user.tenant_id, user.user_id, password_hash)


def _hashed(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "replace")).hexdigest()


def _forget_oldest(remembered: dict[Any, Any]) -> None:
    while len(remembered) > REMEMBERED_ADDRESSES:
        del remembered[next(iter(remembered))]
