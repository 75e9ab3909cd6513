"""Whether rows that are not there are missing because pages of their file have changed places.

SQLite finds a row by its place in a tree of pages and checks no page: where a disk gave two pages of a table for each
other, or one for both, the rows on them are not found, which looks like hours in which nothing was measured. But they
are still there, out of order; so a look at the neighbours of a row that is missing tells.
"""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from itertools import groupby, islice
from operator import lt

LOOKS_LIMIT = 16
"""In a file that was looked at whole, the rows around so many gaps are looked at, the shortest first."""

PAGE_ROWS = 128
"""More than a page holds."""

AROUND = 2 * PAGE_ROWS
"""On each side. What is out of order begins or ends within the rows of a page."""

Around = Callable[[int], tuple[Sequence[int], Sequence[int]]]
"""Gives the keys below one that is not there and those above, `AROUND` of each, in the order in which they lie."""


def is_in_order(
    found: Sequence[int], numbers: Sequence[int], places: Sequence[int], around: Around, *, is_whole: bool
) -> bool:
    """Whether the keys found are those that rise, and none that was asked for seems to be elsewhere.

    Asked for were those of some devices, by their numbers, at some places, which are keys without a device. Unless
    the file was looked at whole, each key that is missing must be missing where it would be.
    """
    if not is_rising(found):
        return False
    if len(found) == len(places) * len(numbers) and numbers[-1] - numbers[0] < len(numbers):
        # Nearly always: devices side by side, all of whose rows are there.
        return True
    return is_missing_in_order(set(found), numbers, places, around, is_whole=is_whole)


def is_missing_in_order(
    there: Container[int], numbers: Iterable[int], places: Sequence[int], around: Around, *, is_whole: bool
) -> bool:
    """Whether none of the keys that were asked for and are not there seems to be elsewhere."""
    gaps = (gap for number in numbers for gap in _gaps(there, number, places))
    if not is_whole:
        return _are_missing(sorted(key for gap in gaps for key in gap), around)
    seen: list[range] = []
    shortest = sorted(gaps, key=len)
    for gap in islice((gap for gap in shortest if not any(gap[0] in each for each in seen)), LOOKS_LIMIT):
        below, above = around(gap[0])
        beside = [*below, *above]
        if not is_rising(beside):
            return False
        if beside:
            seen.append(range(beside[0], beside[-1] + 1))
    return True


def is_rising(keys: Sequence[int]) -> bool:
    """Whether each key is greater than the one before it."""
    return all(map(lt, keys, islice(keys, 1, None)))


def _are_missing(keys: Iterable[int], around: Around) -> bool:
    """Whether none of these keys, which rise, is elsewhere."""
    seen_through = -1
    for key in keys:
        if key <= seen_through:
            continue
        below, above = around(key)
        if not is_rising([*below, *above]):
            return False
        if len(above) < AROUND:
            # That was the end of the table.
            return True
        # The last of them may be on a page that is not in its place, of which the end was not seen.
        seen_through = above[PAGE_ROWS - 1]
    return True


def _gaps(there: Container[int], number: int, places: Sequence[int]) -> Iterator[list[int]]:
    """The keys of a device that are missing, as runs of one after the other."""
    for is_there, keys in groupby([place | number for place in places], there.__contains__):
        if not is_there:
            yield list(keys)
