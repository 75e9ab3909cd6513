"""Jobs as devices see them: requests answered in the transaction of their batch, timers, and the ledger of what was.

Timers go by the running time of the gateway, which is kept on the disk: while it is off a device can report nothing,
and no clock that somebody sets ends a job or keeps one from ending.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial
from typing import Self

from appliance.audit import queries as audit_queries
from appliance.audit.acting import actor
from appliance.audit.model import Entry
from appliance.commands.jobs import answers, queries, requests, ruling, topics
from appliance.commands.jobs.ledger.service import Ended, Followed, Ledger, Ports
from appliance.commands.jobs.model import (
    PIECE,
    Execution,
    ExecutionsChanged,
    ExecutionState,
    ExecutionStateError,
    JobAnswer,
)
from appliance.commands.jobs.reading.service import Reading, unknown
from appliance.commands.jobs.ruling import IsOpen
from appliance.commands.jobs.setting_aside.queries import select_due_keys, select_texts_of_device
from appliance.commands.jobs.setting_aside.service import ExecutionsAside
from appliance.commands.jobs.topics import JobAddress
from appliance.commands.jobs.turns import ASKED_LIMIT, Turns
from appliance.commands.mishaps.service import SLICES, Key, Mishap, UnreadableError, done, fails
from appliance.errors import InvalidInputError, UnavailableError
from appliance.instant import DAY_MS, MINUTE_MS, SECOND_MS, Clock
from appliance.plane_settings import CommandsConfig
from appliance.registry.model import DEFAULT_TENANT
from appliance.store.database import Afterwards, Database, Together, Work, nothing_left
from broker.message import Message

log = logging.getLogger(__name__)

MARK_MS = 5 * MINUTE_MS
"""How much of the running time a power cut may cost, while a timer runs."""
AGAIN_S = 10.0
"""How long to wait while the disk is full."""
SOON_S = 0.5
"""How long others have their turn where much is due that has to be gone through one by one."""
REASON_LENGTH = 2_028
"""As a comment on a job."""


class Jobs(Reading):
    """The executions of jobs, and whoever asks for them."""

    def __init__(self, database: Database, config: CommandsConfig, clock: Clock) -> None:
        super().__init__(database)
        self.damaged = self._note_puzzled
        self._config = config
        self._uptime_s: Callable[[], float] = lambda: 0.0
        self._begun_s = 0.0
        self._kept_ms = 0
        """The running time when this process began."""
        self.throttled_count = 0
        """Requests of devices that asked too often at once."""
        self._turns = Turns()
        self._timers_changed = asyncio.Event()
        self._puzzled: dict[tuple[int, str], None] = {}
        """Devices that could not be answered by a mistake of the gateway."""
        self.aside = ExecutionsAside(database, self.ledger)
        self.mishap = Mishap("ending what has run out of time")
        self.aside.together = self._in_together
        self.together: Together = _nothing_together
        self.publish: Callable[[Message], object] = lambda _: None
        """To whoever has subscribed."""
        self.reply: Callable[[Message, str], object] = lambda _message, _client_id: None
        """To one client alone, whether it has subscribed or not."""
        self.passed_at: Clock = clock
        """A moment that has passed for sure, whatever the clock shows."""
        self.announce: Callable[[Sequence[ExecutionsChanged]], object] = lambda _: None
        self.is_open: IsOpen = lambda _windows, _now: True
        self.ended: Ended = lambda _connection, _tenant_id, _job_number, _now: nothing_left
        self.followed: Followed = lambda _connection, _changes, _now: nothing_left
        """Whoever has jobs made for commands."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[Self]:
        """Have timers run out."""
        self._uptime_s = asyncio.get_running_loop().time
        self._begun_s = self._uptime_s()
        self._kept_ms = sum(await self._database.read(queries.select_running_time(DEFAULT_TENANT)))
        async with asyncio.TaskGroup() as tasks:
            timers = tasks.create_task(self._time_out(), name="timers of jobs")
            try:
                yield self
            finally:
                timers.cancel()
                await self._mark()

    # For ingestion: what devices ask for.

    def takes(self, topic: str) -> bool:
        """Whether a message of this topic name is a request for jobs."""
        return topics.address(topic) is not None

    def apply(self, messages: Sequence[Message], connection: sqlite3.Connection, now: int) -> Afterwards:
        """Do what devices ask for, in their order."""
        ledger = self.ledger(connection, now)
        told: list[tuple[Message, str]] = []
        throttled_count = 0
        asked = [(one, address) for one in messages if (address := topics.address(one.topic)) is not None]
        beyond = self._turns.beyond(asked)
        for message, address in asked:
            if id(message) in beyond:
                throttled_count += 1
                answer = answers.throttled(now, requests.token_in(message.payload), ASKED_LIMIT)
            else:
                answer = ledger.answer(message.tenant_id, address, message.payload)
            topic = address.answered(is_accepted=answer.error is None)
            told.append((_message(message.tenant_id, topic, answer.payload, now), message.client_id))
        close = ledger.close()

        def afterwards() -> None:
            self.throttled_count += throttled_count
            for answer, client_id in told:
                self.reply(answer, client_id)
            close()

        return afterwards

    def unserved(self, message: Message) -> None:
        """Tell a device that the gateway could not do what it asked for."""
        address, now = topics.address(message.topic), message.arrived_at
        if address is not None:
            answer = answers.unforeseen(now, requests.token_in(message.payload))
            topic = address.answered(is_accepted=False)
            self.reply(_message(message.tenant_id, topic, answer.payload, now), message.client_id)
            self._note_puzzled(message.tenant_id, address.device_id)

    async def ask(self, tenant_id: int, address: JobAddress, payload: bytes) -> JobAnswer:
        """Do what a device asks for over HTTPS; documents are written as strings there. Raises `UnwritableError`."""
        given: list[JobAnswer] = []

        def work(connection: sqlite3.Connection, now: int) -> Afterwards:
            ledger = self.ledger(connection, now)
            answer = ledger.answer(tenant_id, address, payload, is_quoted=True)
            close = ledger.close()

            def afterwards() -> None:
                given.append(answer)
                close()

            return afterwards

        await self.together(work)
        return given[0]

    # For whoever owns the jobs.

    def ledger(self, connection: sqlite3.Connection, now: int) -> Ledger:
        """The executions within a transaction; its `close` comes last."""
        ports = Ports(
            self._config.open_per_device,
            self.is_open,
            lambda tenant_id, topic, payload: self.publish(_message(tenant_id, topic, payload, now)),
            self.ended,
            self.followed,
            self.announce,
            self._timers_changed.set,
            self._note_puzzled,
        )
        return Ledger(connection, now, self.running_ms(), ports)

    async def show(self, tenant_id: int, job_number: int) -> None:
        """Tell the devices of a job whose windows have opened or shut what has changed for them.

        Raises `UnwritableError`.
        """
        seen = [0]
        while seen:
            after_id = seen.pop()

            def work(connection: sqlite3.Connection, now: int, after_id: int = after_id) -> Afterwards:
                piece = queries.select_queued_of_job(connection, tenant_id, job_number, after_id, PIECE)
                ledger = self.ledger(connection, now)
                ledger.show(tenant_id, piece)
                close = ledger.close()

                def afterwards() -> None:
                    seen.extend([piece[-1].execution_id] if len(piece) == PIECE else [])
                    close()

                return afterwards

            await self.together(work)

    def running_ms(self) -> int:
        """For how long the gateway has run in all."""
        return self._kept_ms + round((self._uptime_s() - self._begun_s) * SECOND_MS)

    def left_ms(self, execution: Execution) -> int | None:
        """How long until an execution times out; None while no timer runs."""
        return ruling.left_ms(execution, self.running_ms())

    # For people.

    async def cancel_execution(
        self, tenant_id: int, job_id: str, device_id: str, *, reason: str = "", force: bool = False
    ) -> Execution:
        """Call a job back from one device; one in progress only with force.

        Raises `UnknownExecutionError`, `ExecutionStateError`, `InvalidInputError`, `UnwritableError`.
        """
        if len(reason) > REASON_LENGTH:
            raise InvalidInputError(f"the reason has {len(reason):,} characters, expected at most {REASON_LENGTH:,}")

        def cancel(ledger: Ledger, known: Execution, now: int) -> Execution:
            changed = ruling.cancelled(known, reason, now, force=force)
            ledger.write(known, changed)
            return changed

        told = {"device_id": device_id, "reason": reason, "force": _word(force)}
        entry = Entry("job_execution.cancel", job_id, told)
        return await self._changed((tenant_id, job_id, device_id, None), entry, cancel)

    async def delete_execution(
        self, tenant_id: int, job_id: str, device_id: str, try_number: int, *, force: bool = False
    ) -> Execution:
        """Forget one try of a job on a device; one in progress only with force.

        Raises `UnknownExecutionError`, `ExecutionStateError`, `UnwritableError`.
        """

        def forget(ledger: Ledger, known: Execution, _now: int) -> Execution:
            if known.state is ExecutionState.IN_PROGRESS and not force:
                raise ExecutionStateError("the execution is in progress: it is deleted only with force")
            ledger.forget(known)
            return known

        told = {"device_id": device_id, "try_number": str(try_number), "force": _word(force)}
        entry = Entry("job_execution.delete", job_id, told)
        return await self._changed((tenant_id, job_id, device_id, try_number), entry, forget)

    async def erase(self, tenant_id: int, device_id: str, through_at: int) -> None:
        """Forget what a device said of its executions up to a moment; how they ended stays."""
        count = PIECE
        while count == PIECE:
            count = await self._database.write(queries.erase_details, tenant_id, device_id, through_at, PIECE)

    async def forget_old(self) -> None:
        """Forget, in small pieces, what has ended long ago."""
        # Of a clock that is believed by nobody nothing hangs: what is deleted does not come back.
        before = self.passed_at() - self._config.ledger_days * DAY_MS
        for forget in (queries.delete_ended, queries.delete_emptied):
            count = PIECE
            while count == PIECE:
                count = await self._database.write(forget, before, PIECE)

    # Private.

    def _note_puzzled(self, tenant_id: int, device_id: str) -> None:
        self._puzzled[tenant_id, device_id] = None
        self._timers_changed.set()

    async def _in_together(self, work: Work) -> None:
        """As it is done then: who does it is told later."""
        await self.together(work)

    async def _changed(
        self,
        key: tuple[int, str, str, int | None],
        entry: Entry,
        change: Callable[[Ledger, Execution, int], Execution],
    ) -> Execution:
        tenant_id, job_id, device_id, try_number = key
        told: list[Execution] = []
        # Asked here: the writer's thread does not know its caller.
        by = actor()

        def work(connection: sqlite3.Connection, now: int) -> Afterwards:
            known = queries.select_try(connection, tenant_id, job_id, device_id, try_number)
            if known is None:
                raise unknown(job_id, device_id)
            ledger = self.ledger(connection, now)
            changed = change(ledger, known, now)
            audit_queries.insert_entries(connection, tenant_id, [entry], now, by)
            close = ledger.close()

            def afterwards() -> None:
                told.append(changed)
                close()

            return afterwards

        async def mend(_error: Exception) -> None:
            await self.aside.look_through(select_texts_of_device(tenant_id, device_id), UnreadableError())

        await done(self.together, work, mend)
        return told[0]

    async def _time_out(self) -> None:
        """Sleep until the next timer is over; keep the running time meanwhile, while there is one."""
        while True:
            self._timers_changed.clear()
            wait_s: float | None = AGAIN_S
            with contextlib.suppress(UnavailableError), self.mishap.tried():
                wait_s = await self._see_to_due()
            try:
                async with asyncio.timeout(wait_s):
                    await self._timers_changed.wait()
            except TimeoutError:
                await self._mark()

    async def _see_to_due(self) -> float | None:
        """End what is due; gives how long to wait then, None while no timer runs."""
        for device in list(self._puzzled):
            # What nobody can read must not keep a device from its other jobs, nor any timer from its end.
            with self.mishap.noted():
                await self.aside.look_through(select_texts_of_device(*device), UnreadableError())
            self._puzzled.pop(device, None)
        slice_count = 0
        while True:
            due = await self._database.read(queries.select_next_due())
            left_ms = max(0, due[0] - self.running_ms()) if due else None
            if left_ms != 0:
                return None if left_ms is None else min(left_ms, MARK_MS) / SECOND_MS
            if await fails(self.together, self._end_due):
                # One bad execution keeps no other from its end.
                keys = await self._database.read(select_due_keys(self.running_ms(), self.aside.behind, PIECE))
                is_sorted_out = await self.aside.go_through(keys, PIECE, lambda key: partial(self._end_alone, key))
                slice_count += 1
                if not (is_sorted_out or self.aside.has_more):
                    return AGAIN_S
                if slice_count == SLICES:
                    return SOON_S

    async def _mark(self) -> None:
        with contextlib.suppress(UnavailableError), self.mishap.noted():
            await self._database.write(queries.save_running_time, DEFAULT_TENANT, self.running_ms())

    def _end_alone(self, key: Key, connection: sqlite3.Connection, now: int) -> Afterwards:
        ledger = self.ledger(connection, now)
        known = queries.select_numbered(connection, *key)
        if known is not None and ruling.left_ms(known, self.running_ms()) == 0:
            ledger.write(known, ruling.timed_out(known, now))
        return ledger.close()

    def _end_due(self, connection: sqlite3.Connection, now: int) -> Afterwards:
        ledger = self.ledger(connection, now)
        count = ledger.time_out()
        close = ledger.close()

        def afterwards() -> None:
            log.info("executions timed out count=%s", count)
            close()

        return afterwards


def _message(tenant_id: int, topic: str, payload: bytes, now: int) -> Message:
    return Message(tenant_id, "", "", topic, payload, 1, False, now)


def _word(is_so: bool) -> str:  # noqa: FBT001  it is the value
    return "yes" if is_so else "no"


async def _nothing_together(_work: Callable[[sqlite3.Connection, int], Afterwards]) -> None:
    """Stand in while there is no ingestion."""
