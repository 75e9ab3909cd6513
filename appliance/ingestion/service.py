"""Takes what the broker hands over, commits it, and lets the broker acknowledge what is on disk.

One batch is decided, committed and settled while the next one collects. Where the disk is slow and a full one has
collected, that is decided as well, on what those before it changed: then it is ready when the disk is. What the broker
changed of its sessions and retained messages is in the same commit as the messages of its turn.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

from appliance.bus import Bus
from appliance.config import IngestionConfig
from appliance.health import Status
from appliance.ingestion import queries
from appliance.ingestion.backlog import Backlog, Batch
from appliance.ingestion.committing.service import Company, Load
from appliance.ingestion.decide import Decision
from appliance.ingestion.items import read, unread
from appliance.ingestion.known import Known
from appliance.ingestion.model import Mishap, Outcome, PresenceChanged, Problem, Rates
from appliance.ingestion.payload import tolerances_of
from appliance.ingestion.settling.service import Decided, Rooms, Settling
from appliance.ingestion.tally import Tally
from appliance.instant import Clock
from appliance.registry.model import DEFAULT_TENANT
from appliance.store.database import Database, UnwritableError, Work
from appliance.telemetry.model import Report
from broker.message import Message
from broker.ports import Connected, Disconnected, Refused, Turn

MISHAP_INTERVAL_S = 1.0
"""Problems that come without a message are written down at most this often."""
MISHAPS_LIMIT = 1_000
OVERTAKEN_MS = 2_000
"""What comes first does not overtake a message that has waited so long."""
DRAIN_TIMEOUT_S = 10.0
NO_BATCH = Batch([], {}, [], None, {})
EARLY_WEIGHT = 256
"""So many messages are decided at once, and do not wait for the rest of their batch."""


class Ingestion:
    """The owner of what devices publish."""

    def __init__(self, database: Database, rooms: Rooms, bus: Bus, config: IngestionConfig, clock: Clock) -> None:
        self._database = database
        self._rooms = rooms
        self._bus = bus
        self._config = config
        self._clock = clock
        self._known = _known(rooms, config)
        self.company = Company()
        """What waits to go with the next batch; and the rooms that clients ask for something."""
        self._arrived = asyncio.Event()
        self._settling = Settling(database, rooms, bus, clock, self._known)
        self._settling.changed = self._arrived.set
        self._settling.requested = self._hear_requests
        self._settling.given_up = self.company.give_up
        self.quality, self.stages = self._settling.quality, self._settling.stages
        """How well devices report, and how long messages take."""
        self._backlog = Backlog(config.backlog_messages)
        self._turns_accepted = 0
        self._decision: Decision | None = None
        """About the turns in hand; None when there are none."""
        self._mishaps = Tally()
        self._meter = self._settling.meter
        self._is_paused = self._is_stopping = False
        self.requested: Callable[[Sequence[Message]], None] = lambda _: None
        """Hears of the messages by which clients ask the gateway itself for something, in their order."""
        self.noted: Callable[[Connected | Disconnected | Refused], None] = lambda _: None
        """Hears what happened to clients, after the registry has."""
        self._pause: Callable[[], None] = lambda: None
        self._resume: Callable[[], None] = lambda: None

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
        if was_empty or has_asked or self._is_full() or self._backlog.waiting_weight >= EARLY_WEIGHT:
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
        self._settling.acknowledge, self._pause, self._resume = acknowledge, pause, resume
        async with asyncio.TaskGroup() as tasks:
            settling = tasks.create_task(self._settling.settle_for_ever(), name="settling")
            deciding = tasks.create_task(self._decide_for_ever(), name="ingestion")
            yield
            self._is_stopping = True
            self._arrived.set()
            async with asyncio.timeout(DRAIN_TIMEOUT_S):
                await deciding
            settling.cancel()

    async def settled(self) -> None:
        """Wait until all that was taken so far is committed and remembered, however long the disk is full."""
        # What the broker takes in a turn of the loop it hands over when that turn is over.
        await asyncio.sleep(0)
        wanted = self._turns_accepted
        await self._settling.until(lambda: self._settling.turns_settled >= wanted)

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
        """The same, in a transaction of its own ahead of the messages that wait, unless these have waited too long."""
        await self._asked(work, is_first=True)

    async def _asked(self, work: Work, *, is_first: bool) -> None:
        if self._settling.trouble:
            raise UnwritableError(self._settling.trouble)
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
        oldest_at = self._backlog.oldest_at if self._settling.oldest_at is None else self._settling.oldest_at
        return Rates(
            messages_per_second=self._meter.per_second(now),
            lag_ms=0 if oldest_at is None else max(0, now - oldest_at),
            lag_p95_ms=self._meter.wait_p95_ms(),
        )

    def status(self) -> Status:
        """Say whether messages get to the disk."""
        rates = self.rates()
        summary = (
            self._settling.trouble or f"{rates.messages_per_second:.0f} messages/s, p95 {rates.lag_p95_ms} ms to disk"
        )
        return Status(
            ok=not self._settling.trouble,
            summary=summary,
            details={
                "messages_per_second": round(rates.messages_per_second, 1),
                "lag_ms": rates.lag_ms,
                "lag_p95_ms": rates.lag_p95_ms,
                "backlog_messages": self._backlog.message_count + self._settling.message_count,
                "committed_messages": self._meter.committed_count,
            },
        )

    # The way of a batch.

    async def _decide_for_ever(self) -> None:
        while True:
            await self._wait_for_batch()
            if self._backlog or self._mishaps or self.company:
                await self._decide_batch()
            elif self._settling.is_idle:
                # It is stopping: otherwise it had waited for more.
                return
            else:
                await self._settling.until(lambda: self._settling.is_idle)
            # Whoever waited for it may ask for more, and the broker hands over what it has made of it.
            await asyncio.sleep(0)

    async def _wait_for_batch(self) -> None:
        """Wait for the first turn, and then for the company it may get until the interval is over.

        While a batch is on its way to the disk, or is being settled, only a full one follows it.
        """
        settling = self._settling
        await self._wait_until(
            lambda: settling.is_idle or self.company.has_first or (settling.has_room and self._is_full()), None
        )
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
        return self._is_full() or self.company.has_first

    def _is_full(self) -> bool:
        return self._backlog.is_batch(self._config.batch_messages)

    async def _wait_until(self, is_enough: Callable[[], bool], timeout_s: float | None) -> None:
        """Wait for enough to have arrived, for the time to be over or for the process to stop.

        What comes meanwhile is decided piece by piece, while it is still near.
        """
        is_over = False

        def end() -> None:
            nonlocal is_over
            is_over = True
            self._arrived.set()

        timer = asyncio.get_running_loop().call_later(timeout_s or 0, end) if timeout_s is not None else None
        try:
            while not (is_over or is_enough() or self._is_stopping):
                if self._backlog.waiting_weight >= EARLY_WEIGHT and await self._decide(EARLY_WEIGHT):
                    await asyncio.sleep(0)
                    continue
                self._arrived.clear()
                await self._arrived.wait()
        finally:
            if timer is not None:
                timer.cancel()

    async def _decide_batch(self) -> None:
        """Decide the next batch, and have it committed and settled.

        One that others go with, or with a request, is alone on its way: an errand is done with what was remembered, and
        told, of all that was decided before it, and what comes after it is decided with what it left.
        """
        begun_s = asyncio.get_running_loop().time()
        settling = self._settling
        if self.company.has_first and not self._is_overtaken():
            self._put(NO_BATCH, None, self.company.take_first(), begun_s)
            await settling.until(lambda: not settling.has_first)
            return
        if self._is_alone():
            await settling.until(lambda: settling.is_idle)
        await self._decide(self._config.batch_messages)
        await settling.until(lambda: settling.is_idle or (settling.has_room and not self._is_alone()))
        is_alone = self._is_alone()
        decision, self._decision = self._decision or Decision(self._known), None
        load = self.company.take(decision.requests) if is_alone else Load([], [])
        self._put(self._backlog.take(), decision, load, begun_s)
        if self._is_paused and not self._backlog.is_filled(2):
            self._is_paused = False
            self._resume()
        if is_alone:
            await settling.until(lambda: settling.is_idle)

    def _put(self, batch: Batch, decision: Decision | None, load: Load, begun_s: float) -> None:
        outcome = Outcome((), (), ()) if decision is None else decision.outcome()
        lap = self.stages.lap(batch.waits, outcome.sheaves, self._clock(), asyncio.get_running_loop().time())
        noted, self._mishaps = self._mishaps, Tally()
        whole = outcome.extended(load.reports, noted.mishaps())
        turn_count = 0 if decision is None else self._turns_accepted - len(self._backlog)
        self._settling.put(Decided(batch, decision, outcome, whole, load, lap, begun_s, turn_count))

    def _is_alone(self) -> bool:
        is_asked = self._decision is not None and bool(self._decision.requests)
        return is_asked or self.company.has_more or (self.company.has_first and self._is_overtaken())

    def _hear_requests(self, requests: Sequence[Message]) -> None:
        self.requested(requests)

    def _is_overtaken(self) -> bool:
        """Whether messages have waited for so long that nothing goes first.

        Not while batches wait decided: one of them follows whatever goes first, so that is never in their way for long.
        """
        oldest_at = self._backlog.oldest_at
        if oldest_at is None or self._settling.has_waiting:
            return False
        # A clock that was set ahead only lets messages go first.
        return not 0 <= self._clock() - oldest_at < OVERTAKEN_MS

    async def _decide(self, weight: int) -> bool:
        """Decide what comes next, as much as is left of a batch at most; whether there was anything.

        Piece by piece, so that the loop gets its turn.
        """
        waited = self._backlog.waiting_weight
        items = self._backlog.begin(weight, self._config.batch_messages)
        is_any = self._backlog.waiting_weight < waited
        if items:
            # Not before: it is told now what batches before it changed that are not remembered.
            decision = self._decision = self._decision or Decision(self._known)
            for _ in decision.deciding(items):
                await asyncio.sleep(0)
        return is_any

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


def _known(rooms: Rooms, config: IngestionConfig) -> Known:
    """What deciding needs to know of these rooms."""
    registry, telemetry = rooms.registry, rooms.telemetry
    asked = (telemetry.newest_at, tolerances_of(config), telemetry.open_chunks, rooms.type_of)
    known = Known(rooms.alerts.book, registry.zone_of, *asked)
    known.mapping, known.redeliveries.held = rooms.mapping, telemetry.newest_unstamped
    return known
