"""Sums of many whole numbers at once, by laying them side by side in one great number.

One addition of two numbers of 200 times 64 bits adds 200 numbers in the time in which Python adds three. Each sum has
its own 64 bits as long as it lies from 0 to 2^63: where that is not known beforehand, numbers are added one by one.

A walk is numbers of which the steps between them are known. They are added up by doubling: to each the one before it is
added, then to each the one two places before it, then four: twelve additions are enough for thousands of numbers. A
great number has its first lane at its top there: what a shift moves past the last lane is gone.
"""

import struct
from array import array
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate, repeat
from operator import add
from typing import Literal, NamedTuple

LANES_LIMIT = 1_024
"""Of more numbers at once nothing is gained, and each count of them costs memory."""
WALK_FEW, WALK_LIMIT = 48, 4_096
"""Walks of no more numbers than the first are sooner added up one by one, those of more than the second are, too."""
SMALL_STEPS = 8
"""Steps smaller than this `near` adds up at once."""

_LANE_BYTES = 8
_GREATEST = (1 << 63) - 1
_WALK_LANE_BYTES = 4
_NEAR_LANE_BYTES = _HALF_BYTES = 2
_LOW = (1 << 32) - 1
_SMALL = bytes(range(SMALL_STEPS))
_LOWEST_STEP = -128
_BYTE = 0xFF
_HALF = 0xFFFF
_RISING = bytes(range(_BYTE + 1)) * 2
_ROOM = 112
_ROOM_STEP = 32
"""Where 256 numbers begin that a walk may stay within: somewhat below the first, and at few different places."""


def raised(numbers: "array[int]", first: int, step: int) -> "array[int]":
    """The first number plus `first`, the next plus `first + step`, and so on.

    Raises `OverflowError` when a sum has more than 64 bits.
    """
    count = len(numbers)
    if not count or not (first or step):
        return numbers
    last = first + (count - 1) * step
    if count <= LANES_LIMIT and 0 <= first <= _GREATEST and 0 <= last <= _GREATEST:
        line = _line_of(count)
        sums = _sums(numbers, first * line.ones + step * line.places, line)
        if sums is not None:
            return sums
    if count > LANES_LIMIT:
        sums = array("q")
        for place in range(0, count, LANES_LIMIT):
            sums.extend(raised(numbers[place : place + LANES_LIMIT], first + place * step, step))
        return sums
    return array("q", map(add, numbers, range(first, last + step, step) if step else repeat(first)))


def added(numbers: "array[int]", others: "array[int]") -> "array[int]":
    """The sum of each number and the other in its place. Raises `OverflowError` when one has more than 64 bits."""
    count = len(numbers)
    if 0 < count <= LANES_LIMIT:
        line, other = _line_of(count), _together(others)
        sums = _signed_sums(numbers, other, line) if other & line.tops else _sums(numbers, other, line)
        if sums is not None:
            return sums
    return array("q", map(add, numbers, others))


def lifted(numbers: bytes, lowest: int) -> "array[int] | None":
    """A number plus each of some others of one byte; None where more than its two lowest bytes may change.

    Raises `OverflowError` when it has more than 64 bits.
    """
    low, next_byte = lowest & _BYTE, lowest >> 8 & _BYTE
    if next_byte == _BYTE:
        return None
    raw = bytearray(lowest.to_bytes(_LANE_BYTES, "little", signed=True) * len(numbers))
    raw[::_LANE_BYTES] = numbers.translate(_RISING[low : low + _BYTE + 1])
    raw[1::_LANE_BYTES] = numbers.translate(_carried(low, next_byte))
    return array("q", raw)


def walked(steps: bytes, width: int, first: int, least: int) -> "array[int] | None":
    """A number, then each as much greater than the one before it as `least` and a step more.

    Steps have one or two bytes: the lowest of each come first, then the next of each. None where they are sooner
    added up one by one, or where it is not sure that in all of them only the lowest 32 bits change. Raises
    `OverflowError` when they have more than 64 bits.
    """
    count = len(steps) // width + 1
    if not WALK_FEW < count <= WALK_LIMIT:
        return None
    path = _path_of(count, _WALK_LANE_BYTES)
    low = first & _LOW
    numbers = _sums_of_steps(low, steps, width, path)
    greatest, line = numbers & _LOW, least * (count - 1)
    # The sums of steps alone rise: if the last one has not left its lane, none has.
    is_within = greatest + line <= _LOW if least >= 0 else max(greatest, -line) <= _LOW >> 1
    if greatest < low or not is_within:
        return None
    numbers += least * path.places
    if least < 0 and numbers & path.outside:
        return None
    lows = array("I", numbers.to_bytes(count * _WALK_LANE_BYTES, "big"))
    lows.byteswap()
    found = array("q", (first - low,)) * count
    memoryview(found).cast("B").cast("I")[::2] = memoryview(lows)
    return found


