"""Commands are sent, to one device or to many, and cancelled while nothing of them was written.

Rules: what has an idempotency key is written down once, however often it is asked for; a batch that was cut short goes
on when it is asked for again. What was sent is in the audit log, with its names and without its payload.
"""

import logging
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from appliance.audit import queries as audit_queries
from appliance.audit.acting import actor
from appliance.audit.model import Actor, Entry
from appliance.commands import check, queries, ruling
from appliance.commands.as_jobs.document import document_of
from appliance.commands.as_jobs.service import PIECE as JOBS_PIECE
from appliance.commands.catalogue.service import TypeCommands
from appliance.commands.check import Order
from appliance.commands.delivery.claiming.service import Claim
from appliance.commands.delivery.flight import Change, Claimant, Place
from appliance.commands.delivery.service import Courier
from appliance.commands.model import (
    Batch,
    By,
    Command,
    CommandEndedError,
    CommandSentError,
    DeviceGoneError,
    DialectName,
    InvalidCommandError,
    NewCommand,
    OtherContentError,
    Selection,
    TooManyCommandsError,
    UnknownCommandError,
)
from appliance.instant import Clock
from appliance.plane_settings import CommandsConfig
from appliance.registry.catalogue.service import Catalogue
from appliance.registry.model import Device, DeviceState
from appliance.registry.service import Registry
from appliance.store.database import Afterwards, Together, UnwritableError

log = logging.getLogger(__name__)

PIECE = 1_000
"""Commands that are written down in one transaction."""
IN_SERVICE = (DeviceState.ACTIVE, DeviceState.PENDING)


Reserved = Mapping[Place, Claimant]
"""Devices that can be offered something at once."""


class _Once(NamedTuple):
    """Tells whether the same was asked for before; and who asks."""

    key: str | None
    digest: str
    by: Actor


class _New(NamedTuple):
    """What is to be done once new commands are on disk."""

    reserved: Reserved
    claims: Sequence[Claim]
    tell: Afterwards


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


