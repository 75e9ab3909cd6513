"""A CA from elsewhere that is to issue the certificates of devices: what it must be."""

from collections.abc import Sequence
from itertools import pairwise

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from appliance.instant import to_text
from appliance.registry.authority import DEVICE_LENGTH_MS, DeviceKey, SigningKey, ends_at, is_loadable
from appliance.registry.model import InvalidIssuerError


def read_issuer(certificates: bytes, key: bytes, now: int) -> tuple[list[x509.Certificate], SigningKey]:
    """A CA from elsewhere: its certificate, first, with those above it, and its key, not encrypted; all PEM.

    Raises `InvalidIssuerError` with what keeps it from issuing to devices.
    """
    chain = _chain(certificates)
    try:
        signing = serialization.load_pem_private_key(key, password=None)
    except TypeError as error:
        raise InvalidIssuerError("the key is encrypted: the gateway needs it without a passphrase") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise InvalidIssuerError("the second file holds no private key in PEM form") from error
    if not isinstance(signing, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise InvalidIssuerError(f"the key is of the kind {type(signing).__name__}, expected EC or RSA")
    _check(chain, signing.public_key(), now)
    return chain, signing


def read_chain(certificates: bytes, key: DeviceKey, now: int) -> list[x509.Certificate]:
    """A CA from elsewhere whose key is in a token: its certificate, first, with those above it, PEM.

    Raises `InvalidIssuerError` as `read_issuer` does.
    """
    chain = _chain(certificates)
    _check(chain, key, now)
    return chain


def _chain(certificates: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(certificates)
    except ValueError as error:
        raise InvalidIssuerError("the first file holds no certificate in PEM form") from error


def _check(chain: Sequence[x509.Certificate], key: DeviceKey, now: int) -> None:
    if key != chain[0].public_key():
        raise InvalidIssuerError("the key does not belong to the certificate: the issuer's own certificate comes first")
    for reason in (_issuer_refusal(chain[0], now), _chain_refusal(chain)):
        if reason:
            raise InvalidIssuerError(reason)


def _issuer_refusal(certificate: x509.Certificate, now: int) -> str:
    try:
        is_ca = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except x509.ExtensionNotFound:
        is_ca = False
    if not is_ca:
        return "the certificate is not that of a CA: its basic constraints do not say so"
    try:
        signs = certificate.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound:
        signs = True
    if not signs:
        return "the CA may not sign certificates: its key usage does not allow it"
    if not certificate.subject.rdns:
        return "the certificate has no subject: what it issues could not name it"
    if not is_loadable(certificate):
        return "OpenSSL cannot read the certificate of the CA, and so no connection could use it"
    if ends_at(certificate) - now < DEVICE_LENGTH_MS:
        return f"the certificate of the CA ends at {to_text(ends_at(certificate))}: less than a year is left"
    return ""


def _chain_refusal(chain: Sequence[x509.Certificate]) -> str:
    for under, above in pairwise(chain):
        try:
            under.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature):
            return f"{_readable(above)} did not sign {_readable(under)}: expected each certificate before its issuer's"
    return ""


def _readable(certificate: x509.Certificate) -> str:
    return certificate.subject.rfc4514_string() or "a certificate without a name"
