"""Commands as jobs of one device each, kept in step with their executions. In the writer's thread.

Rules: a job is made when its command is offered, and ended when the command, or this attempt, is over: what has expired
or was taken back can be begun by nobody any more. Both rows change in one transaction, so that no death of the gateway
leaves one without the other.
"""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from appliance.commands import queries, ruling
from appliance.commands.as_jobs import evidence
from appliance.commands.as_jobs.document import job_of
from appliance.commands.delivery.flight import Change
from appliance.commands.jobs.ledger.service import Ledger
from appliance.commands.jobs.model import ExecutionChange
from appliance.commands.jobs.service import Jobs
from appliance.commands.jobs.setting_aside.queries import Texts, select_texts_for_command, select_texts_of_device
from appliance.commands.mishaps.service import Key, UnreadableError
from appliance.commands.model import By, Command, InvalidCommandError, read_wire_id
from appliance.store.database import Afterwards, Select, nothing_left

PIECE = 250
"""Commands that become jobs in one transaction: on a Raspberry Pi that takes as long as readings may well wait."""


class Kept(NamedTuple):
    """Changes as they are on disk, and what is to be done once they are."""

    changes: list[Change]
    tell: Afterwards


class AsJobs:
    """The third dialect: it is spoken by the ledger of jobs."""

    def __init__(self) -> None:
        self.jobs: Jobs | None = None
        """None: no device is spoken to by jobs."""
        self.changed: Callable[[Sequence[Change]], None] = lambda _: None
        """Hears what devices have told of their jobs, once it is on disk."""

    async def mend(self, tenant_id: int, device_id: str) -> bool:
        """Set aside what nobody can read of the jobs of a device; gives whether it was. Raises `UnwritableError`."""
        return await self._look_through(select_texts_of_device(tenant_id, device_id))

    async def mend_for(self, key: Key) -> bool:
        """The same of the device of a command."""
        return await self._look_through(select_texts_for_command(*key))

    async def _look_through(self, select: Select[Texts]) -> bool:
        return self.jobs is not None and await self.jobs.aside.look_through(select, UnreadableError())

    def keep(self, connection: sqlite3.Connection, changes: Sequence[Change], now: int) -> Kept:
        """Keep how far commands have come; make the jobs of those that are to be offered, end those that are over."""
        if self.jobs is None or not any(ruling.is_job(after) for _, after in changes):
            queries.update_commands(connection, [after for _, after in changes])
            return Kept([*changes], nothing_left)
        ledger = self.jobs.ledger(connection, now)
        kept: list[Change] = [(before, _ordered(ledger, after, now)) for before, after in changes]
        # Before the jobs end: what is heard of their ends is no news then.
        queries.update_commands(connection, [after for _, after in kept])
        for before, after in kept:
            if before is not None and ruling.is_ordered(before) and _is_left(before, after):
                reason = f"the command is {after.state}" if after.is_over else "the command is tried again"
                ledger.recall(before.tenant_id, before.wire_id, before.device_id, reason, force=True)
        return Kept(kept, ledger.close())

    def followed(self, connection: sqlite3.Connection, changes: Sequence[ExecutionChange], now: int) -> Afterwards:
        """Hear, in its transaction, what has become of executions of jobs that are commands."""
        news = [(one, execution) for one in changes if (execution := one.after or one.before) and one.before]
        wanted: dict[int, set[str]] = {}
        for _, execution in news:
            wanted.setdefault(execution.tenant_id, set()).add(read_wire_id(execution.job_id)[0])
        known = {tenant_id: queries.by_executions(connection, tenant_id, ids) for tenant_id, ids in wanted.items()}
        told: list[Change] = []
        for change, execution in news:
            commands = known[execution.tenant_id]
            before = commands.get(read_wire_id(execution.job_id)[0])
            if before is None or before.device_id != execution.device_id:
                continue
            after = evidence.followed(before, change, now)
            if after is not before:
                # Another change of the same command may follow.
                commands[after.execution_id] = after
                told.append((before, after))
        queries.update_commands(connection, [after for _, after in told])
        return partial(self.changed, told) if told else nothing_left


def _ordered(ledger: Ledger, command: Command, now: int) -> Command:
    """The command once it is a job, if it is to be one now."""
    if not ruling.is_job(command) or not ruling.is_offerable(command, now):
        return command
    try:
        job = job_of(command)
    except InvalidCommandError as error:
        reason = ruling.Reason(ruling.NOT_ENCODABLE, str(error))
        return ruling.cancelled(command, reason, By.GATEWAY, now) or command
    # A device that may have no work is about to lose its commands, too.
    return command if ledger.order(command.tenant_id, job) is None else ruling.offered(command, now)


def _is_left(before: Command, after: Command) -> bool:
    """Whether an attempt is over."""
    return not before.is_over and (after.is_over or after.attempt > before.attempt)
