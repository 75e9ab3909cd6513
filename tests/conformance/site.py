"""The broker under test: ours in this process, or any that `HEADWORKS_CONFORMANCE_BROKER=host:port` names."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from tests.broker.house import House, serving
from tests.conformance.wire import Line, Wire
from tests.conformance.wire_format import MQTT_3_1_1, PINGREQ, Connect, Kind, Properties, Will

VARIABLE = "HEADWORKS_CONFORMANCE_BROKER"


@dataclass
class Site:
    """A broker at work, and the clients of one test, which speak one version unless told otherwise."""

    host: str
    port: int
    level: int
    house: House | None
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
        self._own().authorizer.denied_filters.add(topic_filter)

    def deny_topic(self, topic: str) -> None:
        """Let nobody publish to a topic."""
        self._own().authorizer.denied_topics.add(topic)

    def deny_client(self, client_id: str) -> None:
        """Let a client not connect."""
        self._own().authorizer.denied_clients.add(client_id)

    async def elapse(self, seconds: float) -> None:
        """Let time pass. A broker behind a socket has no clock but the world's, and the specification counts seconds."""
        await asyncio.sleep(seconds)

    def _own(self) -> House:
        if self.house is None:
            pytest.skip("only our own broker can be told whom to refuse")
        return self.house


@contextlib.asynccontextmanager
async def visiting(level: int) -> AsyncIterator[Site]:
    """A broker for one test: a new one, or somebody else's, which is tidied up afterwards."""
    async with contextlib.AsyncExitStack() as stack:
        named = os.environ.get(VARIABLE, "")
        if named:
            host, _, port = named.rpartition(":")
            house, number = None, int(port)
        else:
            house = await stack.enter_async_context(serving())
            host, number = "127.0.0.1", house.port
        wires = await stack.enter_async_context(contextlib.AsyncExitStack())
        site = Site(host, number, level, house, wires)
        yield site
        if house is None:
            await wires.aclose()
            await _tidy(site)


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


