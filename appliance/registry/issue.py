"""Device certificates: a key, a certificate, and all that the device is given."""

from collections.abc import Sequence

import msgspec

from appliance.registry import authority
from appliance.registry.model import Bundle, Certificate, IssuedCertificate
from appliance.registry.pki import Pki


class Issued(msgspec.Struct, frozen=True):
    """The two sides of an issued certificate: what is kept here, and what the device is given."""

    kept: IssuedCertificate
    bundle: Bundle


def issue(pki: Pki, device_ids: Sequence[str], now: int) -> list[Issued]:
    """A key and a certificate for each device, in the same order. Takes about a third of a millisecond each."""
    return [_issue_one(pki, device_id, now) for device_id in device_ids]


def _issue_one(pki: Pki, device_id: str, now: int) -> Issued:
    key = authority.make_key()
    certificate = authority.issue_device(pki.issuing, device_id, key.public_key(), now)
    pem = authority.certificate_pem(certificate)
    known = Certificate(
        fingerprint=authority.fingerprint(certificate),
        serial=f"{certificate.serial_number:x}",
        issued_at=now,
        expires_at=authority.ends_at(certificate),
    )
    bundle = Bundle(
        device_id=device_id,
        certificate_pem=pem,
        chain_pem=pem + authority.certificate_pem(pki.issuing.certificate),
        key_pem=authority.key_pem(key),
        root_pem=authority.certificate_pem(pki.root),
        fingerprint=known.fingerprint,
        expires_at=known.expires_at,
    )
    return Issued(IssuedCertificate(device_id, known, pem), bundle)
