"""The registry at work: the devices in memory, their certificates in the database, the keys on disk.

Rules: what is asked for every packet is answered from memory. Memory changes only after the commit.
A private key of a device is made, handed out once, and never kept.
"""

import asyncio
import contextlib
import hashlib
import logging
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Protocol, Self

import ifaddr

from appliance.instant import Clock
from appliance.registry import admission, authority, issue, names, pki, policy, queries
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
    UnknownDeviceError,
    check_new_device,
)
from appliance.registry.presence import PresenceBook
from appliance.store.database import Database
from broker.ports import ALLOWED, Allowed, Connected, Credentials, Denied, Disconnected, Principal

log = logging.getLogger(__name__)


NEWCOMER = "/"
"""In the name of a principal that is no device yet; no device id holds one."""


class Newcomers(Protocol):
    """Judges those who are no devices yet but may become one."""

    def authenticate(self, credentials: Credentials) -> Principal | Denied | None:
        """Who shows a certificate that is no device's; None when it is not known here either."""

    def publish_refusal(self, principal: Principal, topic: str) -> str | None:
        """None when it may publish to this topic name, else why not."""

    def subscribe_refusal(self, principal: Principal, topic_filter: str) -> str | None:
        """None when it may receive whatever this topic filter can match, else why not."""


