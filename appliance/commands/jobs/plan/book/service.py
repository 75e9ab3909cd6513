"""Jobs as they are kept, one change after the other, and what is known of the devices that they are for.

Rules: a job is read once more in the transaction that changes it, so that two who want something of it at once do not
undo each other. What is known of devices is kept in memory as long as it holds, and is never more than the disk says.
"""

import asyncio
import sqlite3
from collections.abc import Callable, Mapping, Sequence

from msgspec.structs import replace

from appliance.commands.jobs import queries as execution_queries
from appliance.commands.jobs.model import ExecutionState
from appliance.commands.jobs.plan import events, membership, queries, ruling
from appliance.commands.jobs.plan.events import Told
from appliance.commands.jobs.plan.membership import View
from appliance.commands.jobs.plan.model import Job, Targets, UnknownJobError
from appliance.commands.jobs.plan.setting_aside.service import JobsAside
from appliance.commands.jobs.row import counts_of
from appliance.commands.jobs.service import Jobs
from appliance.commands.jobs.setting_aside.queries import select_texts_of_unknown
from appliance.commands.mishaps.service import UnreadableError
from appliance.instant import Clock
from appliance.registry.catalogue.service import Catalogue
from appliance.registry.model import DeviceState
from appliance.registry.service import Registry
from appliance.store.database import Afterwards, Database, Work
from broker.message import Message

Step = Callable[[Job, sqlite3.Connection, int], Job]
"""What becomes of a job, in a transaction; whoever has nothing to change gives the job as it is."""


