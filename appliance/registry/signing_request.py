"""What a certificate signing request says of its sender. None of it is trusted but the key."""

import hashlib

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID, ObjectIdentifier

from appliance.registry import authority
from appliance.registry.model import TEXT_LENGTH, InvalidRequestError

REQUEST_BYTES = 16_384
"""The most that a request may have: one for an RSA key of 4,096 bits has 2,000."""


class SigningRequest(msgspec.Struct, frozen=True):
    """A request whose sender has shown to have the private key."""

    der: bytes
    subject: str
    """As RFC 4514 writes it, without what cannot be seen, and cut off."""
    common_name: str
    serial_number: str
    key_kind: str
    """For people, for example `EC secp256r1` or `RSA 2048`."""
    key_fingerprint: str
    """SHA-256 of the public key (SubjectPublicKeyInfo), lower-case hexadecimal."""


def read(request: bytes) -> SigningRequest:
    """Read a request, PEM or DER. Raises `InvalidRequestError`."""
    if len(request) > REQUEST_BYTES:
        raise InvalidRequestError(f"the request has {len(request)} bytes; at most {REQUEST_BYTES} are taken")
    key = authority.requested_key(request)
    is_pem = request.lstrip().startswith(b"-----BEGIN")
    parsed = x509.load_pem_x509_csr(request) if is_pem else x509.load_der_x509_csr(request)
    try:
        name = parsed.subject
        subject = visible(name.rfc4514_string())
    except ValueError as error:
        raise InvalidRequestError("the subject of the request cannot be read") from error
    return SigningRequest(
        der=parsed.public_bytes(Encoding.DER),
        subject=subject,
        common_name=common_name(name),
        serial_number=serial_number(name),
        key_kind=kind_of(key),
        key_fingerprint=hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest(),
    )


def common_name(name: x509.Name) -> str:
    """The first common name of a subject, as far as it can be seen; empty without one."""
    return _first(name, NameOID.COMMON_NAME)


def serial_number(name: x509.Name) -> str:
    """The first serial number of a subject, as far as it can be seen; empty without one."""
    return _first(name, NameOID.SERIAL_NUMBER)


def kind_of(key: authority.DeviceKey) -> str:
    """What a key is, for people."""
    return f"RSA {key.key_size}" if isinstance(key, rsa.RSAPublicKey) else f"EC {key.curve.name}"


def visible(text: str) -> str:
    """A text of a stranger, without what cannot be seen, and cut off."""
    return "".join(letter for letter in text[:TEXT_LENGTH] if letter.isprintable())


def _first(name: x509.Name, kind: ObjectIdentifier) -> str:
    found = name.get_attributes_for_oid(kind)
    value = found[0].value if found else ""
    return visible(value if isinstance(value, str) else "")