def lowest_near(first: int) -> int:
    """The lowest of the 256 numbers within which `near` expects a walk from this one to stay."""
    return (first - _ROOM) // _ROOM_STEP * _ROOM_STEP


def near(steps: bytes, first: int, least: int) -> bytes | None:
    """The same of steps of one byte, if all the numbers stay near the first one: one byte each.

    Each says by how much a number is greater than `lowest_near(first)`.
    """
    count, beyond = len(steps) + 1, first - lowest_near(first)
    if -_BYTE <= least < SMALL_STEPS and _may_add_up(steps):
        path = _path_of(count, _NEAR_LANE_BYTES)
        sums = _sums_of_steps(beyond, steps, 1, path) + least * path.places
        # None is further from the one before it than 9 bits tell: the first that is not near has bits above a byte.
        return None if sums & path.outside else sums.to_bytes(count * _NEAR_LANE_BYTES, "big")[1::2]
    differences = signed_steps(steps, least)
    if differences is None:
        return None
    try:
        return bytes(accumulate(differences, initial=beyond))
    except ValueError:  # one is below 0 or greater than 255
        return None


def climbed(steps: bytes, first: int, least: int) -> "array[int] | None":
    """The same as unsigned numbers of 16 bits from 0 on; None, too, where one of them has more."""
    count = len(steps) + 1
    if 0 <= first <= _HALF and _may_add_up(steps):
        path = _path_of(count, _HALF_BYTES)
        numbers, line = _sums_of_steps(first, steps, 1, path), least * (count - 1)
        greatest = numbers & _HALF
        # As in `walked`: the sums of steps alone rise, and come to less than twice what a lane holds.
        if first <= greatest and (greatest + line <= _HALF if line >= 0 else first + line >= 0):
            found = array("H", (numbers + least * path.places).to_bytes(count * _HALF_BYTES, "big"))
            found.byteswap()
            return found
    differences = signed_steps(steps, least)
    if differences is None:
        return None
    try:
        return array_of("H", list(accumulate(differences, initial=first)))
    except OverflowError:
        return None


def beyond(numbers: bytes, lowest: int) -> "array[int] | None":
    """A number plus each of some others of one byte, in 16 bits without a sign; None where one may have more."""
    if not 0 <= lowest < _HALF - _BYTE:
        return None
    low, high = lowest & _BYTE, lowest >> 8
    raw = bytearray(len(numbers) * _HALF_BYTES)
    raw[::_HALF_BYTES] = numbers.translate(_RISING[low : low + _BYTE + 1])
    raw[1::_HALF_BYTES] = numbers.translate(_carried(low, high))
    return array("H", raw)


def array_of(code: Literal["H", "h", "q"], numbers: Sequence[int]) -> "array[int]":
    """Numbers side by side, sooner than an array takes them. Raises `OverflowError` when one has more bits."""
    try:
        return array(code, struct.pack(f"<{len(numbers)}{code}", *numbers))
    except struct.error as error:
        raise OverflowError("a number has more bits") from error


def moved(numbers: "array[int]", by: int) -> "array[int] | None":
    """Numbers of 16 bits without a sign, each as much greater; None where one would have more bits, or is below 0."""
    count = len(numbers)
    if not count:
        return numbers
    if not 0 <= (max(numbers) if by > 0 else min(numbers)) + by <= _HALF:
        return None
    sums = _together(numbers) + by * _halves_of(count)
    return array("H", sums.to_bytes(count * _HALF_BYTES, "little"))


def _may_add_up(steps: bytes) -> bool:
    """Whether steps of one byte come to no more than 16 bits hold, and are sooner added up together."""
    count = len(steps) + 1
    return WALK_FEW < count <= WALK_LIMIT and (count * _BYTE <= _HALF or not steps.translate(None, _SMALL))


