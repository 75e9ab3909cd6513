"""Device certificates: a key, a certificate, and all that the device is given."""

from collections.abc import Sequence

import msgspec

from appliance.registry import authority
from appliance.registry.model import Bundle, Certificate, Granted, IssuedCertificate
from appliance.registry.pki import Pki


class Issued(msgspec.Struct, frozen=True):
    """The two sides of an issued certificate: what is kept here, and what the device is given."""

    kept: IssuedCertificate
    bundle: Bundle


def issue(pki: Pki, device_ids: Sequence[str], now: int) -> list[Issued]:
    """A key and a certificate for each device, in the same order. Takes about a third of a millisecond each."""
    return [_issue_one(pki, device_id, now) for device_id in device_ids]


def grant(pki: Pki, device_id: str, request: bytes, now: int) -> tuple[IssuedCertificate, Granted]:
    """A certificate for the key of a certificate signing request, PEM or DER. Raises `InvalidRequestError`."""
    return grant_key(pki, device_id, authority.requested_key(request), now)


def grant_key(pki: Pki, device_id: str, key: authority.DeviceKey, now: int) -> tuple[IssuedCertificate, Granted]:
    """A certificate for a key whose bearer has shown to have its private half."""
    kept = _certified(pki, device_id, key, now)
    granted = Granted(
        device_id=device_id,
        certificate_pem=kept.pem,
        chain_pem=kept.pem + authority.certificate_pem(*pki.shown),
        root_pem=authority.certificate_pem(pki.root),
        fingerprint=kept.certificate.fingerprint,
        expires_at=kept.certificate.expires_at,
    )
    return kept, granted


def _issue_one(pki: Pki, device_id: str, now: int) -> Issued:
    key = authority.make_key()
    kept = _certified(pki, device_id, key.public_key(), now)
    bundle = Bundle(
        device_id=device_id,
        certificate_pem=kept.pem,
        chain_pem=kept.pem + authority.certificate_pem(*pki.shown),
        key_pem=authority.key_pem(key),
        root_pem=authority.certificate_pem(pki.root),
        fingerprint=kept.certificate.fingerprint,
        expires_at=kept.certificate.expires_at,
    )
    return Issued(kept, bundle)


def _certified(pki: Pki, device_id: str, key: authority.DeviceKey, now: int) -> IssuedCertificate:
    certificate = authority.issue_device(pki.issuing, device_id, key, now)
    known = Certificate(
        fingerprint=authority.fingerprint(certificate),
        serial=f"{certificate.serial_number:x}",
        issued_at=now,
        expires_at=authority.ends_at(certificate),
    )
    return IssuedCertificate(device_id, known, authority.certificate_pem(certificate))
