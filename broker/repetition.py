"""Bytes that are one PUBLISH like the one before: what most reads of most devices are.

Only the plainest kind is recognised here, from its bytes alone. Whatever is out of the ordinary is left to the decoder.
"""

from broker.fields import MASK_7

FIRST_BYTE = 0x32
"""Of a PUBLISH at QoS 1 that is neither retained nor a duplicate."""
SHORTEST = 7
"""Bytes of such a packet: two of the header, three of a topic name of one letter, two of the packet identifier."""


def topic_field(topic: str) -> bytes:
    """A topic name as it stands in a packet, with its length before it [1.5.3]."""
    name = topic.encode()
    return len(name).to_bytes(2, "big") + name


def identifier_at(data: bytes, field: bytes, limit_bytes: int) -> int:
    """Where the packet identifier of a PUBLISH of 3.1.1 stands, after which there is only payload; 0 if it is none.

    The bytes must be all of one packet with this topic field and at most `limit_bytes` after its fixed header.
    """
    if data[0] != FIRST_BYTE or len(data) < SHORTEST:
        return 0
    # One or two bytes of length, as nearly all packets have [2.2.3].
    length, start = data[1], 2
    if length > MASK_7:
        if data[2] > MASK_7:
            return 0
        length, start = (length & MASK_7) | data[2] << 7, 3
    if start + length != len(data) or length > limit_bytes or not data.startswith(field, start):
        return 0
    position = start + len(field)
    return position if position + 2 <= len(data) and data[position : position + 2] != b"\0\0" else 0
