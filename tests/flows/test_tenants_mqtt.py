"""Two tenants at one broker: the same device ids, client identifiers and topics, and nothing passes between them."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from broker.packets import (
    V4,
    Connack,
    Connect,
    Packet,
    Pingreq,
    Pingresp,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Will,
)
from tests.web import house as houses
from tests.web.afloat import Boat, afloat, bearer
from tests.web.house import House
from web.server import Served, serving

FIRST, SECOND = 1, 2
PUMP = "pump"
WIDE = ("#", "+/+/+", "sensors/#", f"sensors/{PUMP}/telemetry", "$share/g/#", f"$share/g/sensors/{PUMP}/#", "$SYS/#")


class Harbour:
    """One gateway with two tenants, each with a device `pump`."""

    def __init__(self, house: House, served: Served, stack: AsyncExitStack) -> None:
        self.house, self.served, self._stack = house, served, stack

    async def operator(self, tenant_id: int, *topic_filters: str) -> Boat:
        token = await self.house.gateway.accounts.add_token(tenant_id, f"screen of {tenant_id}")
        boat = await self._stack.enter_async_context(afloat(self.house, self.served, bearer(token)))
        # Both call themselves the same.
        assert (await boat.connect("screen")).code == 0
        for number, topic_filter in enumerate(topic_filters, 1):
            await boat.send(Subscribe(number, (Subscription(topic_filter, 0),)))
            assert isinstance(await until(boat, Suback), Suback)
        return boat

    async def pump(self, tenant_id: int, will: Will | None = None) -> Boat:
        issued = await self.house.gateway.registry.tokens.issue(tenant_id, PUMP, "test", 1)
        boat = await self._stack.enter_async_context(afloat(self.house, self.served))
        password = issued.text.encode()
        await boat.send(Connect(V4, PUMP, True, 60, will=will, username=PUMP, password=password))
        answer = await boat.receive()
        assert isinstance(answer, Connack)
        assert answer.code == 0
        await boat.send(Subscribe(1, (Subscription(f"cmd/{PUMP}/#", 0),)))
        await until(boat, Suback)
        return boat


async def until(boat: Boat, kind: type[Packet]) -> Packet:
    """The next packet of this kind; what comes before it is about the gateway itself."""
    while True:
        packet = await boat.receive()
        if isinstance(packet, kind):
            return packet
        assert isinstance(packet, Publish)
        assert packet.topic.startswith("$SYS/"), packet


async def heard(boat: Boat) -> list[bytes]:
    """What has been published to a client until now, without what the gateway says of itself."""
    await boat.send(Pingreq())
    found = []
    while not isinstance(packet := await boat.receive(), Pingresp):
        if isinstance(packet, Publish) and not packet.topic.startswith("$SYS/"):
            found.append(bytes(packet.payload))
    return found


async def said(boat: Boat, topic: str, payload: bytes, *, retain: bool = False) -> None:
    """Publish, and wait until the broker has taken it."""
    await boat.send(Publish(topic, payload, 0, retain=retain), Pingreq())
    while not isinstance(await boat.receive(), Pingresp):
        """What comes meanwhile was for this one."""


@pytest.fixture
async def harbour(tmp_path: Path) -> AsyncIterator[Harbour]:
    def add_tenant(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'second', 0)")

    async with AsyncExitStack() as outer:
        house = await outer.enter_async_context(houses.opened(tmp_path))
        registry = house.gateway.registry
        registry.rights_changed = house.gateway.broker.review_soon
        await registry._database.write(add_tenant)
        for tenant_id in (FIRST, SECOND):
            await registry.add_device(tenant_id, PUMP)
        served = await outer.enter_async_context(serving(house.gateway, house.config))
        stack = await outer.enter_async_context(AsyncExitStack())
        yield Harbour(house, served, stack)


async def test_what_a_device_publishes_reaches_its_own_tenant_only(harbour: Harbour) -> None:
    own, other = await harbour.operator(FIRST, *WIDE[:1]), await harbour.operator(SECOND, *WIDE)
    first, second = await harbour.pump(FIRST), await harbour.pump(SECOND)
    await said(first, f"sensors/{PUMP}/telemetry", b"of the first", retain=True)
    assert await heard(own) == [b"of the first"]
    assert await heard(other) == []
    await said(second, f"sensors/{PUMP}/telemetry", b"of the second")
    assert set(await heard(other)) == {b"of the second"}
    assert await heard(own) == []


async def test_what_is_retained_is_shown_to_its_own_tenant_only(harbour: Harbour) -> None:
    await said(await harbour.pump(FIRST), f"sensors/{PUMP}/telemetry", b"of the first", retain=True)
    late = await harbour.operator(SECOND)
    await late.send(*(Subscribe(number, (Subscription(each, 0),)) for number, each in enumerate(WIDE, 1)))
    assert await heard(late) == []
    own = await harbour.operator(FIRST)
    await own.send(Subscribe(1, (Subscription("sensors/#", 0),)))
    assert await heard(own) == [b"of the first"]


async def test_a_command_reaches_the_device_of_its_tenant_only(harbour: Harbour) -> None:
    first, second = await harbour.pump(FIRST), await harbour.pump(SECOND)
    await said(await harbour.operator(SECOND), f"cmd/{PUMP}/open", b"now", retain=True)
    assert await heard(second) == [b"now"]
    assert await heard(first) == []
    assert await heard(await harbour.pump(FIRST)) == []


async def test_a_will_is_published_to_its_own_tenant_only(harbour: Harbour) -> None:
    own, other = await harbour.operator(FIRST, "sensors/#"), await harbour.operator(SECOND, *WIDE)
    first = await harbour.pump(FIRST, Will(f"sensors/{PUMP}/status", b"gone", 0, retain=True))
    first.socket.transport.abort()
    farewell = await until(own, Publish)
    assert isinstance(farewell, Publish)
    assert bytes(farewell.payload) == b"gone"
    assert await heard(other) == []


async def test_one_client_identifier_is_two_clients_in_two_tenants(harbour: Harbour) -> None:
    first = await harbour.pump(FIRST)
    second = await harbour.pump(SECOND)
    own, other = await harbour.operator(FIRST), await harbour.operator(SECOND)
    for boat in (first, second, own, other):
        assert await heard(boat) == []
    broker = harbour.house.gateway.broker
    for tenant_id in (FIRST, SECOND):
        assert sorted(session.client_id for session in broker.sessions(tenant_id)) == [PUMP, "screen"]


async def test_what_the_gateway_says_of_itself_names_nobody(harbour: Harbour) -> None:
    await harbour.pump(FIRST)
    broker = harbour.house.gateway.broker
    for message in broker.retained(SECOND, "$SYS/#"):
        assert PUMP not in message.topic
        assert PUMP.encode() not in message.payload


async def test_a_refusal_stands_on_the_page_of_the_device_that_it_is_of(harbour: Harbour) -> None:
    gateway = harbour.house.gateway
    second = await harbour.pump(SECOND)
    [token] = gateway.registry.tokens.tokens(SECOND, PUMP)
    await gateway.registry.tokens.revoke(SECOND, PUMP, token.token_number)
    await second.close_code()
    issued = await gateway.registry.tokens.issue(SECOND, PUMP, "late", 1)
    await gateway.registry.tokens.revoke(SECOND, PUMP, issued.token.token_number)
    async with afloat(harbour.house, harbour.served) as again:
        assert (await again.connect(PUMP, issued.text.encode(), PUMP)).code != 0
    async with asyncio.timeout(30):
        while len(await gateway.ingestion.problems(SECOND, PUMP)) < 2:  # noqa: ASYNC110  nobody tells of the commit
            await asyncio.sleep(0.01)
    problems = await gateway.ingestion.problems(SECOND, PUMP)
    assert all("was revoked" in problem.reason for problem in problems)
    assert await gateway.ingestion.problems(FIRST, PUMP) == []
