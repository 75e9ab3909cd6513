"""The nouns of CAs that a tenant brings along."""

from enum import StrEnum

import msgspec

from appliance.errors import ConflictError, InvalidInputError, NotFoundError
from appliance.instant import DAY_MS, HOUR_MS, SECOND_MS

CODE_BYTES = 32
"""Of chance in a registration code; in hexadecimal it fills a common name, which has at most 64 characters."""
CODE_LIFE_MS = HOUR_MS
CODES_LIMIT = 20
"""Registration codes of a tenant that are open; one more, and the oldest is forgotten."""

AUTHORITIES_LIMIT = 20
"""CAs of a tenant: the handshake of every device looks through all of them."""
WAITING_LIMIT = 1_000
"""Certificates of one CA that wait for a person."""
REFUSED_SHOWN = 100
"""Certificates that were refused, of which a person may think again; those before them are in the audit log."""
DAILY_LIMIT = 1_000
"""How many certificates of a CA are taken in within a day, unless it is told otherwise."""
DAILY_MOST = 100_000
DAY_LENGTH_MS = DAY_MS
REMEMBERED_MS = 30 * SECOND_MS
"""How long it is remembered that a certificate was not taken in: nobody has the same looked at more often."""

PEM_BYTES = 65_536
"""The most that a certificate may have that is uploaded."""
LEAF_BYTES = 4_096
"""The most that a device's certificate may have, DER: a key of RSA with 4,096 bits and its signature are 1,200."""


class InvalidAuthorityError(InvalidInputError):
    """A CA that cannot be registered, or without proof; the message says why."""

    code = "invalid_authority"


class UnknownAuthorityError(NotFoundError):
    """The tenant has no CA of that number."""

    code = "unknown_authority"


class UnknownOwnCertificateError(NotFoundError):
    """No certificate of that number waits."""

    code = "unknown_own_certificate"


class AuthorityExistsError(ConflictError):
    """The CA, or another one of its name, is registered, or there are as many as may be."""

    code = "authority_exists"


class OwnCertificateRefusedError(ConflictError):
    """A certificate that cannot be taken in as it is; the message says why."""

    code = "own_certificate_refused"


class Mode(StrEnum):
    """What becomes of a certificate that a CA has issued and nobody has seen yet."""

    INACTIVE = "inactive"
    """It is refused, and so are those that were taken in before."""
    REGISTER = "register"
    """It waits until a person has decided."""
    PROVISION = "provision"
    """It becomes that of a new device at once."""


class CertificateState(StrEnum):
    """What became of a certificate of such a CA."""

    WAITING = "waiting"
    REFUSED = "refused"
    BOUND = "bound"


class Settings(msgspec.Struct, frozen=True):
    """What a person decides of a CA."""

    mode: Mode = Mode.REGISTER
    template: str = ""
    """The provisioning template that makes a device of a certificate; empty takes its common name as device id."""
    daily_limit: int = DAILY_LIMIT


class OwnAuthority(msgspec.Struct, frozen=True):
    """A CA of a tenant's own."""

    tenant_id: int
    authority_number: int
    fingerprint: str
    """SHA-256 of the DER form, lower-case hexadecimal."""
    issuer_key: str
    """SHA-256 of its public key: two certificates of one CA have this in common."""
    subject: str
    """As RFC 4514 writes it."""
    pem: str
    settings: Settings
    registered_at: int
    expires_at: int


class NewAuthority(msgspec.Struct, frozen=True):
    """A CA that may be registered, once its key was shown to be at hand."""

    fingerprint: str
    issuer_key: str
    subject: str
    pem: str
    expires_at: int


class Leaf(msgspec.Struct, frozen=True):
    """What a certificate of such a CA says. The CA has vouched for it, and only the CA."""

    fingerprint: str
    serial: str
    """Hexadecimal. With the CA it names one certificate, whatever its fingerprint."""
    subject: str
    common_name: str
    serial_number: str
    """Of its subject: the device's, not the certificate's."""
    begins_at: int
    expires_at: int
    """Its own end, or that of the CA where that is earlier."""
    pem: str
    attributes: tuple[tuple[str, str], ...] = ()
    """What a provisioning template may name, as AWS calls it, for example `AWS::IoT::Certificate::CommonName`."""


class OwnCertificate(msgspec.Struct, frozen=True):
    """A certificate of such a CA that was seen here. What nobody but its CA says of it stays on the disk."""

    tenant_id: int
    certificate_number: int
    authority_number: int
    issuer_key: str
    fingerprint: str
    serial: str
    subject: str
    common_name: str
    serial_number: str
    expires_at: int
    address: str
    seen_at: int
    state: CertificateState
    decided_at: int | None
    device_id: str
    """Which device it is of; while it waits, which one it would be."""


class Acceptance(msgspec.Struct, frozen=True):
    """What a person lets the bearer of a certificate be."""

    device_id: str
    type: str = ""
    zone: str = ""
    is_registered: bool = False
    """Whether it is a device that is registered already, which gets one more certificate."""
