"""Commits decided batches one after the other, and settles each: acknowledges, remembers, announces.

A batch is settled while the next one is on its way to the disk, where one waits. The order of a batch is: commit,
acknowledge, remember (several records before that), tell, announce; so memory never runs ahead of the disk, and nobody
is told of what is not on it.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence

import msgspec

from appliance.alerts.message import announcements
from appliance.alerts.service import Alerts
from appliance.bus import Bus
from appliance.ingestion.backlog import BATCH_BYTES, Batch
from appliance.ingestion.committing.service import Committed, Load, write
from appliance.ingestion.decide import Decision
from appliance.ingestion.known import Known
from appliance.ingestion.mapping.book import MappingBook
from appliance.ingestion.meter import Meter
from appliance.ingestion.model import Outcome, ProblemsWritten
from appliance.ingestion.quality import QualityBook
from appliance.ingestion.stages import Lap, Stages
from appliance.instant import Clock
from appliance.notifications.model import NoticesQueued
from appliance.registry.catalogue.model import DeviceType
from appliance.registry.service import Registry
from appliance.store.database import Database, UnwritableError
from appliance.telemetry.model import ReportsCommitted
from appliance.telemetry.service import Telemetry
from broker.message import Message

log = logging.getLogger(__name__)

RETRY_S = 1.0
WAITING_LIMIT = 4
"""Batches that may wait for their commit, decided: as many messages as come in half a second when very many come."""


class Rooms(msgspec.Struct, frozen=True):
    """The rooms whose knowledge a batch is decided with, and which hear of its commit."""

    registry: Registry
    alerts: Alerts
    telemetry: Telemetry
    type_of: Callable[[int, str], DeviceType | None] = lambda *_: None
    """Tells what is known of all devices of a device's type."""
    note: Callable[[Sequence[Message], int], None] = lambda *_: None
    """Hears of messages that were committed, as far as they were kept, and of the newest log id of that, 0 for none."""
    mapping: MappingBook = msgspec.field(default_factory=MappingBook)
    """What on other topics is telemetry."""
    keeps_messages: Callable[[], bool] = lambda: False
    """Tells whether messages are kept as they came: then none is read before it is decided."""


class Decided(msgspec.Struct, frozen=True):
    """A batch that waits for its commit."""

    batch: Batch
    decision: Decision | None
    """None when nothing was decided: an errand goes first."""
    outcome: Outcome
    """What its messages come to."""
    whole: Outcome
    """The same, and what goes with them."""
    load: Load
    lap: Lap
    begun_s: float
    """When the work on it began, on the loop's clock."""
    turn_count: int
    """How many turns were taken, of all that ever came, up to its last one; 0 for one that goes first."""


Landed = tuple[Decided, Committed]
"""A batch that is on disk, and is to be settled."""


