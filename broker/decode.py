"""The body of one control packet to its value: MQTT 3.1.1 and 5, section 3 of both.

Both directions are read, because the simulator and the tests are clients. Broken bytes raise
`ProtocolError` and nothing else.
"""

from collections.abc import Callable

from broker import fields
from broker.errors import FramingError, ProtocolError
from broker.fields import malformed, protocol_error
from broker.packets import (
    NO_PROPERTIES,
    V4,
    V5,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Properties,
    Puback,
    Pubcomp,
    Pubrec,
    Pubrel,
    ReturnCode,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
    Will,
)
from broker.properties import Kind, decode_properties
from broker.reason_codes import ReasonCode

_QOS_3 = 3


class Body:
    """Takes fields off the body of one packet, in order.

    `level` is the protocol level that is spoken; reading a CONNECT sets it, even when the rest of the
    CONNECT is broken.
    """

    __slots__ = ("_data", "_end", "_position", "level")

    def __init__(self, data: bytes, start: int, end: int, level: int) -> None:
        """The body is what stands in `data` from `start` to `end`."""
        self._data = data
        self._position = start
        self._end = end
        self.level = level

    @property
    def has_more(self) -> bool:
        """Whether bytes are left."""
        return self._position < self._end

    def byte(self) -> int:
        """One byte."""
        number, self._position = fields.read_byte(self._data, self._position, self._end)
        return number

    def number(self) -> int:
        """A two byte integer."""
        number, self._position = fields.read_two_bytes(self._data, self._position, self._end)
        return number

    def packet_id(self) -> int:
        """A packet identifier, which is not 0."""
        number = self.number()
        if not number:
            raise malformed("packet identifier 0 [MQTT-2.3.1-1]")
        return number

    def binary(self) -> bytes:
        """Binary data."""
        field, self._position = fields.read_binary(self._data, self._position, self._end)
        return field

    def name(self) -> str:
        """A text that names something."""
        return fields.name_of(self.binary())

    def topic_filter(self) -> str:
        """A topic filter, which is not empty."""
        topic_filter = self.name()
        if not topic_filter:
            raise malformed("an empty topic filter [MQTT-4.7.3-1]")
        return topic_filter

    def properties(self, kind: Kind) -> Properties:
        """The properties, which only MQTT 5 has."""
        if self.level != V5:
            return NO_PROPERTIES
        properties, self._position = decode_properties(self._data, self._position, self._end, kind)
        return properties

    def rest(self) -> bytes:
        """The bytes that are left."""
        rest = self._data[self._position : self._end]
        self._position = self._end
        return rest


def decode_body(first: int, body: Body, *, is_of_client: bool) -> Packet:
    """The packet with this first byte, which is not PUBLISH.

    `is_of_client` is true when a client sent it, so that what only servers send is refused.
    """
    read = _READERS.get(first)
    if read is None or (first == _AUTH and body.level != V5):
        raise _unknown(first, body.level)
    if is_of_client and first in _OF_SERVERS_ONLY:
        raise protocol_error(f"a client sent {_OF_SERVERS_ONLY[first]}, which only servers send [table 2.1]")
    packet = read(body)
    if body.has_more:
        if first in _WITHOUT_BODY:
            # Where there can be no bytes and yet some come, the stream itself is in doubt.
            raise FramingError(ReasonCode.MALFORMED_PACKET, f"{type(packet).__name__.upper()} with a body")
        raise malformed(f"{type(packet).__name__.upper()} is longer than its fields")
    return packet


def _connect(body: Body) -> Connect:
    name = body.binary()
    level = _level(name, body.byte())
    if level not in (V4, V5):
        # Only the level is known to stand here in every version: the rest is not ours to judge.
        body.rest()
        return Connect(level, "", clean_start=True, keep_alive_s=0)
    flags = body.byte()
    keep_alive_s = body.number()
    # From here on it is a client of that version, and can be told in its words what is wrong.
    body.level = level
    if flags & 1:
        raise malformed("CONNECT with its reserved flag set [MQTT-3.1.2-3]")
    properties = body.properties(Connect)
    client_id = _client_id(body)
    will = _will(body, flags)
    username = body.name() if flags & 0x80 else None
    if flags & 0x40 and username is None and level == V4:
        raise malformed("CONNECT with a password but no username [MQTT-3.1.2-22]")
    password = body.binary() if flags & 0x40 else None
    return Connect(level, client_id, bool(flags & 2), keep_alive_s, will, username, password, properties)


