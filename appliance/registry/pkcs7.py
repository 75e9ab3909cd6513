"""Certificates in the form in which EST hands them out: PKCS #7 that holds certificates and signs nothing."""

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7


def certs_only(pem: str) -> bytes:
    """The certificates of a PEM text as PKCS #7, DER (RFC 7030 4.1.3). Raises `ValueError` when there is none."""
    return pkcs7.serialize_certificates(x509.load_pem_x509_certificates(pem.encode()), Encoding.DER)
