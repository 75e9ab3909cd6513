"""Whole numbers and pieces of bytes, packed: the bricks of columns, chunks and log records.

The format is in docs/reference/chunks.md. Everything is little-endian, as every machine is that the gateway
runs on (x86-64, aarch64), so arrays are written as they lie in memory. Reading never trusts what it
reads: bytes that do not fit raise `ChunkError`, never anything else.
"""

import struct
import zlib
from array import array
from collections.abc import Sequence
from itertools import accumulate, pairwise, repeat
from operator import add
from typing import NamedTuple

from appliance.errors import ApplianceError
from appliance.telemetry.lanes import WALK_FEW, WALK_LIMIT, lifted, raised, signed_steps, walked
from appliance.telemetry.pieces import pieces
from appliance.telemetry.steps import steps

INTEGER_LIMIT = 1 << 61
"""Packed integers lie strictly between its negative and itself, so that differences of differences fit 64 bits."""

COUNT_LIMIT = 1 << 22
"""More rows than any chunk or record can hold: a count beyond it is damage, not data."""

SIZE_LIMIT = 1 << 28
"""More bytes than any chunk or record unpacks to."""

_LEVEL = 1
"""How hard to compress: more costs much time and brings little."""

_DELTA = 0x10
_WIDTH = 0x0F
_WIDTHS = ((0, 1), (0xFF, 1), (0xFFFF, 2), (0xFFFF_FFFF, 4))
_ONES_FROM = float(1 << 52)
"""From here on floating-point numbers differ by one."""
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}
_WALK_WIDTHS = (1, 2)
_OF_ONE_LENGTH = bytes(1)
"""How lengths begin that are all the same."""


class ChunkError(ApplianceError):
    """Stored bytes are not what was written: they were damaged, or written by a later release."""

    code = "damaged_chunk"


class Reader:
    """Takes pieces off the front of some bytes."""

    __slots__ = ("_bytes", "position")

    def __init__(self, source: bytes) -> None:
        self._bytes = source
        self.position = 0

    def take(self, size: int) -> bytes:
        """The next `size` bytes. Raises `ChunkError` when there are fewer."""
        end = self.position + size
        if size < 0 or end > len(self._bytes):
            raise self._too_few(size)
        piece = self._bytes[self.position : end]
        self.position = end
        return piece

    def skip(self, piece: bytes) -> bool:
        """Whether these bytes are the next ones. Then they are taken."""
        if not self._bytes.startswith(piece, self.position):
            return False
        self.position += len(piece)
        return True

    def byte(self) -> int:
        """The next byte as a number."""
        position = self.position
        try:
            value = self._bytes[position]
        except IndexError:
            raise self._too_few(1) from None
        self.position = position + 1
        return value

    def varint(self) -> int:
        """The next unsigned number."""
        # Nearly always there are one or two bytes, and every column has some of them.
        source, position = self._bytes, self.position
        value = shift = 0
        try:
            while (byte := source[position]) > 0x7F:  # noqa: PLR2004  the top bit says that more follows
                value |= (byte & 0x7F) << shift
                shift += 7
                position += 1
                if shift > 63:  # noqa: PLR2004  no number here has more than 64 bits
                    raise ChunkError("a number has more than 64 bits")
        except IndexError:
            self.position = position
            raise self._too_few(1) from None
        self.position = position + 1
        return value | byte << shift

    def signed(self) -> int:
        """The next signed number."""
        value = self.varint()
        return (value >> 1) ^ -(value & 1)

    def count(self) -> int:
        """The next number, which counts something that must fit memory."""
        value = self.varint()
        if value > COUNT_LIMIT:
            raise ChunkError(f"a count of {value} cannot be")
        return value

    def piece(self) -> bytes:
        """The next bytes, whose length stands before them."""
        return self.take(self.varint())

    def text(self) -> str:
        """The next text, whose length in bytes stands before it."""
        return as_text(self.piece())

    def end(self) -> None:
        """Say that nothing may follow. Raises `ChunkError` when something does."""
        if self.position != len(self._bytes):
            raise ChunkError(f"{len(self._bytes) - self.position} bytes were not expected")

    def _too_few(self, size: int) -> ChunkError:
        return ChunkError(f"{size} bytes were expected at {self.position}, {len(self._bytes)} are there in all")


def as_text(piece: bytes) -> str:
    """Bytes as text. Raises `ChunkError` when they are none."""
    try:
        return piece.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError as error:
        raise ChunkError("a text is not UTF-8") from error


def deflate(raw: bytes | bytearray) -> bytes:
    """The bytes, compressed."""
    return zlib.compress(raw, _LEVEL)


