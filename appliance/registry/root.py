"""The private key of the root, away from the gateway: encrypted, taken away, put back.

What is exported is PKCS #8 encrypted with AES-256 under a key that scrypt makes of a passphrase (RFC 8018,
RFC 7914), which OpenSSL reads too. The encoder is our own, because the library's uses PBKDF2 with 2,048 rounds.
"""

import base64

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import padding, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from appliance.registry.authority import Key
from appliance.registry.model import RootKeyError

PASSPHRASE_LENGTH = 12
"""The fewest characters of a passphrase."""

SALT_BYTES = 16
VECTOR_BYTES = 16

_COST, _BLOCK, _LANES = 16_384, 8, 8
"""16 MiB of memory, gone through eight times: the most that OpenSSL reads without being told of it."""
_KEY_BYTES = 32
_PBES2 = bytes.fromhex("06092a864886f70d01050d")
_SCRYPT = bytes.fromhex("06092b06010401da47040b")
_AES_256_CBC = bytes.fromhex("060960864801650304012a")
_LINE = 64
_SHORT_FORM = 128


def encrypted(key: Key, passphrase: str, salt: bytes, vector: bytes) -> str:
    """The key as encrypted PKCS #8, PEM; `salt` and `vector` are 16 random bytes each.

    Raises `RootKeyError` when the passphrase is too short. Takes about half a second on purpose.
    """
    if len(passphrase) < PASSPHRASE_LENGTH:
        raise RootKeyError(f"the passphrase has {len(passphrase)} characters, expected {PASSPHRASE_LENGTH} or more")
    plain = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    padder = padding.PKCS7(algorithms.AES256.block_size).padder()
    derived = Scrypt(salt=salt, length=_KEY_BYTES, n=_COST, r=_BLOCK, p=_LANES).derive(passphrase.encode())
    cipher = Cipher(algorithms.AES256(derived), modes.CBC(vector)).encryptor()
    secret = cipher.update(padder.update(plain) + padder.finalize()) + cipher.finalize()
    return _pem(
        _sequence(
            _sequence(_PBES2, _sequence(_scrypt(salt), _sequence(_AES_256_CBC, _octets(vector)))), _octets(secret)
        )
    )


def decrypted(pem: bytes, passphrase: str) -> Key:
    """The key of an export. Raises `RootKeyError` when it cannot be read with this passphrase."""
    try:
        key = serialization.load_pem_private_key(pem, passphrase.encode())
    except TypeError as error:
        raise RootKeyError("the file is not encrypted: expected one that `ca export-root` has written") from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise RootKeyError(
            "the file cannot be read with this passphrase: is it the right file and passphrase?"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise RootKeyError("the file holds a key of another kind than the root's")
    return key


def _scrypt(salt: bytes) -> bytes:
    return _sequence(_SCRYPT, _sequence(_octets(salt), _integer(_COST), _integer(_BLOCK), _integer(_LANES)))


def _sequence(*parts: bytes) -> bytes:
    return _tagged(0x30, b"".join(parts))


def _octets(content: bytes) -> bytes:
    return _tagged(0x04, content)


def _integer(number: int) -> bytes:
    # One bit more than the number has, so that it is not read as negative.
    return _tagged(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _tagged(tag: int, content: bytes) -> bytes:
    """An element of DER (X.690 §8.1)."""
    length = len(content)
    if length < _SHORT_FORM:
        return bytes((tag, length)) + content
    size = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(size))) + size + content


def _pem(der: bytes) -> str:
    text = base64.b64encode(der).decode()
    lines = [text[start : start + _LINE] for start in range(0, len(text), _LINE)]
    return "\n".join(("-----BEGIN ENCRYPTED PRIVATE KEY-----", *lines, "-----END ENCRYPTED PRIVATE KEY-----", ""))
