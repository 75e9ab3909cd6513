"""The few control packets of a load, made beforehand: MQTT 3.1.1."""

import struct
from collections.abc import Sequence

PUBACK_BYTES = 4
CONNACK_BYTES = 4
QOS_BYTES = 2
"""A PUBLISH at QoS 1 carries a packet identifier, two bytes more than at QoS 0."""

DISCONNECT = b"\xe0\x00"

_SHORT = struct.Struct("!H").pack
_CLEAN_SESSION = 0x02
_WILL_AT_QOS_1 = 0x0C
_SUBACK_FAILURE = 0x80


class RefusedError(Exception):
    """The broker answered something other than yes."""


def connect(client_id: str, *, keep_alive_s: int = 0, clean: bool = True, will_topic: str = "") -> bytes:
    """CONNECT, with a small will message when there is a topic for it."""
    flags = (_CLEAN_SESSION if clean else 0) | (_WILL_AT_QOS_1 if will_topic else 0)
    body = b"\x00\x04MQTT\x04" + bytes((flags,)) + _SHORT(keep_alive_s) + _text(client_id)
    if will_topic:
        body += _text(will_topic) + _text("gone")
    return b"\x10" + _length(len(body)) + body


def subscribe(packet_id: int, topic_filters: Sequence[str], qos: int) -> bytes:
    """SUBSCRIBE to all filters at one QoS."""
    body = _SHORT(packet_id) + b"".join(_text(name) + bytes((qos,)) for name in topic_filters)
    return b"\x82" + _length(len(body)) + body


def suback_bytes(filter_count: int) -> int:
    """How long the answer to SUBSCRIBE is; its remaining length fits into a byte."""
    return 4 + filter_count


def unsubscribe(packet_id: int, topic_filters: Sequence[str]) -> bytes:
    """UNSUBSCRIBE."""
    body = _SHORT(packet_id) + b"".join(_text(name) for name in topic_filters)
    return b"\xa2" + _length(len(body)) + body


def publish(topic: str, payload: bytes, packet_id: int = 0, *, retain: bool = False) -> bytes:
    """PUBLISH: at QoS 1 with a packet identifier, at QoS 0 without."""
    identifier = _SHORT(packet_id) if packet_id else b""
    body = _text(topic) + identifier + payload
    return bytes((0x30 | (2 if packet_id else 0) | retain,)) + _length(len(body)) + body


def puback(packet_id: int) -> bytes:
    """PUBACK."""
    return b"\x40\x02" + _SHORT(packet_id)


def check_connack(answer: bytes) -> None:
    """Raise `RefusedError` unless the answer accepts the connection."""
    if answer[:2] != b"\x20\x02" or answer[3:4] != b"\x00":
        raise RefusedError(f"CONNECT was answered by {answer.hex() or 'the end of the connection'}")


def check_suback(answer: bytes) -> None:
    """Raise `RefusedError` unless every filter was granted."""
    if answer[:1] != b"\x90" or _SUBACK_FAILURE in answer[4:]:
        raise RefusedError(f"SUBSCRIBE was answered by {answer[:40].hex() or 'the end of the connection'}")


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _SHORT(len(encoded)) + encoded


def _length(count: int) -> bytes:
    """The remaining length, seven bits a byte [2.2.3]."""
    encoded = bytearray()
    while True:
        count, digit = divmod(count, 128)
        encoded.append(digit | (0x80 if count else 0))
        if not count:
            return bytes(encoded)
