"""Attacks with broken bytes: they end their own connection, with a reason, and nothing else.

The numbers are those of the table in docs/reference/attacks.md.
"""

import asyncio

import pytest

from broker.codec import encode
from broker.limits import Limits
from broker.packets import Connack, Properties, Publish, ReturnCode, Suback, Subscribe, Subscription, Will
from tests.flows.attacks import besieged, growing_less_than, hello, memory_bytes, send_as_far_as_taken

MIB = 1_048_576
WELCOME = Connack(session_present=False, code=ReturnCode.ACCEPTED)

# What is sent → why the connection ends.
CASES = {
    "B-01 PUBLISH of 256 MB first": (bytes.fromhex("30 ff ff ff 7f") + bytes(65_536), "packet_too_large"),
    "B-02 CONNECT of 256 MB": (bytes.fromhex("10 ff ff ff 7f") + bytes(65_536), "packet_too_large"),
    "B-02 CONNECT one byte too long": (bytes.fromhex("10 81 80 04"), "packet_too_large"),
    "B-02 PUBLISH one byte too long": (hello() + bytes.fromhex("30 81 80 10"), "packet_too_large"),
    "B-03 PUBACK first": (bytes.fromhex("40 02 0001"), "protocol_error"),
    "B-03 PUBLISH first": (encode(Publish("t", b"")), "protocol_error"),
    "B-04 five bytes of length": (bytes.fromhex("10 ff ff ff ff 01"), "malformed_packet"),
    "B-04 five bytes of length in properties": (
        hello(level=5) + bytes.fromhex("30 0a 0001 74 ff ff ff ff 01 00 00"),
        "malformed_packet",
    ),
    "B-07 a second CONNECT": (hello() + hello(), "protocol_error"),
    "B-07 a reserved flag": (bytes.fromhex("10 0c 0004 4d515454 04 03 003c 0000"), "malformed_packet"),
    "B-09 an empty topic": (hello() + bytes.fromhex("30 02 0000"), "malformed_packet|topic_name_invalid"),
    "B-09 an empty topic without an alias": (hello(level=5) + bytes.fromhex("30 03 0000 00"), "protocol_error"),
    "B-10 a topic with #": (hello() + encode(Publish("w/#", b"")), "malformed_packet|topic_name_invalid"),
    "B-10 a topic with +": (hello() + encode(Publish("+/w", b"")), "malformed_packet|topic_name_invalid"),
    "B-10 a null character": (hello() + bytes.fromhex("30 03 0001 00"), "malformed_packet"),
    "B-10 invalid UTF-8": (hello() + bytes.fromhex("30 03 0001 ff"), "malformed_packet"),
    "B-10 a surrogate": (hello() + bytes.fromhex("30 05 0003 eda080"), "malformed_packet"),
    "B-10 a topic that is cut off": (hello() + bytes.fromhex("30 03 0002 74"), "malformed_packet"),
    "B-10 QoS 3": (hello() + bytes.fromhex("36 05 0001 74 0001"), "malformed_packet"),
    "B-10 packet identifier 0": (hello() + bytes.fromhex("32 05 0001 74 0000"), "malformed_packet|protocol_error"),
    "B-14 65,000 filters": (hello() + encode(Subscribe(1, (Subscription("/", 0),) * 65_000)), "quota_exceeded"),
    "B-14 PUBLISH of 65,000 levels": (hello() + encode(Publish("/" * 65_000, b"")), "topic_name_invalid"),
    "B-14 a filter of 65,000 levels": (
        hello() + encode(Subscribe(1, (Subscription("/" * 65_000, 0),))),
        "topic_filter_invalid",
    ),
    "B-15 SUBSCRIBE with bad flags": (hello() + bytes.fromhex("80 06 0001 0001 74 00"), "malformed_packet"),
    "B-15 SUBSCRIBE without a filter": (hello() + bytes.fromhex("82 02 0001"), "malformed_packet|protocol_error"),
    "B-17 a will with a property of CONNECT": (
        bytes.fromhex("10 17 0004 4d515454 05 06 0000 00 0001 63 05 11 00000001 0001 74 0000"),
        "malformed_packet|protocol_error",
    ),
    "B-17 a will with a property twice": (
        bytes.fromhex("10 1c 0004 4d515454 05 06 0000 00 0001 63 0a 18 00000001 18 00000001 0001 74 0000"),
        "malformed_packet|protocol_error",
    ),
    "B-18 CONNACK of 3.1.1 from a client": (hello() + bytes.fromhex("20 02 00 00"), "malformed_packet|protocol_error"),
    "B-18 CONNACK of 5 from a client": (
        hello(level=5) + bytes.fromhex("20 03 00 00 00"),
        "malformed_packet|protocol_error",
    ),
    "B-26 properties of 200 MB": (
        hello(level=5) + bytes.fromhex("30 ff ff ff 7f 0001 74 80 80 80 60"),
        "packet_too_large",
    ),
    "B-26 properties longer than their packet": (
        hello(level=5) + bytes.fromhex("30 05 0001 74 ff 7f"),
        "malformed_packet",
    ),
    "B-31 a will of 256 kB": (
        hello(will=Will("t", bytes(65_535), 0, retain=True), username="u" * 60_000),
        "packet_too_large",
    ),
    "B-31 a will with a wildcard": (hello(will=Will("#", b"", 0, retain=False)), "malformed_packet|topic_name_invalid"),
}


