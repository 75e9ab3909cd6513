"""What the packets of MQTT are made of: numbers, texts and binary data [MQTT 5, 1.5].

A reader takes the bytes, where the field begins and where its packet ends; it gives the value and where
the next field begins. Nothing is copied but the field itself.
"""

import re
import struct

from broker.errors import ProtocolError
from broker.reason_codes import ReasonCode

LARGEST_VARIABLE_INTEGER = 268_435_455
"""The most that fits into the four bytes of a variable byte integer."""
LARGEST_ONE_BYTE = 0x7F
"""The most that a variable byte integer holds in one byte."""
MASK_7 = 0x7F
TWO_BYTES = struct.Struct("!H")

_FOUR_BYTES = struct.Struct("!I")
_CONTROL_CHARACTER = re.compile("[\x00-\x1f\x7f-\x9f]")


def malformed(reason: str) -> ProtocolError:
    """The bytes cannot be read as MQTT."""
    return ProtocolError(ReasonCode.MALFORMED_PACKET, reason)


def protocol_error(reason: str) -> ProtocolError:
    """The bytes can be read, but they say what they may not say."""
    return ProtocolError(ReasonCode.PROTOCOL_ERROR, reason)


def read_byte(data: bytes, position: int, end: int) -> tuple[int, int]:
    """One byte."""
    if position >= end:
        raise _too_short()
    return data[position], position + 1


def read_two_bytes(data: bytes, position: int, end: int) -> tuple[int, int]:
    """A two byte integer [MQTT 5, 1.5.2]."""
    after = position + 2
    if after > end:
        raise _too_short()
    return data[position] << 8 | data[position + 1], after


def read_four_bytes(data: bytes, position: int, end: int) -> tuple[int, int]:
    """A four byte integer [MQTT 5, 1.5.3]."""
    after = position + 4
    if after > end:
        raise _too_short()
    number: int = _FOUR_BYTES.unpack_from(data, position)[0]
    return number, after


def read_variable(data: bytes, position: int, end: int) -> tuple[int, int]:
    """A variable byte integer in as few bytes as its value needs [MQTT-1.5.5-1]."""
    if position < end and data[position] <= LARGEST_ONE_BYTE:
        return data[position], position + 1
    number = 0
    for shift in (0, 7, 14, 21):
        byte, position = read_byte(data, position, end)
        number |= (byte & MASK_7) << shift
        if byte <= LARGEST_ONE_BYTE:
            if shift and not byte:
                raise malformed("a variable byte integer with more bytes than it needs [MQTT-1.5.5-1]")
            return number, position
    raise malformed("a variable byte integer has more than four bytes")


def read_binary(data: bytes, position: int, end: int) -> tuple[bytes, int]:
    """Binary data of at most 65,535 bytes [MQTT 5, 1.5.6]."""
    start = position + 2
    if start > end:
        raise _too_short()
    after = start + (data[position] << 8 | data[position + 1])
    if after > end:
        raise _too_short()
    return data[start:after], after


def read_text(data: bytes, position: int, end: int) -> tuple[str, int]:
    """A UTF-8 string without a null character [MQTT 5, 1.5.4]."""
    field, after = read_binary(data, position, end)
    return text_of(field), after


def read_name(data: bytes, position: int, end: int) -> tuple[str, int]:
    """A UTF-8 string that names something, and so has no control character."""
    field, after = read_binary(data, position, end)
    return name_of(field), after


def read_pair(data: bytes, position: int, end: int) -> tuple[tuple[str, str], int]:
    """A UTF-8 string pair: name and value [MQTT 5, 1.5.7]."""
    start = position + 2
    if start > end:
        raise _too_short()
    after_name = start + (data[position] << 8 | data[position + 1])
    value = after_name + 2
    if value > end:
        raise _too_short()
    after = value + (data[after_name] << 8 | data[after_name + 1])
    if after > end:
        raise _too_short()
    return (text_of(data[start:after_name]), text_of(data[value:after])), after


def text_of(field: bytes) -> str:
    """The text of these bytes; raises when it is not UTF-8 or has a null character."""
    try:
        text = field.decode()
    except UnicodeDecodeError:
        raise _not_utf_8() from None
    if "\0" in text:
        raise malformed("text with a null character [MQTT-1.5.3-2]")
    return text


def name_of(field: bytes) -> str:
    """The text of a topic, a filter, a client identifier or a username.

    Control characters are refused, which 1.5.3 allows: a name with them cannot be told from another by
    the eye, and forges lines of a log.
    """
    try:
        name = field.decode()
    except UnicodeDecodeError:
        raise _not_utf_8() from None
    # Asking whether all can be printed is the quick question; no control character can.
    if not name.isprintable() and _CONTROL_CHARACTER.search(name):
        raise malformed("a name with a control character [MQTT-1.5.3-2, MQTT 5, 1.5.4]")
    return name


def write_byte(number: int) -> bytes:
    """One byte; raises `ValueError` when the number does not fit."""
    return bytes((number,))


def write_two_bytes(number: int) -> bytes:
    """A two byte integer; raises `ValueError` when the number does not fit."""
    try:
        return TWO_BYTES.pack(number)
    except struct.error:
        raise ValueError(f"{number} does not fit into two bytes") from None


def write_four_bytes(number: int) -> bytes:
    """A four byte integer; raises `ValueError` when the number does not fit."""
    try:
        return _FOUR_BYTES.pack(number)
    except struct.error:
        raise ValueError(f"{number} does not fit into four bytes") from None


def write_variable(number: int) -> bytes:
    """A variable byte integer; raises `ValueError` when the number does not fit."""
    if 0 <= number <= LARGEST_ONE_BYTE:
        return bytes((number,))
    if not 0 <= number <= LARGEST_VARIABLE_INTEGER:
        raise ValueError(f"{number:,} does not fit into a variable byte integer")
    encoded = bytearray()
    while number > LARGEST_ONE_BYTE:
        encoded.append(number & MASK_7 | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)


def write_binary(field: bytes) -> bytes:
    """Binary data with its length; raises `ValueError` when it is longer than 65,535 bytes."""
    return write_two_bytes(len(field)) + field


def write_text(text: str) -> bytes:
    """A UTF-8 string with its length; raises `ValueError` when it is too long or has a surrogate."""
    return write_binary(text.encode())


def write_pair(pair: tuple[str, str]) -> bytes:
    """A UTF-8 string pair; raises `ValueError` when it does not fit."""
    name, value = pair[0].encode(), pair[1].encode()
    return write_two_bytes(len(name)) + name + write_two_bytes(len(value)) + value


def _not_utf_8() -> ProtocolError:
    return malformed("text that is not UTF-8 [MQTT-1.5.3-1]")


def _too_short() -> ProtocolError:
    return malformed("a packet is shorter than its fields")
