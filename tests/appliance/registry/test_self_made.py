import ssl
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from appliance.registry import self_made, signing_request
from appliance.registry.authority import RSA_BITS
from appliance.registry.model import InvalidRequestError
from appliance.registry.self_made import SelfMade, Unfit
from tests.appliance.enrolment.requests import new_key, request
from tests.appliance.enrolment.self_made import certificate, shown

WHOLE = certificate()


@given(st.binary(max_size=200))
def test_nonsense_is_unfit_and_nothing_worse(nonsense: bytes) -> None:
    assert self_made.read(nonsense) == Unfit("this is no certificate that can be read", is_costly=True)


# The library says so of a serial number that is none.
@pytest.mark.filterwarnings("ignore:Parsed a serial number")
@given(st.integers(0, len(WHOLE)), st.binary(min_size=1, max_size=3))
def test_a_damaged_certificate_is_read_or_unfit(place: int, noise: bytes) -> None:
    assert isinstance(self_made.read(WHOLE[:place] + noise + WHOLE[place + len(noise) :]), SelfMade | Unfit)


def test_the_key_is_the_same_in_a_certificate_and_in_a_signing_request() -> None:
    key = new_key()
    read = shown(key, "pump-7", "4711")
    wanted = signing_request.read(request("pump-7", key, "4711"))
    assert (read.key_fingerprint, read.subject, read.key_kind) == (
        wanted.key_fingerprint,
        wanted.subject,
        wanted.key_kind,
    )
    assert (read.common_name, read.serial_number) == ("pump-7", "4711")
    assert self_made.key_fingerprint(ssl.DER_cert_to_PEM_cert(certificate(key))) == wanted.key_fingerprint


@pytest.mark.parametrize("year", [1990, 2090])
def test_when_it_begins_and_ends_is_of_no_account(year: int) -> None:
    der = certificate(begins=datetime(year, 1, 1, tzinfo=UTC), days=1)
    assert isinstance(self_made.read(der), SelfMade)


def test_a_signature_that_is_wrong_is_of_no_account() -> None:
    der = bytearray(certificate())
    der[-1] ^= 1
    assert isinstance(self_made.read(bytes(der)), SelfMade)


def test_the_key_that_was_read_can_be_certified() -> None:
    for key in (new_key(), ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65_537, 2_048)):
        assert self_made.public_key(shown(key).public_key) == key.public_key()
    weak = rsa.generate_private_key(65_537, RSA_BITS // 2).public_key()
    for der in (b"", b"nonsense", weak.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)):
        with pytest.raises(InvalidRequestError):
            self_made.public_key(der)


def test_a_weak_key_is_told_and_a_costly_one_is_not_listened_to() -> None:
    weak = self_made.read(certificate(rsa.generate_private_key(65_537, RSA_BITS // 2)))
    assert isinstance(weak, Unfit)
    assert ("at least 2048 bits" in weak.reason, weak.is_costly) == (True, False)
    other = self_made.read(certificate(ed25519.Ed25519PrivateKey.generate()))
    assert isinstance(other, Unfit)
    assert not other.is_costly
    large = self_made.read(_with_rsa(2**8191 + 1, 65_537))
    assert isinstance(large, Unfit)
    assert large.is_costly
    slow = self_made.read(_with_rsa(2**2047 + 1, 2**255 + 1))
    assert isinstance(slow, Unfit)
    assert slow.is_costly


def _with_rsa(modulus: int, exponent: int) -> bytes:
    """A certificate with a public key that nobody has."""
    whole = x509.load_der_x509_certificate(WHOLE)
    old = whole.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    numbers = rsa.RSAPublicNumbers(exponent, modulus)
    new = numbers.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    inside = whole.tbs_certificate_bytes
    head = len(inside) - len(_content(inside))
    replaced = inside[head:].replace(old, new)
    outside = WHOLE[len(WHOLE) - len(_content(WHOLE)) :]
    return _sequence(_sequence(replaced) + outside[len(inside) :])


def _content(der: bytes) -> bytes:
    first = der[1]
    return der[2:] if first < 128 else der[2 + (first & 127) :]


def _sequence(content: bytes) -> bytes:
    size = len(content).to_bytes(3, "big")
    return b"\x30\x83" + size + content


def test_what_is_too_large_is_not_looked_at() -> None:
    read = self_made.read(certificate(padding_bytes=self_made.CERTIFICATE_BYTES))
    assert isinstance(read, Unfit)
    assert "at most 16384" in read.reason
    assert read.is_costly
