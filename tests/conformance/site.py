"""The broker under test: ours in this process, or any that `HEADWORKS_CONFORMANCE_BROKER=host:port` names."""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from broker.limits import Limits
from broker.listener import Endpoint
from broker.server import Broker
from tests.conformance.wire import Line, Wire
from tests.conformance.wire_format import MQTT_3_1_1, PINGREQ, Connect, Kind, Properties, Will
from tests.fakes import FakeAuthorizer, FakeOwner

VARIABLE = "HEADWORKS_CONFORMANCE_BROKER"
SWEEP_INTERVAL_S = 0.05


class Clock:
    """The world's time in UTC milliseconds, for our own broker a little ahead when a test cannot wait."""

    def __init__(self) -> None:
        self.ahead_ms = 0

    def __call__(self) -> int:
        return time.time_ns() // 1_000_000 + self.ahead_ms


@dataclass
class Own:
    """Our own broker, and those around it."""

    port: int
    authorizer: FakeAuthorizer
    clock: Clock


@dataclass
class Site:
    """A broker at work, and the clients of one test, which speak one version unless told otherwise."""

    host: str
    port: int
    level: int
    own: Own | None
    """None when the broker is somebody else's."""
    wires: contextlib.AsyncExitStack
    client_ids: set[str] = field(default_factory=set)

    async def knock(self, level: int | None = None) -> Wire:
        """A connection that has said nothing yet."""
        loop = asyncio.get_running_loop()
        transport, line = await loop.create_connection(Line, self.host, self.port)
        wire = Wire(transport, line, level or self.level)
        self.wires.push_async_callback(wire.aclose)
        return wire

    async def attempt(self, connect: Connect) -> Wire:
        """A connection that has had its answer to CONNECT, whatever it is."""
        wire = await self.knock(connect.level)
        self.client_ids.add(connect.client_id)
        await wire.send(connect.data)
        wire.connack = await wire.expect(Kind.CONNACK)
        return wire

    async def client(
        self,
        client_id: str = "c",
        *,
        level: int | None = None,
        clean: bool = True,
        properties: Properties = (),
        will: Will | None = None,
        keep_alive_s: int = 0,
    ) -> Wire:
        """A client that the broker has accepted."""
        connect = Connect(client_id, level or self.level, clean, keep_alive_s, properties, will)
        wire = await self.attempt(connect)
        assert wire.connack.code == 0, wire.connack
        return wire

    async def refused(self, data: bytes, *codes: int) -> None:
        """See that the broker refuses a CONNECT of these bytes, or closes the connection in silence."""
        wire = await self.knock()
        await wire.send(data, PINGREQ)
        await wire.expect_refusal(*codes)

    async def violates(self, data: bytes, *codes: int) -> None:
        """See that an accepted client that sends these bytes is told one of these codes, and is let go."""
        wire = await self.client("violator")
        await wire.send(data, PINGREQ)
        await wire.expect_closed(*codes)

    def deny_filter(self, topic_filter: str) -> None:
        """Let nobody subscribe to a filter."""
        self._ours().authorizer.denied_filters.add(topic_filter)

    def deny_topic(self, topic: str) -> None:
        """Let nobody publish to a topic."""
        self._ours().authorizer.denied_topics.add(topic)

    def deny_client(self, client_id: str) -> None:
        """Let a client not connect."""
        self._ours().authorizer.denied_clients.add(client_id)

    async def elapse(self, seconds: float) -> None:
        """Let time pass. A broker behind a socket has no clock but the world's; ours sweeps for what is due."""
        if self.own is None:
            await asyncio.sleep(seconds)
        else:
            self.own.clock.ahead_ms += int(seconds * 1_000)
            await asyncio.sleep(2 * SWEEP_INTERVAL_S)

    def _ours(self) -> Own:
        if self.own is None:
            pytest.skip("only our own broker can be told whom to refuse")
        return self.own


@contextlib.asynccontextmanager
async def visiting(level: int) -> AsyncIterator[Site]:
    """A broker for one test: a new one, or somebody else's, which is tidied up afterwards."""
    named = os.environ.get(VARIABLE, "")
    async with contextlib.AsyncExitStack() as stack:
        own = None if named else await stack.enter_async_context(_serving())
        wires = await stack.enter_async_context(contextlib.AsyncExitStack())
        if own is not None:
            yield Site("127.0.0.1", own.port, level, own, wires)
        else:
            host, _, port = named.rpartition(":")
            site = Site(host, int(port), level, None, wires)
            yield site
            await wires.aclose()
            await _tidy(site)


@contextlib.asynccontextmanager
async def _serving() -> AsyncIterator[Own]:
    """Our own broker; no exception may have reached the loop when the block is left."""
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    owner, authorizer, clock = FakeOwner(), FakeAuthorizer(), Clock()
    broker = Broker(owner, authorizer, clock, Limits(sweep_interval_s=SWEEP_INTERVAL_S))
    owner.acknowledge = broker.acknowledge
    async with broker.connected(), broker.listening(Endpoint("127.0.0.1", 0, None)) as ports:
        yield Own(ports[0], authorizer, clock)
    assert faults == []


async def _tidy(site: Site) -> None:
    """End every session of a test and clear every retained message."""
    async with contextlib.AsyncExitStack() as wires:
        again = Site(site.host, site.port, MQTT_3_1_1, None, wires)
        for client_id in site.client_ids - {""}:
            await (await again.client(client_id)).leave()
        sweeper = await again.client("sweeper")
        await sweeper.subscribe(("#", 0))
        for topic, _, _, retain in await sweeper.messages():
            if retain:
                await sweeper.publish(topic, b"", retain=True)
