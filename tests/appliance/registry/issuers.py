"""CAs from elsewhere, as a company's own would be."""

from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from appliance.registry import authority
from appliance.registry.authority import SigningKey

FIRST_DAY = datetime(2026, 1, 1, tzinfo=UTC)


def make(
    name: str,
    key: SigningKey,
    by: tuple[x509.Certificate, SigningKey] | None = None,
    *,
    is_ca: bool = True,
    signs: bool = True,
    days: int = 3_650,
) -> x509.Certificate:
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(by[0].subject if by else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(FIRST_DAY)
        .not_valid_after(FIRST_DAY + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        # Not what our own would have: some CAs count in a way of their own.
        .add_extension(x509.SubjectKeyIdentifier(_identifier(None, key)), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier(_identifier((by[0] if by else None), key), None, None), critical=False
        )
        .add_extension(authority._usage(signs_certificates=signs), critical=True)
    )
    return builder.sign(by[1] if by else key, hashes.SHA256())


def unloadable(key: SigningKey) -> x509.Certificate:
    """A CA whose name Python's library reads and OpenSSL does not: with it in a trust file nobody could connect."""
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "CA \N{GRINNING FACE}", x509.name._ASN1Type.BMPString)])
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(FIRST_DAY)
        .not_valid_after(FIRST_DAY + timedelta(days=3_650))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(authority._usage(signs_certificates=True), critical=True)
        .sign(key, hashes.SHA256())
    )


def _identifier(issuer: x509.Certificate | None, key: SigningKey) -> bytes:
    if issuer is not None:
        return issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    return x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest[::-1] * 2


def company(*, with_rsa: bool = False, days: int = 3_650) -> tuple[list[x509.Certificate], SigningKey]:
    """A root, and an issuing CA under it; gives the chain from the issuing CA upwards, and its key."""
    top_key = authority.make_key()
    top = make("Example Company Root", top_key)
    key = rsa.generate_private_key(65_537, 2_048) if with_rsa else authority.make_key()
    return [make("Example Company Devices", key, (top, top_key), days=days), top], key


def files(chain: list[x509.Certificate], key: SigningKey) -> tuple[bytes, bytes]:
    return authority.certificate_pem(*chain).encode(), authority.key_pem(key).encode()
