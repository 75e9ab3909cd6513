"""Rows of numbers, by device: what many records hold of reports that are alike.

The reports of a record become rows that lie side by side in one piece of memory. Cut apart and joined again by device,
and taken apart again by columns, each of them is touched only in its device's turn. As all of it is in memory at once,
a row is narrow: what 16 bits hold takes no more.
"""

from array import array
from collections import defaultdict, deque
from collections.abc import Sequence
from typing import TypeAlias, cast

from appliance.telemetry.column import Cell
from appliance.telemetry.pieces import pieces
from appliance.telemetry.recovering.unpacked import Packed
from appliance.telemetry.scaled import Scaled, Window

Kind: TypeAlias = str | Window
"""Of a column: what its array holds, or else that it is a list; of what is scaled, in which window."""

_OBJECT = "O"
"""A column of whatever no array holds: in its rows stand places in a list."""
_NARROW = ("H", "h")
_HALF = 0xFFFF
_CELL = 8
_HALVES = 4
"""So many numbers of 16 bits take as much as one of 64."""


def kind_of(column: Packed) -> Kind:
    """What tells where reports are alike."""
    if type(column) is array:
        return column.typecode
    return column.window if type(column) is Scaled else _OBJECT


class Pile:
    """Reports whose columns are of the same kinds: a row of numbers for each of them."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        wide, narrow = list[int](), list[int]()
        for place, kind in enumerate(kinds):
            (narrow if isinstance(kind, Window) or kind in _NARROW else wide).append(place)
        self._kinds = kinds
        self._width = len(wide) - -len(narrow) // _HALVES
        """Of a row, in numbers of 64 bits. Those come first in it, and those of 16 bits behind them."""
        self._wide = [(place, offset) for offset, place in enumerate(wide)]
        self._narrow = [(place, len(wide) * _HALVES + offset) for offset, place in enumerate(narrow)]
        """Which columns these are, and where each stands in a row, in numbers of its size."""
        self._blank = bytes(_CELL * self._width)
        self._objects: list[list[Cell]] = [[] for _ in kinds]
        """By column, what stands in no row."""
        self.joined: defaultdict[bytes, list[bytes]] = defaultdict(list)
        """The rows of each device, but for the newest."""
        self._rows: defaultdict[bytes, list[bytes]] = defaultdict(list)

    def add(self, devices: Sequence[bytes], columns: Sequence[Packed]) -> None:
        """Add a row for each device, of columns of these kinds: one cell for all rows, or one for each."""
        width, row = self._width, array("q", self._blank)
        halves = memoryview(row).cast("B").cast("H")
        wide, narrow = list[tuple[int, "array[int]"]](), list[tuple[int, "array[int]"]]()
        for place, offset in self._wide:
            numbers = self._numbers(place, columns[place])
            if len(numbers) == 1:
                row[offset] = numbers[0]
            else:
                wide.append((offset, numbers))
        for place, offset in self._narrow:
            column = columns[place]
            numbers = column.beyond if type(column) is Scaled else cast("array[int]", column)
            if len(numbers) == 1:
                halves[offset] = numbers[0] & _HALF
            else:
                narrow.append((offset, numbers))
        cells = row * len(devices)
        for offset, numbers in wide:
            cells[offset::width] = numbers
        halves = memoryview(cells).cast("B").cast("H")
        for offset, numbers in narrow:
            view = memoryview(numbers)
            halves[offset :: width * _HALVES] = view if numbers.typecode == "H" else view.cast("B").cast("H")
        # By device at once, and nothing of it in a loop of ours: this is on the way of each of a million reports.
        deque(map(list.append, map(self._rows.__getitem__, devices), pieces(cells, _CELL * width)), maxlen=0)

    def join(self) -> None:
        """Put the rows of each device together."""
        for device, rows in self._rows.items():
            self.joined[device].append(b"".join(rows))
        self._rows.clear()

    def taken(self, device: bytes) -> list[Packed]:
        """All joined rows of a device, by columns. They are here no more."""
        rows, width = b"".join(self.joined.pop(device)), self._width
        columns: list[Packed] = [[]] * len(self._kinds)
        numbers = array("q", rows)
        for place, offset in self._wide:
            kind, cells = self._kinds[place], numbers[offset::width]
            if kind == "q":
                columns[place] = cells
            elif kind == "d":
                columns[place] = array("d", cells.tobytes())
            else:
                columns[place] = list(map(self._objects[place].__getitem__, cells))
        if self._narrow:
            halves, width = array("H", rows), width * _HALVES
            for place, offset in self._narrow:
                kind, cells = self._kinds[place], halves[offset::width]
                if kind == "h":
                    columns[place] = array("h", cells.tobytes())
                else:
                    columns[place] = cells if isinstance(kind, str) else Scaled(cells, kind)
        return columns

    def _numbers(self, place: int, column: Packed) -> "array[int]":
        """What stands for a column in the rows."""
        kind = self._kinds[place]
        if kind == "q":
            return cast("array[int]", column)
        if kind == "d":
            return array("q", cast("array[float]", column).tobytes())
        objects = self._objects[place]
        objects += cast("list[Cell]", column)
        return array("q", range(len(objects) - len(column), len(objects)))
