"""Bytes to control packets and back: MQTT 3.1.1, sections 2 and 3.

Rules: no bytes raise anything but `ProtocolError`; however a stream is sliced, the same packets come
out; a packet that is too large is refused by its header, before its body is buffered. Both
directions are here, because the simulator and the tests are clients.
"""

import struct
from collections.abc import Callable

from broker.errors import ProtocolError
from broker.packets import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    ReturnCode,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Will,
)
from broker.reason_codes import ReasonCode

LARGEST_REMAINING_LENGTH = 268_435_455

PINGRESP = b"\xd0\x00"

_PUBLISH = 3
_MASK_7 = 0x7F
_ONE_BYTE_LENGTH = 0x7F
_TWO_BYTES = struct.Struct("!H")
_HEADER_BYTES = 2


class Decoder:
    """Turns a stream of bytes into packets.

    `feed` never raises: when the stream is broken, the packets before the fault are given and
    `failure` holds what was wrong; after that, bytes are ignored.
    """

    __slots__ = ("_limit_bytes", "_missing", "_next_limit_bytes", "_unfinished", "failure")

    def __init__(
        self,
        packet_limit_bytes: int = LARGEST_REMAINING_LENGTH,
        first_packet_limit_bytes: int = LARGEST_REMAINING_LENGTH,
    ) -> None:
        """The first packet has a limit of its own, because nobody knows yet who sends it."""
        self.failure: ProtocolError | None = None
        self._limit_bytes = packet_limit_bytes
        self._next_limit_bytes = min(packet_limit_bytes, first_packet_limit_bytes)
        self._unfinished = bytearray()
        self._missing = 0

    def feed(self, data: bytes) -> list[Packet]:
        """Every packet that these bytes complete, in order."""
        if self.failure is not None:
            return []
        if self._unfinished:
            # Looked at only once the packet is whole: a large one that drips in costs one copy, not many.
            self._unfinished += data
            self._missing -= len(data)
            if self._missing > 0:
                return []
            data = bytes(self._unfinished)
            self._unfinished.clear()
        packets: list[Packet] = []
        try:
            rest = self._decode(data, packets)
        except ProtocolError as failure:
            self.failure = failure
            return packets
        self._unfinished += rest
        return packets

    def _decode(self, data: bytes, packets: list[Packet]) -> bytes:
        """Append the packets of `data`, and give the bytes of the unfinished last one."""
        position = 0
        end_of_data = len(data)
        while end_of_data - position >= _HEADER_BYTES:
            first = data[position]
            length = data[position + 1]
            start = position + _HEADER_BYTES
            if length > _ONE_BYTE_LENGTH:
                decoded = _decode_length(data, position + 1)
                if decoded is None:
                    break
                length, start = decoded
            if length > self._next_limit_bytes:
                raise ProtocolError(
                    ReasonCode.PACKET_TOO_LARGE,
                    f"packet of {length:,} bytes, at most {self._next_limit_bytes:,} are taken",
                )
            end = start + length
            if end > end_of_data:
                self._missing = end - end_of_data
                return data[position:]
            # The one packet that comes by the million is decoded here, without another call.
            if first >> 4 == _PUBLISH:
                packets.append(_decode_publish(first, data, start, end))
            else:
                packets.append(_decode_other(first, data[start:end]))
            position = end
            self._next_limit_bytes = self._limit_bytes
        self._missing = 1
        return data[position:]


def _decode_length(data: bytes, position: int) -> tuple[int, int] | None:
    """Remaining length and where the body begins, or None when its bytes are not all there [2.2.3]."""
    length = 0
    for shift in (0, 7, 14, 21):
        if position == len(data):
            return None
        byte = data[position]
        position += 1
        length |= (byte & _MASK_7) << shift
        if byte <= _ONE_BYTE_LENGTH:
            return length, position
    raise _malformed("the remaining length has more than four bytes")


def _decode_publish(first: int, data: bytes, start: int, end: int) -> Publish:
    qos = first >> 1 & 3
    topic_start = start + 2
    if topic_start > end:
        raise _malformed("PUBLISH without a topic name")
    topic_end = topic_start + (data[start] << 8 | data[start + 1])
    body = topic_end + 2 if qos else topic_end
    if body > end:
        raise _malformed("PUBLISH is shorter than its topic name says")
    if qos == 3:  # noqa: PLR2004  [MQTT-3.3.1-4]
        raise _malformed("PUBLISH with both QoS bits set")
    if first & 8 and not qos:
        raise _malformed("PUBLISH with DUP at QoS 0 [MQTT-3.3.1-2]")
    packet_id = data[topic_end] << 8 | data[topic_end + 1] if qos else 0
    if qos and not packet_id:
        raise _malformed("packet identifier 0 [MQTT-2.3.1-1]")
    topic = _text(data[topic_start:topic_end])
    return Publish(topic, data[body:end], qos, bool(first & 1), bool(first & 8), packet_id)


