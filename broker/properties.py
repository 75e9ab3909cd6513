"""Properties: what a packet of MQTT 5 says beside its fixed fields [MQTT 5, 2.2.2].

One table says of each property its identifier, its name here, how it is written, in which packets it
may stand and which values it may have [MQTT 5, table 2-4]; both directions are made from it.
"""

from collections.abc import Callable
from itertools import compress
from operator import attrgetter, is_not
from typing import Any, NamedTuple

from broker import fields
from broker.errors import ProtocolError
from broker.fields import malformed, protocol_error
from broker.packets import (
    NO_PROPERTIES,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Properties,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Will,
)
from broker.reason_codes import ReasonCode

Kind = type[Packet] | type[Will]
"""What has properties of its own: a kind of packet, or the will inside a CONNECT."""

REPEATED_LIMIT = 1_000
"""Most user properties, and most subscription identifiers, that one packet may carry."""


class _Type(NamedTuple):
    """How a value stands on the wire [MQTT 5, 1.5]."""

    read: Callable[[bytes, int, int], tuple[Any, int]]
    write: Callable[[Any], bytes]


class _Property(NamedTuple):
    """One row of the table."""

    identifier: int
    name: str
    type: _Type
    kinds: tuple[Kind, ...]
    check: Callable[[str, Any], None] | None = None
    is_repeated: bool = False


def _must_be_a_flag(name: str, value: int) -> None:
    if value > 1:
        raise protocol_error(f"{_words(name)} is {value}, only 0 and 1 have a meaning")


def _must_not_be_zero(name: str, value: int) -> None:
    if not value:
        raise protocol_error(f"{_words(name)} is 0")


def _must_be_an_alias(_: str, value: int) -> None:
    if not value:
        raise ProtocolError(ReasonCode.TOPIC_ALIAS_INVALID, "topic alias 0 [MQTT-3.3.2-8]")


def _must_be_a_topic(_: str, value: str) -> None:
    if not value or "+" in value or "#" in value:
        raise protocol_error("the response topic is empty or has a wildcard [MQTT-3.3.2-14]")


_BYTE = _Type(fields.read_byte, fields.write_byte)
_TWO_BYTES = _Type(fields.read_two_bytes, fields.write_two_bytes)
_FOUR_BYTES = _Type(fields.read_four_bytes, fields.write_four_bytes)
_VARIABLE = _Type(fields.read_variable, fields.write_variable)
_BINARY = _Type(fields.read_binary, fields.write_binary)
_TEXT = _Type(fields.read_text, fields.write_text)
_NAME = _Type(fields.read_name, fields.write_text)
_PAIR = _Type(fields.read_pair, fields.write_pair)

_ANSWERS = (Connack, Puback, Pubrec, Pubrel, Pubcomp, Suback, Unsuback, Disconnect, Auth)
_ALL: tuple[Kind, ...] = (Connect, Publish, Will, Subscribe, Unsubscribe, *_ANSWERS)

# In the order in which they are written, which the specification leaves open.
_TABLE = (
    # The message.
    _Property(0x01, "payload_format_indicator", _BYTE, (Publish, Will), _must_be_a_flag),
    _Property(0x02, "message_expiry_s", _FOUR_BYTES, (Publish, Will)),
    _Property(0x03, "content_type", _TEXT, (Publish, Will)),
    _Property(0x08, "response_topic", _NAME, (Publish, Will), _must_be_a_topic),
    _Property(0x09, "correlation_data", _BINARY, (Publish, Will)),
    _Property(0x23, "topic_alias", _TWO_BYTES, (Publish,), _must_be_an_alias),
    _Property(0x18, "will_delay_s", _FOUR_BYTES, (Will,)),
    _Property(0x0B, "subscription_identifiers", _VARIABLE, (Publish, Subscribe), _must_not_be_zero, is_repeated=True),
    # The session.
    _Property(0x11, "session_expiry_s", _FOUR_BYTES, (Connect, Connack, Disconnect)),
    _Property(0x12, "assigned_client_id", _TEXT, (Connack,)),
    _Property(0x13, "server_keep_alive_s", _TWO_BYTES, (Connack,)),
    _Property(0x15, "authentication_method", _TEXT, (Connect, Connack, Auth)),
    _Property(0x16, "authentication_data", _BINARY, (Connect, Connack, Auth)),
    _Property(0x17, "request_problem_information", _BYTE, (Connect,), _must_be_a_flag),
    _Property(0x19, "request_response_information", _BYTE, (Connect,), _must_be_a_flag),
    _Property(0x1A, "response_information", _TEXT, (Connack,)),
    # What one side takes from the other.
    _Property(0x22, "topic_alias_maximum", _TWO_BYTES, (Connect, Connack)),
    _Property(0x27, "maximum_packet_bytes", _FOUR_BYTES, (Connect, Connack), _must_not_be_zero),
    _Property(0x21, "receive_maximum", _TWO_BYTES, (Connect, Connack), _must_not_be_zero),
    _Property(0x24, "maximum_qos", _BYTE, (Connack,), _must_be_a_flag),
    _Property(0x25, "retain_available", _BYTE, (Connack,), _must_be_a_flag),
    _Property(0x28, "wildcard_subscription_available", _BYTE, (Connack,), _must_be_a_flag),
    _Property(0x29, "subscription_identifiers_available", _BYTE, (Connack,), _must_be_a_flag),
    _Property(0x2A, "shared_subscription_available", _BYTE, (Connack,), _must_be_a_flag),
    # Why, and anything else.
    _Property(0x1C, "server_reference", _TEXT, (Connack, Disconnect)),
    _Property(0x1F, "reason_string", _TEXT, _ANSWERS),
    _Property(0x26, "user_properties", _PAIR, _ALL, is_repeated=True),
)
_BY_IDENTIFIER = {row.identifier: row for row in _TABLE}
_values = attrgetter(*(row.name for row in _TABLE))
_ABSENT = _values(NO_PROPERTIES)
# What writing a property needs of its row: its identifier, its writer and whether it may be there many times.
_WRITING = (
    [bytes((row.identifier,)) for row in _TABLE],
    [row.type.write for row in _TABLE],
    [row.is_repeated for row in _TABLE],
)
_REPEATED = {row.name for row in _TABLE if row.is_repeated}


