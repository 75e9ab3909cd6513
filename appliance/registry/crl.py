"""The list of revoked certificates that is offered to others (RFC 5280 §5). The gateway itself needs none."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization

from appliance.instant import DAY_MS, HOUR_MS
from appliance.registry.authority import Authority
from appliance.registry.model import Certificate

LENGTH_MS = 7 * DAY_MS
"""For how long a list is good."""

FRESH_MS = HOUR_MS
"""How old a list may be when it is handed out, as long as nothing else is revoked."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class RevocationList(msgspec.Struct, frozen=True):
    """A signed list, and what it was made of."""

    der: bytes
    made_at: int
    revoked: frozenset[str]
    """Fingerprints."""
    issuer: x509.Name


def listed(certificates: Iterable[Certificate], now: int) -> list[Certificate]:
    """Those that belong on a list: revoked, and not expired."""
    return [one for one in certificates if one.revoked_at is not None and one.expires_at > now]


def is_good(made: RevocationList, issuing: Authority, revoked: Iterable[Certificate], now: int) -> bool:
    """Whether a list that was made can be handed out again."""
    return (
        0 <= now - made.made_at < FRESH_MS
        and made.issuer == issuing.certificate.subject
        and made.revoked == {one.fingerprint for one in revoked}
    )


def make(issuing: Authority, revoked: Iterable[Certificate], now: int) -> RevocationList:
    """Sign a list, good for a week from now. Ten thousand entries take about an eighth of a second."""
    revoked = list(revoked)
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuing.certificate.subject)
        .last_update(_moment(now))
        .next_update(_moment(now + LENGTH_MS))
        # Numbers of lists only grow (RFC 5280 §5.2.3), and the clock is what grows without being kept.
        .add_extension(x509.CRLNumber(now), critical=False)
        .add_extension(issuing.identifier, critical=False)
    )
    for one in revoked:
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder()
            .serial_number(int(one.serial, 16))
            .revocation_date(_moment(one.revoked_at or now))
            .build()
        )
    signed = builder.sign(issuing.key, hashes.SHA256())
    der = signed.public_bytes(serialization.Encoding.DER)
    return RevocationList(der, now, frozenset(one.fingerprint for one in revoked), issuing.certificate.subject)


def _moment(at: int) -> datetime:
    return _EPOCH + timedelta(milliseconds=at)
