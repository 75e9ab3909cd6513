"""The devices and certificates in memory, and what they come to: who may connect, and what they may do.

What is asked for every packet is answered here, at once. Whoever changes the registry keeps this up to date, after
the commit.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

from appliance.policies.book import PolicyBook
from appliance.registry import admission, policy
from appliance.registry.clock.trust import Reading, is_over
from appliance.registry.model import (
    DEFAULT_TENANT,
    BoundCertificate,
    Device,
    IssuedCertificate,
    UnknownDeviceError,
)
from broker.ports import ALLOWED, Allowed, Credentials, Denied, Principal

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


class Watch(Protocol):
    """Knows what time it is, and what that is worth."""

    def reading(self) -> Reading:
        """The present moment."""


class Rules(Protocol):
    """Knows what devices may do."""

    @property
    def book(self) -> PolicyBook:
        """All policies as they are now."""


class Bearers(Protocol):
    """Knows devices by what they show instead of a certificate."""

    def bearer(self, credentials: Credentials) -> Principal | Denied | None:
        """The device whose token this is; None when none was shown."""


class OwnCertificates(Protocol):
    """Knows the certificates of CAs that tenants have brought along."""

    def refusal(self, fingerprint: str) -> str | None:
        """None where the CA of a device's certificate lets it in, or it is of no such CA; else why not."""

    def first_seen(self, credentials: Credentials) -> Denied | None:
        """Why a certificate that is no device's opens nothing yet; None when it is of no CA that is known."""


