"""Attacks on memory, descriptors and time: each is bounded, counted, and hurts its author alone.

The numbers are those of the table in docs/reference/attacks.md.
"""

import asyncio
import contextlib
import resource
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from appliance.config import Config, ConfigError, load
from broker.codec import encode
from broker.limits import Limits
from broker.message import Message
from broker.packets import (
    Connack,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    Pubrec,
    ReturnCode,
    Subscribe,
    Subscription,
)
from tests.broker.house import House, Wire
from tests.flows.attacks import besieged, growing_less_than, hello, send_as_far_as_taken

MIB = 1_048_576


@pytest.mark.parametrize("level", [4, 5])
async def test_b_16_twenty_thousand_open_exchanges_at_qos_2_end_at_the_receive_maximum(level: int) -> None:
    async with besieged() as house:
        wire = await house.client("c", level=level)
        with growing_less_than(10 * MIB):
            packets = [encode(Publish("t", bytes(100), 2, packet_id=number), level) for number in range(1, 20_001)]
            await send_as_far_as_taken(wire, b"".join(packets))
            answers = await wire.until_closed()
        assert len([each for each in answers if isinstance(each, Pubrec)]) <= 1_000
        assert [refused.kind for refused in house.owner.refused] == ["receive_maximum_exceeded"]
        assert len(house.owner.messages) == 1_000


async def test_b_16_the_same_identifier_twenty_thousand_times_is_one_message() -> None:
    async with besieged() as house:
        wire = await house.client("c")
        with growing_less_than(10 * MIB):
            answers = asyncio.create_task(count_until_pong(wire, Pubrec))
            await wire.send(encode(Publish("t", bytes(100), 2, packet_id=1)) * 20_000, Pingreq())
            assert await answers == 20_000
        assert len(house.owner.messages) == 1


async def count_until_pong(wire: Wire, kind: type[Any]) -> int:
    count = 0
    while not isinstance(packet := await wire.receive(), Pingresp):
        count += isinstance(packet, kind)
    # What is acknowledged after the commit may come after the answer to PINGREQ.
    while count < 20_000:
        count += isinstance(await wire.receive(), kind)
    return count


class TestRetained:
    """B-28."""

    async def test_b_28_a_client_retains_as_many_messages_as_it_may(self) -> None:
        async with besieged() as house:
            wire = await house.client("c")
            count = 20_000
            with growing_less_than(20 * MIB):
                for start in range(0, count, 1_000):
                    topics = [f"r/{number}" for number in range(start, start + 1_000)]
                    await wire.send(*[Publish(topic, b"x", retain=True) for topic in topics], Pingreq())
                    await wire.expect(Pingresp)
                    house.owner.turns.clear()
            assert len(list(house.broker.retained(1, "#"))) == Limits().retained_per_client == 1_000
            assert {refused.kind for refused in house.owner.refused} == {"retain_quota"}
            house.owner.events.clear()

    async def test_b_28_twenty_thousand_filters_are_refused_beyond_the_bound(self) -> None:
        async with besieged() as house:
            wire = await house.client("c")
            for start in range(0, 20_000, 100):
                wanted = tuple(Subscription(f"f/{number}", 0) for number in range(start, start + 100))
                await wire.send(Subscribe(1, wanted), Pingreq())
                await wire.until(Pingresp)
            (session,) = house.broker.sessions(1)
            assert len(session.subscriptions) == Limits().subscriptions == 100
            assert house.broker.refusals["subscribe_quota_exceeded"] == 19_900
            house.owner.events.clear()


async def test_b_29_a_client_that_does_not_read_gets_at_most_its_bound_of_60_mb_at_qos_0() -> None:
    async with besieged() as house:
        slow, quick = await house.client("slow"), await house.client("quick")
        for wire in (slow, quick):
            await wire.subscribe(("t", 0))
        slow.writer.transport.pause_reading()  # type: ignore[attr-defined]  # the transport is a socket's
        # The kernel holds some megabytes for it, too: they are not the broker's.
        with growing_less_than(4 * MIB):
            for number in range(1_000):
                house.broker.publish(Message(1, "", "", "t", b"%06d" % number + bytes(60_000), 0, False, 1_000))
                message = await quick.receive()
                assert isinstance(message, Publish)
                assert message.payload[:6] == b"%06d" % number
        unsent = [client.stream.unsent_bytes for client in house.broker._clients]
        assert max(unsent) <= Limits().unsent_bytes // 2 + 100_000
        assert house.broker.dropped_count > 500
        assert house.owner.refused == []


async def test_b_30_a_flood_for_a_client_that_is_away_is_kept_up_to_its_quota_the_oldest_first_and_counted() -> None:
    limits = Limits(queue_messages=1_000, sweep_interval_s=0.05)
    async with besieged(limits) as house:
        away = await house.client("away", clean_start=False)
        await away.subscribe(("t", 1))
        await away.send(Disconnect())
        await away.until_closed()
        with growing_less_than(10 * MIB):
            for number in range(20_000):
                house.broker.publish(Message(1, "", "", "t", b"%d" % number, 1, False, 1_000))
                if number % 1_000 == 0:
                    await asyncio.sleep(0)
                    house.owner.turns.clear()
                    house.owner.kept.clear()
        assert house.broker.dropped_count == 19_000
        back = await house.knock()
        assert await back.connect("away", clean_start=False) == Connack(True, ReturnCode.ACCEPTED)
        for number in range(1_000):
            message = await back.expect(Publish)
            assert message.payload == b"%d" % number
            await back.send(Puback(message.packet_id))


