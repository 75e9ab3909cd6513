"""The gateway's certificate authorities: what they sign, and how long it is good.

Two that know nothing of each other: the device CA (a root and the issuing CA under it), which
devices trust and are known by; and the web CA, which a person may put into a browser without harm,
because its name constraints confine it to the LAN. They are apart because small TLS libraries
refuse a CA with name constraints. Certificates of the device CA begin in the past: a device without
a battery behind its clock must not see them as not yet valid.
"""

import ssl
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from typing import cast

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from appliance.instant import DAY_MS
from appliance.registry.model import InvalidRequestError
from appliance.registry.names import LOCAL_DOMAINS, LOCAL_NETWORKS, ServerNames, within

RELEASED_AT = 1_793_491_200_000
"""2026-11-01. A clock that shows less is wrong, and nothing is issued by it."""

EPOCH_AT = 1_577_836_800_000
"""2020-01-01: where certificates of the device CA begin."""

AUTHORITY_LENGTH_MS = 20 * 365 * DAY_MS
DEVICE_LENGTH_MS = 365 * DAY_MS
MQTT_LENGTH_MS = 90 * DAY_MS
WEB_LENGTH_MS = 396 * DAY_MS
"""With the day before it: 397 days, the most that browsers accept."""

_COMMON_NAME_LENGTH = 64
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

RSA_BITS = 2_048
"""The least of an RSA key of a device."""
RSA_MOST_BITS = 4_096
RSA_MOST_EXPONENT = 65_537
"""The most of one. The work to verify a signature grows with both, and strangers may send requests."""

Key = ec.EllipticCurvePrivateKey
DeviceKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
"""What a device may have a key of."""


SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
"""What a CA may sign with: our own are on an elliptic curve, one from elsewhere may be RSA."""


class Authority(msgspec.Struct, frozen=True):
    """A CA: its certificate and the key that signs for it."""

    certificate: x509.Certificate
    key: SigningKey

    @property
    def identifier(self) -> x509.AuthorityKeyIdentifier:
        """How what it signs names its key: as its own certificate does, which another CA may have made."""
        try:
            known = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
        except x509.ExtensionNotFound:
            return x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(known.value)


class Validity(msgspec.Struct, frozen=True):
    """From when to when a certificate is good, UTC milliseconds."""

    begins_at: int
    ends_at: int


