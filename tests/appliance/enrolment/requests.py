"""Certificate signing requests as devices make them, and what several tests of enrolment use."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from appliance.instant import from_text

NOW = from_text("2026-11-21T06:00:00")

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def request(common_name: str = "pump-7", key: Key | None = None, serial_number: str = "") -> bytes:
    """A signing request, DER."""
    names = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    names += [x509.NameAttribute(NameOID.SERIAL_NUMBER, serial_number)] if serial_number else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(names))
    return builder.sign(key or new_key(), hashes.SHA256()).public_bytes(Encoding.DER)


class FakeClock:
    """A clock that stands until it is set."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def __call__(self) -> int:
        return self.now
