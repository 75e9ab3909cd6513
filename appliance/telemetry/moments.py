"""Where the reports of a moment lie among the parts of an open chunk, in whatever order they came.

Rules:
- As long as moments only grow, the parts themselves are the index: two bisections find a moment, and nothing is kept.
- From the first report that is older than one before it, every report has a key of eight bytes, in leaves of bounded
  size. So no report costs more than a bisection and the move of a few kilobytes, and no look-up more than that.
"""

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

from appliance.instant import DAY_MS
from appliance.telemetry.rows import Rows

LEAF_KEYS = 512
"""Keys in a leaf, at most; it is halved beyond that."""

_PLACE_BITS = 36
"""A moment of a day needs 27 bits: with the place of its report it fits into a signed number of 64."""
_PLACE_MASK = (1 << _PLACE_BITS) - 1
_NEVER = -(1 << 63)


class Moments:
    """The moments of the reports of one device and day, which come part by part."""

    __slots__ = ("_keys", "_newest", "_ordered_count", "_parts", "_starts")

    def __init__(self, parts: Sequence[Rows]) -> None:
        """`parts` has its first part, and grows at its end: each time that it does, `begin_part` is called."""
        self._parts = parts
        self._starts = [0]
        """The place of the first report of each part, counted over all parts."""
        self._newest = _NEVER
        """Of the reports that came in order."""
        self._ordered_count = 0
        """So many came in order before the first that did not, if one did not."""
        self._keys: Keys | None = None
        """Of those after them; None as long as all came in order."""

    @property
    def key_count(self) -> int:
        """How many keys are kept: eight bytes each, and as much again for room at most."""
        return self._keys.count if self._keys else 0

    def begin_part(self) -> None:
        """Say that the newest of the parts was begun, and that the one before it grows no more."""
        self._starts.append(self._starts[-1] + self._parts[-2].count)

    def continues(self, at: int) -> bool:
        """Whether all came in order so far, and reports from this moment on would, too."""
        return self._keys is None and at >= self._newest

    def note(self, at: int) -> None:
        """Say that the newest part got a report of this moment."""
        if self._keys is None and at >= self._newest:
            # On the way of every report: most devices never send an older one.
            self._newest = at
            return
        place = self._starts[-1] + self._parts[-1].count - 1
        if self._keys is None:
            self._ordered_count = place
            self._keys = Keys()
        self._keys.add((at % DAY_MS) << _PLACE_BITS | place)

    def rows_at(self, at: int, limit: int) -> list[tuple[Rows, int]]:
        """The reports of a moment of the day, by part and row, in the order in which they came, at most `limit`."""
        found: list[tuple[Rows, int]] = []
        for place in self._places_at(at):
            if len(found) == limit:
                break
            number = bisect_right(self._starts, place) - 1
            found.append((self._parts[number], place - self._starts[number]))
        return found

    def _places_at(self, at: int) -> Iterator[int]:
        if at <= self._newest:
            yield from self._ordered_at(at)
        if self._keys is not None:
            first = (at % DAY_MS) << _PLACE_BITS
            for key in self._keys.between(first, first + _PLACE_MASK):
                yield key & _PLACE_MASK

    def _ordered_at(self, at: int) -> Iterator[int]:
        parts, starts = self._parts, self._starts
        end = starts[-1] + parts[-1].count if self._keys is None else self._ordered_count
        part_count = bisect_left(starts, end)
        # The last part that begins before the moment may still hold it, and so may those that begin with it.
        number = max(bisect_left(parts, at, hi=part_count, key=_first_moment) - 1, 0)
        while number < part_count:
            moments = parts[number].at
            last = min(len(moments), end - starts[number])
            row = bisect_left(moments, at, hi=last)
            while row < last and moments[row] == at:
                yield starts[number] + row
                row += 1
            if row < last:
                return
            number += 1


class Keys:
    """Whole numbers of 64 bits in order, each once."""

    __slots__ = ("_leaf_keys", "_leaves", "_tops", "count")

    def __init__(self, leaf_keys: int = LEAF_KEYS) -> None:
        self._leaf_keys = leaf_keys
        self._leaves: list[array[int]] = []
        self._tops: list[int] = []
        """The greatest of each leaf."""
        self.count = 0

    def add(self, key: int) -> None:
        """Put in a number that is not in."""
        self.count += 1
        leaves, tops = self._leaves, self._tops
        if not tops or key > tops[-1]:
            # What was gathered while a device was away comes in order: this leaves full leaves behind.
            if tops and len(leaves[-1]) < self._leaf_keys:
                leaves[-1].append(key)
                tops[-1] = key
            else:
                leaves.append(array("q", (key,)))
                tops.append(key)
            return
        number = bisect_left(tops, key)
        leaf = leaves[number]
        leaf.insert(bisect_left(leaf, key), key)
        if len(leaf) > self._leaf_keys:
            half = len(leaf) // 2
            leaves[number : number + 1] = [leaf[:half], leaf[half:]]
            tops.insert(number, leaf[half - 1])

    def between(self, first: int, last: int) -> Iterator[int]:
        """The numbers from `first` to `last`, in order. Nothing is put in meanwhile."""
        number = bisect_left(self._tops, first)
        place = bisect_left(self._leaves[number], first) if number < len(self._leaves) else 0
        while number < len(self._leaves):
            leaf = self._leaves[number]
            while place < len(leaf):
                if leaf[place] > last:
                    return
                yield leaf[place]
                place += 1
            number, place = number + 1, 0


def _first_moment(part: Rows) -> int:
    return part.at[0]