def make_key() -> Key:
    """A new private key on P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def make_root(key: Key, now: int) -> x509.Certificate:
    """The root of the device CA, which devices trust."""
    name = _name(f"Headworks Root CA {_tag(key)}")
    builder = _authority_builder(name, key, name, key, _long(now, AUTHORITY_LENGTH_MS))
    return _with_constraint(builder, path_length=1).sign(key, hashes.SHA256())


def make_issuing(key: Key, root: Authority, now: int) -> x509.Certificate:
    """The CA under the root that signs devices and the MQTT listener; it can make no further CA."""
    name = _name(f"Headworks Issuing CA {_tag(key)}")
    issuer = root.certificate.subject
    builder = _authority_builder(name, key, issuer, root.key, _long(now, AUTHORITY_LENGTH_MS))
    return _with_constraint(builder, path_length=0).sign(root.key, hashes.SHA256())


def make_web_authority(key: Key, hostname: str, now: int) -> x509.Certificate:
    """The CA for browsers: good for names and addresses of a LAN, and for nothing beyond."""
    name = _name(f"Headworks Web CA {_tag(key)}")
    domains = sorted({*LOCAL_DOMAINS, *([hostname] if hostname else [])})
    constraints = x509.NameConstraints(
        [*map(x509.DNSName, domains), *map(x509.IPAddress, LOCAL_NETWORKS)], excluded_subtrees=None
    )
    builder = _authority_builder(name, key, name, key, _long(now, AUTHORITY_LENGTH_MS))
    # Not critical: mbed TLS refuses a CA where it is; browsers and OpenSSL obey it all the same.
    builder = _with_constraint(builder, path_length=0).add_extension(constraints, critical=False)
    return builder.sign(key, hashes.SHA256())


def cross_certify(root: Authority, issuer: x509.Certificate) -> x509.Certificate:
    """The same CA as `issuer`, signed by our root: who trusts the root trusts what that CA signs from now on.

    It has the issuer's name, key and key identifier, and its end, so that either can stand for the other.
    """
    key = cast("DeviceKey", issuer.public_key())
    try:
        identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    except x509.ExtensionNotFound:
        identifier = x509.SubjectKeyIdentifier.from_public_key(key)
    validity = Validity(EPOCH_AT, min(ends_at(issuer), ends_at(root.certificate)))
    builder = (
        _builder(issuer.subject, key, root.certificate.subject, validity)
        .add_extension(identifier, critical=False)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(root.identifier, critical=False)
    )
    return _with_constraint(builder, path_length=0).sign(root.key, hashes.SHA256())


def issue_device(issuing: Authority, device_id: str, key: DeviceKey, now: int) -> x509.Certificate:
    """A client certificate for one year. The name in it only informs: the fingerprint identifies."""
    validity = _long(now, DEVICE_LENGTH_MS)
    # What outlives its issuer is worth nothing afterwards: better that it says so itself.
    ends_with_issuer = Validity(validity.begins_at, min(validity.ends_at, ends_at(issuing.certificate)))
    builder = _leaf_builder(issuing, device_id, key, ends_with_issuer)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    return builder.sign(issuing.key, hashes.SHA256())


def issue_server(authority: Authority, names: ServerNames, key: Key, validity: Validity) -> x509.Certificate:
    """A server certificate for these names."""
    builder = _leaf_builder(authority, "Headworks gateway", key.public_key(), validity)
    alternatives = [
        *map(x509.DNSName, names.hosts),
        *(x509.IPAddress(ip_address(address)) for address in names.addresses),
    ]
    builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
    builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
    return builder.sign(authority.key, hashes.SHA256())


def mqtt_validity(now: int) -> Validity:
    """90 days ahead, and long before now: devices may have no clock."""
    return _long(now, MQTT_LENGTH_MS)


def web_validity(now: int) -> Validity:
    """397 days from yesterday: browsers refuse a longer life, and have a clock."""
    issued_at = max(now, RELEASED_AT)
    return Validity(issued_at - DAY_MS, issued_at + WEB_LENGTH_MS)


def names_allowed_by(authority: x509.Certificate, names: ServerNames) -> ServerNames:
    """Those of the names that this CA's name constraints let it sign."""
    try:
        permitted = authority.extensions.get_extension_for_class(x509.NameConstraints).value.permitted_subtrees or []
    except x509.ExtensionNotFound:
        return names
    domains = [name.value for name in permitted if isinstance(name, x509.DNSName)]
    networks = [network for network in LOCAL_NETWORKS if x509.IPAddress(network) in permitted]
    return within(names, domains, networks)


def names_in(certificate: x509.Certificate) -> ServerNames:
    """The names a server certificate was issued for."""
    value = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    hosts = value.get_values_for_type(x509.DNSName)
    addresses = [str(address) for address in value.get_values_for_type(x509.IPAddress)]
    return ServerNames(tuple(sorted(hosts)), tuple(sorted(addresses)))


def reissue_reason(
    certificate: x509.Certificate, authority: x509.Certificate, key: Key, names: ServerNames, length_ms: int, now: int
) -> str:
    """Why a server certificate has to be issued again; empty when it is still good."""
    if certificate.public_key() != key.public_key():
        return "it belongs to another key"
    if certificate.issuer != authority.subject:
        return "another CA signed it"
    if names_in(certificate) != names:
        return "names or addresses changed"
    if ends_at(certificate) - now < length_ms // 3:
        return "less than a third of its life is left"
    return ""


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the DER form, lower-case hexadecimal."""
    return certificate.fingerprint(hashes.SHA256()).hex()


def ends_at(certificate: x509.Certificate) -> int:
    """The moment from which the certificate is no longer good, UTC milliseconds."""
    return (certificate.not_valid_after_utc - _EPOCH) // timedelta(milliseconds=1)


def certificate_pem(*certificates: x509.Certificate) -> str:
    """Certificates as PEM, one after another."""
    return "".join(certificate.public_bytes(serialization.Encoding.PEM).decode() for certificate in certificates)


def is_loadable(certificate: x509.Certificate) -> bool:
    """Whether OpenSSL takes a CA: the listeners load it with that, and it refuses some that can be read here."""
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_verify_locations(cadata=certificate_pem(certificate))
    except ssl.SSLError:
        return False
    return True


def key_pem(key: SigningKey) -> str:
    """A private key as PKCS #8 PEM, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()


