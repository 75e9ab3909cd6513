"""Bytes changed by chance: as bytes, as control packets whose lengths stay right, and as scripts of several clients."""

from collections.abc import Callable, Sequence
from random import Random

Mutate = Callable[[bytes, Random, Sequence[bytes]], bytes]
"""Takes what to change, the dice, and other inputs that parts may be taken from."""

LARGEST_BYTES = 4_096
LARGEST_STEPS = 40

_TELLING = (0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x0B, 0x10, 0x20, 0x7F, 0x80, 0x81, 0xC0, 0xE0, 0xF0, 0xFF)
_PIECES = (
    b"\x00\x00",
    b"\xff\xff",
    b"\x80\x00",
    b"\xff\xff\xff\x7f",
    b"\x80\x80\x80\x80\x01",
    b"\x00\x01a",
    b"\x00\x01#",
    b"\x00\x03a/+",
    b"\x00\x08$share/s",
    b"\x00\x0a$share/s/a",
    b"\x00\x02\xc3\x28",
    b"\x00\x03\xed\xa0\x80",
    b"\x00\x02$x",
    b"\x23\x00\x01",
    b"\x0b\x01",
    b"\x26\x00\x00\x00\x00",
    b"\x21\x00\x01",
    b"\x27\x00\x00\x00\x10",
    b"\x11\xff\xff\xff\xff",
    b"\xc0\x00",
    b"\x40\x02\x00\x01",
    b"\x50\x02\x00\x01",
    b"\x62\x02\x00\x01",
    b"\x70\x02\x00\x01",
)


def dice_of(seed: int) -> Random:
    """Dice that fall the same way each time."""
    return Random(seed)  # noqa: S311  what they decide is no secret


def of_bytes(data: bytes, dice: Random, others: Sequence[bytes]) -> bytes:
    """Change some bytes, without a thought for what they mean."""
    for _ in range(dice.choice((1, 1, 1, 2, 3, 6))):
        data = dice.choice(_BYTE_STEPS)(data, dice, others)
    return data[:LARGEST_BYTES]


def of_packets(data: bytes, dice: Random, others: Sequence[bytes]) -> bytes:
    """Change a stream of control packets; mostly so that their lengths are right."""
    if dice.random() < 0.2:
        return of_bytes(data, dice, others)
    packets = split(data)
    for _ in range(dice.choice((1, 1, 2, 4))):
        _change_one(packets, dice, lambda packet: _with_other_body(packet, dice, others), lambda: _any(others, dice))
    return b"".join(packets)[:LARGEST_BYTES]


def of_scripts(data: bytes, dice: Random, others: Sequence[bytes]) -> bytes:
    """Change a script: its steps, and the packets in them."""
    steps = [step(who, what) for who, what in steps_of(data)]
    for _ in range(dice.choice((1, 1, 2, 4))):
        _change_one(
            steps, dice, lambda one: _other_step(one, dice, others), lambda: step(*_any_step(dice.choice(others), dice))
        )
    return b"".join(steps[:LARGEST_STEPS])


# A script is steps: who, a length of two bytes, and what it says.


def step(who: int, what: bytes) -> bytes:
    """The bytes of one step."""
    return bytes((who,)) + len(what).to_bytes(2, "big") + what


def steps_of(data: bytes) -> list[tuple[int, bytes]]:
    """Who says what, in order; any bytes are a script."""
    steps = []
    at = 0
    while at + 3 <= len(data):
        after = at + 3 + int.from_bytes(data[at + 1 : at + 3], "big")
        steps.append((data[at], data[at + 3 : after]))
        at = after
    return steps


# A stream is packets.


def split(data: bytes) -> list[bytes]:
    """Cut a stream into its packets; what follows the last whole one is a piece too."""
    packets = []
    at = 0
    while at < len(data):
        end = packet_end(data, at)
        end = len(data) if end is None else min(end, len(data))
        packets.append(data[at:end])
        at = end
    return packets


def packet_end(data: bytes, at: int) -> int | None:
    """Where the packet that begins there ends, perhaps behind these bytes; None when its length cannot be read."""
    length = 0
    for place, byte in enumerate(data[at + 1 : at + 5]):
        length |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            return at + 2 + place + length
    return None


def framed(first: int, body: bytes) -> bytes:
    """A packet with the length that it has."""
    length, field = len(body), b""
    while length > 0x7F:
        field += bytes((length & 0x7F | 0x80,))
        length >>= 7
    return bytes((first,)) + field + bytes((length,)) + body


