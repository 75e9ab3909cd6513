"""Commands are cancelled by people, one or all of a batch, as long as nothing of them was written.

Rules: what was offered to a connection and waits there behind other messages is taken back from it first; what could
not be cancelled then, because the disk is full, is offered again. Who cancelled what is in the audit log.
"""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from appliance.audit import queries as audit_queries
from appliance.audit.acting import actor
from appliance.audit.model import Actor, Entry
from appliance.commands import queries, ruling
from appliance.commands.as_jobs.service import AsJobs, Kept
from appliance.commands.delivery.flight import Change
from appliance.commands.delivery.service import Courier
from appliance.commands.mishaps.service import Key, done, fails
from appliance.commands.model import (
    Batch,
    By,
    Command,
    CommandEndedError,
    CommandSentError,
    State,
    UnknownCommandError,
)
from appliance.commands.setting_aside import queries as aside_queries
from appliance.commands.setting_aside.service import SettingAside
from appliance.errors import UnavailableError
from appliance.store.database import Afterwards, Together, Work

PIECE = 1_000
"""Commands of one transaction."""


class _Asked(NamedTuple):
    tenant_id: int
    execution_id: str
    is_back: bool
    """Whether the broker has given back what was to be written."""
    offered_at: int | None
    """When that was offered: what was offered since then may be written."""
    by: Actor


class _Place(NamedTuple):
    """How far the commands of a batch have been gone through."""

    tenant_id: int
    batch: Batch
    after: int
    by: Actor


class _Piece(NamedTuple):
    """What came of some commands of a batch."""

    cancelled_count: int
    after: int
    """Behind this one there may be more; 0: there are none."""
    offered: Sequence[Command]
    """These may be written, or may wait to be."""