class _Reader:
    """Takes fields off the body of one packet, in order."""

    __slots__ = ("body", "position")

    def __init__(self, body: bytes) -> None:
        self.body = body
        self.position = 0

    def byte(self) -> int:
        return self.take(1)[0]

    def number(self) -> int:
        field = self.take(2)
        return field[0] << 8 | field[1]

    def binary(self) -> bytes:
        return self.take(self.number())

    def text(self) -> str:
        return _text(self.binary())

    def packet_id(self) -> int:
        number = self.number()
        if not number:
            raise _malformed("packet identifier 0 [MQTT-2.3.1-1]")
        return number

    def take(self, count: int) -> bytes:
        end = self.position + count
        if end > len(self.body):
            raise _malformed("a packet is shorter than its fields")
        field = self.body[self.position : end]
        self.position = end
        return field

    @property
    def has_more(self) -> bool:
        return self.position < len(self.body)


def _connect(reader: _Reader) -> Connect:
    name = reader.binary()
    level = reader.byte()
    if name != b"MQTT" and (name, level) != (b"MQIsdp", 3):
        raise _malformed(f"protocol name {name[:16]!r} [MQTT-3.1.2-1]")
    if level != 4:  # noqa: PLR2004  [MQTT-3.1.2-2]
        # Only the level is known to stand here in every version: the rest is not ours to judge.
        reader.take(len(reader.body) - reader.position)
        return Connect(level, "", clean_session=True, keep_alive_s=0)
    flags = reader.byte()
    keep_alive_s = reader.number()
    if flags & 1:
        raise _malformed("CONNECT with its reserved flag set [MQTT-3.1.2-3]")
    client_id = reader.text()
    will = _will(reader, flags)
    username = reader.text() if flags & 0x80 else None
    if flags & 0x40 and username is None:
        raise _malformed("CONNECT with a password but no username [MQTT-3.1.2-22]")
    password = reader.binary() if flags & 0x40 else None
    return Connect(level, client_id, bool(flags & 2), keep_alive_s, will, username, password)


def _will(reader: _Reader, flags: int) -> Will | None:
    qos = flags >> 3 & 3
    if not flags & 4:
        if flags & 0x38:
            raise _malformed("CONNECT with will flags but no will [MQTT-3.1.2-11]")
        return None
    if qos == 3:  # noqa: PLR2004  [MQTT-3.1.2-14]
        raise _malformed("CONNECT with will QoS 3")
    topic = reader.text()
    return Will(topic, reader.binary(), qos, bool(flags & 0x20))


def _subscribe(reader: _Reader) -> Subscribe:
    packet_id = reader.packet_id()
    requests = []
    while reader.has_more:
        topic_filter = reader.text()
        qos = reader.byte()
        if qos > 2:  # noqa: PLR2004  [MQTT-3-8.3-4]
            raise _malformed(f"SUBSCRIBE asks for QoS byte {qos:#04x}")
        requests.append((topic_filter, qos))
    if not requests:
        raise _malformed("SUBSCRIBE without a topic filter [MQTT-3.8.3-3]")
    return Subscribe(packet_id, tuple(requests))


def _unsubscribe(reader: _Reader) -> Unsubscribe:
    packet_id = reader.packet_id()
    filters = []
    while reader.has_more:
        filters.append(reader.text())
    if not filters:
        raise _malformed("UNSUBSCRIBE without a topic filter [MQTT-3.10.3-2]")
    return Unsubscribe(packet_id, tuple(filters))


def _connack(reader: _Reader) -> Connack:
    flags = reader.byte()
    code = reader.byte()
    if flags > 1 or code not in ReturnCode.__members__.values():
        raise _malformed(f"CONNACK with flags {flags:#04x} and return code {code:#04x}")
    return Connack(bool(flags), ReturnCode(code))


def _suback(reader: _Reader) -> Suback:
    packet_id = reader.packet_id()
    return Suback(packet_id, tuple(reader.take(len(reader.body) - reader.position)))


# First byte (type and flags, sections 2.2.1 and 2.2.2) → the reader of its body.
_READERS: dict[int, Callable[[_Reader], Packet]] = {
    0x10: _connect,
    0x20: _connack,
    0x40: lambda reader: Puback(reader.packet_id()),
    0x82: _subscribe,
    0x90: _suback,
    0xA2: _unsubscribe,
    0xB0: lambda reader: Unsuback(reader.packet_id()),
    0xC0: lambda _: Pingreq(),
    0xD0: lambda _: Pingresp(),
    0xE0: lambda _: Disconnect(),
}