class Directory:
    """What the registry knows by heart. Says to the broker who may connect and what they may do."""

    time: Watch
    policies: Rules
    tokens: Bearers
    own_authorities: OwnCertificates

    def __init__(self, *, trust_plain: bool) -> None:
        self._trust_plain = trust_plain
        self._devices: dict[int, dict[str, Device]] = {}
        self._sorted: dict[int, list[Device]] = {}
        self._certificates: dict[str, BoundCertificate] = {}
        self._over: set[str] = set()
        self.certificate_used: Callable[[BoundCertificate], None] = lambda _bound: None
        """Told, at once, whenever the broker has let a client in by a certificate: who is refused has used none."""
        self.issuer_refusal: Callable[[bytes], str | None] = lambda _certificate: None
        """Says why a certificate, DER, opens nothing because of the CA that has issued it; None when it may."""
        self.device_change_count = 0
        """Goes up whenever a device is added or becomes another: what was made of the devices may be old."""
        self.newcomers: Newcomers | None = None
        """Asked about those who are no devices yet."""

    # For the broker.

    def authenticate(self, credentials: Credentials) -> Principal | Denied:
        """Who this is, or why it may not connect."""
        if credentials.certificate is None:
            return self._authenticate_plain(credentials)
        bound = self.bearer(credentials.certificate)
        withdrawn = self.issuer_refusal(credentials.certificate)
        if bound is None and withdrawn:
            return Denied(withdrawn)
        if bound is None:
            newcomer = self.newcomers.authenticate(credentials) if self.newcomers is not None else None
            if newcomer is not None:
                return newcomer
            foreign = self.own_authorities.first_seen(credentials)
            if foreign is not None:
                return foreign
            fingerprint = hashlib.sha256(credentials.certificate).hexdigest()
            return Denied(f"the certificate with the fingerprint {fingerprint} is bound to no device here")
        device = self._devices[bound.tenant_id][bound.device_id]
        reason = withdrawn or admission.certificate_refusal(
            bound.certificate, device, credentials.client_id, self.time.reading(), self.policies.book
        )
        reason = self.own_authorities.refusal(bound.certificate.fingerprint) or reason
        reason = reason or self._foreign_name(device, credentials.client_id)
        principal = Principal(device.tenant_id, device.device_id)
        return Denied(reason, of=principal) if reason else principal

    def may_publish(self, principal: Principal, topic: str) -> Allowed | Denied:
        """Whether the device, or whoever operates the gateway, may publish to this topic name."""
        if principal.is_operator:
            return _decision(policy.may_operator_publish(topic))
        if self.newcomers is not None and NEWCOMER in principal.name:
            return _decision(self.newcomers.publish_refusal(principal, topic))
        return self._judged(principal, policy.may_publish, topic)

    def may_subscribe(self, principal: Principal, topic_filter: str) -> Allowed | Denied:
        """Whether the device may receive everything this topic filter can match; an operator always may."""
        if principal.is_operator:
            return ALLOWED
        if self.newcomers is not None and NEWCOMER in principal.name:
            return _decision(self.newcomers.subscribe_refusal(principal, topic_filter))
        return self._judged(principal, policy.may_subscribe, topic_filter)

    def may_receive(self, principal: Principal, topic: str) -> Allowed | Denied:
        """Whether the device may be sent messages of this topic name; an operator always may."""
        if principal.is_operator:
            return ALLOWED
        if self.newcomers is not None and NEWCOMER in principal.name:
            return _decision(self.newcomers.subscribe_refusal(principal, topic))
        return self._judged(principal, policy.may_receive, topic)

    def may_retain(self, principal: Principal, topic: str) -> Allowed | Denied:
        """Whether the device may leave a retained message there; whoever else may publish there may."""
        if principal.is_operator or NEWCOMER in principal.name:
            return ALLOWED
        return self._judged(principal, policy.may_retain, topic)

    # For whoever asks.

    def bearer(self, certificate: bytes) -> BoundCertificate | None:
        """The device that a certificate, DER, was issued to, good or not; None when it is bound to none here."""
        return self._certificates.get(hashlib.sha256(certificate).hexdigest())

    def is_revoked(self, fingerprint: str) -> bool:
        """Whether a certificate was taken back."""
        bound = self._certificates.get(fingerprint)
        return bound is not None and bound.certificate.revoked_at is not None

    def newly_over(self) -> list[BoundCertificate]:
        """The certificates that have expired since this was last asked; the first time, all that have."""
        reading = self.time.reading()
        # Judged anew each time: by a clock that is right again, what was over need not be.
        over = {
            fingerprint
            for fingerprint, bound in self._certificates.items()
            if is_over(bound.certificate.expires_at, reading)
        }
        newly, self._over = over - self._over, over
        return [self._certificates[fingerprint] for fingerprint in newly]

    def forget_long_over(self) -> int:
        """Forget certificates of retired devices that were over long ago; how many that were.

        They open as little as any that was never known here. What is on disk stays.
        """
        reading = self.time.reading()
        gone = [
            fingerprint
            for fingerprint, bound in self._certificates.items()
            if admission.is_forgettable(
                bound.certificate, self._devices[bound.tenant_id][bound.device_id].state, reading
            )
        ]
        for fingerprint in gone:
            del self._certificates[fingerprint]
        return len(gone)

    def devices(self, tenant_id: int) -> list[Device]:
        """Every device of the tenant, sorted by device id."""
        if tenant_id not in self._sorted:
            known = self._devices.get(tenant_id, {})
            self._sorted[tenant_id] = [known[device_id] for device_id in sorted(known)]
        return list(self._sorted[tenant_id])

    def devices_of_all(self) -> list[Device]:
        """Every device of every tenant."""
        return [device for tenant_id in sorted(self._devices) for device in self.devices(tenant_id)]

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

    def _authenticate_plain(self, credentials: Credentials) -> Principal | Denied:
        bearer = self.tokens.bearer(credentials)
        if isinstance(bearer, Denied):
            return bearer
        if bearer is None and not (self._trust_plain and credentials.transport == "plain"):
            return Denied("no certificate was shown and no token: a device connects with what was issued to it")
        claimed = bearer or Principal(DEFAULT_TENANT, credentials.client_id)
        device = self._devices.get(claimed.tenant_id, {}).get(claimed.name)
        if device is None:
            return Denied(f"no device has the client id {credentials.client_id[:140]!r} as its device id")
        reason = admission.device_refusal(device, credentials.client_id, self.policies.book)
        reason = reason or self._foreign_name(device, credentials.client_id)
        return Denied(reason, of=bearer) if reason else Principal(device.tenant_id, device.device_id)

    def _judged(self, principal: Principal, judge: policy.Judge, wish: str) -> Allowed | Denied:
        device = self._devices.get(principal.tenant_id, {}).get(principal.name)
        if device is None:
            return Denied(f"{principal.name} is not registered")
        return _decision(admission.state_refusal(device) or judge(self.policies.book, device, wish))

    def _foreign_name(self, device: Device, client_id: str) -> str | None:
        # Whatever a policy allows: it would take the other one's session over.
        if client_id != device.device_id and self.has_device(device.tenant_id, client_id):
            return f"client id {client_id!r} is the device id of another device than {device.device_id}"
        return None

    def _remember(self, device: Device) -> None:
        self._devices.setdefault(device.tenant_id, {})[device.device_id] = device
        self._sorted.pop(device.tenant_id, None)
        self.device_change_count += 1

    def _recall(self, bounds: Iterable[BoundCertificate]) -> None:
        """Know by heart what is not; what is may be newer than what was read."""
        for bound in bounds:
            self._certificates.setdefault(bound.certificate.fingerprint, bound)

    def _bind(self, tenant_id: int, kept: Sequence[IssuedCertificate]) -> None:
        for one in kept:
            self._certificates[one.certificate.fingerprint] = BoundCertificate(
                tenant_id, one.device_id, one.certificate
            )


def _decision(reason: str | None) -> Allowed | Denied:
    return Denied(reason) if reason else ALLOWED
