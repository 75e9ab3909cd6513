"""What an unforeseen error does not stop: what failed together is tried one by one, and whoever works for ever goes on.

It is the manner of ingestion, where one bad message stops nobody. Of an error its kind and its place are told, and
never its own words: they may be those of a device, or of whoever sent something to one.
"""

import asyncio
import contextlib
import logging
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Generic, TypeVar

from appliance.errors import ApplianceError, UnavailableError, kind_of, place_of
from appliance.store.database import Together, UnwritableError, Work

log = logging.getLogger(__name__)

T = TypeVar("T")
Key = tuple[int, int]
"""A tenant, and the number of something of it."""
Due = tuple[int, Key]
"""When something is due, and what."""
BEFORE_ALL = (-(2**63), 0)
"""Behind it comes whatever is due."""
SLICES = 4
"""Of what is due, so many are gone through one by one before others have their turn."""
LEFT_S = 60.0
"""So long what cannot even be set aside is left alone."""
LEFT_LIMIT = 10_000
"""Of so many it is known that they could not be set aside."""


class UnreadableError(Exception):
    """The row of what is to be gone on with, or one that it needs, cannot be read."""


class Mishap:
    """What keeps something from going on that is tried again and again."""

    def __init__(self, what: str) -> None:
        """`what` it is that does not go on, in a few words."""
        self._what = what
        self.trouble = ""
        """Why it did not go on when it was tried last; empty when it did."""
        self._told: set[tuple[str, str]] = set()

    @contextlib.contextmanager
    def tried(self) -> Iterator[None]:
        """Try once more, and note whatever that raises; a full disk alone is raised, for it is no mishap."""
        self.trouble = ""
        with self.noted():
            yield

    @contextlib.contextmanager
    def noted(self) -> Iterator[None]:
        """Note what a part of it raises, so that the other parts go on."""
        try:
            yield
        except UnwritableError:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, what comes next may go on
            self.note(error)

    def note(self, error: Exception) -> None:
        """It failed. The log is told once of each kind and place, however often it fails so."""
        self.trouble = f"{self._what} failed ({kind_of(error)})"
        told = kind_of(error), place_of(error)
        if told not in self._told:
            self._told.add(told)
            log.error("%s failed error=%s where=\n%s", self._what, *told)


class Later(Generic[T]):
    """What did not go on, and is tried again a little later."""

    def __init__(self, after_s: float, again: Callable[[T], object]) -> None:
        self._after_s = after_s
        self._again = again
        self._items: set[T] = set()

    def add(self, item: T) -> None:
        """Try it later; once, however often it is added meanwhile. On the loop."""
        if not self._items:
            asyncio.get_running_loop().call_later(self._after_s, self._try_all)
        self._items.add(item)

    def _try_all(self) -> None:
        items, self._items = self._items, set()
        for item in items:
            self._again(item)


