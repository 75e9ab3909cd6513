"""Commands with a real database and registry, and clients that stand in for those of the broker."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from types import SimpleNamespace
from typing import Any, cast

from appliance.bus import Bus
from appliance.commands import queries
from appliance.commands.dialects.dialect import Cbor
from appliance.commands.model import Command
from appliance.commands.service import Commands
from appliance.ingestion import cbor
from appliance.plane_settings import CommandsConfig
from appliance.registry.catalogue.service import Catalogue
from appliance.registry.model import DEFAULT_TENANT, NewDevice
from appliance.registry.service import Registry
from appliance.store.database import Database, Work
from broker.message import Message
from broker.packets import Subscription
from broker.ports import Connected, Disconnected, Evidence, Refused, Subscribed
from broker.publication import Publication
from broker.session import Session
from broker.topics import matches

TENANT = DEFAULT_TENANT


class Line:
    """A client of the broker, as the courier sees it: connected or not, and what was written to it."""

    def __init__(self, device_id: str, client_id: str, filters: Iterable[str], qos: int) -> None:
        self.principal = SimpleNamespace(tenant_id=TENANT, name=device_id)
        self.client_id = client_id
        self.client: Any = None
        self.subscriptions = {one: Subscription(one, qos) for one in filters}
        self.qos = qos
        self.is_stored = False
        self.deliveries: list[Any] = []
        self.is_full = False
        """Whether what comes waits behind other messages."""
        self.acknowledges = True
        self.written: list[Message] = []
        self.evidence: list[Evidence] = []
        self.waiting: list[Message] = []


class Taken:
    """A message that a line took; while it waits, it can be withdrawn."""

    is_taken = True

    def __init__(self, line: Line, message: Message) -> None:
        self._line, self._message = line, message

    def withdraw(self) -> int:
        if self._message not in self._line.waiting:
            return 0
        self._line.waiting.remove(self._message)
        return 1


class Exchange:
    """Stands in for the broker: it writes to lines, and tells what became of it."""

    def __init__(self) -> None:
        self.lines: dict[str, list[Line]] = {}
        self.abandoned: list[str] = []

    def answer(self, message: Message, client_id: str, evidence: Evidence | None = None) -> Publication | None:
        line = next((one for some in self.lines.values() for one in some if one.client_id == client_id), None)
        if line is None:
            return None
        assert evidence is not None
        if not any(matches(one, message.topic) for one in line.subscriptions):
            evidence.untaken()
        elif line.is_full:
            line.waiting.append(message)
        else:
            line.written.append(message)
            line.evidence.append(evidence)
            evidence.written(client_id)
            if not line.qos:
                evidence.unanswerable(client_id)
            elif line.acknowledges:
                evidence.acknowledged(client_id)
        return cast("Publication", Taken(line, message))

    def sessions(self, tenant_id: int, name: str | None = None) -> Iterable[Session]:
        assert tenant_id == TENANT
        return cast("list[Session]", list(self.lines.get(name or "", [])))

    def abandon(self, _tenant_id: int, client_id: str, is_meant: Callable[[Message], bool]) -> int:
        self.abandoned.append(client_id)
        lines = [one for some in self.lines.values() for one in some if one.client_id == client_id]
        return sum(is_meant(message) for line in lines for message in line.waiting)


class Hall:
    """The room, and the short ways in which tests use it."""

    def __init__(self, database: Database, registry: Registry, clock: Any, **settings: int) -> None:
        self.database, self.registry, self.clock = database, registry, clock
        self.exchange, self.bus = Exchange(), Bus()
        self.told: list[Message] = []
        self.replies: list[tuple[Message, str]] = []
        self.problems: list[Refused] = []
        self.devices = Catalogue(registry, database, clock)
        self.commands = Commands(database, registry, self.devices, CommandsConfig(**settings), clock)
        self.commands.follow(self.together, Cbor(cbor.encode, cbor.decode))
        self.commands.publish, self.commands.note, self.commands.bus = self.told.append, self.problems.append, self.bus
        self.commands.answer = lambda message, client_id: self.replies.append((message, client_id))
        self.commands.courier.abandon = self.exchange.abandon
        # A test moves the clock to let time pass.
        self.commands.tending.jump_ms = 10**15

    async def together(self, work: Work) -> None:
        """As ingestion does it, one piece of work at a time."""
        (await self.database.write(work, self.clock()))()

    async def add(self, *device_ids: str, **fields: Any) -> None:
        for device_id in device_ids:
            await self.devices.add_device(TENANT, NewDevice(device_id, **fields))

    def connect(self, device_id: str, *filters: str, qos: int = 1, client_id: str = "") -> Line:
        line = Line(device_id, client_id or device_id, filters or (f"cmd/{device_id}/request/+",), qos)
        line.client = SimpleNamespace(stream=SimpleNamespace(is_open=True))
        self.exchange.lines.setdefault(device_id, []).append(line)
        self.commands.heard(Connected(TENANT, device_id, line.client_id, "192.0.2.7:1", self.clock(), "c"))
        self.commands.heard_subscribed(Subscribed(TENANT, line.client_id, tuple(line.subscriptions), "c", self.clock()))
        return line

    def disconnect(self, line: Line) -> None:
        line.client = None
        self.exchange.lines[line.principal.name].remove(line)
        self.commands.heard(Disconnected(TENANT, line.principal.name, line.client_id, "gone", self.clock(), "c"))

    async def respond(self, topic: str, payload: bytes, device_id: str = "lamp") -> None:
        message = Message(TENANT, device_id, device_id, topic, payload, 1, False, self.clock())
        assert self.commands.takes(topic)
        await self.together(lambda connection, now: self.commands.apply([message], connection, now))

    async def until(self, execution_id: str, is_so: Callable[[Command], bool]) -> Command:
        """Ask until a command is so."""
        found: list[Command] = []

        async def is_found() -> bool:
            found[:] = [await self.commands.command(TENANT, execution_id)]
            return is_so(found[0])

        await _asked(is_found)
        return found[0]

    async def settled(self) -> None:
        """Wait until nothing is left to be offered or kept."""
        courier = self.commands.courier
        await until(
            lambda: not (courier._expecting.is_ready or courier._has_to_offer.is_set() or not courier.keeping.is_done)
        )
        await self.database.read(queries.select_next_due())


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until it is so."""

    async def asked() -> bool:
        return is_so()

    await _asked(asked)


async def _asked(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Ask again and again, for ten seconds at most."""
    for _ in range(1_000):
        if await is_so():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never became so")
