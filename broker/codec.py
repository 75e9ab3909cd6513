"""A stream of bytes to packets, and packets back to bytes: MQTT 3.1.1 and 5, section 2 of both.

Rules: no bytes raise anything but `ProtocolError`; however a stream is sliced, the same packets come
out; a packet that is too large is refused by its header, before its body is buffered.
"""

from broker.decode import Body, decode_body
from broker.encode import PINGRESP, encode, encode_puback, publish_bytes
from broker.errors import FramingError, ProtocolError
from broker.fields import LARGEST_ONE_BYTE, LARGEST_VARIABLE_INTEGER, MASK_7, malformed, name_of, protocol_error
from broker.packets import NO_PROPERTIES, V4, V5, Connect, Packet, Properties, Puback, Publish
from broker.properties import decode_properties
from broker.reason_codes import ReasonCode

__all__ = ["LARGEST_REMAINING_LENGTH", "PINGRESP", "Decoder", "encode", "encode_puback", "publish_bytes"]

LARGEST_REMAINING_LENGTH = LARGEST_VARIABLE_INTEGER

_PUBLISH = 3
_PUBACK = 0x40
_HEADER_BYTES = 2
_IDENTIFIER_BYTES = 2
# The first bytes of PUBLISH, and the QoS, retain and duplicate that they say. At QoS 0 nothing is a
# duplicate [MQTT-3.3.1-2], and QoS 3 does not exist [MQTT-3.3.1-4].
_SHAPES = {
    0x30 | duplicate << 3 | qos << 1 | retain: (qos, retain, duplicate)
    for qos in (0, 1, 2)
    for retain in (False, True)
    for duplicate in (False, True)
    if qos or not duplicate
}
# Longer than any data, so that nothing is like the PUBLISH before the first one.
_NO_PUBLISH_YET = (b"", 0, 1 << 62, "", 1, False, False)


