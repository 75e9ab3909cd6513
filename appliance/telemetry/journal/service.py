"""Keeps messages as they came, byte for byte, for so many hours and bytes, when the settings ask for it.

Rules:
- The journal is not what is acknowledged. It is written after the commit, once a second, and put on the disk when a
  segment ends: a death costs what came in the last second, a power cut what came since the segment began.
- What it cannot say whole it does not say: whoever asks for a time is told whether everything of it is here.
- It never keeps a reading from being taken: what the disk does not take in time is left out.
- What is to be erased is erased here too, and what is there goes by age and bytes, whether or not it is switched on.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from appliance.config import JournalConfig
from appliance.health import Status
from appliance.instant import MINUTE_MS, SECOND_MS, Clock
from appliance.telemetry.journal import files, frames, plan
from appliance.telemetry.journal.erased import Erased, is_through
from appliance.telemetry.journal.files import MESSAGE_BYTES, Writer
from appliance.telemetry.journal.frames import Block
from appliance.telemetry.journal.model import (
    BrokenOffError,
    RawMessage,
    Segment,
    Span,
    Standing,
    StandingMessage,
    Usage,
)
from appliance.telemetry.keeping.model import Erasure
from appliance.telemetry.keeping.room.service import Room
from appliance.telemetry.packing import ChunkError
from broker.message import Message

log = logging.getLogger(__name__)

WRITE_MS = SECOND_MS
RETRY_MS = 10 * MINUTE_MS
"""How long after the disk did not take it the journal is begun anew."""
WAITING_BYTES = 16 * plan.MEGABYTE
"""So much of payloads waits for the disk at most."""
ENOUGH_BYTES = plan.MEGABYTE
"""So much is written at once."""

_EVER = 1 << 62


class Journal:
    """The journal in a folder. `erased` tells, by tenant and device, up to which log id nothing is given any more."""

    def __init__(
        self, folder: Path, config: JournalConfig, clock: Clock, erased: Callable[[], Mapping[tuple[int, str], int]]
    ) -> None:
        self._folder = folder
        self._config = config
        self._clock = clock
        self._erased = erased
        self._asked: Callable[[], Iterable[Erasure]] = tuple
        """What is being erased."""
        self._was_erased = Erased()
        """Whoever reads what a file held before must still be kept from showing it."""
        self._work = asyncio.Lock()
        self._pressed = asyncio.Event()
        self._closed: dict[int, Segment] = {}
        self._writer: Writer | None = None
        self._next_number = 1
        self._waiting: list[RawMessage] = []
        self._waiting_bytes = 0
        self.is_keeping = self._is_overrun = False
        self._resumes_at: float | None = None
        """When it is begun anew after the disk did not take it, in the seconds of the loop."""
        self._last_log_id = 0
        self._trouble = ""
        self.damages: set[str] = set()
        """What was found damaged, in words."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Take up what is there; while running, keep what is noted and let go of what is too old."""
        found = await asyncio.to_thread(files.survey, self._folder)
        self._closed = {segment.number: segment for segment in found.segments}
        self._next_number = max(self._closed, default=0) + 1
        for damage in found.damages:
            self._note_damage(damage)
        async with self._work:
            if self._config.enabled:
                await self._begin(self._clock(), is_continued=False)
            await self._tidied()
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._write_until(stop), name="journal")
            try:
                yield
            finally:
                stop.set()
                self._pressed.set()

    def follow(self, room: Room) -> None:
        """Erase what is erased, and go before anything else does on a full disk."""
        room.keeping.follow_erasing(self.erase)
        self._asked = lambda: room.keeping.pending
        others = room.give_way

        async def give_way() -> bool:
            return await self.give_way() or await others()

        room.give_way = give_way

    def note(self, messages: Sequence[Message], log_id: int) -> None:
        """Keep messages that were committed; `log_id` is the newest of their commit, 0 when it has none.

        Whatever clients ask the gateway itself for is left out: there are secrets in that.
        """
        self._last_log_id = max(self._last_log_id, log_id)
        if not self.is_keeping:
            return
        for message in messages:
            if message.topic[:1] == "$":
                continue
            if self._waiting_bytes >= WAITING_BYTES:
                self._is_overrun = True
                return
            self._waiting_bytes += len(message.payload) + MESSAGE_BYTES
            self._waiting.append(RawMessage.of(message, self._last_log_id))
        if self._waiting_bytes >= ENOUGH_BYTES:
            self._pressed.set()

    def has_whole(self, start: int, end: int) -> bool:
        """Whether everything that arrived with `start <= arrived_at < end` is here."""
        return plan.has_whole(self._segments(), start, end)

    async def messages(
        self, tenant_id: int, span: Span, begins_at: int, first_segment: int = 0
    ) -> AsyncGenerator[Sequence[StandingMessage], None]:
        """What arrived within a span, in the order of the commits, a block at a time, from a segment on.

        Raises `BrokenOffError` when a part of what arrived from a moment on is not here, went meanwhile or was damaged.
        """
        await self.flush()
        if not self.has_whole(begins_at, span.end):
            raise BrokenOffError("the raw journal does not have all of this time")
        for segment in plan.holding(self._segments(), *span, first_segment):
            taken = 0
            source, count = await asyncio.to_thread(files.opened, self._folder, segment)
            with contextlib.closing(source):
                reader = frames.blocks(source)
                while (block := await self._next(segment, reader)) is not None:
                    first = Standing(segment.number, taken + 1)
                    taken += block.message_count
                    some = await asyncio.to_thread(self._given, first, block, tenant_id, span)
                    if some:
                        yield some
            if taken < count:
                raise self._broken(segment.number, "it ends before it should")

    async def is_there(self, standing: Standing, arrived_at: int) -> bool:
        """Whether a message still lies where it was seen; it does not when something was erased since."""
        return await asyncio.to_thread(files.arrival_of, self._folder, standing) == arrived_at

    async def flush(self) -> None:
        """Write what waits."""
        async with self._work:
            await self._flush()

    async def erase(self, erasures: Sequence[Erasure], is_stopping: Callable[[], bool]) -> None:
        """Erase what devices sent from every segment. Raises `StoppedError` when the gateway stops meanwhile.

        Messages are kept and read all the while.
        """
        self._was_erased.add(erasures)
        erased = Erased(erasures)
        async with self._work:
            await self._flush()
            if self._writer is not None and self._writer.message_count:
                await self._turn_over()
        for number in sorted(self._closed):
            if (segment := self._closed.get(number)) is None:
                continue
            # Nothing is written to it any more, so nobody has to wait.
            sieve = (erased.has, is_stopping, erased.may_be_in)
            left = await asyncio.to_thread(files.without, self._folder, segment, *sieve)
            if left is not segment:
                async with self._work:
                    await self._replace(number, left)

    async def give_way(self) -> bool:
        """On a full disk: write no more for a while, and remove the oldest segments; whether there were any."""
        async with self._work:
            if self._writer is not None:
                self._give_up("the disk is full")
            oldest = plan.giving_way(list(self._closed.values()))
            await self._unlink(oldest)
            return bool(oldest)

    def usage(self) -> Usage:
        """How it stands."""
        segments = self._segments()
        spans = plan.spans(segments)
        return Usage(
            is_on=self._config.enabled,
            is_writing=self.is_keeping,
            segment_count=len(segments),
            size_bytes=sum(each.size_bytes for each in segments),
            limit_bytes=self._config.bytes,
            hours=self._config.hours,
            begun_at=spans[-1].start if self.is_keeping and spans else None,
            trouble=self._trouble,
        )

    def status(self) -> Status:
        """What the journal says of itself."""
        return self.usage().status(len(self.damages))

    async def _write_until(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._pressed.clear()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WRITE_MS / SECOND_MS):
                    await self._pressed.wait()
            async with self._work:
                await self._flush()
                await self._resume()
                await self._tidied()
        async with self._work:
            await self._flush()
            self.is_keeping = False
            await self._finish(self._clock())

    async def _flush(self) -> None:
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        is_overrun, self._is_overrun = self._is_overrun, False
        begins_at = self._clock()
        if self._writer is None:
            return
        try:
            await self._write(waiting)
        except OSError as error:
            self._give_up(f"messages are not kept as they came: {error.strerror}")
        if self._writer is None:
            return
        if is_overrun:
            log.warning("raw journal left messages out, the disk was too slow")
            await self._finish(self._writer.last_at)
            await self._begin(begins_at, is_continued=False)
        elif plan.is_over(self._writer.segment, self._clock(), self._config.hours, self._config.bytes):
            await self._turn_over()

    async def _write(self, messages: Sequence[RawMessage]) -> None:
        """Raises `OSError`."""
        blocks = files.blocks_of(messages, plan.piece_bytes(self._config.bytes))
        while (made := await asyncio.to_thread(next, blocks, None)) is not None and self._writer is not None:
            block, some = made
            size_bytes = self._writer.size_bytes + len(block) + frames.END_BYTES
            if self._writer.message_count and size_bytes > plan.segment_bytes(self._config.bytes):
                await self._turn_over()
            if frames.HEAD_BYTES + len(block) + frames.END_BYTES > self._config.bytes:
                await self._leave_out(some)
            elif self._writer is not None:
                await asyncio.to_thread(self._append, self._writer, block, some)

    def _append(self, writer: Writer, block: bytes, messages: Sequence[RawMessage]) -> None:
        """Runs in a thread. Room is made first, so that the bound holds at every moment."""
        room = self._config.bytes - writer.size_bytes - len(block) - frames.END_BYTES
        gone = self._due(room)
        files.unlink(self._folder, gone)
        for number in gone:
            self._closed.pop(number)
        writer.append(block, messages)

    async def _leave_out(self, messages: Sequence[RawMessage]) -> None:
        """Keep no message that is larger than all of the journal may be, and call no time whole in which it came."""
        log.warning("raw journal left messages out, they are larger than it may be")
        if self._writer is not None:
            moments = [message.arrived_at for message in messages]
            last_at = max(*moments, self._writer.last_at)
            await self._finish(min(*moments, self._writer.last_at))
            await self._begin(last_at + 1, is_continued=False)

    async def _turn_over(self) -> None:
        """End the segment, and go on in the next one: without a break, but when the clock was set back."""
        if self._writer is not None:
            until, now = self._writer.last_at, self._clock()
            await self._finish(until)
            await self._begin(min(until, now), is_continued=now >= until)

    async def _begin(self, begun_at: int, *, is_continued: bool) -> None:
        number = self._next_number
        # From here on nothing is missed, though the file comes later.
        self.is_keeping = True
        try:
            self._writer = await asyncio.to_thread(
                lambda: Writer(self._folder, number, begun_at, is_continued=is_continued)
            )
        except OSError as error:
            self._give_up(f"messages are not kept as they came: {error.strerror}")
            return
        self._next_number += 1
        if self._trouble:
            log.info("raw journal goes on")
        self._trouble, self._resumes_at = "", None

    async def _finish(self, whole_until: int) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            segment = await asyncio.to_thread(writer.finish, whole_until)
        except OSError as error:
            segment = writer.segment
            log.warning("segment of the raw journal not ended error=%s", error)
        self._closed[segment.number] = segment

    def _give_up(self, trouble: str) -> None:
        """Write no more for a while. The segment stays without an end, so nobody takes it for whole."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            self._closed[writer.number] = writer.segment
        self.is_keeping = False
        self._waiting, self._waiting_bytes = [], 0
        if not self._trouble:
            log.warning("raw journal switched off for a while reason=%r", trouble)
        self._trouble = trouble
        self._resumes_at = asyncio.get_running_loop().time() + RETRY_MS / SECOND_MS

    async def _resume(self) -> None:
        if self._resumes_at is None or not self._config.enabled:
            return
        if asyncio.get_running_loop().time() >= self._resumes_at:
            await self._begin(self._clock() + 1, is_continued=False)  # what came before may have been let go

    async def _tidied(self) -> None:
        """Let go of what is too old or too much; what the disk refuses is tried again with whatever else it refuses."""
        try:
            await self._unlink(self._due(self._config.bytes - (self._writer.size_bytes if self._writer else 0)))
        except OSError as error:
            self._give_up(f"messages are not kept as they came: {error.strerror}")

    def _due(self, room_bytes: int) -> list[int]:
        ended_at = self._writer.begun_at if self._writer else None
        return plan.due(list(self._closed.values()), self._clock(), self._config.hours, room_bytes, ended_at)

    async def _replace(self, number: int, left: Segment | None) -> None:
        """Let what is left of a segment stand in its place, if it is still there."""
        if left is not None and number in self._closed:
            await asyncio.to_thread(files.put_in_place, self._folder, number)
            self._closed[number] = left
        elif left is not None:
            await asyncio.to_thread(files.remove_unfinished, self._folder, number)
        else:
            await asyncio.to_thread(files.unlink, self._folder, [number])
            self._closed.pop(number, None)

    async def _unlink(self, numbers: Sequence[int]) -> None:
        if numbers:
            await asyncio.to_thread(files.unlink, self._folder, numbers)
            for number in numbers:
                del self._closed[number]

    def _segments(self) -> list[Segment]:
        """Every segment; the one that is written has everything from its beginning on."""
        found = list(self._closed.values())
        if self._writer is not None:
            segment = self._writer.segment
            is_whole = not self._is_overrun
            found.append(segment._replace(kept=segment.kept._replace(whole_until=_EVER)) if is_whole else segment)
        return found

    async def _next(self, segment: Segment, reader: Iterator[Block]) -> Block | None:
        try:
            return await asyncio.to_thread(next, reader, None)
        except ChunkError as error:
            raise self._broken(segment.number, str(error)) from error

    def _given(self, first: Standing, block: Block, tenant_id: int, span: Span) -> list[StandingMessage]:
        try:
            found = files.within(block, first, tenant_id, span)
        except ChunkError as error:
            raise self._broken(first.segment, str(error)) from error
        erased, asked, was_erased = self._erased(), Erased(self._asked()), self._was_erased
        gone = (lambda message: is_through(message, erased), asked.has, was_erased.has)
        return [each for each in found if not any(is_gone(each.message) for is_gone in gone)]

    def _broken(self, number: int, why: str) -> BrokenOffError:
        told = f"{files.path_of(self._folder, number).name}: {why}"
        self._note_damage(told)
        known = self._closed.get(number)
        if known is not None:
            # From now on nobody takes it for whole.
            kept = known.kept._replace(whole_until=None, last_at=known.kept.begun_at)
            self._closed[number] = known._replace(kept=kept)
        return BrokenOffError(told)

    def _note_damage(self, what: str) -> None:
        if what not in self.damages:
            self.damages.add(what)
            log.error("raw journal was damaged where=%s", what)