def signed_steps(steps: bytes, least: int) -> "memoryview[int] | None":
    """Each of the steps and `least`; None where it is not sure that they are from -128 to 127."""
    if _LOWEST_STEP <= least <= 0 and steps.isascii():
        return memoryview(steps.translate(_exchanged(least))).cast("b")
    return None


def _carried(low: int, high: int) -> bytes:
    """What the next byte of a number is when each byte is added to its lowest one: from 256 on one is carried."""
    return bytes((high,)) * (_BYTE + 1 - low) + bytes((high + 1,)) * low


@lru_cache(maxsize=1 - _LOWEST_STEP)
def _exchanged(least: int) -> bytes:
    """What each byte becomes when a number from -128 to 0 is added."""
    return bytes((step + least) & _BYTE for step in range(_BYTE + 1))


class _Path(NamedTuple):
    """Great numbers for so many lanes, the first of which is the highest, as in `_Line`, and how to add them up."""

    lane_bytes: int
    places: int
    outside: int
    """The bits that only a number has which is below 0, or greater than may be: of two bytes one is for numbers."""
    shifts: tuple[int, ...]
    """By one lane, by two, by four …"""


def _sums_of_steps(first: int, steps: bytes, width: int, path: _Path) -> int:
    """A number, then each as much greater than the one before it as the next step, each in a lane."""
    count = len(steps) // width
    size = path.lane_bytes
    raw = bytearray((count + 1) * size)
    for plane in range(width):
        raw[2 * size - 1 - plane :: size] = steps[plane * count : (plane + 1) * count]
    raw[:size] = first.to_bytes(size, "big")
    sums = int.from_bytes(raw, "big")
    for shift in path.shifts:
        sums += sums >> shift
    return sums


@lru_cache(maxsize=64)
def _path_of(count: int, lane_bytes: int) -> _Path:
    whole = _longest_path(lane_bytes)
    beyond = (WALK_LIMIT - count) * lane_bytes * 8
    shifts = [shift for shift in whole.shifts if shift < count * lane_bytes * 8]
    return _Path(lane_bytes, whole.places >> beyond, whole.outside >> beyond, tuple(shifts))


@lru_cache(maxsize=2)
def _longest_path(lane_bytes: int) -> _Path:
    outside = 0xFF00 if lane_bytes == _NEAR_LANE_BYTES else 1 << 31
    all_outside, places = (
        int.from_bytes(b"".join(each.to_bytes(lane_bytes, "big") for each in numbers), "big")
        for numbers in ((outside,) * WALK_LIMIT, range(WALK_LIMIT))
    )
    shifts = [lane_bytes * 8 << times for times in range((WALK_LIMIT - 1).bit_length())]
    return _Path(lane_bytes, places, all_outside, tuple(shifts))


class _Line(NamedTuple):
    """Great numbers for so many lanes."""

    ones: int
    places: int
    """0, 1, 2 …"""
    tops: int
    """The highest bit of each lane: whoever has one of them is negative, or too great."""


def _sums(numbers: "array[int]", others: int, line: _Line) -> "array[int] | None":
    """None when not every number and every sum lies from 0 to 2^63; the others do."""
    one = _together(numbers)
    sums = one + others
    if (one | sums) & line.tops:
        return None
    return array("q", sums.to_bytes(len(numbers) * _LANE_BYTES, "little"))


def _signed_sums(numbers: "array[int]", others: int, line: _Line) -> "array[int] | None":
    """The same where others are below 0. None when a number is, or has more than 62 bits, or another has more."""
    one, raised_others = _together(numbers), others ^ line.tops
    # Greater by 2^63 for as long as they are added up, none of the others is below 0.
    if (one | one << 1 | raised_others & raised_others << 1) & line.tops:
        return None
    return array("q", ((one + raised_others) ^ line.tops).to_bytes(len(numbers) * _LANE_BYTES, "little"))


def _together(numbers: "array[int]") -> int:
    return int.from_bytes(numbers.tobytes(), "little")


@lru_cache(maxsize=256)
def _halves_of(count: int) -> int:
    """One in each lane of 16 bits."""
    return _together(array("H", (1,)) * count)


@lru_cache(maxsize=256)
def _line_of(count: int) -> _Line:
    ones = _together(array("q", (1,)) * count)
    return _Line(ones, _together(array("q", range(count))), ones << 63)