class Decoder:
    """Turns a stream of bytes into packets.

    `feed` never raises: when the stream is broken, the packets before the fault are given and
    `failure` holds what was wrong; after that, bytes are ignored. Whoever reads a CONNECT is a server:
    from then on the decoder speaks its `protocol_level` and refuses what only servers send.
    """

    __slots__ = (
        "_is_server",
        "_last_name",
        "_last_publish",
        "_last_topic",
        "_limit_bytes",
        "_missing",
        "_next_limit_bytes",
        "_unfinished",
        "failure",
        "protocol_level",
    )

    def __init__(
        self,
        packet_limit_bytes: int = LARGEST_REMAINING_LENGTH,
        first_packet_limit_bytes: int = LARGEST_REMAINING_LENGTH,
        protocol_level: int = V4,
    ) -> None:
        """The first packet has a limit of its own, because nobody knows yet who sends it."""
        self.failure: ProtocolError | None = None
        self.protocol_level = protocol_level
        self._is_server = False
        self._limit_bytes = packet_limit_bytes
        self._next_limit_bytes = min(packet_limit_bytes, first_packet_limit_bytes)
        self._unfinished = bytearray()
        self._missing = 0
        # A device repeats its topic, and often the length and the flags of its packets too.
        self._last_name = b""
        self._last_topic = ""
        self._last_publish = _NO_PUBLISH_YET

    @property
    def is_between_packets(self) -> bool:
        """Whether the next byte begins a packet."""
        return not self._unfinished and self.failure is None

    def feed(self, data: bytes) -> list[Packet]:
        """Every packet that these bytes complete, in order."""
        packets: list[Packet] = []
        if self._unfinished or self.failure is not None:
            data = self._completed(data)
        try:
            self._decode(data, packets)
        except ProtocolError as failure:
            self.failure = failure
        return packets

    def _completed(self, data: bytes) -> bytes:
        """The unfinished packet with these bytes; nothing while it is still unfinished."""
        if self.failure is not None:
            return b""
        # Looked at only once the packet is whole: a large one that drips in costs one copy, not many.
        self._unfinished += data
        self._missing -= len(data)
        if self._missing > 0:
            return b""
        whole = bytes(self._unfinished)
        self._unfinished.clear()
        return whole

    def _decode(self, data: bytes, packets: list[Packet]) -> None:
        """Append the packets of `data`, and keep the bytes of the unfinished last one.

        What comes by the million is decoded here, without another call: a PUBLISH at QoS 1 or 2 that
        begins like the one before, up to its topic, and has no properties.
        """
        position = 0
        end_of_data = len(data)
        head, head_bytes, packet_bytes, topic, qos, retain, duplicate = self._last_publish
        # Between topic and payload: the packet identifier and, in MQTT 5, the length of no properties.
        middle_bytes = 3 if self.protocol_level == V5 else 2
        append = packets.append
        while position < end_of_data:
            after_head = position + head_bytes
            end = position + packet_bytes
            if end <= end_of_data and data[position:after_head] == head:
                packet_id = data[after_head] << 8 | data[after_head + 1]
                payload = after_head + middle_bytes
                if packet_id and (middle_bytes == 2 or not data[payload - 1]):  # noqa: PLR2004  of 3.1.1
                    append(Publish(topic, data[payload:end], qos, retain, duplicate, packet_id))
                    position = end
                    continue
            end = self._decode_one(data, position, packets)
            if end == position:
                self._unfinished += data[position:]
                return
            position = end
            head, head_bytes, packet_bytes, topic, qos, retain, duplicate = self._last_publish
            middle_bytes = 3 if self.protocol_level == V5 else 2

    def _decode_one(self, data: bytes, position: int, packets: list[Packet]) -> int:
        """Append the packet that begins here and give where the next one does: here, when it is unfinished."""
        end_of_data = len(data)
        start = position + _HEADER_BYTES
        self._missing = 1
        if start > end_of_data:
            return position
        first = data[position]
        length = data[position + 1]
        if length > LARGEST_ONE_BYTE:
            # Two bytes of length, which most packets have, are not worth a call.
            if start < end_of_data and (second := data[start]) <= LARGEST_ONE_BYTE:
                length += (second - 1) << 7
                start += 1
            else:
                length, start = _length(data, position + 1)
                if start > end_of_data:
                    return position
        if length > self._next_limit_bytes:
            raise _too_large(length, self._next_limit_bytes)
        end = start + length
        if end > end_of_data:
            self._missing = end - end_of_data
            return position
        self._next_limit_bytes = self._limit_bytes
        if first == _PUBACK and length == _IDENTIFIER_BYTES and (packet_id := data[start] << 8 | data[start + 1]):
            packets.append(Puback(packet_id))
        elif first >> 4 == _PUBLISH:
            packets.append(self._publish(first, data, position, start, end))
        else:
            packets.append(self._other(first, data, start, end))
        return end

    def _publish(self, first: int, data: bytes, position: int, start: int, end: int) -> Publish:
        """PUBLISH, whose body begins at `start` [3.3]."""
        shape = _SHAPES.get(first)
        if shape is None:
            raise malformed("PUBLISH with DUP at QoS 0, or QoS 3 [MQTT-3.3.1-2, MQTT-3.3.1-4]")
        qos, retain, duplicate = shape
        after_topic = start + 2
        if after_topic <= end:
            after_topic += data[start] << 8 | data[start + 1]
        payload = after_topic + 2 if qos else after_topic
        if payload > end:
            raise malformed("PUBLISH is shorter than its topic name says")
        name = data[start + 2 : after_topic]
        if is_repeated := name == self._last_name:
            topic = self._last_topic
        else:
            self._last_topic = topic = name_of(name)
            self._last_name = name
        packet_id = data[after_topic] << 8 | data[after_topic + 1] if qos else 0
        if qos and not packet_id:
            raise protocol_error("PUBLISH with packet identifier 0 [MQTT-2.3.1-1]")
        properties = NO_PROPERTIES
        if self.protocol_level == V5:
            properties, payload = self._properties(topic, data, payload, end)
        if is_repeated and qos and payload < end and topic and properties is NO_PROPERTIES:
            self._last_publish = (
                data[position:after_topic],
                after_topic - position,
                end - position,
                topic,
                qos,
                retain,
                duplicate,
            )
        return Publish(topic, data[payload:end], qos, retain, duplicate, packet_id, properties)

    def _properties(self, topic: str, data: bytes, position: int, end: int) -> tuple[Properties, int]:
        """The properties of a PUBLISH, and where its payload begins."""
        properties, payload = decode_properties(data, position, end, Publish)
        if not topic and properties.topic_alias is None:
            raise protocol_error("PUBLISH with neither a topic name nor a topic alias [MQTT 5, 3.3.2.1]")
        if self._is_server and properties.subscription_identifiers:
            raise protocol_error("a client sent PUBLISH with a subscription identifier [MQTT-3.3.4-6]")
        return properties, payload

    def _other(self, first: int, data: bytes, start: int, end: int) -> Packet:
        """Any packet but PUBLISH."""
        body = Body(data, start, end, self.protocol_level)
        try:
            packet = decode_body(first, body, is_of_client=self._is_server)
        finally:
            self.protocol_level = body.level
        self._is_server = self._is_server or type(packet) is Connect
        return packet


def _too_large(length: int, limit_bytes: int) -> ProtocolError:
    return ProtocolError(ReasonCode.PACKET_TOO_LARGE, f"packet of {length:,} bytes, at most {limit_bytes:,} are taken")


def _length(data: bytes, position: int) -> tuple[int, int]:
    """Remaining length and where the body begins, which is past the end when bytes are missing [2.2.3]."""
    length = 0
    for shift in (0, 7, 14, 21):
        if position == len(data):
            return 0, position + 1
        byte = data[position]
        position += 1
        length |= (byte & MASK_7) << shift
        if byte <= LARGEST_ONE_BYTE:
            return length, position
    reason = "the remaining length has more than four bytes [MQTT 3.1.1, 2.2.3]"
    raise FramingError(ReasonCode.MALFORMED_PACKET, reason)
