"""CAs as a company of its own has them, and what they sign."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from appliance.registry import authority
from appliance.registry.authority import SigningKey
from appliance.registry.own_authorities.model import OwnAuthority, Settings
from appliance.registry.service import Registry
from broker.ports import Credentials
from tests.appliance.registry import issuers

ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
"""Of the curve P-256."""


class Company:
    """A CA that is not the gateway's."""

    def __init__(self, name: str = "Example Factory", **told: bool) -> None:
        self.key: SigningKey = authority.make_key()
        self.certificate = issuers.make(name, self.key, **told)  # type: ignore[arg-type]

    @property
    def pem(self) -> bytes:
        return authority.certificate_pem(self.certificate).encode()

    def issued(
        self,
        common_name: str,
        *,
        key: object = None,
        days: int = 3_000,
        first_day: datetime = issuers.FIRST_DAY,
        is_ca: bool = False,
        usage: ObjectIdentifier | None = ExtendedKeyUsageOID.CLIENT_AUTH,
        names: tuple[x509.NameAttribute[str], ...] = (),
        digest: hashes.SHA224 | None = None,
        names_key: bool = False,
    ) -> x509.Certificate:
        common = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
        public = key or authority.make_key().public_key()
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([*common, *names]))
            .issuer_name(self.certificate.subject)
            .public_key(public)  # type: ignore[arg-type]
            .serial_number(x509.random_serial_number())
            .not_valid_before(first_day)
            .not_valid_after(first_day + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        )
        if usage is not None:
            builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
        if names_key:
            identifier = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier)
            of_issuer = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier.value)
            builder = builder.add_extension(of_issuer, critical=False)
        return builder.sign(self.key, digest or hashes.SHA256())

    def proof(self, code: str) -> bytes:
        return authority.certificate_pem(self.issued(code)).encode()

    def below(self, name: str = "Example Line 4") -> "Company":
        """A CA that this one has signed."""
        made = Company.__new__(Company)
        made.key = authority.make_key()
        made.certificate = issuers.make(name, made.key, (self.certificate, self.key))
        return made


def der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.DER)


def turned(certificate: x509.Certificate) -> x509.Certificate:
    """The same certificate with another signature that is as good: (r, n - s) in the place of (r, s)."""
    r, s = decode_dss_signature(certificate.signature)
    other = encode_dss_signature(r, ORDER - s)
    whole = der(certificate)
    inside = whole[_head(whole) :]
    algorithm = bytes.fromhex("300a06082a8648ce3d040302")
    body = certificate.tbs_certificate_bytes + algorithm + b"\x03" + _length(len(other) + 1) + b"\x00" + other
    assert inside.startswith(certificate.tbs_certificate_bytes + algorithm)
    return x509.load_der_x509_certificate(b"\x30" + _length(len(body)) + body)


def shown(certificate: x509.Certificate, client_id: str = "") -> Credentials:
    return Credentials(client_id, None, None, der(certificate), "192.0.2.7:4711")


async def registered(
    registry: Registry, company: Company, settings: Settings | None = None, tenant_id: int = 1
) -> OwnAuthority:
    own = registry.own_authorities
    code = await own.make_code(tenant_id)
    return await own.register(tenant_id, company.pem, company.proof(code), settings or Settings())


def moment(year: int) -> datetime:
    return datetime(year, 1, 1, tzinfo=UTC)


def on_odd_curve() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256K1())


def _head(whole: bytes) -> int:
    return 2 if whole[1] < 0x80 else 2 + (whole[1] & 0x7F)


def _length(count: int) -> bytes:
    if count < 0x80:
        return bytes([count])
    text = count.to_bytes((count.bit_length() + 7) // 8, "big")
    return bytes([0x80 | len(text)]) + text
