"""What the rows of sessions and messages hold, as values, and back.

Texts are read as bytes: one flipped bit makes a text that SQLite cannot give as such, and a row that
cannot be read must cost that row alone.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import msgspec

from broker.changes import SessionKept
from broker.message import Message
from broker.packets import NO_PROPERTIES, Properties, Subscription

T = TypeVar("T")
P = ParamSpec("P")

_DEFAULTS = {name: getattr(NO_PROPERTIES, name) for name in Properties.__struct_fields__}
_properties = msgspec.msgpack.Decoder(Properties)
_identifiers = msgspec.json.Decoder(tuple[int, ...])
_HIGHEST_QOS = 2
_HIGHEST_PACKET_ID = 65_535


class DamagedRowError(ValueError):
    """A row holds what was never written into it."""


class Damaged(msgspec.Struct, frozen=True):
    """Stands for a row that cannot be read."""

    reason: str


class DeliveryRow(msgspec.Struct, frozen=True):
    """A delivery as it is kept: its message is told by its number."""

    number: int
    session_number: int
    message_number: int
    qos: int
    retain: bool
    identifiers: tuple[int, ...]
    packet_id: int
    is_released: bool


def readable(read: Callable[P, T]) -> Callable[P, T | Damaged]:
    """The same reading, but for a row that cannot be read: it gives `Damaged` instead of raising."""

    def reading(*columns: P.args, **named: P.kwargs) -> T | Damaged:
        try:
            return read(*columns, **named)
        except (ValueError, msgspec.MsgspecError) as error:
            return Damaged(f"{type(error).__name__}: {error}")

    return reading


def pack_properties(properties: Properties) -> bytes:
    """The properties that are present, by name, as MessagePack; nothing when there are none."""
    if properties is NO_PROPERTIES:
        return b""
    present = {name: value for name, default in _DEFAULTS.items() if (value := getattr(properties, name)) != default}
    return msgspec.msgpack.encode(present) if present else b""


def unpack_properties(packed: bytes) -> Properties:
    """What `pack_properties` packed. Raises `msgspec.DecodeError` for anything else."""
    return _properties.decode(packed) if packed else NO_PROPERTIES


def pack_identifiers(identifiers: tuple[int, ...]) -> str:
    """Subscription identifiers as a JSON array."""
    return msgspec.json.encode(identifiers).decode() if identifiers else "[]"


@readable
def read_session(
    number: int,
    tenant_id: int,
    principal: bytes,
    client_id: bytes,
    expiry_s: int,
    left_at: int | None,
    is_operator: int,
) -> SessionKept:
    """A row of `session`."""
    _check(is_so=expiry_s >= 0)
    return SessionKept(number, tenant_id, _text(principal), _text(client_id), expiry_s, left_at, is_operator != 0)


@readable
def read_subscription(
    topic_filter: bytes, qos: int, no_local: int, retain_as_published: int, retain_handling: int, identifier: int
) -> Subscription:
    """A row of `subscription`."""
    _check(is_so=0 <= qos <= _HIGHEST_QOS and retain_handling in (0, 1, 2) and identifier >= 0)
    return Subscription(
        _text(topic_filter), qos, _flag(no_local), _flag(retain_as_published), retain_handling, identifier
    )


@readable
def read_identifier(packet_id: int) -> int:
    """A row of `taken_identifier`."""
    _check(is_so=0 < packet_id <= _HIGHEST_PACKET_ID)
    return packet_id


@readable
def read_delivery(
    number: int,
    session_number: int,
    message_number: int,
    qos: int,
    retain: int,
    identifiers: bytes,
    packet_id: int,
    is_released: int,
) -> DeliveryRow:
    """A row of `delivery`."""
    _check(is_so=0 <= qos <= _HIGHEST_QOS and 0 <= packet_id <= _HIGHEST_PACKET_ID)
    return DeliveryRow(
        number,
        session_number,
        message_number,
        qos,
        _flag(retain),
        _identifiers.decode(identifiers) if identifiers != b"[]" else (),
        packet_id,
        _flag(is_released),
    )


@readable
def read_message(
    tenant_id: int,
    principal: bytes,
    client_id: bytes,
    topic: bytes,
    payload: bytes,
    qos: int,
    retain: int,
    arrived_at: int,
    properties: bytes,
    expires_at: int | None,
    is_operators: int,
) -> Message:
    """The columns of a message that waits or is retained."""
    _check(is_so=0 <= qos <= _HIGHEST_QOS)
    return Message(
        tenant_id,
        _text(principal),
        _text(client_id),
        _text(topic),
        payload,
        qos,
        _flag(retain),
        arrived_at,
        unpack_properties(properties),
        expires_at,
        _flag(is_operators),
    )


def _text(text: bytes) -> str:
    return str(text, "utf-8")


def _flag(value: int) -> bool:
    _check(is_so=value in (0, 1))
    return bool(value)


def _check(*, is_so: bool) -> None:
    if not is_so:
        raise DamagedRowError("a number in it is none that is ever written")
