"""A key that signs elsewhere is a key to whatever asks for one."""

import copy
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, utils
from hypothesis import given
from hypothesis import strategies as st

from appliance.registry.hardware.key import CURVES, HardwareKey, encoded, public_key
from appliance.registry.hardware.model import HardwareKeyError

P256, P384 = CURVES
BELOW_ORDER = st.integers(1, 2**255)


class Elsewhere:
    """Signs as a token does: with a digest, and without any encoding."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key

    def sign(self, digest: bytes) -> bytes:
        hashed = ec.ECDSA(utils.Prehashed({32: hashes.SHA256(), 48: hashes.SHA384()}[len(digest)]))
        length = (self._key.key_size + 7) // 8
        return b"".join(
            each.to_bytes(length, "big") for each in utils.decode_dss_signature(self._key.sign(digest, hashed))
        )


@given(r=BELOW_ORDER, s=BELOW_ORDER)
def test_a_signature_is_the_same_two_numbers_in_der(r: int, s: int) -> None:
    assert utils.decode_dss_signature(encoded(r.to_bytes(32, "big") + s.to_bytes(32, "big"))) == (r, s)


@given(content=st.binary(max_size=7).filter(lambda each: len(each) % 2 or not each))
def test_what_is_no_signature_is_said(content: bytes) -> None:
    with pytest.raises(HardwareKeyError, match="expected an even number"):
        encoded(content)


@pytest.mark.parametrize("curve", CURVES)
@pytest.mark.parametrize("algorithm", [hashes.SHA256(), hashes.SHA384()])
def test_what_is_signed_elsewhere_is_believed(curve: ec.EllipticCurve, algorithm: hashes.HashAlgorithm) -> None:
    real = ec.generate_private_key(curve)
    key = HardwareKey(real.public_key(), Elsewhere(real))
    key.public_key().verify(key.sign(b"content", ec.ECDSA(algorithm)), b"content", ec.ECDSA(algorithm))
    assert (key.curve.name, key.key_size) == (curve.name, curve.key_size)


def test_a_token_that_has_another_key_is_found_out() -> None:
    key = HardwareKey(ec.generate_private_key(P256).public_key(), Elsewhere(ec.generate_private_key(P256)))
    with pytest.raises(HardwareKeyError, match="another key"):
        key.sign(b"content", ec.ECDSA(hashes.SHA256()))


def test_it_gives_nothing_but_signatures() -> None:
    real = ec.generate_private_key(P256)
    key = HardwareKey(real.public_key(), Elsewhere(real))
    encoding = (serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    asks: tuple[Callable[[], object], ...] = (
        key.private_numbers,
        lambda: key.private_bytes(*encoding),
        lambda: key.exchange(ec.ECDH(), real.public_key()),
        lambda: key.sign(bytes(32), ec.ECDSA(utils.Prehashed(hashes.SHA256()))),
    )
    for ask in asks:
        with pytest.raises(HardwareKeyError):
            ask()
    assert copy.copy(key) is copy.deepcopy(key) is key


@pytest.mark.parametrize("curve", CURVES)
def test_a_point_is_read_bare_and_within_an_octet_string(curve: ec.EllipticCurve) -> None:
    real = ec.generate_private_key(curve).public_key()
    point = real.public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    for given_point in (point, bytes((4, len(point))) + point):
        assert public_key(curve, given_point) == real
    with pytest.raises(HardwareKeyError, match="no point"):
        public_key(curve, bytes(len(point)))
