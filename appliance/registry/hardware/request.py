"""A certificate signing request for a key in hardware, for a CA from elsewhere to sign."""

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID

from appliance.registry.hardware.key import HardwareKey


def make(key: HardwareKey) -> str:
    """The request (PKCS #10), PEM, of a CA that can make no further one. Raises `HardwareKeyError`."""
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"Headworks Issuing CA {identifier[:4]}")])
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(name)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()