def read_certificate(pem: bytes) -> x509.Certificate:
    """The first certificate of a PEM file. Raises `ValueError` when there is none."""
    return x509.load_pem_x509_certificate(pem)


def read_key(pem: bytes) -> Key:
    """The private key of a PEM file. Raises `ValueError` when there is none, or of another kind."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError(f"expected a key on an elliptic curve, found {type(key).__name__}")  # noqa: TRY004  callers mend one kind
    return key


def read_signing_key(pem: bytes) -> SigningKey:
    """The private key of a PEM file, on an elliptic curve or RSA. Raises `ValueError` as `read_key` does."""
    key = serialization.load_pem_private_key(pem, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise ValueError(f"expected a key on an elliptic curve or RSA, found {type(key).__name__}")  # noqa: TRY004  callers mend one kind
    return key


def requested_key(request: bytes) -> DeviceKey:
    """The public key of a certificate signing request, PEM or DER, whose sender has shown to have its private half.

    Raises `InvalidRequestError`. Nothing else of the request counts: the gateway decides what a certificate says.
    """
    try:
        is_pem = request.lstrip().startswith(b"-----BEGIN")
        parsed = x509.load_pem_x509_csr(request) if is_pem else x509.load_der_x509_csr(request)
        # Before the signature: to verify one by a key of any size could take long.
        key = fit_for_device(parsed.public_key())
        is_proven = parsed.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise InvalidRequestError("this is no certificate signing request (PKCS #10, PEM or DER)") from error
    if not is_proven:
        raise InvalidRequestError(
            "the signature of the request does not fit its key: who sent it lacks the private key"
        )
    return key


def fit_for_device(key: object) -> DeviceKey:
    """A public key that a device may have, as what it is. Raises `InvalidRequestError` for any other."""
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1):
        return key
    if (
        isinstance(key, rsa.RSAPublicKey)
        and RSA_BITS <= key.key_size <= RSA_MOST_BITS
        and key.public_numbers().e <= RSA_MOST_EXPONENT
    ):
        return key
    raise InvalidRequestError(
        f"a device's key is on the curve P-256, P-384 or P-521, or an RSA key of at least {RSA_BITS} bits"
        f" and at most {RSA_MOST_BITS}, its public exponent at most {RSA_MOST_EXPONENT}"
    )


def _long(now: int, length_ms: int) -> Validity:
    issued_at = max(now, RELEASED_AT)
    return Validity(min(EPOCH_AT, issued_at - DAY_MS), issued_at + length_ms)


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name[:_COMMON_NAME_LENGTH])])


def _tag(key: Key) -> str:
    """Four digits that tell the CAs of two gateways apart."""
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()[:4]


def _builder(
    subject: x509.Name, public_key: DeviceKey, issuer: x509.Name, validity: Validity
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(_EPOCH + timedelta(milliseconds=validity.begins_at))
        .not_valid_after(_EPOCH + timedelta(milliseconds=validity.ends_at))
    )


def _authority_builder(
    subject: x509.Name, key: Key, issuer: x509.Name, issuer_key: SigningKey, validity: Validity
) -> x509.CertificateBuilder:
    identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key())
    return (
        _builder(subject, key.public_key(), issuer, validity)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(identifier, critical=False)
    )


def _with_constraint(builder: x509.CertificateBuilder, *, path_length: int) -> x509.CertificateBuilder:
    return builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)


def _leaf_builder(
    authority: Authority, common_name: str, key: DeviceKey, validity: Validity
) -> x509.CertificateBuilder:
    return (
        _builder(_name(common_name), key, authority.certificate.subject, validity)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(authority.identifier, critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
