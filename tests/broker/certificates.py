"""Certificate authorities and certificates that live as long as a test."""

import datetime as dt
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAY = dt.timedelta(days=1)
NOT_AT_ALL = dt.timedelta()
_SIGNS_CERTIFICATES = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


@dataclass(frozen=True)
class Authority:
    """A root that signs certificates into one folder."""

    folder: Path
    name: str
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @classmethod
    def create(cls, folder: Path, name: str) -> "Authority":
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = (
            _unsigned(name, name, key)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(_SIGNS_CERTIFICATES, critical=True)
            .sign(key, hashes.SHA256())
        )
        authority = cls(folder, name, key, certificate)
        authority.trust.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return authority

    @property
    def trust(self) -> Path:
        return self.folder / f"{self.name}.root.pem"

    def issue(self, name: str, shifted_by: dt.timedelta = NOT_AT_ALL) -> tuple[Path, Path]:
        """The certificate and the key of `name`, as files, for 127.0.0.1 too; it is good today unless shifted."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
        # Python 3.13 verifies strictly and asks for the key identifier of the authority.
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key())
        certificate = (
            _unsigned(name, self.name, key, shifted_by)
            .add_extension(names, critical=False)
            .add_extension(issuer, critical=False)
            .sign(self.key, hashes.SHA256())
        )
        certificate_path, key_path = self.folder / f"{self.name}.{name}.pem", self.folder / f"{self.name}.{name}.key"
        certificate_path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        key_path.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return certificate_path, key_path

    def client_context(
        self, certificate_of: "Authority | None", name: str = "client", shifted_by: dt.timedelta = NOT_AT_ALL
    ) -> ssl.SSLContext:
        """What a client that trusts this authority uses; `certificate_of` signs its own certificate, if it has one."""
        context = ssl.create_default_context(cafile=str(self.trust))
        if certificate_of is not None:
            context.load_cert_chain(*certificate_of.issue(name, shifted_by))
        return context


def _unsigned(
    name: str, issuer: str, key: ec.EllipticCurvePrivateKey, shifted_by: dt.timedelta = NOT_AT_ALL
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC) + shifted_by
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
    )