def body_of(packet: bytes) -> bytes:
    """What follows the fixed header; nothing where the length cannot be read."""
    for place, byte in enumerate(packet[1:5]):
        if byte < 0x80:
            return packet[2 + place :]
    return b""


def _with_other_body(packet: bytes, dice: Random, others: Sequence[bytes]) -> bytes:
    first = packet[0] if packet else 0x10
    if dice.random() < 0.15:
        first = dice.choice((first ^ 1 << dice.randrange(8), dice.randrange(256), dice.randrange(16) << 4))
        return framed(first, body_of(packet))
    return framed(first, of_bytes(body_of(packet), dice, others))


def _any(others: Sequence[bytes], dice: Random) -> bytes:
    return dice.choice(split(dice.choice(others)) or [b"\xc0\x00"])


def _any_step(data: bytes, dice: Random) -> tuple[int, bytes]:
    return dice.choice(steps_of(data) or [(0, b"\xc0\x00")])


def _other_step(one: bytes, dice: Random, others: Sequence[bytes]) -> bytes:
    ((who, what),) = steps_of(one)
    if dice.random() < 0.2:
        return step(who ^ 1 << dice.randrange(6), what)
    return step(who, of_packets(what, dice, [_any_step(dice.choice(others), dice)[1]]))


def _change_one(
    parts: list[bytes], dice: Random, changed: Callable[[bytes], bytes], another: Callable[[], bytes]
) -> None:
    """Change, repeat, move, drop or add one part."""
    if not parts:
        parts.append(another())
        return
    at = dice.randrange(len(parts))
    match dice.randrange(8):
        case 0:
            del parts[at]
        case 1:
            parts.insert(dice.randrange(len(parts) + 1), parts[at])
        case 2:
            parts.insert(dice.randrange(len(parts)), parts.pop(at))
        case 3:
            parts.insert(at, another())
        case _:
            parts[at] = changed(parts[at])


# What changes bytes.


def _flip(data: bytes, dice: Random, _: Sequence[bytes]) -> bytes:
    if not data:
        return b"\0"
    at = dice.randrange(len(data))
    return data[:at] + bytes((data[at] ^ 1 << dice.randrange(8),)) + data[at + 1 :]


def _set(data: bytes, dice: Random, _: Sequence[bytes]) -> bytes:
    at = dice.randrange(len(data) + 1)
    return data[:at] + bytes((dice.choice((*_TELLING, dice.randrange(256))),)) + data[at + 1 :]


def _count(data: bytes, dice: Random, _: Sequence[bytes]) -> bytes:
    """One more or less: many bytes are lengths."""
    if not data:
        return data
    at = dice.randrange(len(data))
    return data[:at] + bytes(((data[at] + dice.choice((-1, 1, 2, -2))) % 256,)) + data[at + 1 :]


def _drop(data: bytes, dice: Random, _: Sequence[bytes]) -> bytes:
    at = dice.randrange(len(data) + 1)
    return data[:at] + data[at + dice.choice((1, 1, 2, 4, 16)) :]


def _repeat(data: bytes, dice: Random, _: Sequence[bytes]) -> bytes:
    at = dice.randrange(len(data) + 1)
    return data[:at] + data[at : at + dice.choice((1, 2, 5, 30))] * dice.choice((2, 2, 3, 8)) + data[at:]


def _insert(data: bytes, dice: Random, _: Sequence[bytes]) -> bytes:
    at = dice.randrange(len(data) + 1)
    return data[:at] + dice.choice((dice.choice(_PIECES), dice.randbytes(dice.choice((1, 1, 2, 4, 9))))) + data[at:]


def _replace(data: bytes, dice: Random, _: Sequence[bytes]) -> bytes:
    at = dice.randrange(len(data) + 1)
    piece = dice.choice(_PIECES)
    return data[:at] + piece + data[at + len(piece) :]


def _splice(data: bytes, dice: Random, others: Sequence[bytes]) -> bytes:
    if not others:
        return data
    other = dice.choice(others)
    at, start = dice.randrange(len(data) + 1), dice.randrange(len(other) + 1)
    piece = other[start : start + dice.choice((2, 4, 8, 64))]
    return data[:at] + piece + data[at + dice.choice((0, len(piece))) :]


_BYTE_STEPS = (_flip, _set, _count, _drop, _repeat, _insert, _replace, _splice)