@pytest.mark.parametrize(("data", "kinds"), CASES.values(), ids=list(CASES))
async def test_broken_bytes_end_their_own_connection_with_a_reason_and_nothing_else(data: bytes, kinds: str) -> None:
    async with besieged() as house:
        witness, wire = await house.client("listener"), await house.knock()
        await witness.subscribe(("#", 1))
        await send_as_far_as_taken(wire, data)
        async with asyncio.timeout(20):
            await wire.until_closed()
        await witness.ping()
        assert house.owner.messages == []
        assert [refused.kind in kinds.split("|") for refused in house.owner.refused] == [True], house.owner.refused
        assert house.owner.refused[0].reason
        assert house.broker.connection_count == 1


async def test_b_01_fifty_first_packets_of_256_mb_take_less_than_5_mb() -> None:
    async with besieged() as house:
        with growing_less_than(5 * MIB):
            for _ in range(50):
                wire = await house.knock()
                await send_as_far_as_taken(wire, bytes.fromhex("30 ff ff ff 7f") + bytes(65_536))
                assert await wire.until_closed() == []


async def test_b_02_a_connect_that_drips_40_mb_is_closed_at_its_first_bytes() -> None:
    async with besieged() as house:
        with growing_less_than(5 * MIB):
            wire = await house.knock()
            await send_as_far_as_taken(wire, bytes.fromhex("10 ff ff ff 7f"))
            for _ in range(40):
                await send_as_far_as_taken(wire, bytes(MIB))
            assert await wire.until_closed() == []


@pytest.mark.parametrize(
    ("data", "answer"),
    [
        ("10 0d 0004 4d515454 63 02 0000 0001 63", Connack(False, ReturnCode.UNACCEPTABLE_PROTOCOL_VERSION)),
        ("10 0c 0004 4d515454 04 00 0000 0000", Connack(False, ReturnCode.IDENTIFIER_REJECTED)),
    ],
    ids=["B-07 level 99", "B-07 an empty client identifier for a session that is kept"],
)
async def test_what_can_be_told_is_told_before_the_connection_ends(data: str, answer: Connack) -> None:
    async with besieged() as house:
        wire = await house.knock()
        await wire.send(bytes.fromhex(data))
        assert await wire.until_closed() == [answer]


@pytest.mark.parametrize("topic_filter", ["a/#/b", "a+", "", "+/" * 200], ids=lambda each: f"B-13 {each[:8]!r}")
async def test_b_13_a_filter_that_is_none_is_not_granted(topic_filter: str) -> None:
    async with besieged() as house:
        wire = await house.client("c")
        await wire.send(Subscribe(1, (Subscription(topic_filter, 0),)))
        assert await wire.until_closed() == []
        five = await house.client("five", level=5)
        await five.send(Subscribe(1, (Subscription(topic_filter, 0),)))
        for packet in await five.until_closed() if not topic_filter else [await five.receive()]:
            assert not isinstance(packet, Suback) or packet.codes[0] >= 0x80


async def test_b_13_filters_that_match_in_many_ways_are_matched_at_once() -> None:
    """The deepest names against filters with wildcards at every place: no way through them is walked twice."""
    async with besieged(Limits(subscriptions=2_000, filters_per_subscribe=2_000, sweep_interval_s=0.05)) as house:
        wire = await house.client("c")
        filters = [
            "/".join("+" if number >> place & 1 else "a" for place in range(10)) + "/#" for number in range(1_024)
        ]
        await wire.subscribe(*[(each, 0) for each in filters])
        async with asyncio.timeout(20):
            for number in range(100):
                topic = "/".join("a" * 10) + f"/{number}"
                await wire.send(Publish(topic, b""))
                assert await wire.receive() == Publish(topic, b"")


@pytest.mark.parametrize("count", [1_800, pytest.param(10_000, marks=pytest.mark.slow)])
async def test_b_17_thousands_of_wills_with_broken_properties_leave_nothing_behind(count: int) -> None:
    broken = CASES["B-17 a will with a property of CONNECT"][0]
    async with besieged() as house:

        async def attack(count: int) -> int:
            before = memory_bytes()
            for _ in range(count):
                wire = await house.knock()
                await send_as_far_as_taken(wire, broken)
                await wire.until_closed()
                wire.abort()
                house.clients.pop_all()
                house.owner.events.clear()
            return memory_bytes() - before

        await attack(200)
        # What an attacker leaves behind is left behind in every third; what the allocator takes once is not.
        grown = [await attack(count // 3) for _ in range(3)]
        assert min(grown) < MIB, f"{grown} bytes more"
        assert house.broker.connection_count == 0
        assert list(house.broker.sessions(1)) == []


async def test_b_26_a_hundred_thousand_user_properties_are_not_taken() -> None:
    pairs = (("k", "v"),) * 100_000
    async with besieged() as house:
        wire = await house.client("c", level=5)
        with growing_less_than(20 * MIB):
            data = encode(Publish("t", b"", properties=Properties(user_properties=pairs)), 5)
            await send_as_far_as_taken(wire, data)
            await wire.until_closed()
        assert house.broker.refusals["packet_too_large"] == 1
        assert house.owner.messages == []
