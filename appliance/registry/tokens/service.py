"""Device tokens at work: all of them in memory, their uses written down from time to time.

Rules: a secret is made here, told once, and kept as an HMAC; it is compared in a time that tells nothing. What is
asked at a CONNECT is answered from memory. Wrong tokens are counted by the address that shows them: one that
showed too many is not listened to for the rest of the minute, except for tokens that came in from there before.
"""

import asyncio
import hmac
import logging
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from appliance.audit.model import Entry
from appliance.audit.service import Audit
from appliance.instant import DAY_MS, Clock, to_text
from appliance.registry import files
from appliance.registry.clock.trust import Reading, is_over
from appliance.registry.model import Device, DeviceRetiredError, DeviceState, KeyFolderError
from appliance.registry.tokens import queries, throttle
from appliance.registry.tokens.model import (
    TOKENS_LIMIT,
    DeviceToken,
    IssuedToken,
    KeptToken,
    NewToken,
    TooManyDeviceTokensError,
    UnknownDeviceTokenError,
    Use,
    checked_lifetime,
    checked_name,
    is_token,
    parsed,
    written,
)
from appliance.store.database import Database, UnwritableError
from broker.ports import Credentials, Denied, Principal
from broker.reason_codes import ReasonCode

log = logging.getLogger(__name__)

KEY_FILE = "token.key"
SECRET_BYTES = 24
"""192 random bits: nobody guesses one, and it still fits into the password of the smallest client."""
KEY_BYTES = 32

_NOBODYS = "0" * 64
"""What the secret of a token that does not exist is compared with."""


class Watch(Protocol):
    """Knows what time it is, and what that is worth."""

    def reading(self) -> Reading:
        """The present moment."""


class Devices(Protocol):
    """The devices, as the registry has them."""

    audit: Audit
    rights_changed: Callable[[int, str], None]

    @property
    def time(self) -> Watch:
        """What the ends of tokens are held against."""

    def device(self, tenant_id: int, device_id: str) -> Device:
        """One device. Raises `UnknownDeviceError`."""


