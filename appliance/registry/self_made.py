"""What a certificate that a device made for itself says of its bearer. None of it is trusted but the key.

Whether the bearer has the private key is for the handshake to show, not for this file. When the certificate begins
and ends, who signed it and whether that signature is good is of no account.
"""

import hashlib

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from appliance.registry import authority, signing_request
from appliance.registry.model import InvalidRequestError

CERTIFICATE_BYTES = 16_384
"""The most that a certificate may have: one with an RSA key of 4,096 bits and long names has 2,000."""


class SelfMade(msgspec.Struct, frozen=True):
    """A certificate with a key that a device may have."""

    public_key: bytes
    """SubjectPublicKeyInfo, DER."""
    subject: str
    """As RFC 4514 writes it, without what cannot be seen, and cut off."""
    common_name: str
    serial_number: str
    key_kind: str
    """For people, for example `EC secp256r1` or `RSA 2048`."""
    key_fingerprint: str
    """SHA-256 of the public key (SubjectPublicKeyInfo), lower-case hexadecimal."""


class Unfit(msgspec.Struct, frozen=True):
    """A certificate whose key no device may have."""

    reason: str
    is_costly: bool
    """Whether a signature of this key may take long to check: who shows it is not to be listened to at all."""


def read(der: bytes) -> SelfMade | Unfit:
    """Read a certificate, DER. Nothing is verified, so that it takes the same little time for every key."""
    if len(der) > CERTIFICATE_BYTES:
        return Unfit(f"the certificate has {len(der)} bytes; at most {CERTIFICATE_BYTES} are taken", is_costly=True)
    try:
        parsed = x509.load_der_x509_certificate(der)
        key = parsed.public_key()
        name = parsed.subject
        subject = signing_request.visible(name.rfc4514_string())
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion):
        return Unfit("this is no certificate that can be read", is_costly=True)
    try:
        fit = authority.fit_for_device(key)
    except InvalidRequestError as error:
        return Unfit(str(error), is_costly=_is_costly(key))
    public_key = fit.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return SelfMade(
        public_key=public_key,
        subject=subject,
        common_name=signing_request.common_name(name),
        serial_number=signing_request.serial_number(name),
        key_kind=signing_request.kind_of(fit),
        key_fingerprint=hashlib.sha256(public_key).hexdigest(),
    )


def public_key(der: bytes) -> authority.DeviceKey:
    """The key of a SubjectPublicKeyInfo, DER. Raises `InvalidRequestError`."""
    try:
        key = load_der_public_key(der)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise InvalidRequestError("this is no public key that can be read") from error
    return authority.fit_for_device(key)


def key_fingerprint(pem: str) -> str:
    """SHA-256 of the public key of a certificate, PEM. Raises `ValueError` when it is none."""
    key = authority.read_certificate(pem.encode()).public_key()
    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()


def _is_costly(key: object) -> bool:
    return isinstance(key, rsa.RSAPublicKey) and (
        key.key_size > authority.RSA_MOST_BITS or key.public_numbers().e > authority.RSA_MOST_EXPONENT
    )
