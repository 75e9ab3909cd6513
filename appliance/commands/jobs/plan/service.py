"""Plans of jobs: what people ask of them; they go on by themselves."""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Sequence
from functools import partial

import msgspec

from appliance.audit import queries as audit_queries
from appliance.audit.acting import actor
from appliance.commands.jobs.model import JobState, Window
from appliance.commands.jobs.plan import queries, record, ruling
from appliance.commands.jobs.plan.book.service import Book
from appliance.commands.jobs.plan.check import check_job
from appliance.commands.jobs.plan.model import Job, JobExistsError, NewJob, Progress, Sweep, TooManyJobsError
from appliance.commands.jobs.plan.ruling import Ending
from appliance.commands.jobs.plan.tending.service import Tending
from appliance.commands.jobs.plan.windows import is_shown
from appliance.commands.jobs.service import Jobs
from appliance.health import Status
from appliance.instant import Clock
from appliance.registry.catalogue.service import Catalogue
from appliance.registry.service import Registry
from appliance.store.database import FURTHEST, Afterwards, Database, SqliteError

log = logging.getLogger(__name__)

LIVE_LIMIT = 200
"""Jobs of a tenant that have not ended: each is looked after all the time."""


class JobPlans:
    """The jobs of every tenant."""

    def __init__(self, database: Database, registry: Registry, catalogue: Catalogue, jobs: Jobs, clock: Clock) -> None:
        self._database = database
        self._book = Book(database, registry, catalogue, jobs, clock)
        self.tending = Tending(self._book)
        """What jobs do by themselves."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Go on with all jobs while the block lasts."""
        async with asyncio.TaskGroup() as tasks:
            tending = tasks.create_task(self.tending.tend(), name="job plans")
            try:
                yield
            finally:
                tending.cancel()

    def status(self) -> Status:
        """How many jobs go on; not well while one cannot."""
        live, stuck, jobs = self.tending.live_count, self.tending.stuck_count, self._book.jobs
        details = {"jobs": live, "stuck": stuck, "throttled_requests": jobs.throttled_count}
        details["set_aside"] = aside_count = jobs.aside.count + self.tending.aside.count
        if stuck:
            summary = f"{stuck} of {live} jobs cannot go on: the log says why"
            return Status(ok=False, summary=summary, details=details, is_serving=True)
        for mishap in (self.tending.mishap, jobs.mishap):
            if mishap.trouble:
                summary = f"{mishap.trouble}: the log says where"
                return Status(ok=False, summary=summary, details=details, is_serving=True)
        summary = f"{live} jobs go on"
        if aside_count:
            summary += f", {aside_count} set aside since the start: the log says where the gateway failed"
        return Status(ok=True, summary=summary, details=details)

    def stuck(self, job: Job) -> str:
        """Why a job cannot go on, as it was seen last; empty while it can."""
        return self.tending.stuck(job.job_number)

    def ended(self, _connection: sqlite3.Connection, _tenant_id: int, job_number: int, _now: int) -> Afterwards:
        """Hear, in the transaction, that executions of a job have ended."""
        return partial(self._book.recount, job_number)

    def shows(self, windows: Sequence[Window], at: int) -> bool:
        """Whether what is queued is shown to its device at a moment that the clock tells, in the writer's thread.

        By a clock that nobody believes no window is open.
        """
        return not windows or (self._book.believed_at() is not None and is_shown(windows, at))

    async def create(self, tenant_id: int, new: NewJob) -> Job:
        """Make a job, or give it as it is when the same one was made before.

        Raises `InvalidJobError`, `UnknownDeviceError`, `InvalidQueryError`, `JobExistsError`, `TooManyJobsError`,
        `UnwritableError`.
        """
        for existing in await self._book.aside.read(queries.select_job(tenant_id, new.job_id)):
            return ruling.same(existing, new)
        check_job(new, self._book.clock())
        for device_id in new.targets.devices:
            self._book.registry.device(tenant_id, device_id)
        members = self._book.members(tenant_id, new.targets)
        by, made = actor(), list[Job]()

        def work(connection: sqlite3.Connection, now: int) -> Afterwards:
            existing = queries.select_now(connection, tenant_id, new.job_id)
            if existing is not None:
                return partial(made.append, ruling.same(existing, new))
            if queries.select_live_count(connection, tenant_id) >= LIVE_LIMIT:
                raise TooManyJobsError(f"{LIVE_LIMIT} jobs go on: cancel some, or wait until they end")
            targeted = [] if new.is_continuous else members
            job = queries.insert_job(connection, tenant_id, new, targeted, by.name, now)
            if job is None:
                raise JobExistsError(f"a command has the id {new.job_id}: give this job one of its own")
            audit_queries.insert_entries(connection, tenant_id, [record.created(new, len(members))], now, by)
            return partial(made.append, job)

        await self._book.together(work)
        log.info("job created tenant_id=%s job_id=%s device_count=%s", tenant_id, new.job_id, len(members))
        self._book.changed.set()
        return made[0]

    async def job(self, tenant_id: int, job_id: str) -> Job:
        """One job. Raises `UnknownJobError`."""
        return await self._book.job(tenant_id, job_id)

    async def jobs(
        self, tenant_id: int, *, state: JobState | None = None, before: int = FURTHEST, limit: int = 100
    ) -> list[Job]:
        """Jobs, newest first: all, or those in a state; before one of them, by its number."""
        return await self._book.aside.read(queries.select_jobs(tenant_id, state, before, limit))

    async def progress(self, job: Job) -> Progress:
        """In which states the devices of a job are."""
        progress = ruling.progress_of(await self._book.counts(job))
        if not ruling.is_live(job) or job.is_rollout_over:
            return progress
        # One job of which nobody can read who waits keeps no page of all jobs from being shown: it is set aside soon.
        with contextlib.suppress(SqliteError):
            progress = msgspec.structs.replace(progress, waiting=len((await self._book.view(job)).waiting))
        return progress

    async def cancel(self, tenant_id: int, job_id: str, comment: str = "", *, force: bool = False) -> Job:
        """Call a job back: what is queued is cancelled, with force also what is in progress.

        A job that is cancelled may be cancelled once more with force. Raises `UnknownJobError`, `JobEndedError`,
        `InvalidInputError`, `UnwritableError`.
        """
        record.check_comment(comment)
        by = actor()
        ending = Ending(f"cancelled by {by.name}", Sweep.ALL if force else Sweep.QUEUED)

        def cancel(job: Job, connection: sqlite3.Connection, now: int) -> Job:
            changed = ruling.cancelled(job, ending, comment, now)
            entry = record.cancelled(job, comment, force=force)
            audit_queries.insert_entries(connection, tenant_id, [entry], now, by)
            return changed

        job = await self._book.change(tenant_id, job_id, cancel)
        log.info("job cancelled tenant_id=%s job_id=%s force=%s", tenant_id, job_id, force)
        return job

    async def delete(self, tenant_id: int, job_id: str, *, force: bool = False) -> Job:
        """Forget a job with all its executions, piece by piece; with force also one that somebody is at.

        Raises `UnknownJobError`, `JobLiveError`, `UnwritableError`.
        """
        by = actor()

        def delete(job: Job, connection: sqlite3.Connection, now: int) -> Job:
            if job.state is JobState.DELETION_IN_PROGRESS:
                return job
            counts = self._book.jobs.ledger(connection, now).counts(tenant_id, job.job_number)
            changed = ruling.deleted(job, ruling.progress_of(counts), now, force=force)
            audit_queries.insert_entries(connection, tenant_id, [record.deleted(job, force=force)], now, by)
            return changed

        job = await self._book.change(tenant_id, job_id, delete)
        log.info("job is being deleted tenant_id=%s job_id=%s force=%s", tenant_id, job_id, force)
        return job
