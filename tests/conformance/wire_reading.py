"""What a server sent, read strictly: which flags, reason codes and properties it may use, and where."""

import struct
from dataclasses import dataclass

from tests.conformance.wire_format import (
    BINARY,
    FOUR_BYTES,
    MQTT_5,
    NEVER_ZERO,
    ONE_BYTE,
    TWO_BYTES,
    Kind,
    Name,
    NotMqttError,
    Properties,
    Value,
    varint,
)

ACKNOWLEDGEMENTS = {Kind.PUBACK, Kind.PUBREC, Kind.PUBREL, Kind.PUBCOMP}
BOOLEANS = ONE_BYTE - {Name.MAXIMUM_QOS}
PAIRED = {Name.REASON_STRING, Name.USER_PROPERTY}

# MQTT 5.0, 2.2.2.2: what a server may put where. A session expiry never stands in its DISCONNECT [MQTT-3.14.2-2].
PROPERTIES_OF: dict[Kind, set[Name]] = {
    Kind.CONNACK: {
        Name.SESSION_EXPIRY,
        Name.ASSIGNED_CLIENT_IDENTIFIER,
        Name.SERVER_KEEP_ALIVE,
        Name.AUTHENTICATION_METHOD,
        Name.AUTHENTICATION_DATA,
        Name.RESPONSE_INFORMATION,
        Name.SERVER_REFERENCE,
        Name.RECEIVE_MAXIMUM,
        Name.TOPIC_ALIAS_MAXIMUM,
        Name.MAXIMUM_QOS,
        Name.RETAIN_AVAILABLE,
        Name.MAXIMUM_PACKET_SIZE,
        Name.WILDCARDS_AVAILABLE,
        Name.SUBSCRIPTION_IDENTIFIERS_AVAILABLE,
        Name.SHARED_SUBSCRIPTIONS_AVAILABLE,
        *PAIRED,
    },
    Kind.PUBLISH: {
        Name.PAYLOAD_FORMAT,
        Name.MESSAGE_EXPIRY,
        Name.CONTENT_TYPE,
        Name.RESPONSE_TOPIC,
        Name.CORRELATION_DATA,
        Name.SUBSCRIPTION_IDENTIFIER,
        Name.TOPIC_ALIAS,
        Name.USER_PROPERTY,
    },
    Kind.DISCONNECT: {Name.SERVER_REFERENCE, *PAIRED},
    Kind.AUTH: {Name.AUTHENTICATION_METHOD, Name.AUTHENTICATION_DATA, *PAIRED},
    **dict.fromkeys((*ACKNOWLEDGEMENTS, Kind.SUBACK, Kind.UNSUBACK), PAIRED),
}

RECEIVED_CODES = set(bytes.fromhex("00 10 80 83 87 90 91 97 99"))
RELEASE_CODES = {0x00, 0x92}
# MQTT 5.0: 3.2.2.2, 3.4.2.1, 3.5.2.1, 3.6.2.1, 3.7.2.1, 3.9.3, 3.11.3, 3.14.2.1, 3.15.2.1.
CODES_OF: dict[Kind, set[int]] = {
    Kind.CONNACK: set(bytes.fromhex("00 80 81 82 83 84 85 86 87 88 89 8a 8c 90 95 97 99 9a 9b 9c 9d 9f")),
    Kind.PUBACK: RECEIVED_CODES,
    Kind.PUBREC: RECEIVED_CODES,
    Kind.PUBREL: RELEASE_CODES,
    Kind.PUBCOMP: RELEASE_CODES,
    Kind.SUBACK: set(bytes.fromhex("00 01 02 80 83 87 8f 91 97 9e a1 a2")),
    Kind.UNSUBACK: set(bytes.fromhex("00 11 80 83 87 8f 91")),
    Kind.DISCONNECT: set(
        bytes.fromhex("00 80 81 82 83 87 89 8b 8d 8e 8f 90 93 94 95 96 97 98 99 9a 9b 9c 9d 9e 9f a0 a1 a2")
    ),
    Kind.AUTH: {0x00, 0x18},
}
OLD_CONNACK_CODES = set(range(6))
OLD_SUBACK_CODES = {0, 1, 2, 0x80}


