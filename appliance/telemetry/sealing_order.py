"""When open chunks are due, and which of them go first.

Devices are sealed one after the other, spread over the interval by the rank of their names, in the same order every
time: work comes evenly, and what is written to a day file at a time lies side by side there.
"""

from collections.abc import Collection, Iterator
from operator import attrgetter
from typing import NamedTuple, Protocol, TypeVar

from appliance.telemetry.day_file import RANK_BITS

AGE_MS = 30_000
"""Chunks that were opened within such a time are of one age: their order says less than that of their devices."""


class Turn(NamedTuple):
    """Where a chunk stands among all that are open."""

    due_at: int
    age: tuple[int, int]
    """The lower, the older. What was sealed together before is of one age, in the same order as then."""


class Aged(Protocol):
    """An open chunk, as far as it matters here."""

    @property
    def age(self) -> tuple[int, int]:
        """As in its turn."""

    @property
    def weight(self) -> int:
        """As how many reports it counts towards what memory may hold."""


AgedT = TypeVar("AgedT", bound=Aged)


def turn_at(rank: int, sealed_at: int, now: int, interval: int) -> Turn:
    """The turn of a chunk that is opened now; the one before it was let go at a moment, or long ago.

    If that was early, to be due at the usual time would make this one a short one: then it waits for the next time.
    """
    wait = interval - (now - (rank * interval >> RANK_BITS)) % interval
    if 0 < sealed_at <= now < sealed_at + interval:
        return Turn(now + wait + (interval if wait < interval // 2 else 0), (sealed_at, rank))
    return Turn(now + wait, (now - now % AGE_MS, rank))


def oldest(chunks: Collection[AgedT], but: Collection[AgedT], weight: int) -> Iterator[AgedT]:
    """The oldest chunks, but for some, until they have such a weight."""
    left_out = set(map(id, but))
    for chunk in sorted(chunks, key=attrgetter("age")) if weight > 0 else ():
        if weight <= 0:
            return
        if id(chunk) not in left_out:
            weight -= chunk.weight
            yield chunk
