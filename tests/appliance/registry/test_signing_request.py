import hashlib
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from appliance.registry import signing_request
from appliance.registry.model import InvalidRequestError
from tests.appliance.enrolment.requests import new_key, request


@given(st.binary(max_size=300))
def test_no_bytes_raise_anything_but_a_refusal(content: bytes) -> None:
    with pytest.raises(InvalidRequestError):
        signing_request.read(content)


@given(st.integers(0, 200), st.binary(min_size=1, max_size=3))
def test_a_damaged_request_is_read_or_refused(place: int, noise: bytes) -> None:
    whole = request("pump-7")
    damaged = whole[:place] + noise + whole[place + len(noise) :]
    try:
        assert signing_request.read(damaged).der == whole
    except InvalidRequestError:
        assert damaged != whole


def test_it_says_what_the_sender_says_and_the_fingerprint_that_openssl_shows(tmp_path: Path) -> None:
    read = signing_request.read(request("pump-7", serial_number="4711"))
    assert (read.common_name, read.serial_number, read.key_kind) == ("pump-7", "4711", "EC secp256r1")
    assert "CN=pump-7" in read.subject
    (tmp_path / "request.der").write_bytes(read.der)
    key = subprocess.run(
        ["openssl", "req", "-inform", "DER", "-in", tmp_path / "request.der", "-pubkey", "-noout"],
        capture_output=True,
        check=True,
    ).stdout
    der = subprocess.run(["openssl", "pkey", "-pubin", "-outform", "DER"], input=key, capture_output=True, check=True)
    assert read.key_fingerprint == hashlib.sha256(der.stdout).hexdigest()


def test_the_same_key_has_the_same_fingerprint_whatever_it_is_called() -> None:
    key = new_key()
    first, second = (signing_request.read(request(name, key)) for name in ("a", "b"))
    assert first.key_fingerprint == second.key_fingerprint
    assert first.key_fingerprint != signing_request.read(request("a")).key_fingerprint


def test_rsa_keys_are_told_by_their_length() -> None:
    key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    assert signing_request.read(request("", key)).key_kind == "RSA 2048"
    assert signing_request.read(request("", key)).common_name == ""


def test_what_cannot_be_seen_is_left_out_of_what_people_read() -> None:
    read = signing_request.read(request("a\u202eb\x1b[31m\nc"))
    assert read.common_name == "ab[31mc"
    assert "\n" not in read.subject


def test_a_request_that_is_too_large_is_not_looked_at() -> None:
    with pytest.raises(InvalidRequestError, match="at most"):
        signing_request.read(b"\x30" * (signing_request.REQUEST_BYTES + 1))
