"""Streams of events that are open: what comes, as it comes, and what came, once more.

Rules:
- A stream holds one batch. Who reads slowly is waited for, alone: the next batch is fetched when this one was taken.
- Whoever may not read any more gets no further batch.
- When the gateway stops, every stream ends with an event that says so.
"""

import asyncio
import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator

import msgspec

from appliance.errors import ApplianceError
from appliance.gateway import Gateway
from appliance.instant import to_text
from appliance.stream.model import Position, TooManyStreamsError
from appliance.stream.position import printed
from appliance.stream.replay import ordering
from appliance.stream.replay.model import Interval
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


class Again(msgspec.Struct, frozen=True):
    """Somebody who reads what came."""

    interval: Interval
    speed: float
    """0 is as fast as possible."""


class Followers:
    """Everybody who follows a stream."""

    def __init__(self, gateway: Gateway, check_s: float = CHECK_S, beat_s: float = BEAT_S) -> None:
        """`check_s` is how often it is looked whether somebody may still read, `beat_s` how long nothing is said."""
        self._gateway = gateway
        self._check_s = check_s
        self._beat_s = beat_s
        self._stopping = asyncio.Event()
        self._stopping.set()
        self.count = 0
        """Streams that are open."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Let people follow; on leaving, end their streams."""
        self._stopping.clear()
        try:
            yield
        finally:
            self._stopping.set()

    def require_room(self) -> None:
        """Raise `TooManyStreamsError` when as many follow as may."""
        limit = self._gateway.stream.streams_limit
        if self.count >= limit:
            raise TooManyStreamsError(f"{limit} streams are open already, which is as many as stream.streams_limit")

    async def live(self, who: Live, check: Check) -> AsyncGenerator[bytes, None]:
        """What comes after a place, without an end."""
        stream, position = self._gateway.stream, who.position
        with self._open(), stream.followed(who.tenant_id, who.consumer):
            yield events.event("begin", {"source": "log", "position": printed(position)}, printed(position))
            watch = _Watch(check, self._check_s, self._beat_s)
            while not self._stopping.is_set():
                if (why := await watch.trouble()) is not None:
                    yield events.event("end", {"why": why})
                    return
                news = stream.news(who.tenant_id)
                batch = await stream.read(who.tenant_id, position, who.wanted)
                position = batch.end
                if batch.gap is not None:
                    yield events.gap_event(batch.gap, printed(position))
                for piece in _pieces(
                    events.report_event(each.report, printed(each.position)) for each in batch.reports
                ):
                    yield piece
                if batch.gap or batch.reports:
                    watch.spoke()
                elif watch.is_silent():
                    yield events.beat(printed(position))
                    watch.spoke()
                if batch.is_empty:
                    await self._either(news, LOOK_S)
            yield events.event("end", {"why": STOPPING})

    async def again(self, what: Again, check: Check) -> AsyncGenerator[bytes, None]:
        """What came in an interval, in the time that it takes."""
        interval, source = what.interval, ""
        replay = self._gateway.replay
        with self._open():
            watch = _Watch(check, self._check_s, self._beat_s)
            began = asyncio.get_running_loop().time()
            start = max(interval.start, interval.after.arrived_at)
            yield events.event("begin", {**_told(what), "source": await replay.source(interval)})
            async with contextlib.aclosing(replay.slices(interval)) as slices:
                async for piece in slices:
                    if source and piece.source != source:
                        yield events.event("source", {"source": piece.source})
                    source = piece.source
                    async for written in self._paced(piece.reports, began, start, what.speed, watch):
                        yield written
                    if watch.why:
                        yield events.event("end", {"why": watch.why})
                        return
            yield events.event("end", {"why": FINISHED}, END)

    async def _paced(
        self, reports: tuple[ordering.Placed, ...], began: float, start: int, speed: float, watch: "_Watch"
    ) -> AsyncGenerator[bytes, None]:
        """Reports when it is their turn; sets `watch.why` when that is the end of it."""
        loop = asyncio.get_running_loop()
        written = bytearray()
        for place, report in reports:
            due = began + ordering.due_s(place.arrived_at, start, speed)
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
            written += events.report_event(report, ordering.printed(place))
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

    @contextlib.contextmanager
    def _open(self) -> Iterator[None]:
        self.count += 1
        try:
            yield
        finally:
            self.count -= 1


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


def _told(what: Again) -> dict[str, object]:
    return {
        "from": to_text(what.interval.start),
        "until": to_text(what.interval.end),
        "speed": what.speed or "max",
    }
