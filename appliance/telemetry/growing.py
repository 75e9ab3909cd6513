"""What grows while reports come in: columns of values, and what is kept only where it changes."""

from array import array
from bisect import bisect_right
from collections.abc import Iterator, MutableSequence, Sequence
from typing import Any, Generic, TypeVar

from appliance.telemetry.column import MISSING, Cell
from appliance.telemetry.model import Value
from appliance.telemetry.scaled import Scaled

T = TypeVar("T")

_CODES: dict[type, str] = {float: "d", int: "q"}
_KINDS = {code: kind for kind, code in _CODES.items()}


class Column:
    """Values in the order of their rows."""

    __slots__ = ("_scaled", "cells", "kind")

    def __init__(self, cells: MutableSequence[Any], kind: type | None) -> None:
        self.cells = cells
        self.kind = kind
        """The one kind of value in an array; None for a list."""

    def append(self, cell: Cell) -> None:
        """Add a value of any kind."""
        if self.kind is not None:
            try:
                if type(cell) is self.kind:
                    self.cells.append(cell)
                    return
            except OverflowError:
                pass  # an integer beyond 64 bits: only a list holds it
            self.cells = list(self.cells)
            self.kind = None
        self.cells.append(cell)

    def extend(self, cells: Sequence[Cell]) -> None:
        """Add values as `append` does one after the other."""
        if type(cells) is Scaled:
            cells = cells.doubles()
        if isinstance(cells, array) and self.kind is not None and cells.typecode == _CODES[self.kind]:
            self.cells.extend(cells)
            return
        if self.kind is not None:
            try:
                if set(map(type, cells)) <= {self.kind}:
                    # As a whole first: an array that refuses one value keeps those before it.
                    self.cells.extend(array(_CODES[self.kind], cells))
                    return
            except OverflowError:
                pass
            self.cells = list(self.cells)
            self.kind = None
        self.cells.extend(cells)

    def extend_packed(self, cells: "memoryview[int] | memoryview[float]", kind: type) -> None:
        """Add values of a kind, which lie in memory as an array of it has them; of booleans, as integers."""
        if kind is self.kind and isinstance(self.cells, array):
            self.cells.frombytes(cells.tobytes())
        else:
            self.extend([kind(cell) for cell in cells])

    def copy(self) -> "Column":
        """The same values, which stay as they are now."""
        return Column(self.cells[:], self.kind)


class _Scaled(Column):
    """A column that is divided as soon as anybody looks at its cells, and is a column like any other from then on.

    So whoever uses columns need not know of it. Several threads may look at once at what grows no more: what each of
    them divides is the same.
    """

    __slots__ = ()

    def __init__(self, scaled: Scaled) -> None:
        self._scaled = scaled
        self.kind = float

    def __getattr__(self, name: str) -> Any:
        if name != "cells":
            raise AttributeError(f"a column has no {name}")
        self.cells = cells = self._scaled.doubles()
        self.__class__ = Column  # type: ignore[assignment]
        return cells

    def copy(self) -> Column:
        """The same values; nothing is divided for that."""
        return _Scaled(self._scaled)


def new_column(cell: Cell) -> Column:
    """An empty column of the kind that suits its first value."""
    kind = type(cell)
    code = _CODES.get(kind)
    return Column(array(code), kind) if code else Column([], None)


class Runs(Generic[T]):
    """Values in the order of their rows, kept only where they change."""

    __slots__ = ("starts", "values")

    def __init__(self, starts: list[int], values: list[T]) -> None:
        self.starts = starts
        self.values = values

    def append(self, row: int, value: T) -> None:
        """Say that from this row on the value is another one."""
        self.starts.append(row)
        self.values.append(value)

    def at(self, row: int) -> T:
        """The value of a row."""
        return self.values[bisect_right(self.starts, row) - 1]

    def expanded(self, count: int) -> Iterator[T]:
        """The value of each row."""
        ends = [*self.starts[1:], count]
        for start, end, value in zip(self.starts, ends, self.values, strict=True):
            for _ in range(start, end):
                yield value

    def copy(self) -> "Runs[T]":
        """The same values, which stay as they are now."""
        return Runs(self.starts[:], self.values[:])


def column_of(cells: Sequence[Value]) -> Column:
    """A column of these values, of which there is one at least."""
    if type(cells) is Scaled:
        return _Scaled(cells)
    if isinstance(cells, array):
        return Column(cells[:], _KINDS[cells.typecode])
    column = new_column(cells[0])
    column.extend(cells)
    return column


def column_with_missing(count: int) -> Column:
    """A column of a metric that so many reports do not name."""
    return Column([MISSING] * count, None)