def _decode_other(first: int, body: bytes) -> Packet:
    read = _READERS.get(first)
    if read is None:
        raise _malformed(f"control packet with first byte {first:#04x}")
    reader = _Reader(body)
    packet = read(reader)
    if reader.has_more:
        raise _malformed(f"{type(packet).__name__.upper()} is longer than its fields")
    return packet


def _text(field: bytes) -> str:
    try:
        text = str(field, "utf-8")
    except UnicodeDecodeError:
        raise _malformed("text that is not UTF-8 [MQTT-1.5.3-1]") from None
    if "\0" in text:
        raise _malformed("text with a null character [MQTT-1.5.3-2]")
    return text


def _malformed(reason: str) -> ProtocolError:
    return ProtocolError(ReasonCode.MALFORMED_PACKET, reason)


def encode(packet: Packet) -> bytes:
    """The bytes of a packet.

    Raises `ValueError` when a field does not fit into its place on the wire.
    """
    try:
        return _encode_publish(packet) if isinstance(packet, Publish) else _encode_other(packet)
    except struct.error as error:
        raise ValueError(f"{type(packet).__name__} with a field that does not fit: {error}") from None


def encode_puback(packet_id: int) -> bytes:
    """The four bytes of PUBACK."""
    return b"\x40\x02" + _TWO_BYTES.pack(packet_id)


def _encode_publish(packet: Publish) -> bytes:
    first = 0x30 | packet.duplicate << 3 | packet.qos << 1 | packet.retain
    name = _field(packet.topic.encode())
    identifier = _TWO_BYTES.pack(packet.packet_id) if packet.qos else b""
    length = _length(len(name) + len(identifier) + len(packet.payload))
    return b"".join((bytes((first,)), length, name, identifier, packet.payload))


def _encode_other(packet: Packet) -> bytes:
    match packet:
        case Puback(packet_id):
            return encode_puback(packet_id)
        case Connack(session_present, return_code):
            return bytes((0x20, 2, session_present, return_code))
        case Suback(packet_id, codes):
            return _packet(0x90, _TWO_BYTES.pack(packet_id) + bytes(codes))
        case Unsuback(packet_id):
            return b"\xb0\x02" + _TWO_BYTES.pack(packet_id)
        case Pingresp():
            return PINGRESP
        case _:
            return _encode_of_client(packet)


def _encode_of_client(packet: Packet) -> bytes:
    match packet:
        case Connect():
            return _encode_connect(packet)
        case Subscribe(packet_id, requests):
            fields = b"".join(_field(name.encode()) + bytes((qos,)) for name, qos in requests)
            return _packet(0x82, _TWO_BYTES.pack(packet_id) + fields)
        case Unsubscribe(packet_id, filters):
            return _packet(0xA2, _TWO_BYTES.pack(packet_id) + b"".join(_field(name.encode()) for name in filters))
        case Pingreq():
            return b"\xc0\x00"
        case Disconnect():
            return b"\xe0\x00"
        case _:
            raise ValueError(f"{type(packet).__name__} is not a control packet of MQTT 3.1.1")


def _encode_connect(packet: Connect) -> bytes:
    will = packet.will
    flags = packet.clean_session << 1 | (packet.username is not None) << 7 | (packet.password is not None) << 6
    fields = [_field(packet.client_id.encode())]
    if will is not None:
        flags |= 4 | will.qos << 3 | will.retain << 5
        fields += [_field(will.topic.encode()), _field(will.payload)]
    if packet.username is not None:
        fields.append(_field(packet.username.encode()))
    if packet.password is not None:
        fields.append(_field(packet.password))
    head = _field(b"MQTT") + bytes((packet.protocol_level, flags)) + _TWO_BYTES.pack(packet.keep_alive_s)
    return _packet(0x10, head + b"".join(fields))


def _packet(first: int, body: bytes) -> bytes:
    return bytes((first,)) + _length(len(body)) + body


def _field(content: bytes) -> bytes:
    return _TWO_BYTES.pack(len(content)) + content


def _length(length: int) -> bytes:
    """Remaining length [2.2.3]."""
    if length <= _ONE_BYTE_LENGTH:
        return bytes((length,))
    if length > LARGEST_REMAINING_LENGTH:
        raise ValueError(f"a packet of {length:,} bytes, at most {LARGEST_REMAINING_LENGTH:,} fit")
    encoded = bytearray()
    while length > _ONE_BYTE_LENGTH:
        encoded.append(length & _MASK_7 | 0x80)
        length >>= 7
    encoded.append(length)
    return bytes(encoded)
