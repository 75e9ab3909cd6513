"""The nouns of the pending tray."""

from enum import StrEnum

import msgspec

from appliance.errors import ApplianceError, ConflictError, NotFoundError, TooManyAttemptsError
from appliance.instant import DAY_MS, HOUR_MS, SECOND_MS

WAITING_LIMIT = 1_000
"""How many may wait; for one more, somebody of the network that most of them come from is forgotten."""
WAITING_OF_NETWORK_LIMIT = 100
"""How many of them may come from one address, or one network of IPv6: nobody fills the tray alone."""
FETCH_AGAIN_MS = HOUR_MS
"""How long a certificate can be had again that was fetched with a self-made one: an answer may be lost."""
FORGET_MS = 7 * DAY_MS
"""How long a knock is kept that nobody repeats, and what became of one."""
NOTE_MS = 30 * SECOND_MS
"""How often it is written down that somebody still knocks."""


class KnockState(StrEnum):
    """What became of a knock."""

    WAITING = "waiting"
    ACCEPTED = "accepted"
    REFUSED = "refused"


class KnockWay(StrEnum):
    """By what somebody has shown to have their key."""

    REQUEST = "request"
    """A certificate signing request."""
    CERTIFICATE = "certificate"
    """A certificate that they made themselves, in a handshake of TLS."""


class NotTakenError(ApplianceError):
    """A device without a code is not let in here."""

    code = "knocking_is_off"


class RefusedKnockError(ApplianceError):
    """A person has refused this device."""

    code = "knock_refused"


class KnownKeyError(ApplianceError):
    """The key of who knocks was certified before."""

    code = "known_key"


class FetchedError(ApplianceError):
    """The certificate was fetched, and can be had no more."""

    code = "certificate_fetched"


class CrowdedTrayError(TooManyAttemptsError):
    """The tray is full, and of nobody more wait than of the network of who knocks."""

    code = "tray_full"


class UnknownKnockError(NotFoundError):
    """Nobody of that number knocked, or it was forgotten."""

    code = "unknown_knock"


class DecidedKnockError(ConflictError):
    """It was decided before."""

    code = "knock_decided"


class Knock(msgspec.Struct, frozen=True):
    """Somebody who wants to become a device. Everything but the key is only what they say of themselves."""

    knock_number: int
    tenant_id: int
    key_fingerprint: str
    key_kind: str
    subject: str
    common_name: str
    serial_number: str
    label: str
    """The label of the address they called, empty without one: a hint of their type."""
    address: str
    first_at: int
    last_at: int
    state: KnockState
    decided_at: int | None
    device_id: str
    """Which device it became; empty unless it was accepted."""
    certificate: str
    """The certificate that awaits it, PEM; empty unless it was accepted."""
    request: bytes
    """The signing request, DER; of who knocked with a certificate, the public key."""
    way: KnockWay = KnockWay.REQUEST
    network: str = ""
    """The address; of IPv6, the network that is counted together."""
    origin: str = ""
    """The network of 256 addresses of IPv4, or that of IPv6, which shares a full tray with others."""
    knock_count: int = 1
    """How often it was written down that they knocked: twice a minute at most."""
    wanted_id: str = ""
    """The device id that they would like; empty without one."""
    note: str = ""
    """What else they say."""
    fetched_at: int | None = None
    """When the certificate was first fetched by who knocked with a certificate."""


class NewKnock(msgspec.Struct, frozen=True):
    """A knock as it comes in."""

    key_fingerprint: str
    key_kind: str
    subject: str
    common_name: str
    serial_number: str
    label: str
    address: str
    request: bytes
    way: KnockWay = KnockWay.REQUEST
    network: str = ""
    origin: str = ""
    wanted_id: str = ""
    note: str = ""


class Said(msgspec.Struct, frozen=True):
    """What somebody says of themselves who shows a certificate. None of it is checked but its length."""

    device_id: str = ""
    type: str = ""
    serial_number: str = ""
    note: str = ""


class Acceptance(msgspec.Struct, frozen=True):
    """What a person lets somebody be who knocked."""

    device_id: str
    type: str = ""
    zone: str = ""
    is_registered: bool = False
    """Whether it is a device that is registered already, which gets one more certificate."""