class Settling:
    """The owner of what is decided and not settled."""

    def __init__(self, database: Database, rooms: Rooms, bus: Bus, clock: Clock, known: Known) -> None:
        self._database = database
        self._rooms = rooms
        self._bus = bus
        self._clock = clock
        self._known = known
        self.quality = QualityBook()
        """How well devices report."""
        self.stages = Stages()
        """How long messages take."""
        self.meter = Meter()
        """How fast they come."""
        self.trouble = ""
        """Why nothing can be committed now; empty when it can."""
        self.turns_settled = 0
        self._decided: deque[Decided] = deque()
        """What is not settled, in order: being settled, being committed, waiting."""
        self._uncommitted: deque[Decided] = deque()
        """The last of them, which are not on disk; the first is on its way."""
        self._changed = asyncio.Event()
        """Another one stands in its place after each change."""
        self.acknowledge: Callable[[Sequence[object]], None] = lambda _: None
        self.requested: Callable[[Sequence[Message]], None] = lambda _: None
        """Hears of the messages by which clients ask the gateway itself for something, in their order."""
        self.given_up: Callable[[UnwritableError], None] = lambda _: None
        """Hears that nothing can be written now."""
        self.changed: Callable[[], None] = lambda: None
        """Hears that something was decided, committed or settled."""

    @property
    def is_idle(self) -> bool:
        """Whether all that was decided is settled."""
        return not self._decided

    @property
    def has_room(self) -> bool:
        """Whether another batch may wait decided: what is decided takes many times the memory of its payloads."""
        waiting = list(self._uncommitted)[1:]
        return len(waiting) < WAITING_LIMIT and sum(one.batch.payload_bytes for one in waiting) < BATCH_BYTES

    @property
    def has_first(self) -> bool:
        """Whether there is an errand that goes first, and is not told yet."""
        return any(one.decision is None for one in self._decided)

    @property
    def message_count(self) -> int:
        """How many messages are decided, and not on disk."""
        return sum(one.batch.message_count for one in self._uncommitted)

    @property
    def oldest_at(self) -> int | None:
        """When the oldest turn came that is decided and not on disk, UTC milliseconds; None when there is none."""
        return next((one.batch.arrived_at for one in self._uncommitted if one.batch.arrived_at is not None), None)

    @property
    def has_waiting(self) -> bool:
        """Whether something waits for its commit behind what is on its way."""
        return len(self._uncommitted) > 1

    def put(self, decided: Decided) -> None:
        """Have a batch committed and settled after those before it, or ahead of those that wait."""
        if decided.decision is None:
            # Behind the one on its way.
            at = min(1, len(self._uncommitted))
            self._decided.insert(len(self._decided) - len(self._uncommitted) + at, decided)
            self._uncommitted.insert(at, decided)
        else:
            # Those that are decided from now on know of it.
            self._known.unremembered.append(decided.decision)
            self._decided.append(decided)
            self._uncommitted.append(decided)
        self._change()

    async def until(self, is_so: Callable[[], bool]) -> None:
        """Wait until something is so that changes with what is decided, committed or settled."""
        while not is_so():
            await self._changed.wait()

    async def settle_for_ever(self) -> None:
        """Commit and settle what is put, in order. Raises what SQLite says, such as an I/O error."""
        landed: Landed | None = None
        while True:
            if landed is None:
                await self.until(lambda: bool(self._uncommitted))
                landed = await self._commit(self._uncommitted[0])
            elif self._uncommitted:
                landed = await self._commit_beside(self._uncommitted[0], landed)
            else:
                await self._settle(*landed)
                landed = None

    async def _commit_beside(self, decided: Decided, landed: Landed) -> Landed:
        """Commit a batch, and settle the one before it meanwhile."""
        committing = asyncio.create_task(self._commit(decided), name="commit")
        try:
            # The writer has it before there is anything else to do.
            await asyncio.sleep(0)
            await self._settle(*landed)
            return await committing
        finally:
            committing.cancel()

    async def _commit(self, decided: Decided) -> Landed:
        """Commit, however long the disk is full: nothing is acknowledged meanwhile, and reading pauses before long.

        Who waits for an errand is told instead, and the errand is left out.
        """
        while True:
            try:
                committed = await self._write(decided.whole, decided.batch, decided.load)
            except UnwritableError as error:
                if not self.trouble:
                    log.error("commit failed, retried until it succeeds error=%s", error)  # noqa: TRY400  no traceback
                self.trouble = str(error)
                for one in self._uncommitted:
                    one.load.give_up(error)
                self.given_up(error)
                await asyncio.sleep(RETRY_S)
            else:
                if self.trouble:
                    log.info("commits succeed again")
                self.trouble = ""
                self._land(decided, committed)
                return decided, committed

    async def _write(self, whole: Outcome, batch: Batch, load: Load) -> Committed:
        errands, name_of = tuple(load.errands), self._rooms.registry.name_of
        return await self._database.write(write, whole, batch.changes, errands, name_of, self._clock())

    def _land(self, decided: Decided, committed: Committed) -> None:
        """Take note that a batch is on disk."""
        decided.lap.committed(self._clock(), asyncio.get_running_loop().time())
        self._rooms.note(decided.batch.messages, max(committed.records, default=0))
        if decided.decision:
            self._known.merge(decided.decision)
        self._uncommitted.popleft()
        self._change()

    async def _settle(self, decided: Decided, committed: Committed) -> None:
        batch, load, decision = decided.batch, decided.load, decided.decision
        acknowledged_at = await self._answer(decided, committed)
        if decision:
            self._known.unremembered.popleft()
            self.turns_settled = decided.turn_count
            self._change()
        load.finish(committed.results)
        if decision and decision.requests:
            self.requested(decision.requests)
        if batch.waits and batch.arrived_at is not None:
            # With what it took to tell: who asked something waits for that, too.
            work_ms = (asyncio.get_running_loop().time() - decided.begun_s) * 1_000
            self.meter.committed(batch.message_count, acknowledged_at - batch.arrived_at, work_ms)
        self._announce(decided.whole, committed)
        self._decided.popleft()
        self._change()

    async def _answer(self, decided: Decided, committed: Committed) -> int:
        """Acknowledge what is on disk, and remember it; gives when it was acknowledged.

        Whoever is answered finds it: one record is remembered in the same turn of the loop, several before.
        """
        is_one, outcome = len(committed.records) <= 1, decided.outcome
        if not is_one:
            await self._remember(outcome, committed)
        if decided.batch.receipts:
            self.acknowledge(decided.batch.receipts)
        acknowledged_at = self._clock()
        decided.lap.acknowledged(asyncio.get_running_loop().time())
        if is_one:
            await self._remember(outcome, committed)
        return acknowledged_at

    async def _remember(self, outcome: Outcome, committed: Committed) -> None:
        """Remember record by record: what is sealed between two of them is sealed up to a record's end."""
        for place, (log_id, record) in enumerate(committed.records.items()):
            if place:
                await asyncio.sleep(0)
            self._rooms.telemetry.absorb(record.reports, log_id)
        for sheaf in outcome.sheaves:
            for _ in self.quality.taking(sheaf, outcome.observed):
                await asyncio.sleep(0)

    def _announce(self, outcome: Outcome, committed: Committed) -> None:
        events: list[object] = []
        if committed.records:
            events.append(ReportsCommitted(committed.counts()))
        events += announcements(committed.events)
        events += [NoticesQueued(tenant_id) for tenant_id in committed.notice_tenants]
        for tenant_id in {mishap.tenant_id for mishap in outcome.mishaps}:
            devices = {mishap.device_id for mishap in outcome.mishaps if mishap.tenant_id == tenant_id}
            events.append(ProblemsWritten(tenant_id, tuple(sorted(devices))))
        self._bus.announce(events)

    def _change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
        self.changed()
