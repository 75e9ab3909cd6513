"""The nouns of the registry: devices, their certificates, and whether they are there."""

import re
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path

import msgspec

from appliance.errors import ApplianceError, ConflictError, InvalidInputError, NotFoundError

DEFAULT_TENANT = 1
"""The tenant that every gateway has from its first start."""

TEXT_LENGTH = 256
"""The most characters of a device's name, type, zone and serial number."""

NOTES_LENGTH = 10_000
KEY_LENGTH = 64
"""The most characters of a group's name and of an attribute's key."""

GROUPS_LIMIT = 32
ATTRIBUTES_LIMIT = 64
GROUP_SEPARATOR = "|"
"""Stands between the groups of a device where they are written in one cell; in no group's name."""

_ATTRIBUTE_KEY = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)
_DEVICE_ID = re.compile(r"[A-Za-z0-9:_-]{1,128}", re.ASCII)


class UnknownDeviceError(NotFoundError):
    """No device of that name is registered for this tenant."""

    code = "unknown_device"


class UnknownCertificateError(NotFoundError):
    """The device has no certificate with that fingerprint."""

    code = "unknown_certificate"


class DeviceExistsError(ConflictError):
    """A device of that name is already registered."""

    code = "device_exists"


class DeviceRetiredError(ConflictError):
    """The device has been retired: it gets no certificate any more."""

    code = "device_retired"


class StateRefusedError(ConflictError):
    """A device cannot go from the state it is in to that one."""

    code = "state_refused"


class InvalidDeviceIdError(InvalidInputError):
    """The name cannot be a device's."""

    code = "invalid_device_id"


class InvalidRequestError(InvalidInputError):
    """A certificate signing request that no certificate can be issued for."""

    code = "invalid_request"


class InvalidIssuerError(InvalidInputError):
    """A CA from elsewhere that cannot issue the certificates of devices."""

    code = "invalid_issuer"


class RootKeyError(ConflictError):
    """The private key of the root is not where it would have to be for this; the message says what would help."""

    code = "root_key"


class IssuerKeyError(ConflictError):
    """The private keys of issuing CAs cannot be taken off this gateway; the message says why."""

    code = "issuer_key"


class InvalidHostNameError(InvalidInputError):
    """A name in the settings is neither a host name nor an address."""

    code = "invalid_host_name"


class KeyFolderError(ApplianceError):
    """The folder of keys cannot be used as it is; the message names the file and what mends it."""

    code = "key_folder"


class DeviceState(StrEnum):
    """Where a device stands in its life."""

    PENDING = "pending"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    RETIRED = "retired"


class NewDevice(msgspec.Struct, frozen=True):
    """What is told of a device when it is registered."""

    device_id: str
    name: str = ""
    type: str = ""
    zone: str = ""
    serial_number: str = ""
    groups: tuple[str, ...] = ()
    attributes: Mapping[str, str] = {}
    notes: str = ""
    state: DeviceState = DeviceState.ACTIVE


class Device(msgspec.Struct, frozen=True):
    """A device as the registry knows it."""

    tenant_id: int
    device_id: str
    name: str
    type: str
    zone: str
    serial_number: str
    state: DeviceState
    created_at: int
    device_number: int
    groups: tuple[str, ...] = ()
    """Sorted."""
    attributes: Mapping[str, str] = {}
    """What people keep of it besides, sorted by key."""
    notes: str = ""


class Certificate(msgspec.Struct, frozen=True):
    """A certificate that was issued to a device. Its fingerprint is the device's identity."""

    fingerprint: str
    """SHA-256 of the DER form, 64 lower-case hexadecimal digits."""
    serial: str
    """Hexadecimal."""
    issued_at: int
    expires_at: int
    revoked_at: int | None = None


class IssuedCertificate(msgspec.Struct, frozen=True):
    """A certificate that is about to be bound to a device."""

    device_id: str
    certificate: Certificate
    pem: str


class BoundCertificate(msgspec.Struct, frozen=True):
    """A certificate together with the device that it stands for."""

    tenant_id: int
    device_id: str
    certificate: Certificate


