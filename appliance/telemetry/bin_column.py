"""Many bins of one metric, a column for each of their fields: a chart reads tens of thousands, and few of the fields.

Rules:
- Bins stand in the order of time, by the moment at which the hour or day of each begins.
- What a column tells of its bins is what each `Bin` tells.
- Fields that nobody asks for need not be unpacked, joined or combined: most charts ask for the first four.
"""

from bisect import bisect_left
from collections.abc import Callable, ItemsView, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, pairwise
from operator import le
from typing import Any, cast, overload

from msgspec.structs import astuple

from appliance.telemetry.bins import Bin, Fields, combined_extent, combined_fields

_FIELD_COUNT = len(Bin.__struct_fields__)
EXTENT_COUNT = 4
"""How many fields make an extent, which are the first ones."""
_EXTENT = slice(EXTENT_COUNT)
OTHERS_COUNT = _FIELD_COUNT - EXTENT_COUNT


class LaterFields(Sequence[Sequence[Any]]):
    """Fields of bins that are made when they are asked for: those of the extent together, and the others together."""

    __slots__ = ("_extent", "_make_extent", "_make_others", "_others")

    def __init__(self, make_extent: Callable[[], Fields], make_others: Callable[[], Fields]) -> None:
        self._make_extent = make_extent
        self._make_others = make_others
        self._extent: Fields | None = None
        self._others: Fields | None = None

    @overload
    def __getitem__(self, number: int) -> Sequence[Any]: ...

    @overload
    def __getitem__(self, number: slice) -> Fields: ...

    def __getitem__(self, number: int | slice) -> Sequence[Any] | Fields:
        """A field, by its place among those of `Bin`."""
        if isinstance(number, slice):
            if number == _EXTENT:
                # In one step: whoever tells means asks for it, bin column by bin column.
                if self._extent is None:
                    self._extent = self._make_extent()
                return self._extent
            return [self[each] for each in range(*number.indices(_FIELD_COUNT))]
        if number < EXTENT_COUNT:
            if self._extent is None:
                self._extent = self._make_extent()
            return self._extent[number]
        if self._others is None:
            self._others = self._make_others()
        return self._others[number - EXTENT_COUNT]

    def __len__(self) -> int:
        return _FIELD_COUNT


class BinColumn(Mapping[int, Bin]):
    """Bins by the moment at which they begin. Moments are UTC milliseconds, and each stands once."""

    __slots__ = ("at", "fields")

    def __init__(self, at: Sequence[int], fields: Fields) -> None:
        self.at = at
        """Rising."""
        self.fields = fields
        """As long as `at`, in the order of the fields of `Bin`."""

    @classmethod
    def of(cls, bins: Mapping[int, Bin]) -> "BinColumn":
        """Bins, in whatever order."""
        if not bins:
            return NOTHING
        at = sorted(bins)
        return cls(at, tuple(zip(*(astuple(bins[moment]) for moment in at), strict=True)))

    def __getitem__(self, at: int) -> Bin:
        place = bisect_left(self.at, at)
        if place == len(self.at) or self.at[place] != at:
            raise KeyError(at)
        return Bin(*cast("Iterable[Any]", (field[place] for field in self.fields)))

    def __iter__(self) -> Iterator[int]:
        return iter(self.at)

    def __len__(self) -> int:
        return len(self.at)

    def __repr__(self) -> str:
        return repr(dict(self.items()))

    def items(self) -> ItemsView[int, Bin]:
        """Each bin with its moment."""
        return dict(zip(self.at, map(Bin, *self.fields), strict=True)).items()

    def grouped(self, starts: Sequence[int], bounds: Sequence[int]) -> "BinColumn":
        """Bins combined into longer ones: from each of the bounds, which are places here, to the next one of them.

        None of them is empty. The longer ones begin at `starts`.
        """
        fields, spans = self.fields, list(pairwise(bounds))

        def extent() -> Fields:
            counts, minima, maxima, totals = fields[:EXTENT_COUNT]
            parts = [
                combined_extent(counts[low:high], minima[low:high], maxima[low:high], totals[low:high])
                for low, high in spans
            ]
            return list(zip(*parts, strict=True))

        def others() -> Fields:
            every = tuple(fields)
            parts = [combined_fields([field[low:high] for field in every]) for low, high in spans]
            return list(zip(*parts, strict=True))[EXTENT_COUNT:]

        return BinColumn(starts, LaterFields(extent, others))

    def settled(self) -> "BinColumn":
        """The same with every field made, so that nothing is held of what they are made from."""
        return BinColumn(self.at, tuple(self.fields))


NOTHING = BinColumn((), ((),) * _FIELD_COUNT)
"""No bins."""


def joined(columns: Sequence[BinColumn]) -> BinColumn:
    """The bins of all. When a moment stands in two of them, what comes is good for nothing but to be `grouped`."""
    if len(columns) <= 1:
        return columns[0] if columns else NOTHING
    at = list(chain.from_iterable(column.at for column in columns))
    order = None
    if not all(map(le, at, islice(at, 1, None))):
        order = sorted(range(len(at)), key=at.__getitem__)
        at = [at[place] for place in order]

    def field(number: int) -> Sequence[Any]:
        found = list(chain.from_iterable(column.fields[number] for column in columns))
        return found if order is None else [found[place] for place in order]

    def extent() -> Fields:
        return list(map(field, range(EXTENT_COUNT)))

    def others() -> Fields:
        return list(map(field, range(EXTENT_COUNT, _FIELD_COUNT)))

    return BinColumn(at, LaterFields(extent, others))