class Aside(ABC):
    """Sets aside what the gateway cannot go on with, so that all others go on."""

    def __init__(self, noun: str) -> None:
        """`noun` is what it sets aside, in a word."""
        self._noun = noun
        self.together: Together
        self.count = 0
        """So many since the start."""
        self._left: dict[Key, float] = {}
        """What could not be set aside, and until when it is left alone, by the time of the loop."""
        self.behind = BEFORE_ALL
        """Behind which moment and number the next slice of what is due begins."""

    @abstractmethod
    def ways(self, key: Key, reason: str) -> Sequence[Work]:
        """Ways to end one of them for a reason: the next is gone where one fails. They count what they end."""

    async def mend(self, key: Key) -> bool:
        """Set aside what else may keep one of them from going on; gives whether there was something."""
        del key
        return False

    async def go_through(self, due: Sequence[Due], limit: int, work_of: Callable[[Key], Work]) -> bool:
        """Sort out a slice of what is due, of `limit` at most; gives whether all of it could be.

        The next slice begins behind this one: what can neither be done nor set aside keeps nothing behind it waiting.
        Behind the last slice it begins anew. Raises `UnwritableError`.
        """
        is_sorted_out = await self.sort_out([key for _, key in due], work_of)
        self.behind = (due[-1][0], due[-1][1][1]) if len(due) == limit else BEFORE_ALL
        return is_sorted_out

    @property
    def has_more(self) -> bool:
        """Whether something may be due behind the last slice."""
        return self.behind != BEFORE_ALL

    async def sort_out(self, keys: Sequence[Key], work_of: Callable[[Key], Work]) -> bool:
        """Go on with each alone, and set aside those with which that fails; gives whether all could be.

        What could not be set aside a moment ago is left alone. Raises `UnwritableError`.
        """
        tried = [key for key in keys if not self._is_left(key)]
        failed = await failures(self.together, tried, work_of)
        if any([await self.mend(key) for key, _ in failed]):
            # What was set aside for one may have kept others from going on, for whom nothing was left to set aside.
            failed = await failures(self.together, [key for key, _ in failed], work_of)
        return all([await self.put(key, error) for key, error in failed]) and len(tried) == len(keys)

    async def put(self, key: Key, error: Exception) -> bool:
        """Set one aside; gives whether that could be done. Raises `UnwritableError`.

        Where it cannot be done, that is told once, and not tried again for a while.
        """
        if self._is_left(key):
            return False
        is_news = key not in self._left
        if is_news:
            self._say("set aside", key, error)
        reason = _reason(error)
        for way in self.ways(key, reason):
            failed = await failures(self.together, [way], lambda one: one)
            if not failed:
                self._left.pop(key, None)
                return True
            if is_news:
                self._say("not set aside", key, failed[0][1])
        self._leave(key)
        return False

    def _is_left(self, key: Key) -> bool:
        return self._left.get(key, 0) > asyncio.get_running_loop().time()

    def _leave(self, key: Key) -> None:
        self._left[key] = asyncio.get_running_loop().time() + LEFT_S
        if len(self._left) > LEFT_LIMIT:
            del self._left[next(iter(self._left))]

    def _say(self, what: str, key: Key, error: Exception) -> None:
        told = (self._noun, what, *key, kind_of(error), place_of(error))
        log.error("%s %s tenant_id=%s number=%s error=%s where=\n%s", *told)


def _reason(error: Exception) -> str:
    if isinstance(error, UnreadableError):
        # Nothing failed at a place that the log could tell.
        return "its row is damaged: the gateway could not go on with it"
    return f"the gateway could not go on with it ({kind_of(error)}): its log says where"


async def done(together: Together, work: Work, *remedies: Callable[[Exception], Awaitable[object]]) -> None:
    """Have work done for somebody; where an unforeseen error keeps it from that, once more after each remedy.

    Raises what the work refuses it with, and `UnavailableError` where no remedy helps: the log says where it failed.
    """
    for remedy in (*remedies, _give_up):
        try:
            await together(work)
        except ApplianceError:
            raise
        except Exception as error:  # noqa: BLE001  whatever it is, it may be mended
            await remedy(error)
        else:
            return


async def _give_up(error: Exception) -> None:
    log.error("something asked for failed error=%s where=\n%s", kind_of(error), place_of(error))
    raise UnavailableError(f"the gateway could not do it ({kind_of(error)}): its log says where")


async def fails(together: Together, work: Work) -> bool:
    """Have work done; gives whether it failed, and by no full disk. Raises `UnwritableError`."""
    return bool(await failures(together, [work], lambda one: one))


async def failures(together: Together, items: Sequence[T], work_of: Callable[[T], Work]) -> list[tuple[T, Exception]]:
    """Have the work of each done alone, and give those for whom it fails.

    They share a transaction, as far as they can, and none costs another anything. Raises `UnwritableError`.
    """
    outcomes = await asyncio.gather(*[together(work_of(one)) for one in items], return_exceptions=True)
    failed: list[tuple[T, Exception]] = []
    for item, outcome in zip(items, outcomes, strict=True):
        if isinstance(outcome, Exception) and not isinstance(outcome, UnwritableError):
            failed.append((item, outcome))
        elif outcome is not None:
            raise outcome
    return failed
