"""The device CA at work: its keys are tended one thing at a time, and its revocation list is made when asked for."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from typing import Any, TypeVar

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from appliance.audit.model import Entry
from appliance.config import CaConfig
from appliance.health import Status
from appliance.instant import Clock
from appliance.registry import crl, keys, pki, renewed, root
from appliance.registry.authority import Authority
from appliance.registry.hardware import request
from appliance.registry.hardware.key import HardwareKey, SilentSigner
from appliance.registry.hardware.model import HardwareBusyError, HardwareKeyError
from appliance.registry.hardware.service import Turns
from appliance.registry.hardware.token import Token
from appliance.registry.keys import AuthorityStatus, Tended
from appliance.registry.model import Certificate
from appliance.registry.pki import Pki

log = logging.getLogger(__name__)

T = TypeVar("T")


class Authorities:
    """The CAs of this gateway. `pki` is set before anything is asked."""

    pki: Pki

    def __init__(self, clock: Clock, record: Callable[[Entry], Awaitable[None]], renew: Callable[[Pki], bool]) -> None:
        """`record` tells the audit log, whatever the disk; `renew` issues server certificates again where needed."""
        self._clock = clock
        self._record = record
        self._renew = renew
        self._in_use = asyncio.Lock()
        self.turns = Turns()
        """In which the token is asked."""
        self.token = Token(CaConfig())
        """Where the key of the issuing CA is, if it is not in the folder of keys."""
        self.key_refusal: keys.KeyRefusal = keys.no_key_refused
        """Says why a CA with a public key may not issue: it was revoked."""
        self._revocations: crl.RevocationList | None = None
        self.tls_changed: Callable[[], Awaitable[None]] = _nobody_told
        """Told when listeners are to show another certificate, or to trust another CA."""
        self._is_untold = False
        """Whether listeners are still to be told of a change."""
        self._fault: str | None = None
        """What kept server certificates from being issued again the last time; None when nothing did."""
        self._renewing = asyncio.Lock()

    @property
    def is_behind(self) -> bool:
        """Whether listeners are still to be told of a change, or server certificates to be issued again."""
        return self._is_untold or self._fault is not None

    def status(self) -> AuthorityStatus:
        """How the device CA stands."""
        return keys.status(self.pki)

    async def export_root(self, passphrase: str) -> str:
        """The root's key, encrypted with a passphrase. Raises `RootKeyError`."""
        chance = secrets.token_bytes(root.SALT_BYTES + root.VECTOR_BYTES)
        return await self.tend(partial(keys.export_root, passphrase=passphrase, chance=chance))

    async def confirm_export(self, exported: str, passphrase: str) -> None:
        """Note that an export was read back from where it was put. Raises `RootKeyError`."""
        await self.tend(partial(keys.confirm_export, exported=exported, passphrase=passphrase))

    async def remove_root(self) -> None:
        """Take the root's key off this gateway. Raises `RootKeyError` unless an export of it was read back."""
        await self.tend(keys.remove_root)

    async def restore_root(self, exported: str, passphrase: str) -> None:
        """Put the root's key back from an export. Raises `RootKeyError`."""
        await self.tend(partial(keys.restore_root, exported=exported, passphrase=passphrase))

    async def use_issuer(self, certificates: bytes, key: bytes) -> AuthorityStatus:
        """Let a CA from elsewhere issue from now on; what was issued before stays good.

        Raises `InvalidIssuerError`, and `RootKeyError` while the root's key is away.
        """
        use = partial(keys.use_issuer, certificates=certificates, key=key)
        return await self.tend(partial(use, now=self._clock(), refusal=self.key_refusal))

    async def trust_also(self, further: tuple[x509.Certificate, ...]) -> None:
        """Let the certificates of these CAs, which we have no key of, get as far as to be judged by the registry."""
        async with self._in_use:
            self._is_untold = True
            self.pki = await asyncio.to_thread(pki.trust_also, self.pki, further)
        await self._tell_listeners()

    async def use_hardware(self, certificates: bytes) -> AuthorityStatus:
        """Let a CA issue whose key is in the token of the settings; without `certificates`, one under our root.

        What was issued before stays good. Raises `HardwareKeyError`, `InvalidIssuerError`, and `RootKeyError` while
        the root's key is away.
        """
        key = await self._in_turn(self.token.key)
        use = partial(keys.use_hardware, key=key, certificates=certificates)
        return await self.tend(partial(use, now=self._clock(), refusal=self.key_refusal), with_token=True)

    async def remove_issuer_keys(self) -> list[str]:
        """Take the private keys of issuing CAs off this gateway, where one in the token issues; gives their files.

        Raises `IssuerKeyError`, `HardwareKeyError`.
        """
        return await self.tend(keys.remove_issuer_keys, with_token=True)

    async def hardware_request(self) -> str:
        """A certificate signing request for the key in the token, PEM, for a CA from elsewhere.

        The key is made where there is none. Raises `HardwareKeyError`.
        """
        key = await self._in_turn(self.token.key)
        return await self._in_turn(partial(request.make, key))

    async def check_hardware(self) -> None:
        """See whether the token signs, where the issuing CA's key is in one; the status tells."""
        if isinstance(self.pki.issuing.key, HardwareKey):
            # One that does not answer keeps nobody waiting: the gateway starts without it.
            with contextlib.suppress(HardwareKeyError):
                await self._in_turn(self.token.check)

    def without_token(self) -> Pki:
        """The folder of keys as it is while the token does not answer: what hangs on it is refused at once."""
        issuing = self.pki.issuing
        if not isinstance(issuing.key, HardwareKey):
            return self.pki
        key = HardwareKey(issuing.key.public_key(), SilentSigner(self.token.trouble))
        return msgspec.structs.replace(self.pki, issuing=Authority(issuing.certificate, key))

    @property
    def has_token(self) -> bool:
        """Whether the settings name a token, or the issuing CA's key is in one."""
        return self.token.is_configured or isinstance(self.pki.issuing.key, HardwareKey)

    def hardware_status(self) -> Status:
        """How it stands with the token. Without it devices still connect."""
        if not isinstance(self.pki.issuing.key, HardwareKey):
            return Status(ok=True, summary="no key in hardware is in use")
        if self.token.trouble:
            summary = f"no certificates are issued: {self.token.trouble}. Devices that have one connect as before"
            return Status(ok=False, summary=summary, is_serving=True)
        return Status(ok=True, summary=f"the issuing CA's key is in the token {self.token.label}")

    async def is_issuing(self, key: CertificatePublicKeyTypes) -> bool:
        """Whether the CA with this public key issues, after what is being done with the keys just now."""
        async with self._in_use:
            return self.pki.issuing.certificate.public_key() == key

    async def sign(self, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Run work that signs with the issuing CA's key, in a thread; a token is asked one thing at a time.

        Raises what the work raises, and `HardwareBusyError` when too much waits for the token already.
        """
        work = partial(function, *arguments, **named)
        if isinstance(self.pki.issuing.key, HardwareKey):
            return await self._in_turn(work)
        return await asyncio.to_thread(work)

    async def revocation_list(self, certificates: Iterable[Certificate]) -> bytes:
        """Those of the certificates that were revoked and have not expired, signed, DER (RFC 5280 §5)."""
        now, issuing = self._clock(), self.pki.issuing
        revoked = crl.listed(certificates, now)
        made = self._revocations
        if made is None or not crl.is_good(made, issuing, revoked, now):
            made = self._revocations = await self.sign(crl.make, issuing, revoked, now)
        return made.der

    async def close(self) -> None:
        """Lock the token again, if it answers."""
        await self.turns.close(self.token)

    async def _in_turn(self, work: Callable[[], T]) -> T:
        done: T = await self.turns.take(self.token, work)
        return done

    async def tend(self, work: Callable[[Pki], Tended[T]], *, with_token: bool = False) -> T:
        """Have something done with the keys; it is in the audit log before its result is given."""
        async with self._in_use:
            done = partial(work, self.pki)
            tended = await (self._in_turn(done) if with_token else asyncio.to_thread(done))
            # Another CA is to be trusted, too, whether a certificate by it can be shown yet or not.
            self._is_untold = self._is_untold or tended.pki is not self.pki
            self.pki = tended.pki
        await self._record(tended.entry)
        await self.show_changes()
        return tended.result

    async def show_changes(self) -> None:
        """Issue server certificates again where that is needed, and have listeners show what has changed.

        What a full disk, or a token, keeps from being done is left to the next time: `is_behind` tells.
        """
        before = await asyncio.to_thread(renewed.shown, self.pki)
        try:
            await self.renew()
            self._fault = None
        except (OSError, HardwareBusyError, HardwareKeyError) as error:
            if self._fault != str(error):
                log.error("server certificates not issued again, tried until they are reason=%s", error)  # noqa: TRY400  the disk's reason, no defect of ours
            self._fault = str(error)
        # One of them may have been issued before the fault.
        if self._is_untold or before != await asyncio.to_thread(renewed.shown, self.pki):
            await self._tell_listeners()

    async def renew(self) -> bool:
        """Issue server certificates again where names changed or time runs out; whether any was.

        Raises `OSError`, `HardwareBusyError`, `HardwareKeyError`; some of them may have been issued before.
        """
        async with self._renewing:
            before = await asyncio.to_thread(renewed.shown, self.pki)
            try:
                return await self._renewed()
            finally:
                # Also when the disk was full after the first of them.
                for entry in renewed.entries(before, await asyncio.to_thread(renewed.shown, self.pki)):
                    await self._record(entry)

    async def _renewed(self) -> bool:
        try:
            return await self.sign(self._renew, self.pki)
        except HardwareKeyError:
            # What the web shows does not hang on the token.
            return await asyncio.to_thread(self._renew, self.without_token())

    async def _tell_listeners(self) -> None:
        self._is_untold = True
        await self.tls_changed()
        self._is_untold = False


async def _nobody_told() -> None:
    """Stand in while no listener is open."""