def inflate(compressed: bytes) -> bytes:
    """The bytes that `deflate` was given. Raises `ChunkError` when these are none of its."""
    stream = zlib.decompressobj()
    try:
        raw = stream.decompress(compressed, SIZE_LIMIT)
    except zlib.error as error:
        raise ChunkError(f"cannot be decompressed: {error}") from error
    if not stream.eof or stream.unused_data:
        raise ChunkError("the compressed bytes end too early or too late")
    return raw


def put_varint(out: bytearray, value: int) -> None:
    """Append an unsigned number: seven bits a byte, the lowest first, the top bit set while more follow."""
    while value > 0x7F:  # noqa: PLR2004  what seven bits hold
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)


def put_signed(out: bytearray, value: int) -> None:
    """Append a signed number: 0, -1, 1, -2, 2 … become 0, 1, 2, 3, 4 and so on."""
    put_varint(out, value << 1 if value >= 0 else (-value << 1) - 1)


def put_piece(out: bytearray, piece: bytes | bytearray) -> None:
    """Append bytes with their length before them."""
    put_varint(out, len(piece))
    out += piece


def put_text(out: bytearray, text: str) -> None:
    """Append a text with its length in bytes before it."""
    put_piece(out, text.encode("utf-8", "surrogatepass"))


def put_integers(out: bytearray, values: Sequence[int]) -> None:
    """Append whole numbers, each less than `INTEGER_LIMIT` in size; their count is the reader's to know.

    Stored are the numbers, or their differences if those spread less, each less the smallest of them, in
    the narrowest width that holds all.
    """
    if not values:
        return
    if isinstance(values, array):
        values = values.tolist()  # once, and not each time that it is gone through
    lowest = min(values)
    spread = max(values) - lowest
    if spread == 0:
        out.append(0)
        put_signed(out, lowest)
        return
    deltas = steps(values, spread)
    lowest_delta = min(deltas, default=0)
    delta_spread = max(deltas) - lowest_delta if deltas else spread
    if delta_spread < spread:
        width = _width(delta_spread)
        out.append(_DELTA | width)
        put_signed(out, values[0])
        _put_residuals(out, deltas, lowest_delta, width)
    else:
        width = _width(spread)
        out.append(width)
        _put_residuals(out, values, lowest, width)


class Wholes(NamedTuple):
    """Whole numbers as floating-point ones, each less than 2^51 in size; at least one."""

    values: Sequence[float]
    lowest: float
    highest: float


def put_wholes(out: bytearray, wholes: Wholes) -> None:
    """Append them as the same bytes as `put_integers` would, in less time."""
    values, lowest, highest = wholes
    spread = highest - lowest
    if spread == 0 or spread > _WIDTHS[-1][0]:
        put_integers(out, list(map(int, values)))
        return
    deltas = steps(values, spread)
    lowest_delta = min(deltas, default=0)
    delta_spread = max(deltas) - lowest_delta if deltas else spread
    if delta_spread < spread:
        width = _width(delta_spread)
        out.append(_DELTA | width)
        put_signed(out, int(values[0]))
        _put_whole_residuals(out, deltas, lowest_delta, width)
    else:
        width = _width(spread)
        out.append(width)
        _put_whole_residuals(out, values, lowest, width)


def take_integers(reader: Reader, count: int) -> list[int]:
    """Read whole numbers that `put_integers` wrote."""
    numbers = take_integer_sequence(reader, count)
    return numbers if isinstance(numbers, list) else list(numbers)


def take_integer_sequence(reader: Reader, count: int) -> list[int] | range:
    """The same; those that rise evenly as a range."""
    if count == 0:
        return []
    form = _take_form(reader)
    width = form & _WIDTH
    if form & _DELTA:
        first, lowest = reader.signed(), reader.signed()
        if not width:
            return range(first, first + count * lowest, lowest) if lowest else [first] * count
        residuals = _take_residuals(reader, count - 1, width)
        steps = signed_steps(residuals, lowest) if isinstance(residuals, bytes) else None
        if steps is not None:
            return list(accumulate(steps, initial=first))
        # In one go for all: each number is so many times the smallest difference further than the sum says.
        line = range(first, first + count * lowest, lowest) if lowest else repeat(first)
        return list(map(add, accumulate(residuals, initial=0), line))
    lowest = reader.signed()
    if not width:
        return [lowest] * count
    residuals = _take_residuals(reader, count, width)
    return list(map(add, residuals, repeat(lowest))) if lowest else list(residuals)


def take_integer_array(reader: Reader, count: int) -> "array[int]":
    """The same as an array, which takes less time. Raises `ChunkError` when a number has more than 64 bits, too."""
    position = reader.position
    try:
        return _take_array(reader, count)
    except (OverflowError, struct.error):
        # Numbers on the way may be greater than those that they come to.
        reader.position = position
    try:
        return array("q", take_integers(reader, count))
    except OverflowError as error:
        raise ChunkError("a number has more than 64 bits") from error


