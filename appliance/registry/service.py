"""The registry at work: the devices in memory, their certificates in the database, the keys on disk.

Rules: what is asked for every packet is answered from memory. Memory changes only after the commit.
A private key of a device is made, handed out once, and never kept.
"""

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import ifaddr
import msgspec

from appliance.audit.service import Audit
from appliance.health import Status
from appliance.instant import Clock
from appliance.policies.model import Change, Policy
from appliance.policies.service import Policies
from appliance.registry import authority, issue, names, pki, policy, queries, record, self_made
from appliance.registry.authorities.service import Authorities
from appliance.registry.bundle import Address
from appliance.registry.catalogue import lifecycle
from appliance.registry.clock.service import TrustedClock
from appliance.registry.directory import Directory
from appliance.registry.model import (
    DEFAULT_TENANT,
    BoundCertificate,
    Bundle,
    Certificate,
    Device,
    DeviceRetiredError,
    DeviceState,
    Granted,
    IssuedCertificate,
    NewDevice,
    Presence,
    TlsFiles,
    check_new_device,
)
from appliance.registry.own_authorities.service import OwnAuthorities
from appliance.registry.presence import PresenceBook
from appliance.registry.revocation.service import Revocation
from appliance.registry.tokens.service import DeviceTokens
from appliance.store.database import Database, UnwritableError
from broker.ports import Connected, Disconnected

log = logging.getLogger(__name__)

T = TypeVar("T")


