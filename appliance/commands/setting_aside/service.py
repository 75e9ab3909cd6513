"""Commands with which the gateway cannot go on are set aside, so that all others go on.

Rules: such a command ends, with a reason that pages show, and its job is called back; where that fails, too, its row
alone ends. How many there were since the start is told by the status, and where the gateway failed by the log.
"""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial

from appliance.commands import queries, ruling
from appliance.commands.as_jobs.service import AsJobs, Kept
from appliance.commands.delivery.flight import Change
from appliance.commands.mishaps.service import Aside, Key
from appliance.commands.model import By
from appliance.commands.setting_aside import queries as own_queries
from appliance.store.database import Afterwards, Work, nothing_left


class SettingAside(Aside):
    """Ends commands that cannot go on."""

    def __init__(self, as_jobs: AsJobs) -> None:
        super().__init__("command")
        self._as_jobs = as_jobs
        self.changed: Callable[[Sequence[Change]], None] = lambda _: None
        """Hears what was set aside, once that is on disk."""

    def ways(self, key: Key, reason: str) -> Sequence[Work]:
        """With its job, or alone, or its row unread."""
        ends = [partial(self._end, key, reason, keep) for keep in (self._as_jobs.keep, _keep_bare)]
        return [*ends, partial(self._end_row, key, reason)]

    async def mend(self, key: Key) -> bool:
        """Set aside what nobody can read of the jobs of its device. Raises `UnwritableError`."""
        return await self._as_jobs.mend_for(key)

    def _end(
        self,
        key: Key,
        reason: str,
        keep: Callable[[sqlite3.Connection, Sequence[Change], int], Kept],
        connection: sqlite3.Connection,
        now: int,
    ) -> Afterwards:
        tenant_id, number = key
        own_queries.mend(connection, tenant_id, number)
        why = ruling.Reason(ruling.GATEWAY_ERROR, reason)
        for before in queries.by_numbers(connection, tenant_id, [number]).values():
            over = ruling.cancelled(before, why, By.GATEWAY, now)
            if over is not None:
                return partial(self._ended, keep(connection, [(before, over)], now))
        return nothing_left

    def _end_row(self, key: Key, reason: str, connection: sqlite3.Connection, now: int) -> Afterwards:
        own_queries.mend(connection, *key)
        is_there = own_queries.end_row(connection, *key, ruling.GATEWAY_ERROR, reason, now)
        return partial(self._ended, Kept([], nothing_left)) if is_there else nothing_left

    def _ended(self, kept: Kept) -> None:
        self.count += 1
        kept.tell()
        self.changed(kept.changes)


def _keep_bare(connection: sqlite3.Connection, changes: Sequence[Change], now: int) -> Kept:
    """Keep the ends of commands, and nothing else."""
    del now
    queries.update_commands(connection, [after for _, after in changes])
    return Kept([*changes], nothing_left)
