"""What certificates of a tenant's own CA must be: that of the CA, the proof that its key is at hand, and a device's.

Rules: a device's certificate counts only when the registered CA itself has signed it. What a CA below that one signs
is refused whatever a handshake makes of it; a company registers the CA that signs its devices.
"""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from appliance.instant import to_text
from appliance.registry import authority
from appliance.registry.clock.trust import ClockState, Reading, is_over
from appliance.registry.model import InvalidRequestError
from appliance.registry.own_authorities.model import (
    LEAF_BYTES,
    PEM_BYTES,
    InvalidAuthorityError,
    Leaf,
    NewAuthority,
    OwnCertificateRefusedError,
)
from appliance.registry.signing_request import visible

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_GOOD_HASHES = (hashes.SHA256, hashes.SHA384, hashes.SHA512)
_PREFIX = "AWS::IoT::Certificate::"
_ATTRIBUTES = {
    "Country": NameOID.COUNTRY_NAME,
    "Organization": NameOID.ORGANIZATION_NAME,
    "OrganizationalUnit": NameOID.ORGANIZATIONAL_UNIT_NAME,
    "DistinguishedNameQualifier": NameOID.DN_QUALIFIER,
    "StateName": NameOID.STATE_OR_PROVINCE_NAME,
    "CommonName": NameOID.COMMON_NAME,
    "SerialNumber": NameOID.SERIAL_NUMBER,
}

_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension)


def read(pem: bytes, what: str) -> x509.Certificate:
    """The one certificate of an uploaded PEM file; `what` names it. Raises `InvalidAuthorityError`."""
    if len(pem) > PEM_BYTES:
        raise InvalidAuthorityError(f"{what} has more than {PEM_BYTES} bytes")
    if b"PRIVATE KEY" in pem:
        raise InvalidAuthorityError(f"{what} comes with a private key: keep that to yourself, and make another one")
    try:
        found = x509.load_pem_x509_certificates(pem)
    except _UNREADABLE as error:
        raise InvalidAuthorityError(f"{what} is no certificate in PEM form") from error
    if len(found) != 1:
        raise InvalidAuthorityError(f"{what} holds {len(found)} certificates; expected one: the CA that signs devices")
    return found[0]


def checked(certificate: x509.Certificate, ours: Iterable[x509.Certificate], clock: Reading) -> NewAuthority:
    """A CA that may be registered beside ours. Raises `InvalidAuthorityError`."""
    try:
        reason = _authority_refusal(certificate, clock) or _own_refusal(certificate, ours)
    except _UNREADABLE as error:
        raise InvalidAuthorityError(f"the certificate of the CA cannot be read: {error}") from error
    if reason:
        raise InvalidAuthorityError(reason)
    subject = visible(certificate.subject.rfc4514_string())
    pem = authority.certificate_pem(certificate)
    if not authority.is_loadable(certificate):
        raise InvalidAuthorityError("OpenSSL cannot read the certificate of the CA, and so no connection could use it")
    key = hashlib.sha256(key_of(certificate)).hexdigest()
    return NewAuthority(authority.fingerprint(certificate), key, subject, pem, authority.ends_at(certificate))


def compared(name: x509.Name) -> tuple[frozenset[tuple[str, str | bytes]], ...]:
    """A name as OpenSSL compares it when it looks for the CA of a certificate: whatever the case and the spaces.

    Two that differ here differ there; what no keyboard tells apart may be the same here and not there.
    """
    return tuple(frozenset((one.oid.dotted_string, _plain(one.value)) for one in part) for part in name.rdns)


def subject_of(pem: str) -> x509.Name:
    """Whom a certificate that was checked before is of."""
    return x509.load_pem_x509_certificate(pem.encode()).subject


def issuer_of(certificate: x509.Certificate, issuers: Mapping[int, x509.Certificate]) -> int | None:
    """The number of the CA that a certificate is of: of several that have the name, the one that has signed it.

    None where no CA has the name.
    """
    named = [number for number, issuer in issuers.items() if issuer.subject == certificate.issuer]
    signed = [number for number in named if len(named) == 1 or _has_signed(issuers[number], certificate)]
    return next(iter(signed or named), None)