async def test_b_30_its_bytes_are_bounded_too() -> None:
    async with besieged() as house:
        away = await house.client("away", clean_start=False)
        await away.subscribe(("t", 1))
        away.abort()
        await house.owner.until(lambda owner: bool(owner.left))
        for _ in range(100):
            house.broker.publish(Message(1, "", "", "t", bytes(100_000), 1, False, 1_000))
        assert house.broker._sessions.queued_bytes <= Limits().queue_bytes
        assert house.broker.dropped_count == 90


@pytest.mark.parametrize(
    ("connection_count", "message_count"),
    [
        pytest.param(200, 500, id="short"),
        pytest.param(5_000, 2_000, id="long", marks=[pytest.mark.slow, pytest.mark.timeout(300)]),
    ],
)
async def test_b_27_garbage_and_a_flood_do_not_keep_an_honest_client_waiting(
    connection_count: int, message_count: int
) -> None:
    """The 99th percentile of its round trips stays below half a second."""
    limits = Limits(connections_per_address=2 * connection_count, sweep_interval_s=0.05)
    with descriptors(2 * connection_count + 500):
        async with besieged(limits) as house:
            honest = await house.client("honest")
            attacks = [
                asyncio.create_task(send_garbage(house, connection_count)),
                asyncio.create_task(flood(house)),
            ]
            try:
                waits = await waits_of(honest, house, message_count)
            finally:
                for attack in attacks:
                    attack.cancel()
                    with contextlib.suppress(asyncio.CancelledError, OSError, EOFError):
                        await attack
            assert sorted(waits)[len(waits) * 99 // 100] <= 0.5
            assert house.broker.refusals["slowed_down"] > 0
            assert house.broker.refusals.total() > house.broker.refusals["slowed_down"]


async def waits_of(honest: Wire, house: House, count: int) -> list[float]:
    """How long each PUBACK takes, in seconds."""
    waits = []
    for _ in range(count):
        began = time.monotonic()
        await honest.publish("t")
        waits.append(time.monotonic() - began)
        house.owner.turns.clear()
        house.owner.events.clear()
        # A device does not publish as fast as it can.
        await asyncio.sleep(0.002)
    return waits


async def send_garbage(house: House, count: int) -> None:
    """So many connections at once that send what is no MQTT, over and over."""
    number = 0
    while True:
        wires = [await house.knock() for _ in range(count)]
        for wire in wires:
            number += 1
            garbage = bytes([number % 256]) * 64 if number % 2 else b"GET / HTTP/1.1\r\n\r\n"
            await send_as_far_as_taken(wire, garbage)
        for wire in wires:
            await wire.until_closed()


async def flood(house: House) -> None:
    """One client that publishes as fast as it is read."""
    wire = await house.client("flood")
    burst = encode(Publish("flood", bytes(50))) * 500
    while True:
        await wire.send(burst)
        await asyncio.sleep(0)


@contextlib.contextmanager
def descriptors(count: int) -> Iterator[None]:
    """Let this process open so many files; skip where the machine allows fewer."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        pytest.skip(f"this machine allows {hard:,} open files")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _numbers() -> list[tuple[str, str]]:
    """Every number of the settings, by section and key, for which nothing is meant by zero."""
    may_be_zero = {
        ("ingestion", "commit_interval_ms"),  # at once, for an SSD
        ("ingestion", "answer_interval_ms"),
        ("ingestion", "future_tolerance_ms"),
        ("ingestion", "past_tolerance_ms"),
        ("alerts", "high_cooldown_ms"),  # told every time
        ("alerts", "cooldown_ms"),
        ("presence", "expected_interval_ms"),  # expects nothing
        ("telemetry", "late_grace_ms"),  # nothing is waited for
        ("telemetry", "keep_days"),  # for ever
        ("telemetry", "disk_budget_gb"),  # what the disk has room for
        ("telemetry", "reserve_mb"),  # none
        ("cold", "keep_days"),  # for ever
        ("cold", "disk_budget_gb"),  # a share of what the data folder may take
        ("stream", "hold_mb"),  # nothing is held for who lags behind
        ("mqtt", "port"),  # any free port
        ("mqtt", "shared_port"),
        ("mqtt", "plain_port"),
        ("http", "port"),
        ("http", "trust_port"),
        ("http", "enrolment_port"),
        ("email", "port"),
    }
    config = Config()
    numbers = []
    for section in config.__struct_fields__:
        values = getattr(config, section)
        if isinstance(values, msgspec.Struct):
            for key in values.__struct_fields__:
                # A limit that is lifted unless it is set has no number by default.
                value = getattr(values, key)
                is_number = (isinstance(value, int | float) and not isinstance(value, bool)) or section == "limits"
                if is_number and (section, key) not in may_be_zero:
                    numbers.append((section, key))
    return numbers


@pytest.mark.parametrize(("section", "key"), _numbers(), ids=str)
@pytest.mark.parametrize("value", ["0", "-1"])
def test_b_33_no_number_of_the_settings_may_be_zero_or_less(section: str, key: str, value: str) -> None:
    with pytest.raises(ConfigError):
        load(None, {f"HEADWORKS__{section}__{key}".upper(): value})


def test_b_33_every_limit_of_the_broker_is_among_them() -> None:
    assert {key for section, key in _numbers() if section == "limits"} == set(Limits.__struct_fields__)


async def test_an_honest_client_is_served_while_hello_is_all_that_others_say() -> None:
    async with besieged() as house:
        wires = [await house.knock() for _ in range(200)]
        for number, wire in enumerate(wires):
            await wire.send(hello(f"c{number}"))
        for wire in wires:
            assert await wire.receive() == Connack(False, ReturnCode.ACCEPTED)
