"""Gives the event log to those who read it, and keeps it for them as long as there is room.

Rules:
- Readers fetch: the log itself is the queue, and each reader holds one batch at most. None slows ingestion or another.
- The log is kept from the slowest consumer on, up to a bound in bytes. Beyond it the log is trimmed past the
  consumer, and what it misses is noted in the same transaction, exactly.
- A batch is read, worked on and then committed: a crash in between gives it once more.
"""

import asyncio
import contextlib
import logging
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Sequence

from appliance.audit.model import Entry
from appliance.audit.service import Audit
from appliance.bus import Bus, Subscription
from appliance.config import StreamConfig
from appliance.errors import InvalidInputError
from appliance.health import Status
from appliance.instant import Clock
from appliance.store.database import Database, UnwritableError
from appliance.stream import queries
from appliance.stream.batch import LEAST, MOST, cut
from appliance.stream.model import (
    BadPositionError,
    Batch,
    Consumer,
    ConsumerInUseError,
    ConsumerView,
    Gap,
    Lag,
    LogRecord,
    Position,
    Start,
    UnknownConsumerError,
)
from appliance.stream.queries import LogPiece
from appliance.stream.standing import Key, standing
from appliance.stream.wanted import EVERYTHING, Wanted
from appliance.telemetry import log_record
from appliance.telemetry.model import ReportsCommitted
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.service import Telemetry

log = logging.getLogger(__name__)

TEND_S = 10.0
"""How often the log is trimmed behind consumers that have gone on."""
LOOK_S = 2.0
"""A reader that waits looks this often, whether or not it was told of anything new."""
GATHER_S = 1.0
"""How long a consumer waits for a batch that is worth its while."""
PIECES_AT_ONCE = 64
KEPT_RECORDS = 16
"""The newest records stay unpacked: everybody who is up to date reads the same ones."""

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

TRIMMED = "the log has it no more: it was trimmed for want of room, or gateway.db was lost or restored"
DAMAGED = "a record of the log was damaged"