def proven_code(proof: x509.Certificate, certificate: x509.Certificate) -> str:
    """The code that a CA has signed: the common name of a certificate that it issued. Raises `InvalidAuthorityError`.

    Whether it is the right one is for the caller to know.
    """
    if proof.issuer != certificate.subject:
        raise InvalidAuthorityError(
            f"the proof was issued by {visible(proof.issuer.rfc4514_string()) or 'nobody'}, not by this CA"
        )
    if not _has_signed(certificate, proof):
        raise InvalidAuthorityError("the proof was not signed with the key of this CA")
    return _first(proof.subject, NameOID.COMMON_NAME)


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER form, lower-case hexadecimal."""
    return authority.fingerprint(certificate)


def key_of(certificate: x509.Certificate) -> bytes:
    """The public key, SubjectPublicKeyInfo in DER."""
    return certificate.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def common_name(certificate: x509.Certificate) -> str:
    """The common name of its subject; empty without one."""
    return _first(certificate.subject, NameOID.COMMON_NAME)


def hashed(code: str) -> str:
    """What is kept of a registration code: its SHA-256, hexadecimal."""
    return hashlib.sha256(code.encode()).hexdigest()


def parsed(der: bytes) -> x509.Certificate | None:
    """A certificate as a client showed it; None where it cannot be read."""
    try:
        return x509.load_der_x509_certificate(der)
    except _UNREADABLE:
        return None


def leaf(certificate: x509.Certificate, issuer: x509.Certificate, clock: Reading) -> Leaf:
    """A device's certificate that this CA has issued. Raises `OwnCertificateRefusedError` for what cannot be one."""
    whole = certificate.public_bytes(serialization.Encoding.DER)
    if len(whole) > LEAF_BYTES:
        raise OwnCertificateRefusedError(f"it has {len(whole)} bytes; at most {LEAF_BYTES} are taken")
    if not _has_signed(issuer, certificate):
        raise OwnCertificateRefusedError("it names a CA that is registered here, which has not signed it")
    try:
        reason = _leaf_refusal(certificate, clock)
        subject, names = visible(certificate.subject.rfc4514_string()), _attributes(certificate.subject)
    except _UNREADABLE as error:
        raise OwnCertificateRefusedError(f"it cannot be read: {error}") from error
    if reason:
        raise OwnCertificateRefusedError(reason)
    # Who vouches no more from some moment on vouches for nobody.
    expires_at = min(authority.ends_at(certificate), authority.ends_at(issuer))
    if is_over(expires_at, clock):
        raise OwnCertificateRefusedError(f"it, or the CA that issued it, expired at {to_text(expires_at)}")
    return Leaf(
        fingerprint=authority.fingerprint(certificate),
        serial=f"{certificate.serial_number:x}",
        subject=subject,
        common_name=names.get(f"{_PREFIX}CommonName", ""),
        serial_number=names.get(f"{_PREFIX}SerialNumber", ""),
        begins_at=_begins_at(certificate),
        expires_at=expires_at,
        pem=authority.certificate_pem(certificate),
        attributes=tuple(names.items()),
    )


def _authority_refusal(certificate: x509.Certificate, clock: Reading) -> str:
    try:
        is_ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_ca = False
    if not is_ca:
        return "the certificate is not that of a CA: its basic constraints do not say so"
    if not _may_sign(certificate):
        return "the CA may not sign certificates: its key usage does not allow it"
    if not certificate.subject.rdns:
        return "the certificate has no subject: what it issues could not name it"
    reason = _key_refusal(certificate)
    if reason:
        return f"the key of the CA is not strong enough or not known here: {reason}"
    if is_over(authority.ends_at(certificate), clock):
        return f"the certificate of the CA expired at {to_text(authority.ends_at(certificate))}"
    return ""


def _own_refusal(certificate: x509.Certificate, ours: Iterable[x509.Certificate]) -> str:
    key = key_of(certificate)
    for own in ours:
        name = own.subject.rfc4514_string()
        if key_of(own) == key:
            return f"this is a CA of the gateway itself ({name}): what it issues is known here without that"
        if compared(own.subject) == compared(certificate.subject):
            return f"a CA of the gateway itself is called {name} too: certificates name their CA by that alone"
    return ""


def _leaf_refusal(certificate: x509.Certificate, clock: Reading) -> str:
    try:
        is_ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_ca = False
    if is_ca or certificate.issuer == certificate.subject:
        return "it is the certificate of a CA, which is no device"
    if not _is_for_clients(certificate):
        return "it is not for clients: its extended key usage does not name client authentication"
    if not isinstance(certificate.signature_hash_algorithm, _GOOD_HASHES):
        return "it is signed with a hash that is not good any more: expected SHA-256, SHA-384 or SHA-512"
    reason = _key_refusal(certificate)
    if reason:
        return reason
    # A clock that nobody vouches for may be behind: it calls nothing too early.
    if clock.state is ClockState.SYNCHRONISED and _begins_at(certificate) > clock.wall_at:
        return f"it is good from {to_text(_begins_at(certificate))} on, which is yet to come"
    return ""


def _is_for_clients(certificate: x509.Certificate) -> bool:
    try:
        usages = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    except x509.ExtensionNotFound:
        return True
    return ExtendedKeyUsageOID.CLIENT_AUTH in usages or ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE in usages


def _may_sign(certificate: x509.Certificate) -> bool:
    try:
        return certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        return True


def _key_refusal(certificate: x509.Certificate) -> str:
    try:
        authority.fit_for_device(certificate.public_key())
    except InvalidRequestError as error:
        return str(error)
    return ""


def _has_signed(issuer: x509.Certificate, certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (*_UNREADABLE, InvalidSignature):
        return False
    return True


def _attributes(name: x509.Name) -> dict[str, str]:
    told = {f"{_PREFIX}{key}": _first(name, kind) for key, kind in _ATTRIBUTES.items()}
    return {key: value for key, value in told.items() if value}


def _first(name: x509.Name, kind: ObjectIdentifier) -> str:
    found = name.get_attributes_for_oid(kind)
    value = found[0].value if found else ""
    return visible(value if isinstance(value, str) else "")


def _plain(value: str | bytes) -> str | bytes:
    return value if isinstance(value, bytes) else " ".join(value.split()).casefold()


def _begins_at(certificate: x509.Certificate) -> int:
    return (certificate.not_valid_before_utc - _EPOCH) // timedelta(milliseconds=1)
