"""A column of moments as JSON, many in one go: a chart has tens of thousands, and printing each takes most of its time.

What the clock shows of every moment of a day is computed at once: the moments lie side by side in one great number, 64
bits each, which is divided by multiplying. Its digits are printed as those of whole numbers, and then put into their
places in the text digit by digit of all: the first digit of every hour, then the second, and so on.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NamedTuple

import msgspec

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, to_text
from appliance.telemetry.wanted import Check

MOMENTS_AT_ONCE = 1_024
"""So many are written in one step, which no other thread can come in between for long."""
_FEW = 8
"""So many are sooner printed one by one."""

_LANE_BYTES = 8
_TEN_DIGITS = 1_000_000_000
"""Added to what the clock shows, so that all numbers have as many digits."""
_DIGITS_BYTES = len("1hhmmssmmm,")
_TEXT_BYTES = len('"yyyy-mm-ddThh:mm:ss.mmmZ",')
_CLOCK = slice(len('"yyyy-mm-ddT'), len('"yyyy-mm-ddThh:mm:ss.mmm'))
_PLACES = [
    (place, number + len("[1"))
    for number, place in enumerate(
        _CLOCK.start + offset for offset, letter in enumerate("hh:mm:ss.mmm") if letter.isalpha()
    )
]
"""Where each digit stands in the text of the first moment, and in the number that shows the same."""

# A moment of a day is less than 2^27: so great a shift and a factor that is rounded up divide it without a rest.
_MINUTE_SHIFT, _HOUR_SHIFT = 43, 49
_MINUTE_FACTOR = -(-(1 << _MINUTE_SHIFT) // MINUTE_MS)
_HOUR_FACTOR = -(-(1 << _HOUR_SHIFT) // HOUR_MS)
_QUOTIENT = (1 << 11) - 1
"""What a quotient fits into: a day has 1,440 minutes."""
_BEYOND_MINUTES = 100_000 - MINUTE_MS
"""What the digits of a minute say more than its milliseconds."""
_BEYOND_HOURS = 10_000_000 - 60 * 100_000


def written(check: Check, moments: Sequence[int]) -> bytes:
    """Moments, oldest first, as JSON strings with commas in between, each as `to_text` prints it."""
    pieces = []
    for low, high in _days(moments):
        for first in range(low, high, MOMENTS_AT_ONCE):
            check()
            some = moments[first : min(first + MOMENTS_AT_ONCE, high)]
            pieces.append(_of_day(some) if len(some) > _FEW and some[0] >= 0 else _one_by_one(some))
    return b",".join(pieces)


def _one_by_one(moments: Sequence[int]) -> bytes:
    return msgspec.json.encode(list(map(to_text, moments)))[1:-1]


def _days(moments: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Where the moments of each UTC day begin and end."""
    low = 0
    while low < len(moments):
        high = bisect_left(moments, (moments[low] // DAY_MS + 1) * DAY_MS, low)
        yield low, high
        low = high


def _of_day(moments: Sequence[int]) -> bytes:
    """Moments of one UTC day since 1970."""
    count = len(moments)
    midnight = moments[0] // DAY_MS * DAY_MS
    lanes = _lanes(count)
    side_by_side = moments if isinstance(moments, array) else array("q", moments)
    since = int.from_bytes(side_by_side.tobytes(), "little") - midnight * lanes.ones
    minutes = since * _MINUTE_FACTOR >> _MINUTE_SHIFT & lanes.quotients
    hours = since * _HOUR_FACTOR >> _HOUR_SHIFT & lanes.quotients
    shown = since + minutes * _BEYOND_MINUTES + hours * _BEYOND_HOURS + lanes.ones * _TEN_DIGITS
    numbers = array("q", shown.to_bytes(count * _LANE_BYTES, "little")).tolist()
    digits = msgspec.json.encode(numbers)
    text = bytearray(b'"%b",' % to_text(midnight).encode()) * count
    for place, number in _PLACES:
        text[place::_TEXT_BYTES] = digits[number::_DIGITS_BYTES]
    return bytes(memoryview(text)[:-1])


class _Lanes(NamedTuple):
    """Numbers that have the same in each lane."""

    ones: int
    quotients: int


@lru_cache(maxsize=64)
def _lanes(count: int) -> _Lanes:
    ones, quotients = (
        int.from_bytes(number.to_bytes(_LANE_BYTES, "little") * count, "little") for number in (1, _QUOTIENT)
    )
    return _Lanes(ones, quotients)
