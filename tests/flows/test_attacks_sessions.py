"""Attacks on connections, sessions and identities. The numbers are those of the table in docs/reference/attacks.md."""

import asyncio
import time

import pytest

from broker.limits import Limits
from broker.message import Message
from broker.packets import (
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    ReturnCode,
    Subscribe,
    Subscription,
    Unsubscribe,
    Will,
)
from tests.broker.conftest import Certificates, certificates
from tests.broker.house import House
from tests.flows.attacks import besieged, growing_less_than, hello, published, unencrypted

__all__ = ["certificates"]

MIB = 1_048_576


@pytest.mark.parametrize("is_encrypted", [False, True], ids=["plain", "TLS"])
async def test_b_05_three_hundred_connections_that_say_nothing_or_one_byte_are_reaped(
    is_encrypted: bool, certificates: Certificates
) -> None:
    """The bound is 10 s; a shorter one is the same rule, and the test need not wait so long."""
    limits = Limits(connect_timeout_s=0.5, sweep_interval_s=0.05)
    tls = (certificates.server, certificates.client) if is_encrypted else (None, None)
    async with besieged(limits, *tls) as house:
        wires = [await unencrypted(house) for _ in range(300)]
        for wire in wires[::2]:
            await wire.send(b"\x16" if is_encrypted else b"\x10")
        # Less than the bound that would hold without this one.
        async with asyncio.timeout(9):
            for wire in wires:
                assert await wire.until_closed() == []
        assert house.broker.refusals.total() == 300


def test_b_05_the_bound_is_ten_seconds_unless_the_settings_say_otherwise() -> None:
    assert Limits().connect_timeout_s == 10


async def test_b_06_silence_beyond_the_keep_alive_ends_the_connection_and_the_will_is_published() -> None:
    async with besieged() as house:
        witness = await house.client("listener")
        await witness.subscribe(("gone", 0))
        silent = await house.knock()
        await silent.connect("silent", keep_alive_s=1, will=Will("gone", b"silent", 0, retain=False))
        began = time.monotonic()
        async with asyncio.timeout(20):
            assert await silent.until_closed() == []
        assert time.monotonic() - began >= 1.4
        assert await witness.receive() == Publish("gone", b"silent")
        assert [refused.kind for refused in house.owner.refused] == ["keep_alive_timeout"]


class TestTakeOver:
    """B-08."""

    async def test_b_08_the_older_connection_is_closed_and_nobody_else_notices(self) -> None:
        async with besieged() as house:
            old, other = await house.client("c"), await house.client("other")
            await other.subscribe(("t", 1))
            await house.client("c")
            async with asyncio.timeout(20):
                assert await old.until_closed() == []
            house.broker.publish(Message(1, "", "", "t", b"x", 1, False, 1_000))
            assert await other.receive() == Publish("t", b"x", 1, packet_id=1)

    async def test_b_08_the_identifier_of_another_is_refused(self) -> None:
        async with besieged() as house:
            owner = await house.client("c", clean_start=False)
            for _ in range(5):
                thief = await house.knock()
                assert (await thief.connect("c", username="thief")).code == ReturnCode.NOT_AUTHORIZED
                await owner.ping()

    @pytest.mark.parametrize("duration_s", [2, pytest.param(60, marks=[pytest.mark.slow, pytest.mark.timeout(180)])])
    async def test_b_08_a_hundred_take_overs_a_second_lose_nothing_of_others(self, duration_s: int) -> None:
        async with besieged() as house:
            await self.churn(house, 0.5)
            with growing_less_than(4 * MIB):
                await self.churn(house, duration_s)
            assert house.broker.connection_count == 0

    async def churn(self, house: House, duration_s: float) -> None:
        """One identifier is taken over and over, while another client publishes to a third."""
        publisher, subscriber = await house.client("publisher"), await house.client("subscriber")
        await subscriber.subscribe(("t", 1))
        end = time.monotonic() + duration_s
        count = 0
        last = None
        # A machine that is busy takes longer for as many.
        while time.monotonic() < end or count < duration_s * 20:
            number = count % 100
            wire = await house.knock()
            await wire.send(
                Connect(4, "churn", number % 2 == 0, 0),
                Subscribe(1, (Subscription(f"u/{number}", 1), Subscription("t", 0))),
                Unsubscribe(2, (f"u/{number}", "t")),
            )
            if last is not None:
                await last.until_closed()
                last.abort()
            last = wire
            await publisher.publish("t", b"%d" % count)
            message = await subscriber.receive()
            assert isinstance(message, Publish)
            assert message.payload == b"%d" % count
            await subscriber.send(Puback(message.packet_id))
            count += 1
            house.owner.events.clear()
            house.owner.turns.clear()
            house.clients.pop_all()
            await asyncio.sleep(0.01 - time.monotonic() % 0.01)
        for each in (publisher, subscriber, last):
            if each is not None:
                each.abort()
        await house.owner.until(lambda owner: len(owner.left) == 3)
        house.owner.events.clear()


class TestWill:
    """B-31."""

    async def test_b_31_one_for_a_topic_that_is_not_allowed_is_refused_at_connect(self) -> None:
        async with besieged() as house:
            house.authorizer.denied_topics.add("secret")
            wire = await house.knock()
            await wire.send(hello(will=Will("secret", b"", 0, retain=True)))
            assert await wire.until_closed() == [Connack(False, ReturnCode.NOT_AUTHORIZED)]
            assert list(house.broker.retained(1, "#")) == []

    async def test_b_31_one_that_is_retained_counts_among_the_retained_messages_of_its_client(self) -> None:
        limits = Limits(retained_per_client=1, sweep_interval_s=0.05)
        async with besieged(limits) as house:
            for number in range(3):
                wire = await house.client("c", will=Will(f"w/{number}", b"x", 0, retain=True))
                wire.abort()
                await house.owner.until(lambda owner, count=number + 1: len(owner.left) == count)  # type: ignore[misc]  # bound
            assert [message.topic for message in house.broker.retained(1, "#")] == ["w/0"]
            assert [refused.kind for refused in house.owner.refused] == ["retain_quota"] * 2

    async def test_b_31_it_is_published_once_whoever_races_for_the_connection(self) -> None:
        async with besieged() as house:
            witness = await house.client("listener")
            await witness.subscribe(("gone", 1))
            old = await house.client("c", will=Will("gone", b"once", 0, retain=False))
            rivals = [await house.knock() for _ in range(10)]
            await asyncio.gather(*[rival.send(hello("c")) for rival in rivals])
            old.abort()
            async with asyncio.timeout(20):
                for rival in rivals:
                    assert await rival.receive() == Connack(False, ReturnCode.ACCEPTED)
            await witness.send(Pingreq())
            assert [each.payload for each in published(await witness.until(Pingresp))] == [b"once"]


async def test_b_08_a_goodbye_in_the_race_takes_the_will_back() -> None:
    async with besieged() as house:
        old = await house.client("c", will=Will("gone", b"never", 0, retain=False))
        await old.send(Disconnect())
        await house.client("c")
        await old.until_closed()
        assert house.owner.messages == []
