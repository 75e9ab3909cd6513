"""Streams of events that are open: what comes, as it comes, and what came, once more.

Rules:
- A stream holds one batch. Who reads slowly is waited for, alone: the next batch is fetched when this one was taken.
- Whoever may not read any more gets no further batch.
- Nobody takes the places of all others: of those that there are, one user gets a part. Who takes nothing of what is
  written for it is cut off by the web's server.
- When the gateway stops, every stream ends with an event that says so.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator

import msgspec

from appliance.errors import ApplianceError
from appliance.gateway import Gateway
from appliance.instant import to_text
from appliance.stream.model import Position, TooManyStreamsError
from appliance.stream.position import printed
from appliance.stream.replay import ordering
from appliance.stream.replay.messages.model import Mark, MessageSlice
from appliance.stream.replay.messages.model import printed as printed_mark
from appliance.stream.replay.model import Interval, Slice
from appliance.stream.wanted import Wanted
from web import events

CHECK_S = 2.0
"""How often it is looked whether somebody may still read."""
BEAT_S = 15.0
LOOK_S = 2.0
"""Who waits looks this often, whether or not there is any news."""
END = "end"
"""The last event of a replay: whoever comes back with it wants nothing more."""
PIECE_BYTES = 65_536
SHARE = 4
"""One user may have this part of the streams that may be open."""

Check = Callable[[], Awaitable[None]]
"""Raises `ApplianceError` when somebody may read no more."""

STOPPING = "the gateway is stopping"
FINISHED = "everything that arrived in the interval was given"


class Live(msgspec.Struct, frozen=True):
    """Somebody who reads what comes."""

    tenant_id: int
    position: Position
    wanted: Wanted
    consumer: str = ""
    user: str = ""
    """Whose place it takes."""


class Again(msgspec.Struct, frozen=True):
    """Somebody who reads what came."""

    interval: Interval
    speed: float
    """0 is as fast as possible."""
    after: Mark | None = None
    """Messages are wanted, after this mark; None when reports are."""
    user: str = ""
    """Whose place it takes."""


class Followers:
    """Everybody who follows a stream."""

    def __init__(self, gateway: Gateway, check_s: float = CHECK_S, beat_s: float = BEAT_S) -> None:
        """`check_s` is how often it is looked whether somebody may still read, `beat_s` how long nothing is said."""
        self._gateway = gateway
        self._check_s = check_s
        self._beat_s = beat_s
        self._stopping = asyncio.Event()
        self._stopping.set()
        self._open_by: Counter[tuple[int, str]] = Counter()

    @property
    def count(self) -> int:
        """How many streams are open."""
        return self._open_by.total()

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let people follow; on leaving, end their streams."""
        self._stopping.clear()
        try:
            yield
        finally:
            self._stopping.set()

    def require_room(self, tenant_id: int, user: str) -> None:
        """Raise `TooManyStreamsError` when as many follow as may, or as many for this user."""
        limit = self._gateway.stream.streams_limit
        if self.count >= limit:
            raise TooManyStreamsError(f"{limit} streams are open already, which is as many as stream.streams_limit")
        share = max(1, limit // SHARE)
        if self._open_by[tenant_id, user] >= share:
            raise TooManyStreamsError(
                f"{share} streams are open already for {user}, which is as many as one user may have"
            )

    def live(self, who: Live, check: Check) -> AsyncGenerator[bytes, None]:
        """What comes after a place, without an end."""
        return self._admitted(who.tenant_id, who.user, self._live(who, check))

    def again(self, what: Again, check: Check) -> AsyncGenerator[bytes, None]:
        """What came in an interval, in the time that it takes."""
        return self._admitted(what.interval.tenant_id, what.user, self._again(what, check))

    async def _admitted(
        self, tenant_id: int, user: str, pieces: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        """A stream that takes a place; nothing but its end when others have taken the last one just now."""
        async with contextlib.aclosing(pieces):
            try:
                self.require_room(tenant_id, user)
            except TooManyStreamsError as error:
                yield events.event("end", {"why": str(error)})
                return
            self._open_by[tenant_id, user] += 1
            try:
                async for piece in pieces:
                    yield piece
            finally:
                self._open_by[tenant_id, user] -= 1
                # Nothing is kept of who has gone.
                self._open_by += Counter()

    async def _live(self, who: Live, check: Check) -> AsyncGenerator[bytes, None]:
        stream, position = self._gateway.stream, who.position
        with stream.followed(who.tenant_id, who.consumer):
            yield events.event("begin", {"source": "log", "position": printed(position)}, printed(position))
            watch = _Watch(check, self._check_s, self._beat_s)
            while not self._stopping.is_set():
                if (why := await watch.trouble()) is not None:
                    yield events.event("end", {"why": why})
                    return
                news = stream.news(who.tenant_id)
                batch = await stream.read(who.tenant_id, position, who.wanted)
                position, gap = batch.end, batch.gap
                if gap is not None and who.consumer:
                    gap = await stream.missed(who.tenant_id, who.consumer, gap)
                if gap is not None:
                    yield events.gap_event(gap, printed(position))
                for piece in _pieces(
                    events.report_event(each.report, printed(each.position)) for each in batch.reports
                ):
                    yield piece
                if gap or batch.reports:
                    watch.spoke()
                elif watch.is_silent():
                    yield events.beat(printed(position))
                    watch.spoke()
                if batch.is_empty:
                    await self._either(news, LOOK_S)
            yield events.event("end", {"why": STOPPING})

    async def _again(self, what: Again, check: Check) -> AsyncGenerator[bytes, None]:
        interval, source = what.interval, ""
        watch = _Watch(check, self._check_s, self._beat_s)
        began = asyncio.get_running_loop().time()
        yield events.event("begin", {**_told(what), "source": await self._source(what)})
        async with contextlib.aclosing(self._slices(what)) as slices:
            async for piece in slices:
                if source and piece.source != source:
                    yield events.event("source", {"source": piece.source})
                source = piece.source
                for lack in piece.lacks:
                    yield events.lack_event(lack)
                async for written in self._paced(_events_of(piece), began, interval.begins_at, what.speed, watch):
                    yield written
                if watch.why:
                    yield events.event("end", {"why": watch.why})
                    return
        yield events.event("end", {"why": FINISHED}, END)

    async def _source(self, what: Again) -> str:
        if what.after is None:
            return await self._gateway.replay.source(what.interval)
        return await self._gateway.messages.source(what.interval, what.after)

    def _slices(self, what: Again) -> AsyncGenerator[Slice, None] | AsyncGenerator[MessageSlice, None]:
        if what.after is None:
            return self._gateway.replay.slices(what.interval)
        return self._gateway.messages.slices(what.interval, what.after)

    async def _paced(
        self, given: Iterator[tuple[int, bytes]], began: float, start: int, speed: float, watch: "_Watch"
    ) -> AsyncGenerator[bytes, None]:
        """Events of what arrived, when it is their turn; sets `watch.why` when that is the end of it."""
        loop = asyncio.get_running_loop()
        written = bytearray()
        for arrived_at, event in given:
            due = began + ordering.due_s(arrived_at, start, speed)
            while due > loop.time() or len(written) >= PIECE_BYTES or watch.is_due():
                if written:
                    yield bytes(written)
                    written.clear()
                    watch.spoke()
                if await self._ends(watch):
                    return
                if watch.is_silent():
                    yield events.beat()
                    watch.spoke()
                await self._either(self._stopping, min(due - loop.time(), LOOK_S))
            written += event
        if written:
            yield bytes(written)
            watch.spoke()
        await self._ends(watch)

    async def _ends(self, watch: "_Watch") -> bool:
        watch.why = STOPPING if self._stopping.is_set() else await watch.trouble() or ""
        return bool(watch.why)

    async def _either(self, news: asyncio.Event, timeout_s: float) -> None:
        """Wait for news, for the stop or for the time to be over."""
        if timeout_s <= 0:
            return
        async with asyncio.TaskGroup() as tasks:
            waits = {
                tasks.create_task(news.wait(), name="stream: news"),
                tasks.create_task(self._stopping.wait(), name="stream: the stop"),
            }
            await asyncio.wait(waits, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()


class _Watch:
    """When somebody was last looked at, and last heard from us."""

    def __init__(self, check: Check, check_s: float, beat_s: float) -> None:
        self._check = check
        self._check_s = check_s
        self._beat_s = beat_s
        self._loop = asyncio.get_running_loop()
        self._checked_at = self._spoke_at = self._loop.time()
        self.why = ""
        """Why the stream ends; empty while it does not."""

    def is_due(self) -> bool:
        """Whether it is time to look again."""
        return self._loop.time() - self._checked_at >= self._check_s

    def is_silent(self) -> bool:
        """Whether it is time for a sign of life."""
        return self._loop.time() - self._spoke_at >= self._beat_s

    def spoke(self) -> None:
        """Something was said."""
        self._spoke_at = self._loop.time()

    async def trouble(self) -> str | None:
        """Why somebody may read no more; None while they may, or were looked at just now."""
        if not self.is_due():
            return None
        self._checked_at = self._loop.time()
        try:
            await self._check()
        except ApplianceError as error:
            return str(error)
        return None


def _pieces(written: Iterator[bytes]) -> Iterator[bytes]:
    """Events put together into pieces of a size."""
    piece = bytearray()
    for each in written:
        piece += each
        if len(piece) >= PIECE_BYTES:
            yield bytes(piece)
            piece.clear()
    if piece:
        yield bytes(piece)


def _events_of(piece: Slice | MessageSlice) -> Iterator[tuple[int, bytes]]:
    """What a slice of a replay has: when each arrived, and the event that tells it."""
    match piece:
        case Slice(reports=reports):
            for place, report in reports:
                yield place.arrived_at, events.report_event(report, ordering.printed(place))
        case MessageSlice(messages=messages):
            for each in messages:
                yield each.place.arrived_at, events.message_event(each.message, printed_mark(each.mark))


def _told(what: Again) -> dict[str, object]:
    return {
        "from": to_text(what.interval.start),
        "until": to_text(what.interval.end),
        "speed": what.speed or "max",
    }
