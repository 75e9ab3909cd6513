"""Commands at work: people send them, devices that are connected get them, and the ledger tells how far they came.

Rules: states advance on evidence alone; a response that is acknowledged is on disk.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

from appliance.bus import Bus
from appliance.commands import queries, ruling
from appliance.commands.as_jobs.service import AsJobs, Kept
from appliance.commands.cancelling.service import Cancelling
from appliance.commands.catalogue.service import TypeCommands
from appliance.commands.delivery.flight import Change, Post
from appliance.commands.delivery.service import Courier
from appliance.commands.dialects.aws import Aws
from appliance.commands.dialects.choice import addressed
from appliance.commands.dialects.dialect import Address, Answered, Cbor, Wire
from appliance.commands.dialects.jobs import AsJob
from appliance.commands.dialects.plain import Plain
from appliance.commands.events import publish_events
from appliance.commands.forgetting.service import Forgetting
from appliance.commands.jobs.service import Jobs
from appliance.commands.model import (
    Batch,
    Command,
    CommandsChanged,
    DialectName,
    NewCommand,
    Selection,
    read_wire_id,
)
from appliance.commands.reading.service import Reading
from appliance.commands.ruling import Refusal
from appliance.commands.sending.service import IN_SERVICE, ReadLess, Sender
from appliance.commands.setting_aside.service import SettingAside
from appliance.commands.tending.service import Tending
from appliance.errors import kind_of, place_of
from appliance.health import Status
from appliance.instant import Clock
from appliance.plane_settings import CommandsConfig
from appliance.registry.catalogue.service import Catalogue
from appliance.registry.service import Registry
from appliance.store.database import Afterwards, Database, Together
from broker.message import Message
from broker.ports import Connected, Disconnected, Refused, Subscribed
from broker.publication import Publication

log = logging.getLogger(__name__)

_UNFORESEEN = Refusal("InternalError", "the gateway could not take this response")


class _Told(NamedTuple):
    """What came of responses."""

    changes: list[Change]
    replies: list[tuple[Message, str]]
    problems: list[Refused]


class Commands(Reading):
    """The wishes of people, and how far each has come."""

    def __init__(
        self, database: Database, registry: Registry, devices: Catalogue, config: CommandsConfig, clock: Clock
    ) -> None:
        super().__init__(database, registry)
        self._config = config
        self._clock = clock
        self._dialects: tuple[Plain | Aws, ...] = (Plain(),)
        self.catalogue = TypeCommands(database, registry)
        self.forgetting = Forgetting(database, registry, config.ledger_days)
        self.as_jobs = AsJobs()
        self._aside = SettingAside(self.as_jobs)
        self.courier = Courier(database, clock, config.in_flight_per_device, self.as_jobs, self._aside)
        self.tending = Tending(database, clock, self.as_jobs, self.courier, self._aside)
        self._sender = Sender(registry, devices, self.catalogue, self.courier, config)
        self._sender.clock = clock
        self._sender.changed = self.courier.changed = self.as_jobs.changed = self._changed
        self.cancelling = Cancelling(self.courier, self.as_jobs, self._aside)
        self._aside.changed = self.tending.changed = self.cancelling.changed = self._changed
        self.damaged = self.tending.puzzled
        self.courier.type_of = self._type_of
        self.courier.usual = self._usual
        self.bus: Bus | None = None
        self.publish: Callable[[Message], Publication | None] = lambda _: None
        self.answer: Callable[[Message, str], object] = lambda _message, _client_id: None
        self.note: Callable[[Refused], None] = lambda _: None
        """Hears of what is a problem of a device."""

    def follow(self, together: Together, cbor: Cbor, first: Together | None = None) -> None:
        """Be told how work is done together with what devices ask for, or ahead of it, and how CBOR is written."""
        self._sender.together = self.courier.together = self.courier.keeping.together = together
        self.tending.together = self.cancelling.together = self._aside.together = together
        self._sender.first = first or together
        self._dialects = (Aws(cbor), Plain())
        self.courier.dialects = self.courier.answered = self._dialects

    def read_less(self, read_less: ReadLess) -> None:
        """Be told how clients are listened to less while orders to many go out."""
        self._sender.read_less = read_less

    def speak_jobs(self, jobs: Jobs) -> None:
        """Be given the ledger of jobs, for devices that ask for nothing else."""
        self.as_jobs.jobs = jobs
        jobs.followed = self.as_jobs.followed
        self.courier.dialects = (*self._dialects, AsJob())

    @contextlib.asynccontextmanager
    async def running(self, post: Post) -> AsyncIterator[None]:
        """Bring commands to devices, and look after what is due."""
        async with self.catalogue.opened(), self.courier.running(post):
            for place in await self._database.read(queries.select_open_devices()):
                has_one = self._registry.has_device(*place)
                if not (has_one and self._registry.device(*place).state in IN_SERVICE):
                    self.tending.gone(*place)
            async with asyncio.TaskGroup() as tasks:
                working = [
                    tasks.create_task(self.tending.run(), name="commands due"),
                    tasks.create_task(self.forgetting.run(), name="commands' age"),
                ]
                try:
                    yield
                finally:
                    for task in working:
                        task.cancel()

    # What the broker tells.

    def heard(self, event: Connected | Disconnected | Refused) -> None:
        """Hear what happened to a client."""
        self.courier.heard(event)

    def heard_subscribed(self, event: Subscribed) -> None:
        """Hear what a client has subscribed to."""
        self.courier.heard_subscribed(event)

    def gone(self, tenant_id: int, device_id: str) -> None:
        """A device takes no part any more: nothing is sent to it."""
        self.tending.gone(tenant_id, device_id)

    # What devices tell.

    def takes(self, topic: str) -> bool:
        """Whether a message of this topic name is a response to a command."""
        return addressed(self._dialects, topic) is not None

    def apply(self, messages: Sequence[Message], connection: sqlite3.Connection, now: int) -> Afterwards:
        """Take responses."""
        told = _Told([], [], [])
        found = [(message, one) for message in messages if (one := addressed(self._dialects, message.topic))]
        wanted: dict[int, set[str]] = {}
        for message, (_, address) in found:
            wanted.setdefault(message.tenant_id, set()).add(read_wire_id(address.wire_id)[0])
        known = {tenant_id: queries.by_executions(connection, tenant_id, ids) for tenant_id, ids in wanted.items()}
        for message, (dialect, address) in found:
            after = _ruled(message, dialect, address, known[message.tenant_id], now)
            refusal = after if isinstance(after, Refusal) else None
            if not isinstance(after, Refusal):
                # Another response to the same command may follow.
                told.changes.append((known[message.tenant_id][after.execution_id], after))
                known[message.tenant_id][after.execution_id] = after
            _answer(message, address, dialect.reply(address, refusal), refusal, told)
        kept = self.as_jobs.keep(connection, told.changes, now)
        return partial(self._answered, told, kept)

    def unserved(self, message: Message) -> None:
        """Tell a device that the gateway could not take its response."""
        told = _Told([], [], [])
        found = addressed(self._dialects, message.topic)
        if found is not None:
            dialect, address = found
            _answer(message, address, dialect.reply(address, _UNFORESEEN), _UNFORESEEN, told)
        self._report(told)

    def _answered(self, told: _Told, kept: Kept) -> None:
        kept.tell()
        self._report(told)
        self._changed(told.changes)

    def _report(self, told: _Told) -> None:
        for message, client_id in told.replies:
            self.answer(message, client_id)
        for problem in told.problems:
            self.note(problem)

    # What people ask.

    async def send(self, tenant_id: int, device_id: str, new: NewCommand) -> Command:
        """Send a command to a device.

        Raises `UnknownDeviceError`, `InvalidCommandError`, `DeviceGoneError`, `TooManyCommandsError`,
        `OtherContentError`.
        """
        return await self._sender.send(tenant_id, device_id, new)

    async def send_to_many(self, tenant_id: int, selection: Selection, new: NewCommand) -> Batch:
        """Send a command to many devices.

        Raises `InvalidCommandError`, `InvalidQueryError`, `UnknownDeviceError`, `OtherContentError`.
        """
        batch = await self._sender.send_to_many(tenant_id, selection, new)
        return await self.batch(tenant_id, batch.batch_id)

    async def cancel(self, tenant_id: int, execution_id: str) -> Command:
        """Take back what was not written. Raises `UnknownCommandError`, `CommandSentError`, `CommandEndedError`."""
        return await self.cancelling.cancel(tenant_id, await self.command(tenant_id, execution_id))

    async def cancel_batch(self, tenant_id: int, batch_id: str) -> int:
        """Take back what was not written of a batch; gives how many commands. Raises `UnknownBatchError`."""
        return await self.cancelling.cancel_batch(tenant_id, await self.batch(tenant_id, batch_id))

    def status(self) -> Status:
        """How many commands are under way, and for how many devices something waits."""
        courier, aside_count = self.courier, self._aside.count
        details = {"in_flight": courier.flight_count, "waiting_devices": courier.waiting_count}
        details["set_aside"] = aside_count
        if courier.keeping.trouble:
            summary = f"what is heard of commands is not kept: {courier.keeping.trouble}"
            return Status(ok=False, summary=summary, details=details)
        for mishap in (courier.mishap, self.tending.mishap, self.forgetting.mishap):
            if mishap.trouble:
                summary = f"{mishap.trouble}: the log says where"
                return Status(ok=False, summary=summary, details=details, is_serving=True)
        summary = f"{courier.flight_count} under way, {courier.waiting_count} devices to be told something"
        if aside_count:
            summary += f", {aside_count} set aside since the start: the log says where the gateway failed"
        return Status(ok=True, summary=summary, details=details)

    # What has come further.

    def _changed(self, changes: Sequence[Change]) -> None:
        """Tell of what is on disk."""
        devices: dict[int, dict[str, None]] = {}
        for before, after in changes:
            devices.setdefault(after.tenant_id, {})[after.device_id] = None
            if after.is_over or (before is not None and after.attempt > before.attempt):
                self.courier.land(after)
        publish_events(changes, self._clock(), self.publish)
        if self.bus is not None:
            self.bus.announce([CommandsChanged(tenant_id, tuple(some)) for tenant_id, some in devices.items()])

    # Of devices.

    def _type_of(self, tenant_id: int, device_id: str) -> str:
        has_one = self._registry.has_device(tenant_id, device_id)
        return self._registry.device(tenant_id, device_id).type if has_one else ""

    def _usual(self, tenant_id: int, type_name: str, name: str) -> DialectName:
        kind = self.catalogue.find(tenant_id, type_name, name)
        return DialectName.ANY if kind is None else kind.dialect


def _message(tenant_id: int, wire: Wire, now: int) -> Message:
    topic, payload, properties = wire
    return Message(tenant_id, "", "", topic, payload, 1, retain=False, arrived_at=now, properties=properties)


def _ruled(
    message: Message, dialect: Answered, address: Address, known: Mapping[str, Command], now: int
) -> Command | Refusal:
    """What a response makes of the command that it is about."""
    try:
        report = dialect.report(address, message.payload)
        if isinstance(report, Refusal):
            return report
        execution_id, attempt = read_wire_id(address.wire_id)
        before = known.get(execution_id)
        if before is None or not before.device_id == address.device_id == message.principal:
            return Refusal(ruling.NOT_FOUND, "this device was sent no such execution")
        return ruling.told(before, attempt, report, now)
    except Exception as error:  # noqa: BLE001  one bad response stops nobody
        # Its own words are not logged.
        told = (message.tenant_id, address.device_id, kind_of(error), place_of(error))
        log.error("response not taken tenant_id=%s device_id=%s error=%s where=\n%s", *told)  # noqa: TRY400
        return _UNFORESEEN


def _answer(request: Message, address: Address, reply: Wire | None, refusal: Refusal | None, told: _Told) -> None:
    """Have a response answered, or what is wrong with it shown as a problem of its device."""
    if reply is not None:
        told.replies.append((_message(request.tenant_id, reply, request.arrived_at), request.client_id))
    elif refusal is not None:
        reason = f"response to command {address.wire_id[:64]}: {refusal.reason}"
        who = (request.tenant_id, request.principal, request.client_id, "")
        told.problems.append(Refused(*who, "command_response", reason, request.arrived_at))
