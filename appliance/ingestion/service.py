"""Takes what the broker hands over, commits it, and lets the broker acknowledge what is on disk.

One batch at a time decides and commits while the next one collects. The order is: decide, commit, acknowledge,
remember (several records before that), announce; so memory never runs ahead of the disk, and nobody is told of what
is not on it. What the broker changed of its sessions and retained messages is in the same commit as the messages of
its turn.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

import msgspec

from appliance.alerts.message import announcements
from appliance.alerts.service import Alerts
from appliance.bus import Bus
from appliance.config import IngestionConfig
from appliance.health import Status
from appliance.ingestion import queries
from appliance.ingestion.backlog import Backlog, Batch
from appliance.ingestion.committing.service import Committed, Company, Load, write
from appliance.ingestion.decide import Decision
from appliance.ingestion.items import read, unread
from appliance.ingestion.known import Known
from appliance.ingestion.mapping.book import MappingBook
from appliance.ingestion.meter import Meter
from appliance.ingestion.model import Mishap, Outcome, PresenceChanged, Problem, ProblemsWritten, Rates
from appliance.ingestion.payload import tolerances_of
from appliance.ingestion.quality import QualityBook
from appliance.ingestion.stages import Lap, Stages
from appliance.ingestion.tally import Tally
from appliance.instant import Clock
from appliance.notifications.model import NoticesQueued
from appliance.registry.catalogue.model import DeviceType
from appliance.registry.model import DEFAULT_TENANT
from appliance.registry.service import Registry
from appliance.store.database import Database, UnwritableError, Work
from appliance.telemetry.model import Report, ReportsCommitted
from appliance.telemetry.service import Telemetry
from broker.changes import Change, ChangeKey
from broker.message import Message
from broker.ports import Connected, Disconnected, Refused, Turn

log = logging.getLogger(__name__)

MISHAP_INTERVAL_S = 1.0
"""Problems that come without a message are written down at most this often."""
MISHAPS_LIMIT = 1_000
RETRY_S = 1.0
OVERTAKEN_MS = 2_000
"""What comes first does not overtake a message that has waited so long."""
DRAIN_TIMEOUT_S = 10.0


class Ingestion:
    """The owner of what devices publish."""

    def __init__(self, database: Database, rooms: "Rooms", bus: Bus, config: IngestionConfig, clock: Clock) -> None:
        self._database = database
        self._rooms = rooms
        self._bus = bus
        self._config = config
        self._clock = clock
        self._known = _known(rooms, config)
        self.quality = QualityBook()
        """How well devices report."""
        self.stages = Stages()
        """How long messages take."""
        self._backlog = Backlog(config.backlog_messages)
        self._turns_accepted = self._turns_settled = 0
        self._batch_settled = asyncio.Event()
        """Another one stands in its place after each batch."""
        self._in_hand_at: int | None = None
        """When the oldest turn of the batch came that is being decided and committed; None when there is none."""
        self._mishaps = Tally()
        self.company = Company()
        """What waits to go with the next batch; and the rooms that clients ask for something."""
        self._arrived = asyncio.Event()
        self._meter = Meter()
        self._is_paused = self._is_stopping = False
        self._trouble = ""
        self.requested: Callable[[Sequence[Message]], None] = lambda _: None
        """Hears of the messages by which clients ask the gateway itself for something, in their order."""
        self.noted: Callable[[Connected | Disconnected | Refused], None] = lambda _: None
        """Hears what happened to clients, after the registry has."""
        self._pause: Callable[[], None] = lambda: None
        self._resume: Callable[[], None] = lambda: None
        self._acknowledge: Callable[[Sequence[object]], None] = lambda _: None

    # What the broker calls.

    def accept(self, turn: Turn) -> None:
        """Take what one loop turn brought. When too much waits, reading pauses on every connection."""
        was_empty, had_asked = not self._backlog, self._backlog.asked_at is not None
        now = self._clock()
        self._turns_accepted += 1
        is_kept, messages = self._rooms.keeps_messages(), turn.messages
        self._backlog.add(turn, now, unread(messages) if is_kept else read(messages, self._known.usual.told))
        self._meter.count(len(turn.messages), now)
        has_asked = not had_asked and self._backlog.asked_at is not None
        if was_empty or has_asked or self._backlog.weight >= self._config.batch_messages:
            self._arrived.set()
        if not self._is_paused and self._backlog.is_filled(1):
            self._is_paused = True
            self._pause()

    def note(self, event: Connected | Disconnected | Refused) -> None:
        """Hear what happened to a client."""
        match event:
            case Connected():
                self._rooms.registry.note_connected(event)
                self._bus.announce([PresenceChanged(event.tenant_id, event.principal, connected=True)])
            case Disconnected():
                self._rooms.registry.note_disconnected(event)
                self._bus.announce([PresenceChanged(event.tenant_id, event.principal, connected=False)])
            case Refused():
                self._note_refused(event)
        self.noted(event)

    # What the process calls.

    @contextlib.asynccontextmanager
    async def running(
        self, acknowledge: Callable[[Sequence[object]], None], pause: Callable[[], None], resume: Callable[[], None]
    ) -> AsyncIterator[None]:
        """Commit what is accepted; on leaving, take in hand what waits, commit and acknowledge it."""
        self._acknowledge, self._pause, self._resume = acknowledge, pause, resume
        async with asyncio.TaskGroup() as tasks:
            committing = tasks.create_task(self._commit_for_ever(), name="ingestion")
            yield
            self._is_stopping = True
            self._arrived.set()
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                await committing

    async def settled(self) -> None:
        """Wait until all that was taken so far is committed and remembered, however long the disk is full."""
        # What the broker takes in a turn of the loop it hands over when that turn is over.
        await asyncio.sleep(0)
        wanted = self._turns_accepted
        while self._turns_settled < wanted:
            await self._batch_settled.wait()

    # What pages and scripts call.

    async def bring(self, reports: Sequence[Report]) -> None:
        """Commit reports that no message carried with the next batch, undecided; back when they are on disk."""
        waiting = self.company.bring(reports)
        self._arrived.set()
        await waiting

    async def together(self, work: Work) -> None:
        """Have work done in the next batch's transaction, after its messages; back once it is on disk and told.

        Raises `UnwritableError` where the disk is full, and then nothing of it is done; and what the work raises.
        """
        await self._asked(work, is_first=False)

    async def first(self, work: Work) -> None:
        """The same, in a transaction of its own ahead of the messages that wait, unless these wait too long."""
        await self._asked(work, is_first=True)

    async def _asked(self, work: Work, *, is_first: bool) -> None:
        if self._trouble:
            raise UnwritableError(self._trouble)
        waiting = self.company.ask(work, is_first=is_first)
        self._arrived.set()
        await waiting

    async def problems(self, tenant_id: int, device_id: str) -> list[Problem]:
        """What was refused or not understood of a device, the newest first."""
        return await self._database.read(queries.select_problems(tenant_id, device_id))

    async def recent_problems(self, tenant_id: int, limit: int) -> list[Problem]:
        """The newest problems of all devices, and of strangers (with an empty device identifier)."""
        return await self._database.read(queries.select_recent_problems(tenant_id, limit))

    def rates(self) -> Rates:
        """How fast messages come and how long they wait."""
        now = self._clock()
        oldest_at = self._backlog.oldest_at if self._in_hand_at is None else self._in_hand_at
        return Rates(
            messages_per_second=self._meter.per_second(now),
            lag_ms=0 if oldest_at is None else max(0, now - oldest_at),
            lag_p95_ms=self._meter.wait_p95_ms(),
        )

    def status(self) -> Status:
        """Say whether messages get to the disk."""
        rates = self.rates()
        summary = self._trouble or f"{rates.messages_per_second:.0f} messages/s, p95 {rates.lag_p95_ms} ms to disk"
        return Status(
            ok=not self._trouble,
            summary=summary,
            details={
                "messages_per_second": round(rates.messages_per_second, 1),
                "lag_ms": rates.lag_ms,
                "lag_p95_ms": rates.lag_p95_ms,
                "backlog_messages": self._backlog.message_count,
                "committed_messages": self._meter.committed_count,
            },
        )

    # The way of a batch.

    async def _commit_for_ever(self) -> None:
        while not (self._is_stopping and not self._backlog):
            await self._wait_for_batch()
            if self._backlog or self._mishaps or self.company:
                await self._commit_batch()
                # Whoever waited for it may ask for more, which may come first.
                await asyncio.sleep(0)
        if self._mishaps or self.company:
            await self._commit_batch()

    async def _wait_for_batch(self) -> None:
        """Wait for the first turn, and then for the company it may get until the interval is over."""
        await self._wait_until(lambda: bool(self._backlog or self._mishaps or self.company), None)
        if not self._backlog and not self.company:
            await self._wait_until(lambda: bool(self._backlog or self.company), MISHAP_INTERVAL_S)
        if self._backlog.asked_at is None:
            await self._wait_until(lambda: self._is_enough() or self._backlog.asked_at is not None, self._left_s())
        if self._backlog.asked_at is not None:
            # Somebody waits for an answer.
            await self._wait_until(self._is_enough, self._left_s())

    def _left_s(self) -> float:
        """How long the batch may still wait for company."""
        backlog, config, now = self._backlog, self._config, self._clock()
        begun = ((backlog.oldest_at, config.commit_interval_ms), (backlog.asked_at, config.answer_interval_ms))
        left_ms = [self._meter.left_ms(now - at, interval_ms) for at, interval_ms in begun if at is not None]
        return min(left_ms, default=0) / 1_000

    def _is_enough(self) -> bool:
        """Whether a batch waits no longer for company."""
        return self._backlog.weight >= self._config.batch_messages or self.company.has_first

    async def _wait_until(self, is_enough: Callable[[], bool], timeout_s: float | None) -> None:
        """Wait for enough to have arrived, for the time to be over or for the process to stop."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not (is_enough() or self._is_stopping):
                    self._arrived.clear()
                    await self._arrived.wait()

    async def _commit_batch(self) -> None:
        begun = (loop := asyncio.get_running_loop()).time()
        is_first = self._overtakes()
        batch = self._backlog.take(0 if is_first else self._config.batch_messages)
        settled = self._turns_accepted - len(self._backlog)
        self._in_hand_at = batch.arrived_at
        decision = await self._decide(batch)
        noted, self._mishaps = self._mishaps, Tally()
        outcome = decision.outcome()
        lap = self.stages.lap(batch.waits, outcome.sheaves, self._clock(), loop.time())
        load = self.company.take_first() if is_first else self.company.take(decision.requests)
        whole = outcome.extended(load.reports, noted.mishaps())
        committed = await self._commit(whole, batch.changes, load)
        lap.committed(self._clock(), loop.time())
        self._rooms.note(batch.messages, max(committed.records, default=0))
        self._in_hand_at = None
        self._known.merge(decision)
        acknowledged_at = await self._answer(batch, outcome, committed, lap)
        self._settle(settled)
        self._tell(load, decision.requests, committed)
        if batch.waits and batch.arrived_at is not None:
            # With what it took to tell: who asked something waits for that, too.
            work_ms = (loop.time() - begun) * 1_000
            self._meter.committed(batch.message_count, acknowledged_at - batch.arrived_at, work_ms)
        self._announce(whole, committed)
        if self._is_paused and not self._backlog.is_filled(2):
            self._is_paused = False
            self._resume()

    def _overtakes(self) -> bool:
        """Whether something comes before the messages that wait."""
        oldest_at = self._backlog.oldest_at
        # A clock that was set ahead only lets messages go first.
        is_fresh = oldest_at is None or 0 <= self._clock() - oldest_at < OVERTAKEN_MS
        return self.company.has_first and is_fresh

    def _tell(self, load: Load, requests: Sequence[Message], committed: Committed) -> None:
        load.finish(committed.results)
        if requests:
            self.requested(requests)

    def _settle(self, turn_count: int) -> None:
        """Tell whoever waits for a batch to be on disk."""
        self._turns_settled = turn_count
        self._batch_settled.set()
        self._batch_settled = asyncio.Event()

    async def _decide(self, batch: Batch) -> Decision:
        """Decide piece by piece, so that the loop gets its turn."""
        decision = Decision(self._known)
        for _ in decision.deciding(batch.items):
            await asyncio.sleep(0)
        return decision

    async def _commit(self, outcome: Outcome, changes: Mapping[ChangeKey, Change], load: Load) -> Committed:
        """Commit, however long the disk is full: nothing is acknowledged and reading pauses meanwhile.

        Who waits for an errand is told instead, and the errand is left out. Raises what else SQLite says, such as an
        I/O error: that ends the process.
        """
        while True:
            try:
                committed = await self._database.write(
                    write, outcome, changes, tuple(load.errands), self._rooms.registry.name_of, self._clock()
                )
            except UnwritableError as error:
                if not self._trouble:
                    log.error("commit failed, retried until it succeeds error=%s", error)  # noqa: TRY400  no traceback
                self._trouble = str(error)
                load.give_up(error)
                await asyncio.sleep(RETRY_S)
            else:
                if self._trouble:
                    log.info("commits succeed again")
                self._trouble = ""
                return committed

    async def _answer(self, batch: Batch, outcome: Outcome, committed: Committed, lap: Lap) -> int:
        """Acknowledge what is on disk, and remember it; gives when it was acknowledged.

        Whoever is answered finds it: one record is remembered in the same turn of the loop, several before.
        """
        is_one = len(committed.records) <= 1
        if not is_one:
            await self._remember(outcome, committed)
        if batch.receipts:
            self._acknowledge(batch.receipts)
        acknowledged_at = self._clock()
        lap.acknowledged(asyncio.get_running_loop().time())
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

    def _note_refused(self, event: Refused) -> None:
        """Write a refusal down where its owner looks: at the device it claims to be, if there is one."""
        if len(self._mishaps) >= MISHAPS_LIMIT:
            return
        tenant_id = event.tenant_id or DEFAULT_TENANT
        claimed = event.principal or event.client_id
        device_id = claimed if self._rooms.registry.has_device(tenant_id, claimed) else ""
        # What a client left behind came from nowhere.
        reason = f"{event.reason} (from {event.address})" if event.address else event.reason
        # The bearer of a claim, or a script, is no device: its client identifier is all that it goes by.
        if event.client_id and not device_id:
            reason = f"client identifier {event.client_id[:64]!r}: {reason}"
        self._mishaps.note(Mishap(tenant_id, device_id, event.kind, reason, event.at))
        self._arrived.set()


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


def _known(rooms: Rooms, config: IngestionConfig) -> Known:
    """What deciding needs to know of these rooms."""
    registry, telemetry = rooms.registry, rooms.telemetry
    asked = (telemetry.newest_at, tolerances_of(config), telemetry.identities_at, rooms.type_of)
    known = Known(rooms.alerts.book, registry.zone_of, *asked)
    known.mapping, known.redeliveries.held = rooms.mapping, telemetry.newest_unstamped
    return known
