"""Packets to bytes: MQTT 3.1.1 and 5, section 3 of both.

A packet of 3.1.1 is written without its reason code and its properties; in one of 5 both are left out
where they say nothing and the specification allows it.
"""

import struct

from broker.fields import (
    LARGEST_ONE_BYTE,
    MASK_7,
    TWO_BYTES,
    write_binary,
    write_byte,
    write_text,
    write_two_bytes,
    write_variable,
)
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
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from broker.properties import encode_properties

PINGRESP = b"\xd0\x00"

_LARGEST_TWO_BYTES = 0x3FFF
# First byte, remaining length in two bytes, length of the topic.
_HEAD = struct.Struct("!BBBH")
_FIRST_BYTES = {Puback: 0x40, Pubrec: 0x50, Pubrel: 0x62, Pubcomp: 0x70, Disconnect: 0xE0, Auth: 0xF0}


def encode(packet: Packet, protocol_level: int = V4) -> bytes:
    """The bytes of a packet; a CONNECT is written as its own protocol level says.

    Raises `ValueError` when a field does not fit into its place on the wire.
    """
    if isinstance(packet, Publish):
        return _publish(packet, protocol_level)
    return _of_server(packet, protocol_level)


def publish_bytes(first: int, topic: bytes, packet_id: int, properties: bytes, payload: bytes) -> bytes:
    """PUBLISH from parts that are encoded once and sent to many.

    `first` is the whole first byte; `packet_id` is 0 at QoS 0; `properties` begins with its length, and
    is empty in 3.1.1. Raises `ValueError` when the packet does not fit on the wire.
    """
    if packet_id:
        properties = write_two_bytes(packet_id) + properties
    return publish_head(first, topic, len(properties) + len(payload)) + properties + payload


def publish_head(first: int, topic: bytes, rest_bytes: int) -> bytes:
    """PUBLISH up to its topic, with so many bytes after it. Raises `ValueError` when it does not fit on the wire."""
    try:
        topic_bytes = len(topic)
        length = topic_bytes + rest_bytes + 2
        if LARGEST_ONE_BYTE < length <= _LARGEST_TWO_BYTES:
            head = _HEAD.pack(first, length & MASK_7 | 0x80, length >> 7, topic_bytes)
        else:
            head = write_byte(first) + write_variable(length) + TWO_BYTES.pack(topic_bytes)
    except struct.error as error:
        raise ValueError(f"PUBLISH with a field that does not fit: {error}") from None
    return head + topic


def encode_puback(packet_id: int) -> bytes:
    """The four bytes of PUBACK without a reason."""
    return b"\x40\x02" + write_two_bytes(packet_id)


def _publish(packet: Publish, level: int) -> bytes:
    if packet.qos and not packet.packet_id:
        raise ValueError(f"a PUBLISH at QoS {packet.qos} without a packet identifier")
    return publish_bytes(
        0x30 | packet.duplicate << 3 | packet.qos << 1 | packet.retain,
        packet.topic.encode(),
        packet.packet_id if packet.qos else 0,
        _properties(packet.properties, level),
        packet.payload,
    )


def _of_server(packet: Packet, level: int) -> bytes:
    match packet:
        case Puback() | Pubrec() | Pubrel() | Pubcomp():
            return _acknowledgement(packet, level)
        case Connack(session_present, code, properties):
            return _packet(0x20, bytes((session_present, code)), _properties(properties, level))
        case Suback(packet_id, codes, properties):
            return _packet(0x90, write_two_bytes(packet_id), _properties(properties, level), bytes(codes))
        case Unsuback(packet_id, codes, properties):
            codes = codes if level == V5 else ()
            return _packet(0xB0, write_two_bytes(packet_id), _properties(properties, level), bytes(codes))
        case Pingresp():
            return PINGRESP
        case _:
            return _of_client(packet, level)


def _of_client(packet: Packet, level: int) -> bytes:
    match packet:
        case Connect():
            return _connect(packet)
        case Subscribe(packet_id, requests, properties):
            fields = [write_text(request.topic_filter) + _options(request) for request in requests]
            return _packet(0x82, write_two_bytes(packet_id), _properties(properties, level), *fields)
        case Unsubscribe(packet_id, filters, properties):
            return _packet(0xA2, write_two_bytes(packet_id), _properties(properties, level), *map(write_text, filters))
        case Pingreq():
            return b"\xc0\x00"
        case Disconnect() | Auth():
            return _farewell(packet, level)
        case _:
            raise ValueError(f"{type(packet).__name__} is not a control packet")


def _acknowledgement(packet: Puback | Pubrec | Pubrel | Pubcomp, level: int) -> bytes:
    return _packet(
        _FIRST_BYTES[type(packet)], write_two_bytes(packet.packet_id), _reason(packet.code, packet.properties, level)
    )


def _farewell(packet: Disconnect | Auth, level: int) -> bytes:
    if type(packet) is Auth and level != V5:
        raise ValueError("AUTH is no packet of MQTT 3.1.1")
    return _packet(_FIRST_BYTES[type(packet)], _reason(packet.code, packet.properties, level))


def _reason(code: int, properties: Properties, level: int) -> bytes:
    """Reason code and properties, each left out where it says nothing [MQTT 5, 3.4.2.1, 3.14.2.1]."""
    if level != V5:
        return b""
    if properties != NO_PROPERTIES:
        return bytes((code,)) + encode_properties(properties)
    return bytes((code,)) if code else b""


def _options(request: Subscription) -> bytes:
    return bytes(
        (request.qos | request.no_local << 2 | request.retain_as_published << 3 | request.retain_handling << 4,)
    )


def _connect(packet: Connect) -> bytes:
    will = packet.will
    level = packet.protocol_level
    flags = packet.clean_start << 1 | (packet.username is not None) << 7 | (packet.password is not None) << 6
    fields = [_properties(packet.properties, level), write_text(packet.client_id)]
    if will is not None:
        flags |= 4 | will.qos << 3 | will.retain << 5
        fields += [_properties(will.properties, level), write_text(will.topic), write_binary(will.payload)]
    if packet.username is not None:
        fields.append(write_text(packet.username))
    if packet.password is not None:
        fields.append(write_binary(packet.password))
    return _packet(0x10, write_text("MQTT"), bytes((level, flags)), write_two_bytes(packet.keep_alive_s), *fields)


def _properties(properties: Properties, level: int) -> bytes:
    return encode_properties(properties) if level == V5 else b""


def _packet(first: int, *fields: bytes) -> bytes:
    body = b"".join(fields)
    return bytes((first,)) + write_variable(len(body)) + body
