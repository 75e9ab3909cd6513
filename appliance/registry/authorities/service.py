"""The device CA at work: its keys are tended one thing at a time, and its revocation list is made when asked for."""

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import TypeVar

from appliance.audit.model import Entry
from appliance.instant import Clock
from appliance.registry import crl, keys, root
from appliance.registry.keys import AuthorityStatus, Tended
from appliance.registry.model import Certificate
from appliance.registry.pki import Pki

T = TypeVar("T")


class Authorities:
    """The CAs of this gateway. `pki` is set before anything is asked."""

    pki: Pki

    def __init__(
        self, clock: Clock, record: Callable[[Entry], Awaitable[None]], renew: Callable[[], Awaitable[bool]]
    ) -> None:
        """`record` tells the audit log, `renew` issues server certificates again where that is needed."""
        self._clock = clock
        self._record = record
        self._renew = renew
        self._in_use = asyncio.Lock()
        self._revocations: crl.RevocationList | None = None
        self.tls_changed: Callable[[], Awaitable[None]] = _nobody_told
        """Told when listeners are to show another certificate, or to trust another CA."""

    def status(self) -> AuthorityStatus:
        """How the device CA stands."""
        return keys.status(self.pki)

    async def export_root(self, passphrase: str) -> str:
        """The root's key, encrypted with a passphrase. Raises `RootKeyError`."""
        chance = secrets.token_bytes(root.SALT_BYTES + root.VECTOR_BYTES)
        return await self._tend(partial(keys.export_root, passphrase=passphrase, chance=chance))

    async def confirm_export(self, exported: str, passphrase: str) -> None:
        """Note that an export was read back from where it was put. Raises `RootKeyError`."""
        await self._tend(partial(keys.confirm_export, exported=exported, passphrase=passphrase))

    async def remove_root(self) -> None:
        """Take the root's key off this gateway. Raises `RootKeyError` unless an export of it was read back."""
        await self._tend(keys.remove_root)

    async def restore_root(self, exported: str, passphrase: str) -> None:
        """Put the root's key back from an export. Raises `RootKeyError`."""
        await self._tend(partial(keys.restore_root, exported=exported, passphrase=passphrase))

    async def use_issuer(self, certificates: bytes, key: bytes) -> AuthorityStatus:
        """Let a CA from elsewhere issue from now on; what was issued before stays good.

        Raises `InvalidIssuerError`, and `RootKeyError` while the root's key is away.
        """
        return await self._tend(partial(keys.use_issuer, certificates=certificates, key=key, now=self._clock()))

    async def revocation_list(self, certificates: Iterable[Certificate]) -> bytes:
        """Those of the certificates that were revoked and have not expired, signed, DER (RFC 5280 §5)."""
        now, issuing = self._clock(), self.pki.issuing
        revoked = crl.listed(certificates, now)
        made = self._revocations
        if made is None or not crl.is_good(made, issuing, revoked, now):
            made = self._revocations = await asyncio.to_thread(crl.make, issuing, revoked, now)
        return made.der

    async def _tend(self, work: Callable[[Pki], Tended[T]]) -> T:
        """Have something done with the keys; it is in the audit log before its result is given."""
        async with self._in_use:
            tended = await asyncio.to_thread(work, self.pki)
            self.pki = tended.pki
        await self._record(tended.entry)
        if await self._renew():
            await self.tls_changed()
        return tended.result


async def _nobody_told() -> None:
    """Stand in while no listener is open."""
