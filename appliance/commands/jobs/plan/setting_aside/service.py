"""Jobs that nobody can read are set aside, so that all others go on.

Rules: such a job is cancelled, with a reason that pages show, and what is queued of it is called back as of any other.
What nobody can read of it, such as how it was to be carried out, is forgotten: nothing is done by a guess.
"""

import sqlite3
from collections.abc import Sequence
from functools import partial

from appliance.commands.jobs.plan import queries, ruling
from appliance.commands.jobs.plan.model import Sweep
from appliance.commands.jobs.plan.ruling import Ending
from appliance.commands.mishaps.service import Aside, Key
from appliance.store.database import Afterwards, Together, Work, nothing_left


class JobsAside(Aside):
    """Cancels jobs that cannot go on."""

    def __init__(self, together: Together) -> None:
        super().__init__("job")
        self.together = together

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
