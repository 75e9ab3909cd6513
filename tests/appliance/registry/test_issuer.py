"""What a CA from elsewhere must be, told in sentences."""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519

from appliance.registry import authority, issuer
from appliance.registry.model import InvalidIssuerError
from tests.appliance.registry import issuers
from tests.appliance.registry.examples import NOW


@pytest.mark.parametrize("with_rsa", [False, True])
def test_a_company_s_ca_is_read(with_rsa: bool) -> None:
    chain, key = issuers.company(with_rsa=with_rsa)
    read, signing = issuer.read_issuer(*issuers.files(chain, key), NOW)
    assert read == chain
    assert signing.public_key() == key.public_key()


def test_what_cannot_issue_is_refused_with_the_reason() -> None:
    chain, key = issuers.company()
    certificates, key_file = issuers.files(chain, key)
    other = authority.key_pem(authority.make_key()).encode()
    passphrase = serialization.BestAvailableEncryption(b"secret")
    encrypted = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, passphrase)
    odd = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    leaf = issuers.files([issuers.make("leaf", key, is_ca=False)], key)
    silent = issuers.files([issuers.make("silent", key, signs=False)], key)
    brief = issuers.files([issuers.make("brief", key, days=400)], key)
    mixed = issuers.files([chain[0], issuers.company()[0][1]], key)
    for files, word in (
        ((b"nothing", key_file), "no certificate"),
        ((certificates, b"nothing"), "no private key"),
        ((certificates, encrypted), "is encrypted"),
        ((certificates, odd), "expected EC or RSA"),
        ((certificates, other), "does not belong"),
        (leaf, "not that of a CA"),
        (silent, "may not sign certificates"),
        (brief, "less than a year"),
        (mixed, "did not sign"),
    ):
        with pytest.raises(InvalidIssuerError, match=word):
            issuer.read_issuer(*files, NOW)


def test_a_ca_that_no_listener_could_load_does_not_issue() -> None:
    key = authority.make_key()
    with pytest.raises(InvalidIssuerError, match="OpenSSL cannot read"):
        issuer.read_issuer(*issuers.files([issuers.unloadable(key)], key), NOW)
