"""Columns of decimal fractions of a log, metric by metric, as the whole numbers that they are written as.

What a metric comes to lies nearly always within 65,536 whole numbers that follow each other: a window. The first column
of a metric says where it lies. If one lies elsewhere, the window is moved, a few times; then the metric has none.
"""

from array import array
from collections.abc import Sequence
from itertools import repeat
from operator import mul, sub

from appliance.telemetry.column import FRACTIONS, SCALES, take_scale
from appliance.telemetry.lanes import array_of, beyond, climbed, moved
from appliance.telemetry.packing import Reader, take_integer_sequence
from appliance.telemetry.scaled import NUMBERS, Scaled, Window
from appliance.telemetry.tenths import FORM_BYTES, FORM_STEPS

WINDOWS_LIMIT = 4
"""For one metric: what was read with another one has to be joined."""

_FORMS = (FORM_STEPS, FORM_BYTES, 0x02, 0x00)
"""How whole numbers are stored (docs/reference/chunks.md): as steps, and in one byte each, in two bytes, in none."""
_BEGINNINGS = {
    scale: tuple(bytes((*FRACTIONS, places, form)) for form in _FORMS) for places, scale in enumerate(SCALES)
}
"""How columns of fractions begin."""
_EXACT_LIMIT = 1 << 52
"""Beyond it a fraction may be another one when both numbers that it comes from are ten times as great."""


class Scaling:
    """Where the windows of metrics lie."""

    def __init__(self) -> None:
        self._windows: dict[str, Window | None] = {}
        """None where there is none any more."""
        self._counts: dict[str, int] = {}

    def take(self, metric: str, reader: Reader, count: int) -> Scaled | None:
        """Read the next column of a metric; None, and nothing is read, where it is to be read as any other."""
        window, position = self._windows.get(metric), reader.position
        if not count or (window is None and metric in self._windows):
            return None
        found = None if window is None else _taken_at_once(reader, count, window)
        if found is None and (scale := take_scale(reader)) is not None:
            wholes = take_integer_sequence(reader, count)
            found = None if window is None else _within(wholes, scale, window)
            if found is None:
                window = self._windows[metric] = self._next(metric, scale, wholes)
                found = None if window is None else _within(wholes, scale, window)
        if found is None or window is None:
            reader.position = position
            return None
        return Scaled(found, window)

    def _next(self, metric: str, scale: float, wholes: Sequence[int]) -> Window | None:
        """A window around a column; None where none is wide enough, or there were too many."""
        before = self._windows.get(metric)
        greatest = scale if before is None else max(scale, before.scale)
        factor = int(greatest / scale)
        least, most = min(wholes) * factor, max(wholes) * factor
        lowest = (least + most - NUMBERS) // 2
        count = self._counts[metric] = self._counts.get(metric, 0) + 1
        is_one = most - least < NUMBERS and -_EXACT_LIMIT < lowest < _EXACT_LIMIT
        return Window(lowest, greatest) if is_one and count <= WINDOWS_LIMIT else None


def _taken_at_once(reader: Reader, count: int, window: Window) -> "array[int] | None":
    """By how much each whole number is beyond the lowest one; None, and nothing is read, where that takes longer."""
    position, lowest = reader.position, window.lowest
    # Which column begins is told from all of its first bytes at once: they are on the way of each column.
    steps, beyond_one, halves, constant = _BEGINNINGS[window.scale]
    found: array[int] | None = None
    if reader.skip(steps):
        first, least = reader.signed() - lowest, reader.signed()
        found = climbed(reader.take(count - 1), first, least)
    elif reader.skip(beyond_one):
        first = reader.signed() - lowest
        found = beyond(reader.take(count), first)
    elif reader.skip(halves):
        first = reader.signed() - lowest
        raw = bytearray(2 * count)
        raw[::2], raw[1::2] = reader.take(count), reader.take(count)
        found = moved(array("H", raw), first)
    elif reader.skip(constant):
        first = reader.signed() - lowest
        found = array("H", (first,)) * count if 0 <= first < NUMBERS else None
    if found is None:
        reader.position = position
    return found


def _within(wholes: Sequence[int], scale: float, window: Window) -> "array[int] | None":
    """By how much each is beyond the lowest of a window; None where one of them is not in it."""
    if scale > window.scale:
        return None
    factor = int(window.scale / scale)
    raised = wholes if factor == 1 else map(mul, wholes, repeat(factor))
    try:
        return array_of("H", list(map(sub, raised, repeat(window.lowest))))
    except OverflowError:
        return None