def _level(name: bytes, level: int) -> int:
    if name == b"MQTT":
        return level
    if name != b"MQIsdp":
        raise malformed(f"protocol name {name[:16]!r} [MQTT-3.1.2-1]")
    # That was the name of 3.1 only: with the level of a later version it is a client of 3.1 all the same.
    return 3 if level in (V4, V5) else level


def _client_id(body: Body) -> str:
    field = body.binary()
    try:
        return fields.name_of(field)
    except ProtocolError as error:
        if body.level == V4:
            raise
        raise ProtocolError(ReasonCode.CLIENT_IDENTIFIER_NOT_VALID, f"client identifier: {error}") from None


def _will(body: Body, flags: int) -> Will | None:
    qos = flags >> 3 & 3
    if not flags & 4:
        if flags & 0x38:
            raise malformed("CONNECT with will flags but no will [MQTT-3.1.2-11]")
        return None
    if qos == _QOS_3:
        raise malformed("CONNECT with will QoS 3 [MQTT-3.1.2-14]")
    properties = body.properties(Will)
    topic = body.name()
    return Will(topic, body.binary(), qos, bool(flags & 0x20), properties)


def _connack(body: Body) -> Connack:
    flags = body.byte()
    code = body.byte()
    codes = _CONNACK_CODES if body.level == V5 else _RETURN_CODES
    if flags > 1 or code not in codes:
        raise malformed(f"CONNACK with flags {flags:#04x} and code {code:#04x} [table 3.1]")
    return Connack(bool(flags), codes[code], body.properties(Connack))


def _acknowledgement(
    kind: type[Puback] | type[Pubrec] | type[Pubrel] | type[Pubcomp], codes: frozenset[int]
) -> Callable[[Body], Packet]:
    """The reader of one of the four packets that only name another packet [3.4 to 3.7]."""

    def read(body: Body) -> Packet:
        packet_id = body.number()
        if not packet_id:
            raise protocol_error(f"{kind.__name__.upper()} with packet identifier 0 [MQTT-2.3.1-1]")
        return kind(packet_id, *_reason(body, kind, codes))

    return read


def _reason(body: Body, kind: type[Packet], codes: frozenset[int]) -> tuple[int, Properties]:
    """Reason code and properties, each of which may be left out at the end of a packet [MQTT 5, 3.4.2.1]."""
    code, properties = 0, NO_PROPERTIES
    if body.level == V5 and body.has_more:
        code = body.byte()
    if code not in codes:
        raise protocol_error(f"{kind.__name__.upper()} may not have the reason code {code:#04x} [MQTT 5, 2.4]")
    if body.level == V5 and body.has_more:
        properties = body.properties(kind)
    return code, properties


def _subscribe(body: Body) -> Subscribe:
    packet_id = body.packet_id()
    properties = body.properties(Subscribe)
    identifier = properties.subscription_identifiers[0] if properties.subscription_identifiers else 0
    requests = []
    while body.has_more:
        topic_filter = body.topic_filter()
        requests.append(_subscription(topic_filter, body.byte(), body.level, identifier))
    if not requests:
        raise malformed("SUBSCRIBE without a topic filter [MQTT-3.8.3-3]")
    return Subscribe(packet_id, tuple(requests), properties)


def _subscription(topic_filter: str, options: int, level: int, identifier: int) -> Subscription:
    qos = options & 3
    retain_handling = options >> 4 & 3
    reserved = 0xC0 if level == V5 else 0xFC
    if options & reserved or qos == _QOS_3 or retain_handling == 3:  # noqa: PLR2004  three of its two bits' four values mean something
        raise malformed(f"SUBSCRIBE with options {options:#04x} [MQTT-3.8.3-4, MQTT-3.8.3-5]")
    return Subscription(topic_filter, qos, bool(options & 4), bool(options & 8), retain_handling, identifier)


