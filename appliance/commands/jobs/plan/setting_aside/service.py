"""Jobs that nobody can read are set aside, so that all others go on.

Rules: such a job is cancelled, with a reason that pages show, and what is queued of it is called back as of any other.
What nobody can read of it, such as how it was to be carried out, is forgotten: nothing is done by a guess.
"""

import contextlib
import sqlite3
from collections.abc import Sequence
from functools import partial

from appliance.commands.jobs.plan import queries, ruling
from appliance.commands.jobs.plan.model import Job, Sweep
from appliance.commands.jobs.plan.ruling import Ending
from appliance.commands.mishaps.service import Aside, Key
from appliance.store.database import Afterwards, Database, Select, Together, UnwritableError, Work, nothing_left


class JobsAside(Aside):
    """Cancels jobs that cannot go on."""

    def __init__(self, database: Database, together: Together) -> None:
        super().__init__("job")
        self._database = database
        self.together = together

    async def read(self, select: Select[Job]) -> list[Job]:
        """The jobs that are asked for; where one cannot be read it is set aside, or at last left out."""
        return await self._database.read_or(select, partial(self._sorted_out, select))

    async def _sorted_out(self, select: Select[Job]) -> list[Job]:
        keys = await self._database.read(queries.keys_of(select))
        with contextlib.suppress(UnwritableError):
            await self.sort_out(keys, lambda key: partial(_looked_at, key))
        return [job for key in keys for job in await self._read_alone(key)]

    async def check_targets(self, job: Job, error: Exception) -> None:
        """Set a job aside of which nobody can read for whom it is: it can never go on. Raises `UnwritableError`."""
        are_readable = await self._database.read(queries.select_has_targets(job.tenant_id, job.job_number))
        if not all(are_readable):
            await self.put((job.tenant_id, job.job_number), error)

    async def _read_alone(self, key: Key) -> list[Job]:
        return await self._database.read_or(queries.select_by_number(*key), _left_out)

    def ways(self, key: Key, reason: str) -> Sequence[Work]:
        """As if somebody had cancelled it."""
        return [partial(self._cancel, key, reason)]

    def _cancel(self, key: Key, reason: str, connection: sqlite3.Connection, now: int) -> Afterwards:
        queries.mend(connection, *key)
        job = queries.select_numbered(connection, *key)
        if job is None or not ruling.is_live(job):
            return nothing_left
        queries.update_job(connection, ruling.ended(job, Ending(reason, Sweep.QUEUED), now))
        return self._counted

    def _counted(self) -> None:
        self.count += 1


async def _left_out() -> list[Job]:
    # What could not be set aside was told.
    return []


def _looked_at(key: Key, connection: sqlite3.Connection, now: int) -> Afterwards:
    del now
    queries.select_numbered(connection, *key)
    return nothing_left