class Registry:
    """The devices of this gateway. Says to the broker who may connect and what they may do."""

    _pki: pki.Pki
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
        self._database = database
        self._folder = folder
        self._clock = clock
        self._names = tuple(names)
        self._trust_plain = trust_plain
        self._devices: dict[int, dict[str, Device]] = {}
        self._sorted: dict[int, list[Device]] = {}
        self.rights_changed: Callable[[int, str], None] = lambda _tenant_id, _device_id: None
        """Told when a device may do something else from now on: whoever keeps its connections ends them."""
        self.newcomers: Newcomers | None = None
        """Asked about those who are no devices yet."""
        self._certificates: dict[str, BoundCertificate] = {}

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        """Have keys and certificates in order and every device in memory.

        Raises `KeyFolderError` when the folder of keys is damaged, `InvalidHostNameError` when one of
        the configured names is none.
        """
        self._presence = PresenceBook(self._clock())
        self._pki = await asyncio.to_thread(
            pki.opened, self._folder, names.canonical_host(socket.gethostname()), self._clock()
        )
        await self.renew_server_certificates()
        for device in await self._database.read(queries.select_all_devices()):
            self._remember(device)
        for bound in await self._database.read(queries.select_all_certificates()):
            self._certificates[bound.certificate.fingerprint] = bound
        log.info("registry opened device_count=%s", sum(map(len, self._devices.values())))
        yield self

    async def renew_server_certificates(self) -> bool:
        """Issue server certificates again where names changed or time runs out; whether any was."""
        return await asyncio.to_thread(self._renew)

    # For the broker.

    def authenticate(self, credentials: Credentials) -> Principal | Denied:
        """Who this is, or why it may not connect."""
        if credentials.certificate is None:
            return self._authenticate_plain(credentials)
        bound = self.bearer(credentials.certificate)
        if bound is None:
            newcomer = self.newcomers.authenticate(credentials) if self.newcomers is not None else None
            if newcomer is not None:
                return newcomer
            fingerprint = hashlib.sha256(credentials.certificate).hexdigest()
            return Denied(f"the certificate with the fingerprint {fingerprint} is bound to no device here")
        device = self._devices[bound.tenant_id][bound.device_id]
        reason = admission.certificate_refusal(bound.certificate, device, credentials.client_id, self._clock())
        return Denied(reason) if reason else Principal(device.tenant_id, device.device_id)

    def may_publish(self, principal: Principal, topic: str) -> Allowed | Denied:
        """Whether the device, or whoever operates the gateway, may publish to this topic name."""
        if principal.is_operator:
            return _decision(policy.may_operator_publish(topic))
        if self.newcomers is not None and NEWCOMER in principal.name:
            return _decision(self.newcomers.publish_refusal(principal, topic))
        return _decision(self._absence(principal) or policy.may_publish(principal.name, topic))

    def may_subscribe(self, principal: Principal, topic_filter: str) -> Allowed | Denied:
        """Whether the device may receive everything this topic filter can match; an operator always may."""
        if principal.is_operator:
            return ALLOWED
        if self.newcomers is not None and NEWCOMER in principal.name:
            return _decision(self.newcomers.subscribe_refusal(principal, topic_filter))
        return _decision(self._absence(principal) or policy.may_subscribe(principal.name, topic_filter))

    def may_receive(self, principal: Principal, topic: str) -> Allowed | Denied:
        """Whether the device may be sent messages of this topic name; an operator always may."""
        if principal.is_operator:
            return ALLOWED
        if self.newcomers is not None and NEWCOMER in principal.name:
            return _decision(self.newcomers.subscribe_refusal(principal, topic))
        return _decision(self._absence(principal) or policy.may_receive(principal.name, topic))

    def note_connected(self, event: Connected) -> None:
        """Hear that a client has a connection; those of operators are not counted among the devices."""
        if self.has_device(event.tenant_id, event.principal):
            self._presence.note_connected(event.tenant_id, event.principal, event.address, event.at)

    def note_disconnected(self, event: Disconnected) -> None:
        """Hear that a device lost a connection."""
        self._presence.note_disconnected(event.tenant_id, event.principal, event.reason, event.at)

    # For whoever asks: from memory, at once.

    def bearer(self, certificate: bytes) -> BoundCertificate | None:
        """The device that a certificate, DER, was issued to, good or not; None when it is bound to none here."""
        return self._certificates.get(hashlib.sha256(certificate).hexdigest())

    def devices(self, tenant_id: int) -> list[Device]:
        """Every device of the tenant, sorted by device id."""
        if tenant_id not in self._sorted:
            known = self._devices.get(tenant_id, {})
            self._sorted[tenant_id] = [known[device_id] for device_id in sorted(known)]
        return list(self._sorted[tenant_id])

    def device(self, tenant_id: int, device_id: str) -> Device:
        """One device. Raises `UnknownDeviceError`."""
        device = self._devices.get(tenant_id, {}).get(device_id)
        if device is None:
            raise UnknownDeviceError(f"{device_id[:140]!r} is not registered")
        return device

    def has_device(self, tenant_id: int, device_id: str) -> bool:
        """Whether a device of this id is registered."""
        return device_id in self._devices.get(tenant_id, {})

    def zone_of(self, tenant_id: int, device_id: str) -> str:
        """The zone of a device; empty when it has none or is not registered."""
        device = self._devices.get(tenant_id, {}).get(device_id)
        return device.zone if device else ""

    def name_of(self, tenant_id: int, device_id: str) -> str:
        """What people call a device; its id when it has no name."""
        device = self._devices.get(tenant_id, {}).get(device_id)
        return device.name if device and device.name else device_id

    def presence(self, tenant_id: int, device_id: str) -> Presence:
        """Whether a device is connected, since when, and why not."""
        return self._presence.presence(tenant_id, device_id)

    def connected_count(self, tenant_id: int) -> int:
        """How many devices of the tenant are connected."""
        return self._presence.connected_count(tenant_id)

    def device_tls(self) -> TlsFiles:
        """What the MQTT listener is opened with."""
        return self._pki.device_tls

    def web_tls(self) -> TlsFiles:
        """What the HTTPS listener is opened with; nobody shows a certificate there."""
        return self._pki.web_tls

    @property
    def lan_host(self) -> str:
        """The name or address by which others in the LAN reach this gateway."""
        return names.lan_host(self._gathered)

    @property
    def root_path(self) -> Path:
        """The CA that devices trust, PEM."""
        return self._pki.root_path

    @property
    def web_ca_path(self) -> Path:
        """The CA that a person may put into a browser, PEM."""
        return self._pki.web_ca_path

    @property
    def web_ca_fingerprint(self) -> str:
        """SHA-256 of the web CA as browsers show it: pairs of hexadecimal digits between colons."""
        return bytes.fromhex(authority.fingerprint(self._pki.web.certificate)).hex(":").upper()

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
        device = await self._database.write(queries.insert_device, tenant_id, new, self._clock())
        self._remember(device)
        log.info("device added tenant_id=%s device_id=%s", tenant_id, device_id)
        return device

    async def issue_certificate(self, tenant_id: int, device_id: str) -> Bundle:
        """Issue one more certificate to a device; those it has stay good.

        Raises `UnknownDeviceError`, `DeviceRetiredError`.
        """
        self._refuse_retired(self.device(tenant_id, device_id))
        [issued] = await asyncio.to_thread(issue.issue, self._pki, [device_id], self._clock())
        await self._database.write(queries.insert_certificates, tenant_id, [issued.kept])
        self._bind(tenant_id, [issued.kept])
        log.info("certificate issued device_id=%s fingerprint=%s", device_id, issued.bundle.fingerprint)
        return issued.bundle

    async def grant_certificate(self, tenant_id: int, device_id: str, request: bytes) -> Granted:
        """Issue a certificate to a device for the key of its certificate signing request, PEM or DER.

        Those it has stay good. Raises `UnknownDeviceError`, `DeviceRetiredError`, `InvalidRequestError`.
        """
        self._refuse_retired(self.device(tenant_id, device_id))
        kept, granted = await asyncio.to_thread(issue.grant, self._pki, device_id, request, self._clock())
        await self._database.write(queries.insert_certificates, tenant_id, [kept])
        self._bind(tenant_id, [kept])
        log.info("certificate issued for a request device_id=%s fingerprint=%s", device_id, granted.fingerprint)
        return granted

    async def issue_many(self, tenant_id: int, devices: Sequence[NewDevice]) -> list[Bundle]:
        """Register the devices that are not, and issue a certificate to each, in one transaction.

        Raises `InvalidDeviceIdError`, `InvalidInputError`, `DeviceRetiredError`; then nothing was changed.
        """
        news = [check_new_device(new) for new in devices]
        for new in news:
            known = self._devices.get(tenant_id, {}).get(new.device_id)
            if known:
                self._refuse_retired(known)
        now = self._clock()
        issued = await asyncio.to_thread(issue.issue, self._pki, [new.device_id for new in news], now)
        kept = [one.kept for one in issued]
        written = await self._database.write(queries.insert_devices_and_certificates, tenant_id, news, kept, now)
        for device in written:
            self._remember(device)
        self._bind(tenant_id, kept)
        log.info("certificates issued tenant_id=%s device_count=%s", tenant_id, len(news))
        return [one.bundle for one in issued]

    async def certificates(self, tenant_id: int, device_id: str) -> list[Certificate]:
        """The certificates of a device, newest first. Raises `UnknownDeviceError`."""
        self.device(tenant_id, device_id)
        return await self._database.read(queries.select_certificates(tenant_id, device_id))

    async def revoke_certificate(self, tenant_id: int, device_id: str, fingerprint: str) -> Certificate:
        """Let a certificate open nothing any more. Raises `UnknownCertificateError`.

        Who keeps connections hears of it by `rights_changed`.
        """
        certificate = await self._database.write(
            queries.update_revoked, tenant_id, device_id, fingerprint, self._clock()
        )
        self._certificates[fingerprint] = BoundCertificate(tenant_id, device_id, certificate)
        self.rights_changed(tenant_id, device_id)
        log.info("certificate revoked device_id=%s fingerprint=%s", device_id, fingerprint)
        return certificate

    async def set_state(self, tenant_id: int, device_id: str, state: DeviceState) -> Device:
        """Move a device on in its life; unless it is active it may do nothing from here on.

        Raises `UnknownDeviceError`; `DeviceRetiredError`, for a retired device stays so.
        """
        if state is not DeviceState.RETIRED:
            self._refuse_retired(self.device(tenant_id, device_id))
        device = await self._database.write(queries.update_state, tenant_id, device_id, state)
        self._remember(device)
        self.rights_changed(tenant_id, device_id)
        log.info("device state changed device_id=%s state=%s", device_id, state)
        return device

    def _renew(self) -> bool:
        addresses = [
            address.ip if isinstance(address.ip, str) else address.ip[0]
            for adapter in ifaddr.get_adapters()
            for address in adapter.ips
        ]
        self._gathered = names.gather(socket.gethostname(), self._names, addresses)
        return pki.renew(self._pki, self._gathered, self._clock())

    def _authenticate_plain(self, credentials: Credentials) -> Principal | Denied:
        # Over a WebSocket it is whoever has a token, and that token is not a device's.
        if not self._trust_plain or credentials.transport != "plain":
            return Denied("no certificate was shown: a device connects with the certificate that was issued to it")
        device = self._devices.get(DEFAULT_TENANT, {}).get(credentials.client_id)
        if device is None:
            return Denied(f"no device has the client id {credentials.client_id[:140]!r} as its device id")
        reason = admission.device_refusal(device, credentials.client_id)
        return Denied(reason) if reason else Principal(device.tenant_id, device.device_id)

    def _absence(self, principal: Principal) -> str | None:
        device = self._devices.get(principal.tenant_id, {}).get(principal.name)
        if device is None:
            return f"{principal.name} is not registered"
        return admission.state_refusal(device)

    def _refuse_retired(self, device: Device) -> None:
        if device.state is DeviceState.RETIRED:
            raise DeviceRetiredError(f"{device.device_id} is retired")

    def _remember(self, device: Device) -> None:
        self._devices.setdefault(device.tenant_id, {})[device.device_id] = device
        self._sorted.pop(device.tenant_id, None)

    def _bind(self, tenant_id: int, kept: Sequence[IssuedCertificate]) -> None:
        for one in kept:
            self._certificates[one.certificate.fingerprint] = BoundCertificate(
                tenant_id, one.device_id, one.certificate
            )


def _decision(reason: str | None) -> Allowed | Denied:
    return Denied(reason) if reason else ALLOWED