def _take_array(reader: Reader, count: int) -> "array[int]":
    if count == 0:
        return array("q")
    form = _take_form(reader)
    width = form & _WIDTH
    if form & _DELTA:
        first, lowest = reader.signed(), reader.signed()
        if not width:
            return raised(array("q", bytes(8 * count)), first, lowest)
        if width in _WALK_WIDTHS and WALK_FEW < count <= WALK_LIMIT:
            position = reader.position
            numbers = walked(reader.take((count - 1) * width), width, first, lowest)
            if numbers is not None:
                return numbers
            reader.position = position
        return raised(_array(list(accumulate(_take_residuals(reader, count - 1, width), initial=0))), first, lowest)
    lowest = reader.signed()
    if not width:
        return array("q", (lowest,)) * count
    residuals = _take_residuals(reader, count, width)
    numbers = lifted(residuals, lowest) if isinstance(residuals, bytes) else None
    return raised(_array(residuals), lowest, 0) if numbers is None else numbers


def take_pieces(reader: Reader) -> tuple[list[bytes], bytes]:
    """Read pieces of bytes: how many, the length of each, and then one after the other. Gives them joined, too."""
    count = reader.count()
    if count > 1 and reader.skip(_OF_ONE_LENGTH):
        length = reader.signed()
        joined = reader.take(count * length)
        return list(pieces(joined, length)) if length else [joined] * count, joined
    lengths = take_integer_array(reader, count)
    if count <= 1:
        joined = reader.take(sum(lengths))
        return [joined] * count, joined
    if min(lengths) < 0:
        raise ChunkError("a piece has a negative length")
    joined = reader.take(sum(lengths))
    return [joined[start:end] for start, end in pairwise(accumulate(lengths, initial=0))], joined


def put_doubles(out: bytearray, values: Sequence[float]) -> None:
    """Append floating-point numbers as they are, bit by bit."""
    _put_planes(out, values.tobytes() if isinstance(values, array) else struct.pack(f"<{len(values)}d", *values), 8)


def take_doubles(reader: Reader, count: int) -> "array[float]":
    """Read floating-point numbers that `put_doubles` wrote."""
    doubles: array[float] = array("d")
    doubles.frombytes(_take_planes(reader, count, 8))
    return doubles


def float_array(values: Sequence[float]) -> "array[float]":
    """Floating-point numbers side by side: this takes half as long as an array takes to ask for one after the other."""
    return array("d", struct.pack(f"<{len(values)}d", *values))


def _array(values: Sequence[int]) -> "array[int]":
    """The same of whole numbers. Raises `struct.error` when one has more than 64 bits."""
    return array("q", struct.pack(f"<{len(values)}q", *values))


def _take_form(reader: Reader) -> int:
    form = reader.byte()
    width = form & _WIDTH
    if form & ~(_DELTA | _WIDTH) or (width and width not in _CODES):
        raise ChunkError(f"integers of form {form} are not known")
    return form


def _width(spread: float) -> int:
    return next((width for highest, width in _WIDTHS[1:] if spread <= highest), 8) if spread else 0


def _put_residuals(out: bytearray, values: Sequence[int], lowest: int, width: int) -> None:
    put_signed(out, lowest)
    if width == 1:
        out += bytes([value - lowest for value in values])
    elif width:
        _put_planes(out, struct.pack(f"<{len(values)}{_CODES[width]}", *[value - lowest for value in values]), width)


def _put_whole_residuals(out: bytearray, values: Sequence[float], lowest: float, width: int) -> None:
    put_signed(out, int(lowest))
    if width:
        # From 2^52 on the lowest bytes of a floating-point number are those of the whole number that is beyond it.
        origin = lowest - _ONES_FROM
        raw = struct.pack(f"<{len(values)}d", *[value - origin for value in values])
        for plane in range(width):
            out += raw[plane::8]


def _take_residuals(reader: Reader, count: int, width: int) -> Sequence[int]:
    if width <= 1:
        return reader.take(count) if width else bytes(count)
    residuals: array[int] = array(_CODES[width])
    residuals.frombytes(_take_planes(reader, count, width))
    return residuals


def _put_planes(out: bytearray, raw: bytes, width: int) -> None:
    """First the lowest byte of each number, then the next of each: alike bytes side by side compress better."""
    for plane in range(width):
        out += raw[plane::width]


def _take_planes(reader: Reader, count: int, width: int) -> bytearray:
    """The numbers one after the other, as an array takes them."""
    planes = reader.take(count * width)
    raw = bytearray(count * width)
    for plane in range(width):
        raw[plane::width] = planes[plane * count : (plane + 1) * count]
    return raw