class DeviceTokens:
    """The tokens of all devices."""

    _key: bytes

    def __init__(
        self,
        database: Database,
        folder: Path,
        clock: Clock,
        registry: Devices,
    ) -> None:
        """`folder` is that of keys."""
        self._database = database
        self._folder = folder
        self._clock = clock
        self._registry = registry
        self._tokens: dict[int, KeptToken] = {}
        self._numbers: dict[tuple[int, str], list[int]] = {}
        self._unwritten: dict[int, Use] = {}
        self._misses: dict[str, throttle.Misses] = {}
        self._over: set[int] = set()
        """Tokens that were told to be over."""
        self.plain_networks: tuple[str, ...] = ()
        """Networks from which a token may come unencrypted, besides this machine."""

    async def open(self) -> None:
        """Have the key and every token in memory; the folder of keys exists.

        Raises `KeyFolderError` when the key is damaged or open to everyone.
        """
        kept = await self._database.read(queries.select_all_tokens())
        self._key = await asyncio.to_thread(self._read_key, len(kept))
        for one in kept:
            self._remember(one)
        self._over = self._over_by(self._registry.time.reading())

    async def close(self) -> None:
        """Write down what is known only here."""
        await self._write_uses()

    # For the broker.

    def bearer(self, credentials: Credentials) -> Principal | Denied | None:
        """The device whose token is shown, or why it is not taken; None when none is shown.

        Whether the device may connect, and under which client identifier, is judged as for any other.
        """
        if credentials.certificate is not None or credentials.password is None or not is_token(credentials.password):
            return None
        if credentials.transport == "plain" and not throttle.is_near(credentials.address, self.plain_networks):
            return Denied(
                "a token came over a connection that is not encrypted, from none of mqtt.plain_networks: "
                "revoke it, and let the device connect with TLS"
            )
        kept = self._right(credentials.password)
        origin = throttle.origin(credentials.address)
        if kept is None or kept.token.used_from != throttle.host_of(credentials.address):
            wait_ms = throttle.wait_ms(self._misses.get(origin, throttle.Misses()), self._clock())
            if wait_ms:
                return _not_known(f"too many wrong tokens came from {origin}: try again in {-(-wait_ms // 1000)} s")
        if kept is None:
            self._count_miss(origin)
            return _not_known("the token is not known here: a device shows the one that was made for it, unchanged")
        reason = _refusal(kept, credentials.username or "", self._registry.time.reading())
        if reason:
            return Denied(reason, of=Principal(kept.tenant_id, kept.device_id))
        self._note_use(kept, throttle.host_of(credentials.address))
        return Principal(kept.tenant_id, kept.device_id)

    # For people.

    def tokens(self, tenant_id: int, device_id: str) -> list[DeviceToken]:
        """The tokens of a device, newest first, those too that are no longer good. Raises `UnknownDeviceError`."""
        self._registry.device(tenant_id, device_id)
        numbers = self._numbers.get((tenant_id, device_id), [])
        return [self._tokens[number].token for number in reversed(numbers)]

    async def issue(self, tenant_id: int, device_id: str, name: str, lifetime_days: int) -> IssuedToken:
        """Make one more token for a device; those it has stay good.

        Raises `UnknownDeviceError`, `DeviceRetiredError`, `TooManyDeviceTokensError`, `InvalidInputError`.
        """
        if self._registry.device(tenant_id, device_id).state is DeviceState.RETIRED:
            raise DeviceRetiredError(f"{device_id} is retired")
        reading = self._registry.time.reading()
        now = reading.issuing_at
        known = self.tokens(tenant_id, device_id)
        good_count = sum(token.revoked_at is None and not is_over(token.expires_at, reading) for token in known)
        if good_count >= TOKENS_LIMIT:
            raise TooManyDeviceTokensError(f"{device_id} has {TOKENS_LIMIT} tokens: revoke one that is not needed")
        secret = secrets.token_urlsafe(SECRET_BYTES)
        expires_at = now + checked_lifetime(lifetime_days) * DAY_MS
        new = NewToken(checked_name(name), self._hashed(secret.encode()), now, expires_at)
        kept = await self._registry.audit.told(
            tenant_id, lambda one: [_entry("device_token.add", one)], queries.insert_token, tenant_id, device_id, new
        )
        self._remember(kept)
        number = kept.token.token_number
        log.info("device token issued tenant_id=%s device_id=%s token_number=%s", tenant_id, device_id, number)
        return IssuedToken(kept.token, written(number, secret))

    async def revoke(self, tenant_id: int, device_id: str, token_number: int) -> DeviceToken:
        """Let a token open nothing any more; who came in with it is judged again at once.

        Raises `UnknownDeviceTokenError`.
        """
        kept = self._tokens.get(token_number)
        if kept is None or (kept.tenant_id, kept.device_id) != (tenant_id, device_id):
            raise UnknownDeviceTokenError(f"{device_id} has no token {token_number}")
        revoked_at = await self._registry.audit.recorded(
            tenant_id,
            [_entry("device_token.revoke", kept)],
            *(queries.update_revoked, tenant_id, device_id, token_number, self._clock()),
        )
        revoked = msgspec.structs.replace(kept.token, revoked_at=revoked_at)
        self._tokens[token_number] = msgspec.structs.replace(kept, token=revoked)
        self._registry.rights_changed(tenant_id, device_id)
        log.info("device token revoked tenant_id=%s device_id=%s token_number=%s", tenant_id, device_id, token_number)
        return revoked

    async def look_after(self) -> None:
        """Write down which tokens were used, and have who came in with one that has expired since judged again.

        Meant for once a minute.
        """
        before, self._over = self._over, self._over_by(self._registry.time.reading())
        for number in self._over - before:
            kept = self._tokens[number]
            if kept.token.revoked_at is None:
                log.info("device token expired tenant_id=%s device_id=%s", kept.tenant_id, kept.device_id)
                self._registry.rights_changed(kept.tenant_id, kept.device_id)
        await self._write_uses()

    def _over_by(self, reading: Reading) -> set[int]:
        # Judged anew each time: by a clock that is right again, what was over need not be.
        return {number for number, kept in self._tokens.items() if is_over(kept.token.expires_at, reading)}

    def _right(self, password: bytes) -> KeptToken | None:
        """The token that is shown, whether it is still good or not; None when there is none."""
        shown = parsed(password)
        kept = None if shown is None else self._tokens.get(shown.token_number)
        # Also without a token to compare with: how long it takes tells nobody which numbers exist.
        expected = kept.secret_hash if kept is not None else _NOBODYS
        is_right = hmac.compare_digest(expected, self._hashed(shown.secret if shown is not None else b""))
        return kept if is_right else None

    def _hashed(self, secret: bytes) -> str:
        return hmac.digest(self._key, secret, "sha256").hex()

    def _count_miss(self, origin: str) -> None:
        misses = self._misses.pop(origin, throttle.Misses())
        self._misses[origin] = throttle.after_miss(misses, self._clock())
        if len(self._misses) > throttle.REMEMBERED_ORIGINS:
            del self._misses[next(iter(self._misses))]

    def _note_use(self, kept: KeptToken, host: str) -> None:
        number = kept.token.token_number
        use = Use(kept.tenant_id, number, self._clock(), host)
        # When it was used is no promise: a crash loses the last minute of it.
        token = msgspec.structs.replace(kept.token, used_at=use.at, used_from=host)
        self._tokens[number] = msgspec.structs.replace(kept, token=token)
        self._unwritten[number] = use

    async def _write_uses(self) -> None:
        uses, self._unwritten = self._unwritten, {}
        if not uses:
            return
        try:
            await self._database.write(queries.update_uses, list(uses.values()))
        except UnwritableError as error:
            self._unwritten = {**uses, **self._unwritten}
            log.warning("uses of device tokens not written count=%s reason=%s", len(uses), error)

    def _remember(self, kept: KeptToken) -> None:
        self._tokens[kept.token.token_number] = kept
        self._numbers.setdefault((kept.tenant_id, kept.device_id), []).append(kept.token.token_number)

    def _read_key(self, token_count: int) -> bytes:
        path = self._folder / KEY_FILE
        if not path.exists():
            if token_count:
                log.warning("key of device tokens was missing file=%s lost_token_count=%s", path, token_count)
            files.write(path, secrets.token_hex(KEY_BYTES) + "\n", files.PRIVATE)
        try:
            key = bytes.fromhex(files.read_private(path).decode("ascii").strip())
        except ValueError:
            key = b""
        if len(key) != KEY_BYTES:
            raise KeyFolderError(f"{path}: this is no key, expected {2 * KEY_BYTES} hexadecimal digits")
        return key


def _refusal(kept: KeptToken, username: str, clock: Reading) -> str | None:
    """Why a token that is the device's own is not taken."""
    token = kept.token
    if token.revoked_at is not None:
        return f"the token {token.name!r} of {kept.device_id} was revoked at {to_text(token.revoked_at)}"
    if is_over(token.expires_at, clock):
        return f"the token {token.name!r} of {kept.device_id} expired at {to_text(token.expires_at)}"
    # What begins with ? is the version of a library, as AWS's own clients tell it.
    if username not in ("", kept.device_id) and not username.startswith("?"):
        return (
            f"the user name is {username[:140]!r}, the token is one of {kept.device_id}: leave it empty or correct it"
        )
    return None


def _entry(action: str, kept: KeptToken) -> Entry:
    token = kept.token
    details = {"token_number": str(token.token_number), "name": token.name, "expires_at": to_text(token.expires_at)}
    return Entry(action, kept.device_id, details)


def _not_known(reason: str) -> Denied:
    return Denied(reason, ReasonCode.BAD_USERNAME_OR_PASSWORD)