class Book:
    """The jobs of every tenant."""

    def __init__(self, database: Database, registry: Registry, catalogue: Catalogue, jobs: Jobs, clock: Clock) -> None:
        self.database = database
        self.registry = registry
        self.jobs = jobs
        self.clock = clock
        self.aside = JobsAside(database, self.together)
        self.changed = asyncio.Event()
        """Set when a job has become another: something may be due."""
        self._catalogue = catalogue
        self._views: dict[int, View] = {}
        """By the numbers of jobs, as long as they hold."""
        self._turns: dict[int, tuple[int, int]] = {}
        """How often each had to be forgotten, and to be counted anew: what was looked at meanwhile does not hold."""
        self._full: dict[int, dict[str, None]] = {}
        """By the numbers of jobs: who could not take more, asked longest ago first."""

    async def job(self, tenant_id: int, job_id: str) -> Job:
        """One job. Raises `UnknownJobError`."""
        for found in await self.aside.read(queries.select_job(tenant_id, job_id)):
            return found
        raise _unknown(job_id)

    async def together(self, work: Work) -> None:
        """Have work done in the transaction of a batch."""
        await self.jobs.together(work)

    async def change(self, tenant_id: int, job_id: str, change: Step) -> Job:
        """Change a job; gives it as it is then. Raises `UnknownJobError` and what the change raises."""
        changed_to: list[Job] = []

        def work(connection: sqlite3.Connection, now: int) -> Afterwards:
            job = queries.select_now(connection, tenant_id, job_id)
            if job is None:
                raise _unknown(job_id)
            changed = change(job, connection, now)
            told = ruling.told_of(job, changed)
            messages = [] if told is None else [self.message(changed, told, connection, now)]
            if changed is not job:
                queries.update_job(connection, changed)

            def afterwards() -> None:
                changed_to.append(changed)
                self.forget(changed.job_number)
                self.tell(messages)

            return afterwards

        await self.together(work)
        self.changed.set()
        return changed_to[0]

    def message(self, job: Job, told: Told, connection: sqlite3.Connection, now: int) -> Message:
        """What is told of a job, with how far it has come in this transaction."""
        counts = execution_queries.select_counts_now(connection, job.tenant_id, job.job_number)
        payload = events.payload(job, told, ruling.progress_of(counts), now)
        return Message(job.tenant_id, "", "", events.topic(job, told), payload, 1, retain=False, arrived_at=now)

    def tell(self, messages: Sequence[Message]) -> None:
        """Publish what is told."""
        for message in messages:
            self.jobs.publish(message)

    async def view(self, job: Job) -> View:
        """What is known of the devices of a job."""
        count = self.registry.device_change_count
        turn, count_turn = self._turns.get(job.job_number, (0, 0))
        view = self._views.get(job.job_number)
        if view is None or (view.change_count, view.turn) != (count, turn):
            view = await self._looked_at(job, count)
        elif view.count_turn != count_turn:
            view = replace(view, progress=ruling.progress_of(await self.counts(job)))
        else:
            return view
        # Whoever has it forgotten or counted anew while this waited is found by the turns.
        view = self._views[job.job_number] = replace(view, turn=turn, count_turn=count_turn)
        return view

    async def counts(self, job: Job) -> Mapping[ExecutionState, int]:
        """Devices of a job by what became of their latest try."""
        rows = await self.database.read(execution_queries.select_counts(job.tenant_id, job.job_number))
        if any(state is None for state, _ in rows):
            # What is counted as ended must not go on.
            unknown = select_texts_of_unknown(job.tenant_id, job.job_number)
            await self.jobs.aside.look_through(unknown, UnreadableError())
        return counts_of(rows)

    def forget(self, job_number: int) -> None:
        """Have the devices of a job looked at anew."""
        turn, count_turn = self._turns.get(job_number, (0, 0))
        self._turns[job_number] = turn + 1, count_turn

    def recount(self, job_number: int) -> None:
        """Have it counted anew how far a job has come: executions have ended, and it is for whom it was."""
        turn, count_turn = self._turns.get(job_number, (0, 0))
        self._turns[job_number] = turn, count_turn + 1

    def forget_all_but(self, job_numbers: set[int]) -> None:
        """Forget the devices of jobs that nothing is left to do for."""
        self._views = {one: kept for one, kept in self._views.items() if one in job_numbers}
        self._turns = {one: kept for one, kept in self._turns.items() if one in job_numbers}
        self._full = {one: kept for one, kept in self._full.items() if one in job_numbers}

    def put_off(self, job_number: int, full: Sequence[str]) -> None:
        """Have devices come last that cannot take more at present."""
        order = self._full.setdefault(job_number, {})
        for device_id in full:
            order.pop(device_id, None)
            order[device_id] = None
        view = self._views.get(job_number)
        if view is not None and full:
            self._views[job_number] = replace(view, waiting=membership.put_off(view.waiting, order))

    def members(self, tenant_id: int, targets: Targets) -> list[str]:
        """The devices that a job is for, of those that take part, by their ids. Raises `InvalidQueryError`."""
        found: set[str] = set()
        if targets.query:
            found = {device.device_id for device in self._catalogue.find(tenant_id, targets.query)}
        named = set(targets.devices)
        return [
            device.device_id
            for device in self.registry.devices(tenant_id)
            if device.state is DeviceState.ACTIVE and membership.is_meant(device, targets, named, found)
        ]

    def refusal(self, tenant_id: int, device_id: str) -> str:
        """Why a device takes no part; empty when it does."""
        if not self.registry.has_device(tenant_id, device_id):
            return "the device is not known any more"
        state = self.registry.device(tenant_id, device_id).state
        return "" if state is DeviceState.ACTIVE else f"the device is {state}"

    def believed_at(self) -> int | None:
        """What the clock shows; None while it is not believed."""
        return self.clock() if self.registry.time.reading().state.is_trusted else None

    async def _looked_at(self, job: Job, change_count: int) -> View:
        key = (job.tenant_id, job.job_number)
        progress = ruling.progress_of(await self.counts(job))
        full = self._full.get(job.job_number, {})
        if not job.is_continuous:
            left = await self.database.read(queries.select_waiting(*key))
            waiting = [one for one in left if not self.refusal(job.tenant_id, one)]
            return View(change_count, progress, membership.put_off(waiting, full))
        members = self.members(job.tenant_id, job.targets)
        offered = set(await self.database.read(queries.select_offered(*key)))
        queued = await self.database.read(queries.select_queued(*key))
        gone = tuple(sorted(set(queued).difference(members)))
        waiting = [one for one in members if one not in offered]
        return View(change_count, progress, membership.put_off(waiting, full), gone)


def _unknown(job_id: str) -> UnknownJobError:
    return UnknownJobError(f"no job has the id {job_id[:80]!r}")
