"""A private key that signs elsewhere, in the form in which `cryptography` takes keys.

What `cryptography` builds (certificates, requests, revocation lists) it signs by `sign(data, ECDSA(hash))` of any
object of this kind; nothing else of the key is asked for.
"""

from typing import NoReturn, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from appliance.registry.hardware.model import HardwareKeyError

CURVES: tuple[ec.EllipticCurve, ...] = (ec.SECP256R1(), ec.SECP384R1())
"""On which the issuing CA may have a key: what devices can verify."""


class Signer(Protocol):
    """Signs with the one key that it was configured for."""

    def sign(self, digest: bytes) -> bytes:
        """The two numbers of an ECDSA signature one after the other, each as long as the curve's order.

        Raises `HardwareKeyError`.
        """


class SilentSigner:
    """Signs nothing, for the token of the key does not answer."""

    def __init__(self, reason: str) -> None:
        self._reason = reason

    def sign(self, digest: bytes) -> bytes:
        """Raises `HardwareKeyError`."""
        raise HardwareKeyError(f"{len(digest)} bytes are not signed: {self._reason}")


class HardwareKey(ec.EllipticCurvePrivateKey):
    """The private half of `public`, wherever the signer has it."""

    def __init__(self, public: ec.EllipticCurvePublicKey, signer: Signer) -> None:
        self._public = public
        self._signer = signer

    @property
    def curve(self) -> ec.EllipticCurve:
        """The curve of the key."""
        return self._public.curve

    @property
    def key_size(self) -> int:
        """Bits."""
        return self._public.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """The public half."""
        return self._public

    def sign(
        self, data: "bytes | bytearray | memoryview[int]", signature_algorithm: ec.EllipticCurveSignatureAlgorithm
    ) -> bytes:
        """The signature of these bytes, DER (RFC 3279 §2.2.3). Raises `HardwareKeyError`."""
        algorithm = signature_algorithm.algorithm
        if isinstance(algorithm, utils.Prehashed):
            raise HardwareKeyError("a digest that was made elsewhere is not signed in hardware")
        hasher = hashes.Hash(algorithm)
        hasher.update(data)
        signature = encoded(self._signer.sign(hasher.finalize()))
        try:
            self._public.verify(signature, data, signature_algorithm)
        except InvalidSignature as error:
            # Else devices would be given what nobody believes.
            raise HardwareKeyError(
                "the token signed with another key than the issuing certificate's: was its key made again?"
            ) from error
        return signature

    def exchange(self, *_: object) -> NoReturn:
        """A key of a CA agrees with nobody on anything."""
        raise HardwareKeyError("the key signs and does nothing else")

    def private_numbers(self) -> NoReturn:
        """Nobody has them."""
        raise HardwareKeyError("the key does not leave its token")

    def private_bytes(self, *_: object, **_named: object) -> NoReturn:
        """Nobody has them."""
        raise HardwareKeyError("the key does not leave its token")

    def __copy__(self) -> "HardwareKey":
        return self

    def __deepcopy__(self, _: dict[int, object]) -> "HardwareKey":
        return self


def encoded(signature: bytes) -> bytes:
    """A signature as tokens give it (PKCS #11 §6.3.1), in DER. Raises `HardwareKeyError` when it is none."""
    half, rest = divmod(len(signature), 2)
    if rest or not half:
        raise HardwareKeyError(f"the token gave a signature of {len(signature)} bytes, expected an even number")
    return utils.encode_dss_signature(int.from_bytes(signature[:half], "big"), int.from_bytes(signature[half:], "big"))


def public_key(curve: ec.EllipticCurve, point: bytes) -> ec.EllipticCurvePublicKey:
    """A public key as tokens give it: the point within an octet string (X9.62), or bare. Raises `HardwareKeyError`."""
    length = 2 * ((curve.key_size + 7) // 8) + 1
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point[-length:])
    except ValueError as error:
        raise HardwareKeyError(f"the token gave a public key that is no point of {curve.name}") from error