class Bundle(msgspec.Struct, frozen=True):
    """Everything a device needs to connect. The private key exists only here: it is not stored."""

    device_id: str
    certificate_pem: str
    chain_pem: str
    """The device's certificate, then the issuing CA's: what the device presents."""
    key_pem: str
    root_pem: str
    """What the device trusts."""
    fingerprint: str
    expires_at: int


class Granted(msgspec.Struct, frozen=True):
    """What a device gets that has made its key itself."""

    device_id: str
    certificate_pem: str
    chain_pem: str
    """The device's certificate, then the issuing CA's: what the device presents."""
    root_pem: str
    """What the device trusts."""
    fingerprint: str
    expires_at: int


class Presence(msgspec.Struct, frozen=True):
    """Whether a device is connected, since when, and why not."""

    connected: bool
    since: int
    address: str
    """Where it is connected from; empty while it is not connected."""
    reason: str
    """Why it is not connected; empty while it is."""


class TlsFiles(msgspec.Struct, frozen=True):
    """What a TLS listener is opened with, all PEM."""

    certificate: Path
    """The server's certificate and the CAs between it and the root."""
    key: Path
    trust: Path
    """The CAs whose certificates are accepted from the other side."""


def check_device_id(device_id: str) -> str:
    """Give the device id back when it is one: 1 to 128 of letters, digits, `:`, `_` and `-`.

    Raises `InvalidDeviceIdError`. Without `/`, `+` and `#` no device id can widen a topic filter.
    """
    if not _DEVICE_ID.fullmatch(device_id):
        raise InvalidDeviceIdError(
            f"{device_id[:140]!r} cannot be a device id: expected 1 to 128 letters, digits, ':', '_' or '-'"
        )
    return device_id


def check_new_device(new: NewDevice) -> NewDevice:
    """Give back what is told of a new device when it can be registered.

    Raises `InvalidDeviceIdError`, or `InvalidInputError` for a text that is too long or cannot be kept.
    """
    check_device_id(new.device_id)
    for field in ("name", "type", "zone", "serial_number"):
        _check_text(new.device_id, field, getattr(new, field), TEXT_LENGTH)
    _check_text(new.device_id, "notes", new.notes, NOTES_LENGTH)
    _check_groups(new.device_id, new.groups)
    _check_attributes(new.device_id, new.attributes)
    return new


def _check_groups(device_id: str, groups: tuple[str, ...]) -> None:
    if len(groups) > GROUPS_LIMIT:
        raise InvalidInputError(f"{device_id} is in {len(groups)} groups; at most {GROUPS_LIMIT} are kept")
    for group in groups:
        fits = 0 < len(group) <= KEY_LENGTH and group == group.strip() and group.isprintable()
        if not fits or GROUP_SEPARATOR in group:
            raise InvalidInputError(
                f"{group[:KEY_LENGTH]!r} cannot be a group of {device_id}: expected 1 to {KEY_LENGTH} characters"
                f" without {GROUP_SEPARATOR!r}"
            )


def _check_attributes(device_id: str, attributes: Mapping[str, str]) -> None:
    if len(attributes) > ATTRIBUTES_LIMIT:
        raise InvalidInputError(f"{device_id} has {len(attributes)} attributes; at most {ATTRIBUTES_LIMIT} are kept")
    for key, value in attributes.items():
        if not _ATTRIBUTE_KEY.fullmatch(key):
            raise InvalidInputError(
                f"{key[:KEY_LENGTH]!r} cannot name an attribute of {device_id}: expected 1 to {KEY_LENGTH}"
                " letters, digits, '.', '_' or '-'"
            )
        if not value:
            raise InvalidInputError(f"attribute {key} of {device_id} has no text: leave it out")
        _check_text(device_id, f"attribute {key}", value, TEXT_LENGTH)


def _check_text(device_id: str, field: str, text: str, limit: int) -> None:
    if len(text) > limit:
        raise InvalidInputError(f"{field} of {device_id} has more than {limit:,} characters")
    if "\0" in text:
        raise InvalidInputError(f"{field} of {device_id} holds the character NUL, which no text may")
