"""Many bins of one metric, a column for each of their fields: a chart reads tens of thousands, and few of the fields.

Rules:
- Bins stand in the order of time, by the moment at which the hour or day of each begins.
- What a column tells of its bins is what each `Bin` tells.
"""

from bisect import bisect_left
from collections.abc import ItemsView, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice, pairwise
from operator import le
from typing import Any, cast

from msgspec.structs import astuple

from appliance.telemetry.bins import Bin, Fields, combined_fields

_FIELD_COUNT = len(Bin.__struct_fields__)


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
        fields = self.fields
        parts = [combined_fields(tuple(field[low:high] for field in fields)) for low, high in pairwise(bounds)]
        return BinColumn(starts, tuple(zip(*parts, strict=True)))


NOTHING = BinColumn((), ((),) * _FIELD_COUNT)
"""No bins."""


def joined(columns: Sequence[BinColumn]) -> BinColumn:
    """The bins of all. When a moment stands in two of them, what comes is good for nothing but to be `grouped`."""
    if len(columns) <= 1:
        return columns[0] if columns else NOTHING
    at = list(chain.from_iterable(column.at for column in columns))
    fields = [list(chain.from_iterable(parts)) for parts in zip(*(column.fields for column in columns), strict=True)]
    if all(map(le, at, islice(at, 1, None))):
        return BinColumn(at, tuple(fields))
    order = sorted(range(len(at)), key=at.__getitem__)
    return BinColumn([at[place] for place in order], tuple([field[place] for place in order] for field in fields))