@dataclass(frozen=True)
class Received:
    """One packet of a server; fields that its kind does not have are empty."""

    kind: Kind
    flags: int = 0
    number: int = 0
    code: int = 0
    codes: tuple[int, ...] = ()
    session_present: bool = False
    topic: str = ""
    payload: bytes = b""
    properties: Properties = ()
    size: int = 0
    """Of the whole packet, in bytes."""

    @property
    def qos(self) -> int:
        return self.flags >> 1 & 3

    @property
    def retain(self) -> bool:
        return bool(self.flags & 1)

    @property
    def duplicate(self) -> bool:
        return bool(self.flags & 8)

    @property
    def message(self) -> tuple[str, bytes, int, bool]:
        """What a subscriber sees of a PUBLISH: topic, payload, QoS, RETAIN."""
        return self.topic, self.payload, self.qos, self.retain

    def all_of(self, name: Name) -> list[Value]:
        """Every value of a property, in the order they came."""
        return [value for found, value in self.properties if found is name]

    def value_of(self, name: Name) -> Value | None:
        """The value of a property that stands there at most once."""
        return next(iter(self.all_of(name)), None)

    def number_of(self, name: Name, default: int = 0) -> int:
        """The value of a property that is a number."""
        value = self.value_of(name)
        return value if isinstance(value, int) else default


class Cursor:
    """Takes values from the front of some bytes."""

    def __init__(self, data: bytes) -> None:
        self.data = data

    def take(self, count: int) -> bytes:
        if count > len(self.data):
            raise NotMqttError(f"{count} bytes expected, {len(self.data)} left")
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def byte(self) -> int:
        return self.take(1)[0]

    def two(self) -> int:
        return int(struct.unpack(">H", self.take(2))[0])

    def four(self) -> int:
        return int(struct.unpack(">I", self.take(4))[0])

    def varint(self) -> int:
        value, taken = 0, b""
        for place in range(4):
            taken += (last := self.take(1))
            value += (last[0] & 127) << 7 * place
            if last[0] < 128:
                break
        if taken != varint(value):
            raise NotMqttError(f"{taken.hex()} is no variable byte integer in its shortest form")
        return value

    def binary(self) -> bytes:
        return self.take(self.two())

    def text(self) -> str:
        try:
            value = self.binary().decode()
        except UnicodeDecodeError as error:
            raise NotMqttError("a string that is not UTF-8") from error
        if "\0" in value:
            raise NotMqttError("a string with U+0000")
        return value

    def properties(self, kind: Kind) -> Properties:
        inner = Cursor(self.take(self.varint()))
        found: list[tuple[Name, Value]] = []
        while inner.data:
            identifier = inner.varint()
            if identifier not in PROPERTIES_OF[kind]:
                raise NotMqttError(f"property {identifier:#x} in {kind.name}")
            name = Name(identifier)
            repeated = name in {earlier for earlier, _ in found}
            may_repeat = name is Name.USER_PROPERTY or (kind, name) == (Kind.PUBLISH, Name.SUBSCRIPTION_IDENTIFIER)
            if repeated and not may_repeat:
                raise NotMqttError(f"{name.name} twice in {kind.name}")
            found.append((name, inner._value(name)))
        return tuple(found)

    def _value(self, name: Name) -> Value:
        if name in BINARY:
            return self.binary()
        if name is Name.USER_PROPERTY:
            return self.text(), self.text()
        if name in ONE_BYTE | TWO_BYTES | FOUR_BYTES | {Name.SUBSCRIPTION_IDENTIFIER}:
            return self._number(name)
        return self.text()

    def _number(self, name: Name) -> int:
        if name in ONE_BYTE:
            value = self.byte()
        elif name in TWO_BYTES:
            value = self.two()
        else:
            value = self.four() if name in FOUR_BYTES else self.varint()
        if (name in NEVER_ZERO and value == 0) or (name in ONE_BYTE and value > 1):
            raise NotMqttError(f"{name.name} is {value}")
        return value


