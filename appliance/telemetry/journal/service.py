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
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Mapping, Sequence
from pathlib import Path

from appliance.config import JournalConfig
from appliance.health import Status
from appliance.instant import MINUTE_MS, SECOND_MS, Clock
from appliance.telemetry.journal import files, frames, plan
from appliance.telemetry.journal.files import Writer
from appliance.telemetry.journal.frames import Block
from appliance.telemetry.journal.model import BrokenOffError, RawMessage, Segment, Usage
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
MESSAGE_BYTES = 200
"""What a message takes in memory without its payload, about."""

_EVER = 1 << 62

Erased = Mapping[tuple[int, str], int]
"""By tenant and device: the log id up to which nothing is given any more."""


class Journal:
    """The journal in a folder. `erased` tells what is given no more."""

    def __init__(self, folder: Path, config: JournalConfig, clock: Clock, erased: Callable[[], Erased]) -> None:
        self._folder = folder
        self._config = config
        self._clock = clock
        self._erased = erased
        self._was_erased: dict[tuple[int, str], int] = {}
        """Whoever reads what a file held before must still be kept from showing it."""
        self._work = asyncio.Lock()
        self._pressed = asyncio.Event()
        self._closed: dict[int, Segment] = {}
        self._writer: Writer | None = None
        self._next_number = 1
        self._waiting: list[RawMessage] = []
        self._waiting_bytes = 0
        self._is_keeping = self._is_overrun = False
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
        others = room.give_way

        async def give_way() -> bool:
            return await self.give_way() or await others()

        room.give_way = give_way

    def note(self, messages: Sequence[Message], log_id: int) -> None:
        """Keep messages that were committed; `log_id` is the newest of their commit, 0 when it has none.

        Whatever clients ask the gateway itself for is left out: there are secrets in that.
        """
        self._last_log_id = max(self._last_log_id, log_id)
        if not self._is_keeping:
            return
        for message in messages:
            if message.topic[:1] == "$":
                continue
            if self._waiting_bytes >= WAITING_BYTES:
                self._is_overrun = True
                return
            self._waiting_bytes += len(message.payload) + MESSAGE_BYTES
            self._waiting.append(_raw(message, self._last_log_id))
        if self._waiting_bytes >= ENOUGH_BYTES:
            self._pressed.set()

    def has_whole(self, start: int, end: int) -> bool:
        """Whether everything that arrived with `start <= arrived_at < end` is here."""
        return plan.has_whole(self._segments(), start, end)

    async def messages(self, tenant_id: int, start: int, end: int) -> AsyncGenerator[Sequence[RawMessage], None]:
        """What arrived with `start <= arrived_at < end`, in the order of the commits, a block at a time.

        Raises `BrokenOffError` when a part of it is not here, went meanwhile or was damaged.
        """
        await self.flush()
        if not self.has_whole(start, end):
            raise BrokenOffError("the raw journal does not have all of this time")
        for segment in plan.holding(self._segments(), start, end):
            source, left = await asyncio.to_thread(files.opened, self._folder, segment)
            with contextlib.closing(source):
                reader = frames.blocks(source)
                while (block := await self._next(segment, reader)) is not None:
                    left -= block.message_count
                    some = await asyncio.to_thread(self._given, segment, block, tenant_id, (start, end))
                    if some:
                        yield some
            if left > 0:
                raise self._broken(segment, "it ends before it should")

    async def flush(self) -> None:
        """Write what waits."""
        async with self._work:
            await self._flush()

    async def erase(self, left_out: Mapping[tuple[int, str], int]) -> None:
        """Erase what devices sent, each up to its log id, from every segment."""
        for device, through in left_out.items():
            self._was_erased[device] = max(through, self._was_erased.get(device, 0))

        def is_left_out(message: RawMessage) -> bool:
            return _is_erased(message, left_out)

        async with self._work:
            await self._flush()
            if self._writer is not None and self._writer.message_count:
                await self._turn_over()
            for segment in list(self._closed.values()):
                left = await asyncio.to_thread(files.without, self._folder, segment, is_left_out)
                if left is None:
                    del self._closed[segment.number]
                else:
                    self._closed[segment.number] = left

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
            is_writing=self._is_keeping,
            segment_count=len(segments),
            size_bytes=sum(each.size_bytes for each in segments),
            limit_bytes=self._config.bytes,
            hours=self._config.hours,
            begun_at=spans[-1].start if self._is_keeping and spans else None,
            trouble=self._trouble,
        )

    def status(self) -> Status:
        """What the journal says of itself."""
        usage = self.usage()
        details = {"segments": usage.segment_count, "size_bytes": usage.size_bytes, "damaged": len(self.damages)}
        if self._trouble:
            return Status(ok=False, summary=self._trouble, details=details, is_serving=True)
        if self.damages:
            summary = "a part of the raw journal was damaged; the log names it"
            return Status(ok=False, summary=summary, details=details, is_serving=True)
        summary = "messages are kept as they came" if usage.is_on else "messages are not kept as they came"
        return Status(ok=True, summary=summary, details=details)

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
            self._is_keeping = False
            await self._finish(self._clock())

    async def _flush(self) -> None:
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        is_overrun, self._is_overrun = self._is_overrun, False
        begins_at = self._clock()
        if self._writer is None:
            return
        if waiting:
            try:
                await asyncio.to_thread(self._append, self._writer, waiting)
            except OSError as error:
                self._give_up(f"messages are not kept as they came: {error.strerror}")
                return
        if is_overrun:
            log.warning("raw journal left messages out, the disk was too slow")
            await self._finish(self._writer.last_at)
            await self._begin(begins_at, is_continued=False)
        elif self._is_due(self._writer):
            await self._turn_over()

    def _append(self, writer: Writer, messages: Sequence[RawMessage]) -> None:
        """Runs in a thread. Room is made first, so that the bound holds at every moment."""
        for block, some in files.blocks_of(messages):
            room = self._config.bytes - writer.size_bytes - len(block) - frames.END_BYTES
            gone = plan.due(list(self._closed.values()), self._clock(), self._config.hours, room)
            files.unlink(self._folder, gone)
            for number in gone:
                self._closed.pop(number)
            writer.append(block, some)

    def _is_due(self, writer: Writer) -> bool:
        if not writer.message_count:
            return False
        is_old = abs(self._clock() - writer.begun_at) >= plan.segment_ms(self._config.hours)
        return is_old or writer.size_bytes >= plan.segment_bytes(self._config.bytes)

    async def _turn_over(self) -> None:
        """End the segment, and go on in the next one without a break."""
        if self._writer is not None:
            until = self._writer.last_at
            await self._finish(until)
            await self._begin(until, is_continued=True)

    async def _begin(self, begun_at: int, *, is_continued: bool) -> None:
        number = self._next_number
        # From here on nothing is missed, though the file comes later.
        self._is_keeping = True
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
        self._is_keeping = False
        self._waiting, self._waiting_bytes = [], 0
        if not self._trouble:
            log.warning("raw journal switched off for a while reason=%r", trouble)
        self._trouble = trouble
        self._resumes_at = asyncio.get_running_loop().time() + RETRY_MS / SECOND_MS

    async def _resume(self) -> None:
        if self._resumes_at is None or not self._config.enabled:
            return
        if asyncio.get_running_loop().time() >= self._resumes_at:
            await self._begin(self._clock(), is_continued=False)

    async def _tidied(self) -> None:
        """The same as `_tidy`; what the disk refuses is tried again with whatever else it refuses."""
        try:
            await self._tidy()
        except OSError as error:
            self._give_up(f"messages are not kept as they came: {error.strerror}")

    async def _tidy(self) -> None:
        """Let go of what is too old or too much."""
        if not self._closed:
            return
        room = self._config.bytes - (self._writer.size_bytes if self._writer else 0)
        await self._unlink(plan.due(list(self._closed.values()), self._clock(), self._config.hours, room))

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
            raise self._broken(segment, str(error)) from error

    def _given(self, segment: Segment, block: Block, tenant_id: int, span: tuple[int, int]) -> list[RawMessage]:
        """Runs in a thread."""
        start, end = span
        if block.first_at >= end or block.last_at < start:
            return []
        try:
            messages = block.messages()
        except ChunkError as error:
            raise self._broken(segment, str(error)) from error
        erased, was_erased = self._erased(), self._was_erased
        return [
            message
            for message in messages
            if message.tenant_id == tenant_id
            and start <= message.arrived_at < end
            and not _is_erased(message, erased)
            and not _is_erased(message, was_erased)
        ]

    def _broken(self, segment: Segment, why: str) -> BrokenOffError:
        told = f"{files.path_of(self._folder, segment.number).name}: {why}"
        self._note_damage(told)
        known = self._closed.get(segment.number)
        if known is not None:
            # From now on nobody takes it for whole.
            kept = known.kept._replace(whole_until=None, last_at=known.kept.begun_at)
            self._closed[segment.number] = known._replace(kept=kept)
        return BrokenOffError(told)

    def _note_damage(self, what: str) -> None:
        if what not in self.damages:
            self.damages.add(what)
            log.error("raw journal was damaged where=%s", what)


def _raw(message: Message, log_id: int) -> RawMessage:
    return RawMessage(
        tenant_id=message.tenant_id,
        principal=message.principal,
        client_id=message.client_id,
        topic=message.topic,
        payload=message.payload,
        content_type=message.properties.content_type or "",
        qos=message.qos,
        retain=message.retain,
        arrived_at=message.arrived_at,
        log_id=log_id,
    )


def _is_erased(message: RawMessage, erased: Erased) -> bool:
    if not erased:
        return False
    devices = (message.principal, message.topic_device)
    return any(message.log_id <= erased.get((message.tenant_id, device), -1) for device in devices)
