"""MQTT packets as bytes, written from the two specifications and sharing nothing with the broker's own codec.

What a client sends is built from its parts, so that a test can build it wrongly. What a server sends is read strictly:
a packet that a server may not send is a `NotMqttError`, whatever the test was about.
"""

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum

MQTT_3_1_1 = 4
MQTT_5 = 5

Value = int | str | bytes | tuple[str, str]


class Kind(IntEnum):
    """The packet types [MQTT 5.0, 2.1.2]."""

    CONNECT = 1
    CONNACK = 2
    PUBLISH = 3
    PUBACK = 4
    PUBREC = 5
    PUBREL = 6
    PUBCOMP = 7
    SUBSCRIBE = 8
    SUBACK = 9
    UNSUBSCRIBE = 10
    UNSUBACK = 11
    PINGREQ = 12
    PINGRESP = 13
    DISCONNECT = 14
    AUTH = 15


class Name(IntEnum):
    """The property identifiers [MQTT 5.0, 2.2.2.2]."""

    PAYLOAD_FORMAT = 0x01
    MESSAGE_EXPIRY = 0x02
    CONTENT_TYPE = 0x03
    RESPONSE_TOPIC = 0x08
    CORRELATION_DATA = 0x09
    SUBSCRIPTION_IDENTIFIER = 0x0B
    SESSION_EXPIRY = 0x11
    ASSIGNED_CLIENT_IDENTIFIER = 0x12
    SERVER_KEEP_ALIVE = 0x13
    AUTHENTICATION_METHOD = 0x15
    AUTHENTICATION_DATA = 0x16
    REQUEST_PROBLEM_INFORMATION = 0x17
    WILL_DELAY = 0x18
    REQUEST_RESPONSE_INFORMATION = 0x19
    RESPONSE_INFORMATION = 0x1A
    SERVER_REFERENCE = 0x1C
    REASON_STRING = 0x1F
    RECEIVE_MAXIMUM = 0x21
    TOPIC_ALIAS_MAXIMUM = 0x22
    TOPIC_ALIAS = 0x23
    MAXIMUM_QOS = 0x24
    RETAIN_AVAILABLE = 0x25
    USER_PROPERTY = 0x26
    MAXIMUM_PACKET_SIZE = 0x27
    WILDCARDS_AVAILABLE = 0x28
    SUBSCRIPTION_IDENTIFIERS_AVAILABLE = 0x29
    SHARED_SUBSCRIPTIONS_AVAILABLE = 0x2A


Properties = tuple[tuple[Name, Value], ...]

ONE_BYTE = {
    Name.PAYLOAD_FORMAT,
    Name.REQUEST_PROBLEM_INFORMATION,
    Name.REQUEST_RESPONSE_INFORMATION,
    Name.MAXIMUM_QOS,
    Name.RETAIN_AVAILABLE,
    Name.WILDCARDS_AVAILABLE,
    Name.SUBSCRIPTION_IDENTIFIERS_AVAILABLE,
    Name.SHARED_SUBSCRIPTIONS_AVAILABLE,
}
TWO_BYTES = {Name.SERVER_KEEP_ALIVE, Name.RECEIVE_MAXIMUM, Name.TOPIC_ALIAS_MAXIMUM, Name.TOPIC_ALIAS}
FOUR_BYTES = {Name.MESSAGE_EXPIRY, Name.SESSION_EXPIRY, Name.WILL_DELAY, Name.MAXIMUM_PACKET_SIZE}
BINARY = {Name.CORRELATION_DATA, Name.AUTHENTICATION_DATA}
NEVER_ZERO = {Name.RECEIVE_MAXIMUM, Name.TOPIC_ALIAS, Name.MAXIMUM_PACKET_SIZE, Name.SUBSCRIPTION_IDENTIFIER}


class NotMqttError(AssertionError):
    """The broker sent something that a server may not send."""


@dataclass(frozen=True)
class Will:
    """What a client leaves behind."""

    topic: str
    payload: bytes = b"gone"
    qos: int = 0
    retain: bool = False
    properties: Properties = ()


def varint(value: int) -> bytes:
    """A variable byte integer in the fewest bytes [MQTT-1.5.5-1]."""
    data = bytearray()
    while value > 127:
        data.append(value % 128 | 128)
        value //= 128
    data.append(value)
    return bytes(data)


def binary(data: bytes) -> bytes:
    """Two bytes of length, and the data."""
    return struct.pack(">H", len(data)) + data


def text(value: str) -> bytes:
    """A UTF-8 encoded string."""
    return binary(value.encode())