class Registry(Directory):
    """The devices of this gateway. Says to the broker who may connect and what they may do."""

    policies: Policies
    """What devices may do."""
    own_authorities: OwnAuthorities
    """CAs that tenants have brought along."""
    tokens: DeviceTokens
    """Those of devices that cannot do certificates."""
    time: TrustedClock
    """What the clock is worth, which certificates are judged by."""
    revocation: Revocation
    """Of many certificates at once."""
    policy_changed: Callable[[int, str], None]
    """Told instead of `rights_changed` of each of many whom a policy concerns: none of them has to be put out."""
    gone: Callable[[int, str], None]
    """Told when a device takes no part any more: nothing is to be kept for it."""
    _presence: PresenceBook
    _gathered: names.ServerNames

    def __init__(
        self, database: Database, folder: Path, clock: Clock, names: Sequence[str] = (), *, trust_plain: bool = False
    ) -> None:
        """Keep the arguments.

        `folder` is the folder of keys itself, made when missing; `names` are further names for the
        server certificates. With `trust_plain` a client without a certificate is the device that its
        client identifier names: only for a listener that nobody outside this machine reaches.
        """
        super().__init__(trust_plain=trust_plain)
        self._database = database
        self._folder = folder
        self._clock = clock
        self._names = tuple(names)
        self.rights_changed: Callable[[int, str], None] = lambda _tenant_id, _device_id: None
        """Told when a device may do something else from now on: whoever keeps its connections ends them."""
        self.policy_changed = lambda *whose: self.rights_changed(*whose)  # noqa: PLW0108  what is set later counts
        self.gone = lambda _tenant_id, _device_id: None
        self.audit = Audit(database, clock)
        """What was done with identities, and by whom."""
        self.authorities = Authorities(clock, partial(self.audit.surely, DEFAULT_TENANT), self._renew)
        """The CAs themselves."""
        self.reached = Address("")
        """What devices are told of where to connect; without a host, by the name in the LAN."""
        self.time = TrustedClock(database, clock, self.audit)
        self.time.was_reset = self._recall_forgotten
        self.policies = Policies(database, clock, self._policy_changed, self._write_policy)
        self.revocation = Revocation(database, self, clock)
        self.issuer_refusal = self.revocation.issuer_refusal
        self.authorities.key_refusal = self.revocation.key_refusal
        self.own_authorities = OwnAuthorities(database, clock, self)
        self.tokens = DeviceTokens(database, folder, clock, self)

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        """Have keys and certificates in order and every device in memory.

        Raises `KeyFolderError` when the folder of keys is damaged, `InvalidHostNameError` when one of
        the configured names is none.
        """
        self._presence = PresenceBook(self._clock())
        await self.time.open()
        await self.own_authorities.open()
        hostname, now = names.canonical_host(socket.gethostname()), self.time.issuing_at
        in_hardware = self.authorities.token.key_of
        self.authorities.pki = await asyncio.to_thread(
            pki.opened, self._folder, hostname, now, further=self.own_authorities.issuers, in_hardware=in_hardware
        )
        await self.authorities.check_hardware()
        await self.authorities.renew()
        for device in await self._database.read(queries.select_all_devices()):
            self._remember(device)
        self._recall(await self._database.read(queries.select_all_certificates()))
        self.forget_long_over()
        await self.revocation.open()
        await self.policies.open()
        await self.tokens.open()
        log.info("registry opened device_count=%s", sum(map(len, self._devices.values())))
        try:
            async with self.own_authorities.running():
                yield self
            await self.tokens.close()
            with contextlib.suppress(UnwritableError):
                await self.audit.catch_up()
                await self.time.mark()
        finally:
            await self.authorities.close()

    async def catch_up(self) -> None:
        """Do what was left undone because the disk was full. Raises `UnwritableError`."""
        await self.audit.catch_up()
        if self.authorities.is_behind:
            await self.authorities.show_changes()

    # For the broker, beside what the directory judges.

    def note_connected(self, event: Connected) -> None:
        """Hear that a client has a connection; those of operators are not counted among the devices."""
        if self.has_device(event.tenant_id, event.principal):
            self._presence.note_connected(event.tenant_id, event.principal, event.address, event.at)
        bound = None if event.certificate is None else self.bearer(event.certificate)
        if bound is not None:
            self.certificate_used(bound)

    def note_disconnected(self, event: Disconnected) -> None:
        """Hear that a device lost a connection."""
        self._presence.note_disconnected(event.tenant_id, event.principal, event.reason, event.at)

    def recall_presence(self, tenant_id: int, device_id: str, presence: Presence) -> None:
        """Know how it stood with a device before this start; nothing where it was heard of since."""
        self._presence.recall(tenant_id, device_id, presence)

    def presence(self, tenant_id: int, device_id: str) -> Presence:
        """Whether a device is connected, since when, and why not."""
        return self._presence.presence(tenant_id, device_id)

    def connected_count(self, tenant_id: int) -> int:
        """How many devices of the tenant are connected."""
        return self._presence.connected_count(tenant_id)

    def device_tls(self) -> TlsFiles:
        """What the MQTT listener is opened with."""
        return self.authorities.pki.device_tls

    def web_tls(self) -> TlsFiles:
        """What the HTTPS listener is opened with; nobody shows a certificate there."""
        return self.authorities.pki.web_tls

    def parts(self) -> Mapping[str, Callable[[], Status]]:
        """What is to be asked how it is."""
        hardware = {"hardware key": self.authorities.hardware_status} if self.authorities.has_token else {}
        return {"clock": self.time.status, **hardware}

    @property
    def lan_host(self) -> str:
        """The name or address by which others in the LAN reach this gateway."""
        return names.lan_host(self._gathered)

    @property
    def address(self) -> Address:
        """Where devices reach this gateway."""
        return msgspec.structs.replace(self.reached, host=self.reached.host or self.lan_host)

    @property
    def root_path(self) -> Path:
        """The CA that devices trust, PEM."""
        return self.authorities.pki.root_path

    @property
    def authorities_pem(self) -> str:
        """The CAs that vouch for devices, PEM: the issuing one, then the root."""
        return authority.certificate_pem(self.authorities.pki.issuing.certificate, self.authorities.pki.root)

    @property
    def chain_pem(self) -> str:
        """What a device shows behind its own certificate, PEM."""
        return authority.certificate_pem(*self.authorities.pki.shown)

    @property
    def root_pem(self) -> str:
        """The CA that devices trust, PEM."""
        return authority.certificate_pem(self.authorities.pki.root)

    @property
    def web_ca_path(self) -> Path:
        """The CA that a person may put into a browser, PEM."""
        return self.authorities.pki.web_ca_path

    @property
    def web_ca_fingerprint(self) -> str:
        """SHA-256 of the web CA as browsers show it: pairs of hexadecimal digits between colons."""
        return bytes.fromhex(authority.fingerprint(self.authorities.pki.web.certificate)).hex(":").upper()

    # What changes the registry.

    async def add_device(
        self,
        tenant_id: int,
        device_id: str,
        *,
        name: str = "",
        type: str = "",  # noqa: A002  the field's own word
        zone: str = "",
        serial_number: str = "",
    ) -> Device:
        """Register a device, active at once.

        Raises `InvalidDeviceIdError`, `DeviceExistsError`, and `InvalidInputError` for a text that is too long.
        """
        new = check_new_device(NewDevice(device_id, name, type, zone, serial_number))
        device = await self.audit.told(
            tenant_id, lambda one: record.added([one]), queries.insert_device, tenant_id, new, self._clock()
        )
        self._remember(device)
        log.info("device added tenant_id=%s device_id=%s", tenant_id, device_id)
        return device

    async def issue_certificate(self, tenant_id: int, device_id: str) -> Bundle:
        """Issue one more certificate to a device; those it has stay good.

        Raises `UnknownDeviceError`, `DeviceRetiredError`.
        """
        self._refuse_retired(self.device(tenant_id, device_id))
        [issued] = await self.authorities.sign(issue.issue, self.authorities.pki, [device_id], self.time.issuing_at)
        entries = record.issued([issued.kept], key=record.MADE_HERE)
        await self.audit.recorded(tenant_id, entries, queries.insert_certificates, tenant_id, [issued.kept])
        self._bind(tenant_id, [issued.kept])
        log.info("certificate issued device_id=%s fingerprint=%s", device_id, issued.bundle.fingerprint)
        return issued.bundle

    async def grant_certificate(self, tenant_id: int, device_id: str, request: bytes) -> Granted:
        """Issue a certificate to a device for the key of its certificate signing request, PEM or DER.

        Those it has stay good. Raises `UnknownDeviceError`, `DeviceRetiredError`, `InvalidRequestError`.
        """
        return await self._granted(tenant_id, device_id, partial(issue.grant, request=request))

    async def grant_key(self, tenant_id: int, device_id: str, public_key: bytes) -> Granted:
        """Issue a certificate for a public key (SubjectPublicKeyInfo, DER) whose bearer has shown its private half.

        Otherwise as `grant_certificate`.
        """
        return await self._granted(tenant_id, device_id, partial(issue.grant_key, key=self_made.public_key(public_key)))

    async def issue_many(self, tenant_id: int, devices: Sequence[NewDevice]) -> list[Bundle]:
        """Register the devices that are not, and issue a certificate to each, in one transaction.

        Raises `InvalidDeviceIdError`, `InvalidInputError`, `DeviceRetiredError`; then nothing was changed.
        """
        news = [check_new_device(new) for new in devices]
        for new in news:
            known = self._devices.get(tenant_id, {}).get(new.device_id)
            if known:
                self._refuse_retired(known)
        now = self.time.issuing_at
        issued = await self.authorities.sign(issue.issue, self.authorities.pki, [new.device_id for new in news], now)
        kept = [one.kept for one in issued]
        registered = set(self._devices.get(tenant_id, {}))
        written = await self.audit.told(
            tenant_id,
            lambda found: record.registered(registered, found, kept),
            *(queries.insert_devices_and_certificates, tenant_id, news, kept, now),
        )
        for device in written:
            self._remember(device)
        self._bind(tenant_id, kept)
        log.info("certificates issued tenant_id=%s device_count=%s", tenant_id, len(news))
        return [one.bundle for one in issued]

    async def made_certificates(self, device_ids: Sequence[str]) -> list[issue.Issued]:
        """Keys and certificates that open nothing until they are written and given to `take_in`."""
        return await self.authorities.sign(issue.issue, self.authorities.pki, device_ids, self.time.issuing_at)

    def take_in(self, tenant_id: int, devices: Sequence[Device], kept: Sequence[IssuedCertificate] = ()) -> None:
        """Have in memory what was committed of devices and certificates."""
        for device in devices:
            self._remember(device)
        self._bind(tenant_id, kept)

    async def certificates(self, tenant_id: int, device_id: str) -> list[Certificate]:
        """The certificates of a device, newest first. Raises `UnknownDeviceError`."""
        self.device(tenant_id, device_id)
        return await self._database.read(queries.select_certificates(tenant_id, device_id))

    async def revoke_certificate(self, tenant_id: int, device_id: str, fingerprint: str) -> Certificate:
        """Let a certificate, and what was renewed with it and not used yet, open nothing any more.

        Who keeps connections hears of it by `rights_changed`. Raises `UnknownCertificateError`.
        """
        return await self.revocation.revoke_certificate(tenant_id, device_id, fingerprint)

    async def revocation_list(self) -> bytes:
        """The certificates of devices that were revoked and have not expired, signed, DER."""
        # A list names serial numbers of its own issuer: what another CA has issued is for that one to list.
        return await self.authorities.revocation_list(
            bound.certificate
            for fingerprint, bound in self._certificates.items()
            if not self.own_authorities.is_own(fingerprint)
        )

    async def set_state(self, tenant_id: int, device_id: str, state: DeviceState) -> Device:
        """Move a device on in its life; unless it is active it may do nothing from here on.

        One that is retired has its certificates revoked. Raises `UnknownDeviceError`; `DeviceRetiredError`,
        for a retired device stays so; `StateRefusedError` when there is no way to that state.
        """
        before = self.device(tenant_id, device_id)
        lifecycle.check_move(before, state)
        entries = record.moved_on(device_id, before.state, state)
        if state is DeviceState.RETIRED:
            device, revoked = await self.audit.recorded(
                tenant_id, entries, queries.retire, tenant_id, device_id, self._clock()
            )
            for one in revoked:
                self._certificates[one.fingerprint] = BoundCertificate(tenant_id, device_id, one)
        else:
            device = await self.audit.recorded(tenant_id, entries, queries.update_state, tenant_id, device_id, state)
        self._remember(device)
        if state is not DeviceState.ACTIVE:
            self.gone(tenant_id, device_id)
        self.rights_changed(tenant_id, device_id)
        log.info("device state changed device_id=%s state=%s", device_id, state)
        return device

    async def _granted(
        self, tenant_id: int, device_id: str, grant: Callable[..., tuple[IssuedCertificate, Granted]]
    ) -> Granted:
        self._refuse_retired(self.device(tenant_id, device_id))
        kept, granted = await self.authorities.sign(grant, self.authorities.pki, device_id, now=self.time.issuing_at)
        entries = record.issued([kept], key=record.MADE_BY_THE_DEVICE)
        await self.audit.recorded(tenant_id, entries, queries.insert_certificates, tenant_id, [kept])
        self._bind(tenant_id, [kept])
        log.info("certificate issued for a key of a device device_id=%s fingerprint=%s", device_id, granted.fingerprint)
        return granted

    def _renew(self, folder: pki.Pki) -> bool:
        addresses = [
            address.ip if isinstance(address.ip, str) else address.ip[0]
            for adapter in ifaddr.get_adapters()
            for address in adapter.ips
        ]
        self._gathered = names.gather(socket.gethostname(), self._names, addresses)
        return pki.renew(folder, self._gathered, self.time.issuing_at)

    async def _write_policy(self, tenant_id: int, function: Callable[..., Change], *arguments: Any) -> Change:
        return await self.audit.told(
            tenant_id, lambda change: record.policy(change.before, change.after), function, *arguments
        )

    async def _recall_forgotten(self) -> None:
        # By a clock that was wrong, maybe.
        self._recall(await self._database.read(queries.select_all_certificates()))

    def _policy_changed(self, tenant_id: int, changed: Policy) -> None:
        for device in self.devices(tenant_id):
            if policy.concerns(changed, device):
                self.policy_changed(tenant_id, device.device_id)

    def _refuse_retired(self, device: Device) -> None:
        if device.state is DeviceState.RETIRED:
            raise DeviceRetiredError(f"{device.device_id} is retired")