class Cancelling:
    """Takes back what people do not want any more."""

    def __init__(self, courier: Courier, as_jobs: AsJobs, aside: SettingAside) -> None:
        self._courier = courier
        self._as_jobs = as_jobs
        self._aside = aside
        self.together: Together
        self.changed: Callable[[Sequence[Change]], None] = lambda _: None
        """Hears what was cancelled, once it is on disk."""

    async def cancel(self, tenant_id: int, command: Command) -> Command:
        """Take back what was not written. Raises `CommandSentError`, `CommandEndedError`, `UnknownCommandError`."""
        is_back = self._courier.withdraw(command)
        kept: list[Command] = []
        asked = _Asked(tenant_id, command.execution_id, is_back, command.offered_at, actor())
        try:
            await self._done(command, partial(self._cancel, asked, kept))
        except UnavailableError:
            if is_back and command.offered_at is not None:
                self._courier.offer_again(command)
            raise
        return kept[0]

    async def cancel_batch(self, tenant_id: int, batch: Batch) -> int:
        """Take back what was not written of a batch; gives how many commands."""
        count, after, by = 0, 0, actor()
        while True:
            pieces: list[_Piece] = []
            place = _Place(tenant_id, batch, after, by)
            if await fails(self.together, partial(self._cancel_piece, place, pieces)):
                await self._cancel_each(place, pieces)
            count += pieces[0].cancelled_count + await self._take_back(tenant_id, pieces[0].offered, by)
            after = pieces[0].after
            if not after:
                return count

    async def _done(self, command: Command, work: Work) -> None:
        """Have something done about a command; what keeps it from that is set aside, and if nothing else, itself."""
        key = (command.tenant_id, command.command_number)
        await done(self.together, work, lambda _: self._aside.mend(key), lambda error: self._aside.put(key, error))

    async def _cancel_each(self, place: _Place, pieces: list[_Piece]) -> None:
        """The same as a piece, one by one; those with which that fails are set aside."""
        keys: list[Key] = []
        await self.together(partial(_keys, place, keys))
        alone: list[_Piece] = []
        await self._aside.sort_out(keys, lambda key: partial(self._cancel_alone, place, key, alone))
        after = keys[-1][1] if len(keys) == PIECE else 0
        offered = [one for piece in alone for one in piece.offered]
        pieces.append(_Piece(sum(piece.cancelled_count for piece in alone), after, offered))

    async def _take_back(self, tenant_id: int, offered: Sequence[Command], by: Actor) -> int:
        """Cancel what still waits to be written behind other messages; gives how many commands."""
        back = [one for one in offered if self._courier.withdraw(one)]
        if not back:
            return 0
        counts: list[int] = []
        try:
            await self.together(partial(self._cancel_back, (tenant_id, back, by), counts))
        except Exception:
            for one in back:
                self._courier.offer_again(one)
            raise
        return counts[0]

    # In the writer's thread.

    def _cancel(self, asked: _Asked, kept: list[Command], connection: sqlite3.Connection, now: int) -> Afterwards:
        tenant_id, execution_id, is_back, offered_at, by = asked
        found = queries.by_execution(connection, tenant_id, execution_id)
        if found is None:
            raise UnknownCommandError(f"no command has the execution id {execution_id[:80]!r}")
        if found.is_over:
            raise CommandEndedError(f"it has ended already: {found.state}")
        after = _cancelled(_released(found, offered_at) if is_back else found, by, now)
        if after is None:
            raise CommandSentError("it was written to the device, or may have been: it cannot be called back")
        kept_so = self._as_jobs.keep(connection, [(found, after)], now)
        details = {"command": after.name, "execution_id": execution_id}
        entry = Entry("command.cancel", after.device_id, details)
        audit_queries.insert_entries(connection, tenant_id, [entry], now, by)
        return partial(self._told, kept_so, partial(kept.append, after))

    def _cancel_piece(
        self, place: _Place, pieces: list[_Piece], connection: sqlite3.Connection, now: int
    ) -> Afterwards:
        tenant_id, batch, after, _ = place
        found = queries.open_of_batch(connection, tenant_id, batch.batch_number, after, PIECE)
        if not after:
            _note(place, connection, now)
        return self._cancelled_some(place, found, pieces, connection, now)

    def _cancel_alone(
        self, place: _Place, key: Key, pieces: list[_Piece], connection: sqlite3.Connection, now: int
    ) -> Afterwards:
        found = queries.by_numbers(connection, place.tenant_id, [key[1]])
        return self._cancelled_some(place, [*found.values()], pieces, connection, now)

    def _cancelled_some(
        self,
        place: _Place,
        found: Sequence[Command],
        pieces: list[_Piece],
        connection: sqlite3.Connection,
        now: int,
    ) -> Afterwards:
        changes = [(before, over) for before in found if (over := _cancelled(before, place.by, now)) is not None]
        kept = self._as_jobs.keep(connection, changes, now)
        last = found[-1].command_number if len(found) == PIECE else 0
        is_queued = [one for one in found if one.state is State.QUEUED and one.offered_at is not None]
        offered = [one for one in is_queued if not ruling.is_job(one)]
        return partial(self._told, kept, partial(pieces.append, _Piece(len(changes), last, offered)))

    def _cancel_back(
        self,
        back: tuple[int, Sequence[Command], Actor],
        counts: list[int],
        connection: sqlite3.Connection,
        now: int,
    ) -> Afterwards:
        tenant_id, commands, by = back
        offered_at = {one.command_number: one.offered_at for one in commands}
        changes: list[Change] = []
        for number, found in queries.by_numbers(connection, tenant_id, offered_at).items():
            over = _cancelled(_released(found, offered_at[number]), by, now)
            changes += [] if over is None else [(found, over)]
        kept = self._as_jobs.keep(connection, changes, now)
        return partial(self._told, kept, partial(counts.append, len(changes)))

    def _told(self, kept: Kept, answer: Callable[[], None]) -> None:
        kept.tell()
        answer()
        self.changed(kept.changes)


def _note(place: _Place, connection: sqlite3.Connection, now: int) -> None:
    """Have it in the audit log that somebody cancels a batch."""
    tenant_id, batch, _, by = place
    details = {"command": batch.name, "batch_id": batch.batch_id}
    entry = Entry("command.cancel_many", batch.selection, details)
    audit_queries.insert_entries(connection, tenant_id, [entry], now, by)


def _keys(place: _Place, keys: list[Key], connection: sqlite3.Connection, now: int) -> Afterwards:
    """Those of a piece that is gone through one by one."""
    tenant_id, batch, after, _ = place
    if not after:
        _note(place, connection, now)
    found = aside_queries.open_of_batch(connection, tenant_id, batch.batch_number, after, PIECE)
    return partial(keys.extend, found)


def _released(found: Command, offered_at: int | None) -> Command:
    """It was given back by the connection to which it was offered then."""
    return ruling.released(found, found.attempt) if found.offered_at == offered_at else found


def _cancelled(found: Command, by: Actor, now: int) -> Command | None:
    return ruling.cancelled(found, ruling.Reason(ruling.CANCELLED, f"by {by.name}"), By.OPERATOR, now)