def one_property(name: Name, value: Value) -> bytes:
    """An identifier and its value, in the type that the specification gives it."""
    if isinstance(value, tuple):
        data = text(value[0]) + text(value[1])
    elif isinstance(value, str):
        data = text(value)
    elif isinstance(value, bytes):
        data = binary(value)
    elif name in ONE_BYTE:
        data = bytes([value])
    elif name is Name.SUBSCRIPTION_IDENTIFIER:
        data = varint(value)
    else:
        data = struct.pack(">I" if name in FOUR_BYTES else ">H", value)
    return varint(name) + data


def property_field(properties: Iterable[tuple[Name, Value]] = ()) -> bytes:
    """The length of all properties, and the properties [MQTT-2.2.2-1]."""
    data = b"".join(one_property(name, value) for name, value in properties)
    return varint(len(data)) + data


def packet(kind: Kind, body: bytes = b"", flags: int = 0) -> bytes:
    """A whole packet: fixed header and the rest."""
    return bytes([kind << 4 | flags]) + varint(len(body)) + body


def numbered(number: int) -> bytes:
    """A packet identifier, which is any two-byte integer."""
    return struct.pack(">H", number)


@dataclass(frozen=True)
class Connect:
    """The parts of a CONNECT; `str` and `bytes` of any content, so that it can be wrong."""

    client_id: str = "c"
    level: int = MQTT_5
    clean: bool = True
    keep_alive_s: int = 0
    properties: Properties = ()
    will: Will | None = None
    username: str | None = None
    password: bytes | None = None

    @property
    def data(self) -> bytes:
        flags = self.clean << 1 | (self.username is not None) << 7 | (self.password is not None) << 6
        payload = text(self.client_id)
        if self.will is not None:
            flags |= 4 | self.will.qos << 3 | self.will.retain << 5
            payload += self._field(self.will.properties) + text(self.will.topic) + binary(self.will.payload)
        if self.username is not None:
            payload += text(self.username)
        if self.password is not None:
            payload += binary(self.password)
        header = text("MQTT") + bytes([self.level, flags]) + numbered(self.keep_alive_s) + self._field(self.properties)
        return packet(Kind.CONNECT, header + payload)

    def _field(self, properties: Properties) -> bytes:
        return property_field(properties) if self.level == MQTT_5 else b""


@dataclass(frozen=True)
class Publish:
    """The parts of a PUBLISH."""

    topic: str
    payload: bytes = b"x"
    qos: int = 0
    retain: bool = False
    number: int = 1
    duplicate: bool = False
    properties: Properties = ()

    def data(self, level: int) -> bytes:
        flags = self.duplicate << 3 | self.qos << 1 | self.retain
        identifier = numbered(self.number) if self.qos else b""
        field = property_field(self.properties) if level == MQTT_5 else b""
        return packet(Kind.PUBLISH, text(self.topic) + identifier + field + self.payload, flags)


def acknowledgement(kind: Kind, number: int, code: int | None = None, properties: Properties = ()) -> bytes:
    """A PUBACK, PUBREC, PUBREL or PUBCOMP; without a code in its shortest form."""
    tail = b"" if code is None else bytes([code]) + property_field(properties)
    return packet(kind, numbered(number) + tail, 2 if kind is Kind.PUBREL else 0)


def subscribe(number: int, level: int, requests: Iterable[tuple[str, int]], properties: Properties = ()) -> bytes:
    """A SUBSCRIBE: filters with their options (at level 4, their QoS)."""
    field = property_field(properties) if level == MQTT_5 else b""
    payload = b"".join(text(topic_filter) + bytes([options]) for topic_filter, options in requests)
    return packet(Kind.SUBSCRIBE, numbered(number) + field + payload, 2)


def unsubscribe(number: int, level: int, filters: Iterable[str], properties: Properties = ()) -> bytes:
    """An UNSUBSCRIBE."""
    field = property_field(properties) if level == MQTT_5 else b""
    return packet(Kind.UNSUBSCRIBE, numbered(number) + field + b"".join(map(text, filters)), 2)


def disconnect(code: int, properties: Properties = ()) -> bytes:
    """A DISCONNECT of MQTT 5 in its long form."""
    return packet(Kind.DISCONNECT, bytes([code]) + property_field(properties))


def authenticate(code: int, properties: Properties = ()) -> bytes:
    """An AUTH in its long form."""
    return packet(Kind.AUTH, bytes([code]) + property_field(properties))


PINGREQ = packet(Kind.PINGREQ)
DISCONNECT = packet(Kind.DISCONNECT)
