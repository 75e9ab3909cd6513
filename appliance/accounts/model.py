"""The nouns of accounts: users, claims, sessions, tokens."""

import re
from enum import StrEnum

import msgspec

from appliance.errors import ConflictError, InvalidInputError, NotFoundError

_EMAIL = re.compile(r"[^\s@\x00-\x1f]+@[^\s@\x00-\x1f]+")
_EMAIL_LENGTH = 254

TOKEN_NAME_LENGTH = 100


class InvalidEmailError(InvalidInputError):
    """This is no e-mail address."""

    code = "invalid_email"


class WeakPasswordError(InvalidInputError):
    """The password is too easy to guess; the message says why."""

    code = "weak_password"


class OwnerExistsError(ConflictError):
    """The gateway has been claimed: it has an owner."""

    code = "owner_exists"


class UnknownClaimError(NotFoundError):
    """There is no such claim, or a newer one took its place."""

    code = "unknown_claim"


class SpentClaimError(ConflictError):
    """The claim was used before, or is too old."""

    code = "spent_claim"


class EmailTakenError(ConflictError):
    """Another user has this e-mail address."""

    code = "email_taken"


class UnknownTokenError(NotFoundError):
    """The tenant has no token of that number."""

    code = "unknown_token"


class Role(StrEnum):
    """What a user may do. Each may do what those below it may, and more."""

    OWNER = "owner"
    """Everything: people, tokens of scripts, the CA."""
    OPERATOR = "operator"
    """What changes devices, rules and alerts."""
    VIEWER = "viewer"
    """Look at everything, change nothing."""
    INSTALLER = "installer"
    """Look, and bring devices in."""


class User(msgspec.Struct, frozen=True):
    """Who is asking."""

    user_id: int
    """0 for a token: no person stands behind it."""
    tenant_id: int
    email: str
    """For a token, `token:` and its name."""
    role: Role


class UserWithPassword(msgspec.Struct, frozen=True):
    """A user and what their password is checked against."""

    user: User
    password_hash: str


class Session(msgspec.Struct, frozen=True):
    """A user's session on the web."""

    user: User
    created_at: int
    seen_at: int


class Claim(msgspec.Struct, frozen=True):
    """A one-time right to become the owner of a tenant."""

    tenant_id: int
    expires_at: int
    used_at: int | None


class Token(msgspec.Struct, frozen=True):
    """What a script shows instead of a session. Its secret is known to the script alone."""

    token_id: int
    tenant_id: int
    name: str
    created_at: int
    revoked_at: int | None
    role: Role = Role.OPERATOR


class TokenWithSecret(msgspec.Struct, frozen=True):
    """A token and what its secret is checked against."""

    token: Token
    secret_hash: str


def canonical_email(text: str) -> str:
    """An e-mail address as it is compared and kept. Raises `InvalidEmailError`."""
    email = text.strip().lower()
    if len(email) > _EMAIL_LENGTH or not _EMAIL.fullmatch(email):
        raise InvalidEmailError(f"{text[:80]!r} is not an e-mail address: expected name@host")
    return email
