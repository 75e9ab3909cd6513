"""Commands are sent, to one device or to many.

Rules: what has an idempotency key is written down once, however often it is asked for; a batch that was cut short goes
on when it is asked for again. What was sent is in the audit log, with its names and without its payload.
"""

import contextlib
import logging
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from msgspec.structs import replace

from appliance.audit import queries as audit_queries
from appliance.audit.acting import actor
from appliance.audit.model import Actor, Entry
from appliance.commands import check, queries
from appliance.commands.as_jobs.document import document_of
from appliance.commands.as_jobs.service import PIECE as JOBS_PIECE
from appliance.commands.catalogue.service import TypeCommands
from appliance.commands.check import Wish
from appliance.commands.delivery.claiming.service import Claim
from appliance.commands.delivery.flight import Change, Claimant, Place
from appliance.commands.delivery.keeping.service import LONGEST_HURRY_S
from appliance.commands.delivery.service import Courier
from appliance.commands.mishaps.service import done, fails, failures
from appliance.commands.model import (
    Batch,
    Command,
    DeviceGoneError,
    DialectName,
    InvalidCommandError,
    NewCommand,
    OtherContentError,
    Selection,
    TooManyCommandsError,
)
from appliance.errors import kind_of, place_of
from appliance.instant import Clock
from appliance.plane_settings import CommandsConfig
from appliance.registry.catalogue.service import Catalogue
from appliance.registry.model import Device, DeviceState
from appliance.registry.service import Registry
from appliance.store.database import Afterwards, Together, Work, nothing_left

log = logging.getLogger(__name__)

PIECE = 1_000
"""Commands that are written down in one transaction."""
HURRIED_FROM = 200
"""Fewer commands than these are on their way before anybody has to wait for them."""
IN_SERVICE = (DeviceState.ACTIVE, DeviceState.PENDING)


ReadLess = Callable[[float], contextlib.AbstractContextManager[None]]
"""Has the broker listen less to clients meanwhile, for so many seconds at most."""
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
        self.read_less: ReadLess = lambda _: contextlib.nullcontext()
        self.changed: Callable[[Sequence[Change]], None] = lambda _: None

    async def send(self, tenant_id: int, device_id: str, new: NewCommand) -> Command:
        """Send a command to a device; it is on disk when this returns."""
        check.checked(new)
        device = self._registry.device(tenant_id, device_id)
        if device.state not in IN_SERVICE:
            raise DeviceGoneError(f"{device_id} is {device.state}: nothing is sent to it")
        digest = check.digest_of(new, device_id)
        told = self._told(tenant_id, device.type, new)
        [execution_id] = _execution_ids(1)
        command = check.command_of(self._wish(told), tenant_id, device_id, execution_id)
        if command.dialect is DialectName.JOBS:
            document_of(command)
        made: list[Command] = []
        once = _Once(new.idempotency_key, digest, actor())
        reserved = self._courier.reserve([(tenant_id, device_id)])
        try:
            work = partial(self._insert, command, once, reserved, made)
            # What cannot be read of other jobs of the device must not keep it from this one.
            await done(self.together, work, lambda _: self._courier.as_jobs.mend(tenant_id, device_id))
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
        wishes = {name: self._wish(self._told(tenant_id, name, new)) for name in {device.type for device in devices}}
        now = self.clock()
        batch = Batch(0, secrets.token_hex(16), new.name, words, len(devices), actor().name, now, None)
        begun: list[Batch] = []
        once = _Once(new.idempotency_key, digest, actor())
        await self.first(partial(self._begin, tenant_id, batch, once, begun))
        batch = begun[0]
        if batch.completed_at is not None:
            return batch
        piece = JOBS_PIECE if any(wish.new.dialect is DialectName.JOBS for wish in wishes.values()) else PIECE
        forms = {name: check.command_of(wish, tenant_id, "", "") for name, wish in wishes.items()}
        with self._hurry(len(devices)):
            for first in range(0, len(devices), piece):
                some = devices[first : first + piece]
                commands = [
                    replace(forms[device.type], device_id=device.device_id, execution_id=execution_id)
                    for device, execution_id in zip(some, _execution_ids(len(some)), strict=True)
                ]
                await self._send_piece(batch, digest, commands)
        completed: list[Batch] = []
        await self.together(partial(self._complete, tenant_id, batch, completed))
        return completed[0]

    @contextlib.contextmanager
    def _hurry(self, count: int) -> Iterator[None]:
        """All are told before anybody is listened to as usual, and before it is written down what was heard."""
        if count < HURRIED_FROM:
            yield
            return
        with self._courier.keeping.lull.hurry(), self.read_less(LONGEST_HURRY_S):
            yield

    async def _send_piece(self, batch: Batch, digest: str, commands: Sequence[Command]) -> None:
        """Write down some commands of a batch, and have them on their way."""
        reserved = self._courier.reserve([(one.tenant_id, one.device_id) for one in commands])
        try:
            if await fails(self.first, partial(self._insert_piece, batch, digest, commands, reserved)):
                await self._send_each(batch, digest, commands, reserved)
        finally:
            self._courier.release(reserved)

    async def _send_each(self, batch: Batch, digest: str, commands: Sequence[Command], reserved: Reserved) -> None:
        """The same one by one; what cannot be sent even so has ended at once, so that the batch tells of it."""
        for one in commands:
            if one.dialect is DialectName.JOBS:
                await self._courier.as_jobs.mend(one.tenant_id, one.device_id)

        def work_of(one: Command) -> Work:
            place = (one.tenant_id, one.device_id)
            own = {place: reserved[place]} if place in reserved else {}
            return partial(self._insert_piece, batch, digest, [one], own)

        failed = await failures(self.first, commands, work_of)
        if failed:
            refused = [check.unsent(one, kind_of(error)) for one, error in failed]
            error = failed[0][1]
            told = (len(failed), kind_of(error), place_of(error))
            log.error("commands of a batch not sent count=%s error=%s where=\n%s", *told)
            await self.first(partial(self._insert_piece, batch, digest, refused, {}))

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
        tell = nothing_left
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

    # What is meant.

    def _wish(self, new: NewCommand) -> Wish:
        return Wish(new, actor().name, self.clock(), self._config)

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


def _execution_ids(count: int) -> list[str]:
    """Nobody can guess any, and no two are the same."""
    random = os.urandom(16 * count).hex()
    return [random[first : first + 32] for first in range(0, len(random), 32)]
