"""Whether rows that are not there are missing because pages of their file have changed places.

SQLite finds a row by its place in a tree of pages and checks no page: where a disk gave two pages of a table for each
other, or one for both, the rows on them are not found, which looks like hours in which nothing was measured. But they
are still there, out of order; so a look at the neighbours of a row that is missing tells.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby, islice
from operator import lt

LOOKS_LIMIT = 16
"""For so many gaps, the shortest first, it is looked at the rows around them: there are few where pages were lost."""

AROUND = 128
"""On each side. More rows than a page holds: what is out of order begins or ends within as many."""


def is_in_order(
    found: Sequence[int], numbers: Sequence[int], places: Sequence[int], around: Callable[[int], Sequence[int]]
) -> bool:
    """Whether the keys found are those that rise, and none that was asked for seems to be elsewhere.

    Asked for were those of some devices, by their numbers, at some places, which are keys without a device. `around`
    gives the keys beside one that is not there, `AROUND` on each side, in the order in which they lie in the file.
    """
    if not _is_rising(found):
        return False
    if len(found) == len(places) * len(numbers) and numbers[-1] - numbers[0] < len(numbers):
        # Nearly always: devices side by side, all of whose rows are there.
        return True
    there = set(found)
    gaps = sorted((gap for number in numbers for gap in _gaps(there, number, places)), key=len)
    seen: list[range] = []
    for gap in islice((gap for gap in gaps if not any(gap[0] in each for each in seen)), LOOKS_LIMIT):
        beside = around(gap[0])
        if not _is_rising(beside):
            return False
        if beside:
            seen.append(range(beside[0], beside[-1] + 1))
    return True


def _gaps(there: set[int], number: int, places: Sequence[int]) -> Iterator[list[int]]:
    """The keys of a device that are missing, as runs of one after the other."""
    for is_there, keys in groupby([place | number for place in places], there.__contains__):
        if not is_there:
            yield list(keys)


def _is_rising(keys: Sequence[int]) -> bool:
    return all(map(lt, keys, islice(keys, 1, None)))