def _unsubscribe(body: Body) -> Unsubscribe:
    packet_id = body.packet_id()
    properties = body.properties(Unsubscribe)
    filters = []
    while body.has_more:
        filters.append(body.topic_filter())
    if not filters:
        raise malformed("UNSUBSCRIBE without a topic filter [MQTT-3.10.3-2]")
    return Unsubscribe(packet_id, tuple(filters), properties)


def _suback(body: Body) -> Suback:
    packet_id = body.packet_id()
    properties = body.properties(Suback)
    codes = tuple(body.rest())
    if body.level == V5 and not _SUBACK_CODES.issuperset(codes):
        raise protocol_error("SUBACK with a reason code that it may not have [MQTT-3.9.3-2]")
    return Suback(packet_id, codes, properties)


def _unsuback(body: Body) -> Unsuback:
    packet_id = body.packet_id()
    if body.level != V5:
        return Unsuback(packet_id)
    properties = body.properties(Unsuback)
    codes = tuple(body.rest())
    if not _UNSUBACK_CODES.issuperset(codes):
        raise protocol_error("UNSUBACK with a reason code that it may not have [MQTT-3.11.3-2]")
    return Unsuback(packet_id, codes, properties)


def _unknown(first: int, level: int) -> ProtocolError:
    if not first >> 4:
        return protocol_error("a control packet of type 0, which is forbidden [table 2.1]")
    if level == V5 and first >> 4 in _NEVER_MALFORMED:
        return protocol_error(f"a control packet with first byte {first:#04x}: wrong flags, or out of place")
    return malformed(f"a control packet with first byte {first:#04x}: wrong flags, or an unknown type [MQTT-2.2.2-2]")


_RETURN_CODES: dict[int, int] = {int(code): code for code in ReturnCode}
_CONNACK_CODES: dict[int, int] = {
    code: ReasonCode(code)
    for code in (*(0x00, *range(0x80, 0x8B), 0x8C, 0x90, 0x95, 0x97, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9F),)
}
_RECEIPT_CODES = frozenset({0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99})
_RELEASE_CODES = frozenset({0x00, 0x92})
_SUBACK_CODES = frozenset({0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2})
_UNSUBACK_CODES = frozenset({0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91})
# Who says goodbye is gone, and must not be answered, whatever the reason was [MQTT-3.14.4-1].
_ANY_CODE = frozenset(range(256))
_AUTH_CODES = frozenset({0x00, 0x18, 0x19})
_AUTH = 0xF0
_WITHOUT_BODY = frozenset({0xC0, 0xD0})
"""PINGREQ and PINGRESP."""
_NEVER_MALFORMED = frozenset({0x2, 0x6, 0xF})
"""CONNACK, PUBREL and AUTH: with wrong flags both codes are right, and Mosquitto says protocol error."""

# First byte (type and flags, sections 2.1.2 and 2.1.3 of MQTT 5) → the reader of its body.
_READERS: dict[int, Callable[[Body], Packet]] = {
    0x10: _connect,
    0x20: _connack,
    0x40: _acknowledgement(Puback, _RECEIPT_CODES),
    0x50: _acknowledgement(Pubrec, _RECEIPT_CODES),
    0x62: _acknowledgement(Pubrel, _RELEASE_CODES),
    0x70: _acknowledgement(Pubcomp, _RELEASE_CODES),
    0x82: _subscribe,
    0x90: _suback,
    0xA2: _unsubscribe,
    0xB0: _unsuback,
    0xC0: lambda _: Pingreq(),
    0xD0: lambda _: Pingresp(),
    0xE0: lambda body: Disconnect(*_reason(body, Disconnect, _ANY_CODE)),
    _AUTH: lambda body: Auth(*_reason(body, Auth, _AUTH_CODES)),
}
_OF_SERVERS_ONLY = {0x20: "CONNACK", 0x90: "SUBACK", 0xB0: "UNSUBACK", 0xD0: "PINGRESP"}