def read(first: int, body: bytes, level: int) -> Received:
    """The packet that a server sent; `NotMqttError` when it may not send it."""
    try:
        kind = Kind(first >> 4)
    except ValueError as error:
        raise NotMqttError(f"no packet begins with {first:#x}") from error
    flags = first & 15
    expected = 2 if kind is Kind.PUBREL else 0
    if kind is not Kind.PUBLISH and flags != expected:
        raise NotMqttError(f"flags {flags:#x} of {kind.name}")
    cursor = Cursor(body)
    found = _fields(kind, flags, cursor, level)
    if cursor.data:
        raise NotMqttError(f"{len(cursor.data)} bytes too many in {kind.name}")
    _check_codes(found, level)
    return Received(**{**vars(found), "size": 1 + len(varint(len(body))) + len(body)})


def _fields(kind: Kind, flags: int, cursor: Cursor, level: int) -> Received:
    if kind is Kind.PUBLISH:
        return _publish(flags, cursor, level)
    if kind is Kind.CONNACK:
        present, code = cursor.byte(), cursor.byte()
        if present > 1:
            raise NotMqttError(f"acknowledge flags {present:#x}")
        # A client of another level is refused in the form of its own.
        properties = cursor.properties(kind) if level == MQTT_5 and cursor.data else ()
        return Received(kind, code=code, session_present=bool(present), properties=properties)
    if kind in ACKNOWLEDGEMENTS:
        number = cursor.two()
        return Received(kind, flags, number, *_code_and_properties(kind, cursor, level))
    if kind in {Kind.SUBACK, Kind.UNSUBACK}:
        number = cursor.two()
        properties = cursor.properties(kind) if level == MQTT_5 else ()
        codes = tuple(cursor.take(len(cursor.data))) if kind is Kind.SUBACK or level == MQTT_5 else ()
        return Received(kind, number=number, codes=codes, properties=properties)
    if kind in {Kind.DISCONNECT, Kind.AUTH} and level == MQTT_5:
        return Received(kind, 0, 0, *_code_and_properties(kind, cursor, level))
    if kind is Kind.PINGRESP:
        return Received(kind)
    raise NotMqttError(f"{kind.name} from a server")


def _code_and_properties(
    kind: Kind, cursor: Cursor, level: int
) -> tuple[int, tuple[int, ...], bool, str, bytes, Properties]:
    code = cursor.byte() if cursor.data and level == MQTT_5 else 0
    properties = cursor.properties(kind) if cursor.data and level == MQTT_5 else ()
    return code, (), False, "", b"", properties


def _publish(flags: int, cursor: Cursor, level: int) -> Received:
    if flags & 6 == 6 or flags & 14 == 8:
        raise NotMqttError(f"flags {flags:#x} of PUBLISH")
    topic = cursor.text()
    if "#" in topic or "+" in topic:
        raise NotMqttError(f"a topic name with a wildcard: {topic}")
    number = cursor.two() if flags & 6 else 0
    if flags & 6 and number == 0:
        raise NotMqttError("packet identifier 0")
    properties = cursor.properties(Kind.PUBLISH) if level == MQTT_5 else ()
    if not topic and not any(name is Name.TOPIC_ALIAS for name, _ in properties):
        raise NotMqttError("neither a topic name nor an alias")
    return Received(
        Kind.PUBLISH, flags, number, topic=topic, properties=properties, payload=cursor.take(len(cursor.data))
    )


def _check_codes(found: Received, level: int) -> None:
    allowed = CODES_OF.get(found.kind, {0})
    if found.kind is Kind.CONNACK and level != MQTT_5:
        allowed = OLD_CONNACK_CODES
    elif found.kind is Kind.SUBACK and level != MQTT_5:
        allowed = OLD_SUBACK_CODES
    elif found.kind is Kind.CONNACK and not found.properties:
        allowed = allowed | {0x01}
    for code in (found.code, *found.codes):
        if code not in allowed:
            raise NotMqttError(f"code {code:#x} in {found.kind.name}")
    if found.kind is Kind.CONNACK and found.code and found.session_present:
        raise NotMqttError("a refusal with a session")