class Sender:
    """Takes what people want of devices."""

    def __init__(
        self, registry: Registry, devices: Catalogue, catalogue: TypeCommands, courier: Courier, config: CommandsConfig
    ) -> None:
        self._registry = registry
        self._devices = devices
        self._catalogue = catalogue
        self._courier = courier
        self._config = config
        self.clock: Clock
        self.together: Together
        self.first: Together
        """Ahead of what devices tell: all of a batch are on their way before the answers of some are looked into."""
        self.changed: Callable[[Sequence[Change]], None] = lambda _: None

    async def send(self, tenant_id: int, device_id: str, new: NewCommand) -> Command:
        """Send a command to a device; it is on disk when this returns."""
        check.checked(new)
        device = self._registry.device(tenant_id, device_id)
        if device.state not in IN_SERVICE:
            raise DeviceGoneError(f"{device_id} is {device.state}: nothing is sent to it")
        digest = check.digest_of(new, device_id)
        told = self._told(tenant_id, device.type, new)
        command = check.command_of(self._order(told), tenant_id, device_id, _execution_id())
        if command.dialect is DialectName.JOBS:
            document_of(command)
        made: list[Command] = []
        once = _Once(new.idempotency_key, digest, actor())
        reserved = self._courier.reserve([(tenant_id, device_id)])
        try:
            await self.together(partial(self._insert, command, once, reserved, made))
        finally:
            self._courier.release(reserved)
        return made[0]

    async def send_to_many(self, tenant_id: int, selection: Selection, new: NewCommand) -> Batch:
        """Send a command to many devices; all of it is on disk when this returns."""
        check.checked(new)
        words = check.described(selection)
        devices = [device for device in self._selected(tenant_id, selection) if device.state in IN_SERVICE]
        if not devices:
            raise InvalidCommandError(f"there is no device in service for {words}")
        digest = check.digest_of(new, selection)
        orders = {name: self._order(self._told(tenant_id, name, new)) for name in {device.type for device in devices}}
        now = self.clock()
        batch = Batch(0, secrets.token_hex(16), new.name, words, len(devices), actor().name, now, None)
        begun: list[Batch] = []
        once = _Once(new.idempotency_key, digest, actor())
        await self.together(partial(self._begin, tenant_id, batch, once, begun))
        batch = begun[0]
        if batch.completed_at is not None:
            return batch
        piece = JOBS_PIECE if any(order.new.dialect is DialectName.JOBS for order in orders.values()) else PIECE
        for first in range(0, len(devices), piece):
            commands = [
                check.command_of(orders[device.type], tenant_id, device.device_id, _execution_id())
                for device in devices[first : first + piece]
            ]
            reserved = self._courier.reserve([(tenant_id, one.device_id) for one in commands])
            try:
                await self.first(partial(self._insert_piece, batch, digest, commands, reserved))
            finally:
                self._courier.release(reserved)
        completed: list[Batch] = []
        await self.together(partial(self._complete, tenant_id, batch, completed))
        return completed[0]

    async def cancel(self, tenant_id: int, command: Command) -> Command:
        """Take back what was not written. Raises `CommandSentError`, `CommandEndedError`, `UnknownCommandError`."""
        is_back = self._courier.withdraw(command)
        kept: list[Command] = []
        asked = _Asked(tenant_id, command.execution_id, is_back, command.offered_at, actor())
        try:
            await self.together(partial(self._cancel, asked, kept))
        except UnwritableError:
            if is_back and command.offered_at is not None:
                self._courier.offer_again(command)
            raise
        return kept[0]

    async def cancel_batch(self, tenant_id: int, batch: Batch) -> int:
        """Take back what was not written of a batch; gives how many commands."""
        count, after = 0, 0
        while True:
            kept: list[tuple[int, int]] = []
            place = _Place(tenant_id, batch, after, actor())
            await self.together(partial(self._cancel_piece, place, kept))
            cancelled, after = kept[0]
            count += cancelled
            if not after:
                return count

    # In the writer's thread.

    def _insert(
        self,
        command: Command,
        once: "_Once",
        reserved: Reserved,
        made: list[Command],
        connection: sqlite3.Connection,
        now: int,
    ) -> Afterwards:
        key, digest, by = once
        tenant_id, device_id = command.tenant_id, command.device_id
        known = None if key is None else queries.by_key(connection, tenant_id, key)
        if known is not None:
            if known[1] != digest:
                raise OtherContentError("this idempotency key was used for another command")
            return partial(made.append, known[0])
        counts = queries.open_counts(connection, tenant_id, [device_id])
        if counts.get(device_id, 0) >= self._config.open_per_device:
            raise TooManyCommandsError(
                f"{self._config.open_per_device} commands of {device_id} are open: cancel some, or wait until they end"
            )
        numbered = replace(command, command_number=queries.next_number(connection))
        [kept], claims = self._courier.at_once([numbered], reserved, now)
        queries.insert_commands(connection, None, key, digest, [kept])
        tell = _nothing
        if kept.dialect is DialectName.JOBS:
            [(_, kept)], tell = self._courier.as_jobs.keep(connection, [(None, kept)], now)
        details = {"command": kept.name, "execution_id": kept.execution_id}
        audit_queries.insert_entries(connection, tenant_id, [Entry("command.send", device_id, details)], now, by)
        return partial(self._inserted, [kept], _New(reserved, claims, tell), made)

    def _inserted(self, kept: Sequence[Command], new: "_New", made: list[Command]) -> None:
        new.tell()
        made += kept
        # In this order: a device may answer at once, and what is told of that comes after.
        self.changed([(None, one) for one in kept])
        self._courier.expect([(one.tenant_id, one.device_id) for one in kept if _waits(one)])
        self._courier.launch(new.reserved, new.claims)

    def _begin(
        self, tenant_id: int, batch: Batch, once: "_Once", begun: list[Batch], connection: sqlite3.Connection, now: int
    ) -> Afterwards:
        key, digest, by = once
        known = None if key is None else queries.batch_by_key(connection, tenant_id, key)
        if known is not None:
            if known[1] != digest:
                raise OtherContentError("this idempotency key was used for another command")
            return partial(begun.append, known[0])
        number = queries.insert_batch(connection, tenant_id, batch, key, digest)
        details = {"command": batch.name, "batch_id": batch.batch_id, "device_count": str(batch.device_count)}
        entry = Entry("command.send_to_many", batch.selection, details)
        audit_queries.insert_entries(connection, tenant_id, [entry], now, by)
        return partial(begun.append, replace(batch, batch_number=number))

    def _insert_piece(
        self,
        batch: Batch,
        digest: str,
        commands: Sequence[Command],
        reserved: Reserved,
        connection: sqlite3.Connection,
        now: int,
    ) -> Afterwards:
        limit = self._config.open_per_device
        tenant_id, device_ids = commands[0].tenant_id, [one.device_id for one in commands]
        # It may have been cut short, and go on.
        have_one = queries.devices_of_batch(connection, tenant_id, batch.batch_number, device_ids)
        counts = queries.open_counts(connection, tenant_id, device_ids)
        news = [one for one in commands if one.device_id not in have_one]
        first = queries.next_number(connection)
        numbered = [
            replace(one, command_number=number, batch_id=batch.batch_id) for number, one in enumerate(news, first)
        ]
        bounded = [check.beyond(one, limit) if counts.get(one.device_id, 0) >= limit else one for one in numbered]
        kept, claims = self._courier.at_once(bounded, reserved, now)
        queries.insert_commands(connection, batch.batch_number, None, digest, kept)
        as_jobs: list[Change] = [(None, one) for one in kept if one.dialect is DialectName.JOBS]
        tell = self._courier.as_jobs.keep(connection, as_jobs, now).tell
        return partial(self._inserted, kept, _New(reserved, claims, tell), [])

    def _complete(
        self, tenant_id: int, batch: Batch, completed: list[Batch], connection: sqlite3.Connection, now: int
    ) -> Afterwards:
        count = queries.count_of_batch(connection, tenant_id, batch.batch_number)
        queries.complete_batch(connection, tenant_id, batch.batch_number, count, now)
        return partial(completed.append, replace(batch, device_count=count, completed_at=now))

    def _cancel(self, asked: "_Asked", kept: list[Command], connection: sqlite3.Connection, now: int) -> Afterwards:
        tenant_id, execution_id, is_back, offered_at, by = asked
        found = queries.by_execution(connection, tenant_id, execution_id)
        if found is None:
            raise UnknownCommandError(f"no command has the execution id {execution_id[:80]!r}")
        if found.is_over:
            raise CommandEndedError(f"it has ended already: {found.state}")
        is_back = is_back and found.offered_at == offered_at
        before = ruling.released(found, found.attempt) if is_back else found
        after = ruling.cancelled(before, ruling.Reason(ruling.CANCELLED, f"by {by.name}"), By.OPERATOR, now)
        if after is None:
            raise CommandSentError("it was written to the device, or may have been: it cannot be called back")
        kept_so, tell = self._courier.as_jobs.keep(connection, [(found, after)], now)
        details = {"command": after.name, "execution_id": execution_id}
        entry = Entry("command.cancel", after.device_id, details)
        audit_queries.insert_entries(connection, tenant_id, [entry], now, by)
        return partial(self._cancelled, kept_so, tell, partial(kept.append, after))

    def _cancel_piece(
        self, place: "_Place", kept: list[tuple[int, int]], connection: sqlite3.Connection, now: int
    ) -> Afterwards:
        tenant_id, batch, after, by = place
        found = queries.open_of_batch(connection, tenant_id, batch.batch_number, after, PIECE)
        reason = ruling.Reason(ruling.CANCELLED, f"by {by.name}")
        changes: list[Change] = []
        for before in found:
            over = ruling.cancelled(before, reason, By.OPERATOR, now)
            if over is not None:
                changes.append((before, over))
        changes, tell = self._courier.as_jobs.keep(connection, changes, now)
        if not after:
            details = {"command": batch.name, "batch_id": batch.batch_id}
            entry = Entry("command.cancel_many", batch.selection, details)
            audit_queries.insert_entries(connection, tenant_id, [entry], now, by)
        last = found[-1].command_number if len(found) == PIECE else 0
        return partial(self._cancelled, changes, tell, partial(kept.append, (len(changes), last)))

    def _cancelled(self, changes: Sequence[Change], tell: Afterwards, answer: Callable[[], None]) -> None:
        tell()
        answer()
        self.changed(changes)

    # What is meant.

    def _order(self, new: NewCommand) -> Order:
        return Order(new, actor().name, self.clock(), self._config)

    def _told(self, tenant_id: int, type_name: str, new: NewCommand) -> NewCommand:
        return check.told(new, self._catalogue.find(tenant_id, type_name, new.name), type_name)

    def _selected(self, tenant_id: int, selection: Selection) -> Iterable[Device]:
        if selection.device_ids:
            return [self._registry.device(tenant_id, one) for one in dict.fromkeys(selection.device_ids)]
        if selection.query:
            return self._devices.find(tenant_id, selection.query)
        every = self._registry.devices(tenant_id)
        if selection.group:
            return [device for device in every if selection.group in device.groups]
        if selection.zone:
            return [device for device in every if device.zone == selection.zone]
        return [device for device in every if device.type == selection.type]


def _waits(command: Command) -> bool:
    return not command.is_over and command.offered_at is None


def _nothing() -> None:
    """Nothing was asked of jobs."""


def _execution_id() -> str:
    """Nobody can guess it, and no two are the same."""
    return os.urandom(16).hex()
