"""The nouns of device tokens, and how a token is written.

A token is `hwd_<number>.<secret>`. It stands for one device, which has no other rights by it than by a certificate.
"""

import re

import msgspec

from appliance.errors import ConflictError, InvalidInputError, NotFoundError

PREFIX = "hwd_"
NAME_LENGTH = 100
LONGEST_LIFETIME_DAYS = 3_650
TOKENS_LIMIT = 20
"""How many tokens of one device may be good at once."""

_TOKEN = re.compile(rb"hwd_([0-9]{1,18})\.([A-Za-z0-9_-]{1,64})")


class UnknownDeviceTokenError(NotFoundError):
    """The device has no token of that number."""

    code = "unknown_device_token"


class TooManyDeviceTokensError(ConflictError):
    """The device has as many good tokens as one may have."""

    code = "too_many_device_tokens"


class DeviceToken(msgspec.Struct, frozen=True):
    """What is known of a token; its secret is the device's alone."""

    token_number: int
    name: str
    """What people call it."""
    created_at: int
    expires_at: int
    used_at: int | None = None
    used_from: str = ""
    """The address from which a device came in with it last, without the port."""
    revoked_at: int | None = None


class KeptToken(msgspec.Struct, frozen=True):
    """A token, the device that it stands for, and what its secret is checked against."""

    tenant_id: int
    device_id: str
    secret_hash: str
    """HMAC-SHA-256, 64 lower-case hexadecimal digits."""
    token: DeviceToken


class IssuedToken(msgspec.Struct, frozen=True):
    """A new token, and the text that the device shows; that text exists only here."""

    token: DeviceToken
    text: str


class NewToken(msgspec.Struct, frozen=True):
    """A token that is about to be kept."""

    name: str
    secret_hash: str
    created_at: int
    expires_at: int


class Use(msgspec.Struct, frozen=True):
    """That a token let its device in."""

    tenant_id: int
    token_number: int
    at: int
    origin: str
    """The address, without the port."""


class Shown(msgspec.Struct, frozen=True):
    """A password that is written as a token is."""

    token_number: int
    secret: bytes


def is_token(password: bytes | None) -> bool:
    """Whether a password is meant as the token of a device, good or not."""
    return password is not None and password.startswith(PREFIX.encode())


def parsed(password: bytes) -> Shown | None:
    """The parts of a token; None when it is not written as one."""
    found = _TOKEN.fullmatch(password)
    return Shown(int(found[1]), found[2]) if found else None


def written(token_number: int, secret: str) -> str:
    """The text that a device shows."""
    return f"{PREFIX}{token_number}.{secret}"


def checked_name(name: str) -> str:
    """Give the name of a new token back, without blanks around it. Raises `InvalidInputError`."""
    stripped = name.strip()
    if not 0 < len(stripped) <= NAME_LENGTH:
        raise InvalidInputError(f"the name of a token has 1 to {NAME_LENGTH} characters")
    return stripped


def checked_lifetime(days: int) -> int:
    """Give back for how many days a new token is to be good. Raises `InvalidInputError`."""
    if not 0 < days <= LONGEST_LIFETIME_DAYS:
        raise InvalidInputError(f"a token is good for 1 to {LONGEST_LIFETIME_DAYS} days, not {days}")
    return days
