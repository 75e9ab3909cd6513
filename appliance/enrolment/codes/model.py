"""The nouns of one-time codes, and what is wrong with one that opens nothing."""

import msgspec

from appliance.errors import ConflictError, NotFoundError
from appliance.instant import DAY_MS, MINUTE_MS

LENGTH_MS = DAY_MS
"""How long a code is good unless its maker says otherwise."""
LONGEST_MS = 366 * DAY_MS
SHORTEST_MS = MINUTE_MS
TARGET_LENGTH = 128
CODES_LIMIT = 10_000
"""How many codes a tenant may have that are neither used, revoked nor expired."""


class UnknownCodeError(NotFoundError):
    """No such enrolment code is known."""

    code = "unknown_code"


class SpentCodeError(ConflictError):
    """The enrolment code was good once."""

    code = "spent_code"


class WrongDeviceError(ConflictError):
    """The enrolment code is for another device than the one that shows it."""

    code = "wrong_device"


class DeviceSuspendedError(ConflictError):
    """The device was suspended: nobody enrols it until it is active again."""

    code = "device_suspended"


class TooManyCodesError(ConflictError):
    """There are so many open codes that some should be revoked first."""

    code = "too_many_codes"


class NewCode(msgspec.Struct, frozen=True):
    """A code as it is asked for."""

    target: str
    """A device id; or a pattern with `*`, which any device id or serial number may fit."""
    type: str = ""
    """The type that a device gets which the code registers; of one that is registered, the type it must have."""
    zone: str = ""
    length_ms: int = LENGTH_MS
    """How long it is good."""


class Code(msgspec.Struct, frozen=True):
    """A code as it is known here: what it is for and what became of it."""

    code_number: int
    tenant_id: int
    target: str
    type: str
    zone: str
    created_at: int
    expires_at: int
    revoked_at: int | None
    used_at: int | None
    used_by: str
    """The device that it enrolled; empty while it is open."""
    used_from: str
    used_key: str
    """The fingerprint of the key that it was used for; empty when the gateway made the key."""
    use_count: int

    @property
    def is_pattern(self) -> bool:
        """Whether it is for whichever device comes first."""
        return "*" in self.target


class Use(msgspec.Struct, frozen=True):
    """What a code is being used for."""

    device_id: str
    key_fingerprint: str
    """Empty when the gateway makes the key."""
    address: str
    at: int


class MadeCode(msgspec.Struct, frozen=True):
    """A code at the one moment when it can be told."""

    secret: str
    """32 letters and digits in groups of four: 160 bits."""
    known: Code