def _most(row: _Property, kind: Kind) -> int:
    """How often a property may stand in one packet; SUBSCRIBE has one identifier for all it asks for [3.8.2.1.2]."""
    return REPEATED_LIMIT if row.is_repeated and (kind, row.identifier) != (Subscribe, 0x0B) else 1


# What reading a packet of each kind needs of its rows.
_ALLOWED = {
    kind: {
        row.identifier: (row.type.read, row.name, row.check, _most(row, kind)) for row in _TABLE if kind in row.kinds
    }
    for kind in _ALL
}


def encode_properties(properties: Properties) -> bytes:
    """The property length and the properties.

    Raises `ValueError` when a value does not fit. Whether each may stand in the packet is the
    caller's to know.
    """
    if properties is NO_PROPERTIES:
        return b"\0"
    values = _values(properties)
    body = b""
    for mark, write, is_repeated, value in compress(zip(*_WRITING, values, strict=True), map(is_not, values, _ABSENT)):
        if is_repeated:
            body += b"".join([mark + write(one) for one in value])
        else:
            body += mark + write(value)
    return fields.write_variable(len(body)) + body


def decode_properties(data: bytes, position: int, end: int, kind: Kind) -> tuple[Properties, int]:
    """The properties that begin with their length at `position`, and where the next field begins.

    `end` is the end of the packet. Raises `ProtocolError`.
    """
    length, position = fields.read_variable(data, position, end)
    if not length:
        return NO_PROPERTIES, position
    stop = position + length
    if stop > end:
        raise malformed("the properties are longer than their packet")
    allowed = _ALLOWED[kind]
    found: dict[str, list[Any]] = {}
    while position < stop:
        row = allowed.get(data[position])
        if row is None:
            raise _refused(data, position, stop, kind)
        read, name, check, most = row
        value, position = read(data, position + 1, stop)
        if check is not None:
            check(name, value)
        values = found.get(name)
        if values is None:
            found[name] = [value]
        elif len(values) < most:
            values.append(value)
        else:
            raise _too_often(name, most)
    return _properties(found), stop


def _properties(found: dict[str, list[Any]]) -> Properties:
    if "authentication_data" in found and "authentication_method" not in found:
        raise protocol_error("authentication data without an authentication method [MQTT 5, 3.1.2.11.10]")
    values: dict[str, Any] = {
        name: tuple(found_values) if name in _REPEATED else found_values[0] for name, found_values in found.items()
    }
    return Properties(**values)


def _too_often(name: str, most: int) -> ProtocolError:
    if most == 1:
        return protocol_error(f"{_words(name)} comes twice in one packet [MQTT 5, 2.2.2.2]")
    return ProtocolError(ReasonCode.QUOTA_EXCEEDED, f"more than {most:,} {_words(name)} in one packet")


def _refused(data: bytes, position: int, stop: int, kind: Kind) -> ProtocolError:
    """Why the property that begins here may not stand in such a packet.

    The specification has one word for it, malformed [MQTT 5, 2.2.2.2]; brokers in the field have two. A
    client that looks for the code it knows finds the one that it gets elsewhere.
    """
    row = _BY_IDENTIFIER.get(data[position])
    if row is None:
        return malformed(f"the property identifier {data[position]:#04x} is unknown [MQTT 5, table 2-4]")
    row.type.read(data, position + 1, stop)
    reason = f"{kind.__name__.upper()} may not have the property {_words(row.name)} [MQTT 5, table 2-4]"
    return malformed(reason) if kind in {Subscribe, Unsubscribe} else protocol_error(reason)


def _words(name: str) -> str:
    return name.removesuffix("_s").replace("_", " ")