class Stream:
    """The event log, for those who read it."""

    def __init__(
        self, database: Database, audit: Audit, telemetry: Telemetry, bus: Bus, config: StreamConfig, clock: Clock
    ) -> None:
        self.database = database
        self.telemetry = telemetry
        self.clock = clock
        self._database = database
        self._audit = audit
        self._bus = bus
        self.hold_bytes = config.hold_mb * 1_000_000
        """So much of each tenant's log stays for consumers that lag."""
        self.streams_limit = config.streams_limit
        """How many may follow the log at a time."""
        self._clock = clock
        self._consumers: dict[Key, Consumer] = {}
        self._lags: dict[Key, Lag] = {}
        self._in_use: set[Key] = set()
        self._followed: Counter[Key] = Counter()
        self._released: dict[int, int] = {}
        """By tenant: up to which log id the day files need nothing."""
        self._trimming = asyncio.Lock()
        self._events: dict[int, asyncio.Event] = {}
        self._kept: dict[tuple[int, int], tuple[bytes, LogRecord]] = {}

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Take up who reads; then open telemetry, for which this trims the log."""
        self.telemetry.trim, self.telemetry.begin_after = self.trim, self.begin_after
        for consumer in await self._database.read(queries.select_consumers()):
            self._note(consumer)
        with self._bus.subscribe(ReportsCommitted, limit=1) as subscription:
            async with asyncio.TaskGroup() as tasks, self.telemetry.opened():
                working = [
                    tasks.create_task(self._tend_for_ever(), name="stream: trimming the log"),
                    tasks.create_task(self._hear(subscription), name="stream: new reports"),
                ]
                try:
                    yield
                finally:
                    for task in working:
                        task.cancel()

    # What readers ask.

    @contextlib.asynccontextmanager
    async def consumer(self, tenant_id: int, name: str, start: Start = Start.NOW) -> AsyncIterator["Reader"]:
        """Read under a name; one that is new begins at `start`. Raises `ConsumerInUseError`, `InvalidInputError`."""
        key = (tenant_id, name)
        if key not in self._consumers:
            await self.add(tenant_id, name, start)
        with self.in_use(tenant_id, name):
            yield Reader(self, tenant_id, name)

    @contextlib.contextmanager
    def in_use(self, tenant_id: int, name: str) -> Iterator[None]:
        """Let nobody else read as this consumer meanwhile. Raises `ConsumerInUseError`."""
        key = (tenant_id, name)
        if key in self._in_use:
            raise ConsumerInUseError(f"somebody else reads as the consumer {name}")
        self._in_use.add(key)
        try:
            yield
        finally:
            self._in_use.discard(key)

    @contextlib.contextmanager
    def followed(self, tenant_id: int, name: str) -> Iterator[None]:
        """Say that somebody outside reads as this consumer meanwhile, or as none."""
        self._followed[tenant_id, name] += 1
        try:
            yield
        finally:
            self._followed[tenant_id, name] -= 1

    def is_taken(self, tenant_id: int, name: str) -> bool:
        """Whether the gateway itself reads as this consumer."""
        return (tenant_id, name) in self._in_use

    async def end(self) -> Position:
        """The place after everything that is in the log now."""
        [newest] = await self._database.read(queries.select_end())
        return Position(newest + 1)

    async def require_told(self, position: Position) -> None:
        """Raise `BadPositionError` when this gateway has not come to this place yet."""
        if position.log_id > (await self.end()).log_id:
            raise BadPositionError(f"the log has not come to {position.log_id}: was this told by another gateway?")

    async def read(self, tenant_id: int, position: Position, wanted: Wanted = EVERYTHING, most: int = MOST) -> Batch:
        """What comes next after a place, at most so many reports; an empty batch when nothing does yet."""
        pieces = await self._database.read(queries.select_pieces(tenant_id, position.log_id, PIECES_AT_ONCE))
        trimmed = pieces[0]
        if position.log_id <= trimmed.trimmed_log_id:
            gap = Gap(position, trimmed.trimmed_log_id, None, trimmed.trimmed_at, TRIMMED)
            return Batch(position, Position(gap.through_log_id + 1), gap=gap)
        records, damaged = await self._unpacked(tenant_id, pieces, most)
        if not records and damaged is not None:
            gap = Gap(position, damaged, None, self._clock(), DAMAGED)
            return Batch(position, Position(damaged + 1), gap=gap)
        return cut(position, records, wanted, self.telemetry.day_files.is_erased, most)

    async def missed(self, tenant_id: int, name: str, gap: Gap) -> Gap | None:
        """A gap that a reader came upon, as it is known of its consumer; None when nothing of it was to be given.

        Only for who has come exactly as far as the consumer it is known how many reports are missing.
        """
        for known in await self._database.read(queries.select_consumer(tenant_id, name)):
            if known.gap is not None and known.position == gap.start:
                return _gap_of(known)
        return gap

    def news(self, tenant_id: int) -> asyncio.Event:
        """Is set when something new was committed. Ask for it before reading."""
        return self._events.setdefault(tenant_id, asyncio.Event())

    # What people ask.

    async def add(self, tenant_id: int, name: str, start: Start) -> Consumer:
        """Add a consumer. Raises `InvalidInputError`, `ConsumerExistsError`, `TooManyConsumersError`."""
        if not NAME.fullmatch(name):
            raise InvalidInputError("the name of a consumer has 1 to 64 letters, digits, dots, dashes and underscores")
        consumer = await self._audit.told(
            tenant_id,
            lambda _: [Entry("stream_consumer.add", name, {"start": start.value})],
            *(queries.insert_consumer, tenant_id, name, start, self._clock()),
        )
        self._note(consumer)
        log.info("consumer added tenant_id=%s name=%s", tenant_id, name)
        return consumer

    async def remove(self, tenant_id: int, name: str) -> None:
        """Forget a consumer; the log is not kept for it any more. Raises `UnknownConsumerError`."""
        await self._audit.told(
            tenant_id,
            lambda _: [Entry("stream_consumer.remove", name)],
            *(queries.delete_consumer, tenant_id, name),
        )
        self._consumers.pop((tenant_id, name), None)
        self._lags.pop((tenant_id, name), None)
        log.info("consumer removed tenant_id=%s name=%s", tenant_id, name)

    async def move(self, tenant_id: int, name: str, position: Position) -> Consumer:
        """Let a consumer go on at a place, forwards or back. Raises `UnknownConsumerError`, `BadPositionError`."""
        await self.require_told(position)
        consumer = await self._database.write(queries.update_position, tenant_id, name, position, self._clock())
        self._note(consumer)
        return consumer

    async def commit(self, tenant_id: int, name: str, batch: Batch) -> Consumer:
        """Note that a consumer has a batch. Raises `UnknownConsumerError`, `MovedError`."""
        consumer = await self._database.write(queries.update_committed, tenant_id, name, batch, self._clock())
        self._note(consumer)
        return consumer

    async def known(self, tenant_id: int, name: str) -> Consumer:
        """A consumer as it is on the disk. Raises `UnknownConsumerError`."""
        found = await self._database.read(queries.select_consumer(tenant_id, name))
        if not found:
            raise UnknownConsumerError(f"there is no consumer {name[:64]!r}")
        return found[0]

    async def view(self, tenant_id: int, name: str) -> ConsumerView:
        """A consumer and how far it lags behind. Raises `UnknownConsumerError`."""
        consumer = await self.known(tenant_id, name)
        [lag] = await self._database.read(queries.select_lag(tenant_id, consumer.position))
        is_reading = self.is_taken(tenant_id, name) or self._followed[tenant_id, name] > 0
        return ConsumerView(consumer, lag, is_reading)

    async def views(self, tenant_id: int) -> list[ConsumerView]:
        """Every consumer of a tenant, by name."""
        return [await self.view(*key) for key in sorted(self._consumers) if key[0] == tenant_id]

    def status(self, tenant_id: int | None = None) -> Status:
        """Say whether everybody keeps up: consumers of one tenant by their names, those of all without."""
        return standing(self._consumers, self._lags, self.hold_bytes, self._clock(), tenant_id)

    def parts(self) -> dict[str, Callable[[], Status]]:
        """What is asked how it is."""
        return {"stream": self.status}

    # What telemetry calls.

    async def trim(self, tenants: Sequence[int], log_id: int) -> None:
        """Remove the log of these tenants up to a log id, but for what consumers need and there is room for."""
        for tenant_id in tenants:
            self._released[tenant_id] = max(log_id, self._released.get(tenant_id, 0))
            await self._trim(tenant_id)

    async def begin_after(self, log_id: int, last_seen_at: int) -> None:
        """Have log ids begin after the newest one in day files; what of these the log lacks is a gap in it.

        `last_seen_at` is when the newest report in them arrived: the clock may have been set back since.
        """
        self._note_losing(await self._database.write(queries.begin_after, log_id, max(last_seen_at, self._clock())))

    async def _trim(self, tenant_id: int) -> None:
        async with self._trimming:
            through = self._released[tenant_id]
            last = await self._trimmable(tenant_id, through)
            self._note_losing(await self._database.write(queries.trim, tenant_id, last, through))

    async def _trimmable(self, tenant_id: int, through: int) -> int:
        """Up to which log id the log may go."""
        needed = min(
            (each.position.log_id for each in self._consumers.values() if each.tenant_id == tenant_id),
            default=through + 1,
        )
        if needed > through:
            return through
        beyond = await self._database.read(queries.select_beyond(tenant_id, through, self.hold_bytes))
        return max([needed - 1, *beyond])

    async def tend(self) -> None:
        """Trim the log behind consumers that have gone on, and see who lags."""
        for tenant_id in list(self._released):
            await self._trim(tenant_id)
        for key, consumer in list(self._consumers.items()):
            [lag] = await self._database.read(queries.select_lag(key[0], consumer.position))
            if key in self._consumers:
                self._lags[key] = lag

    async def _tend_for_ever(self) -> None:
        while True:
            await asyncio.sleep(TEND_S)
            # On a full disk the log stays as it is and is trimmed later.
            with contextlib.suppress(UnwritableError):
                await self.tend()

    async def _hear(self, subscription: Subscription) -> None:
        while True:
            for event in await subscription.next_batch():
                if isinstance(event, ReportsCommitted):
                    for tenant_id in self._events.keys() & event.counts.keys():
                        self._events.pop(tenant_id).set()

    async def _unpacked(
        self, tenant_id: int, pieces: Sequence[LogPiece], most: int
    ) -> tuple[list[LogRecord], int | None]:
        """The records up to where there are enough reports, or up to a damaged one, and which one that is."""
        records: list[LogRecord] = []
        count = 0
        for piece in pieces:
            if piece.log_id is None or piece.record is None or count > 2 * most:
                break
            try:
                record = await self._record(tenant_id, piece.log_id, piece.record)
            except ChunkError as error:
                log.error("a record of the log was damaged log_id=%s error=%s", piece.log_id, error)  # noqa: TRY400  no traceback
                return records, piece.log_id
            records.append(record)
            count += len(record.reports)
        return records, None

    async def _record(self, tenant_id: int, log_id: int, packed: bytes) -> LogRecord:
        kept = self._kept.get((tenant_id, log_id))
        if kept is not None and kept[0] == packed:
            return kept[1]
        record = LogRecord(log_id, await asyncio.to_thread(log_record.decode, packed, tenant_id))
        self._kept[tenant_id, log_id] = (packed, record)
        while len(self._kept) > KEPT_RECORDS:
            del self._kept[next(iter(self._kept))]
        return record

    def _note_losing(self, consumers: Sequence[Consumer]) -> None:
        for losing in consumers:
            key = (losing.tenant_id, losing.name)
            if key in self._consumers:
                if self._consumers[key].gap is None:
                    log.warning("log trimmed past a consumer tenant_id=%s name=%s", *key)
                self._note(losing)

    def _note(self, consumer: Consumer) -> None:
        self._consumers[consumer.tenant_id, consumer.name] = consumer


def _gap_of(known: Consumer) -> Gap | None:
    """What a consumer has lost; None when that is nothing."""
    gap = known.gap
    if gap is None or gap.report_count == 0:
        return None
    return Gap(known.position, gap.through_log_id, gap.report_count, gap.until_at, TRIMMED)


class Reader:
    """Reads as a consumer; what it has committed it is never given again. Made by `Stream.consumer`."""

    def __init__(self, stream: Stream, tenant_id: int, name: str) -> None:
        self._stream = stream
        self._tenant_id = tenant_id
        self.name = name

    async def read(self, wanted: Wanted = EVERYTHING, most: int = MOST, gather_s: float = GATHER_S) -> Batch:
        """Wait for what comes after the last batch that was committed: the same again until it is.

        With fewer than a hundred reports it waits a moment for more. Raises `UnknownConsumerError` when the
        consumer was deleted.
        """
        loop = asyncio.get_running_loop()
        gathered_at: float | None = None
        while True:
            news = self._stream.news(self._tenant_id)
            batch = await self.peek(wanted, most)
            gathered_at = gathered_at or (None if batch.is_empty else loop.time() + gather_s)
            is_enough = batch.gap is not None or sum(count for _, count in batch.counts) >= min(LEAST, most)
            if gathered_at is not None and (is_enough or loop.time() >= gathered_at):
                return batch
            wait_s = LOOK_S if gathered_at is None else min(LOOK_S, gathered_at - loop.time())
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await news.wait()

    async def peek(self, wanted: Wanted = EVERYTHING, most: int = MOST) -> Batch:
        """What comes next as it is now; an empty batch when nothing does. Raises `UnknownConsumerError`."""
        while True:
            known = await self._stream.known(self._tenant_id, self.name)
            position = known.position
            missing = _gap_of(known)
            if missing is not None:
                return Batch(position, Position(missing.through_log_id + 1), gap=missing)
            start = position if known.gap is None else Position(known.gap.through_log_id + 1)
            batch = await self._stream.read(self._tenant_id, start, wanted, most)
            if batch.gap is None or batch.gap.why != TRIMMED:
                return Batch(position, batch.end, batch.reports, batch.counts, batch.gap)
            # The log was trimmed just now: it is on the disk what of it is missing.

    async def commit(self, batch: Batch) -> None:
        """Say that everything of a batch was dealt with. Raises `UnknownConsumerError`, `MovedError`."""
        await self._stream.commit(self._tenant_id, self.name, batch)
