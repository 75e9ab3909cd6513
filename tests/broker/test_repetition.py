"""The short way of a PUBLISH that is like the one before: nobody can tell it from the long one."""

import asyncio

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from broker.codec import encode
from broker.limits import Limits
from broker.message import Message
from broker.packets import V4, V5, Puback, Publish
from broker.repetition import identifier_at, topic_field
from tests.broker.stage import QUIET, Line, Stage, staged, turn
from tests.fakes import TENANT

LIMITS = Limits(sweep_interval_s=0.01, packet_bytes=300, connect_packet_bytes=300)
plain = st.builds(
    Publish,
    st.sampled_from(["t", "t/u", "t/u/v"]),
    st.binary(max_size=310) | st.integers(280, 310).map(bytes),
    st.sampled_from([1, 1, 1, 0, 2]),
    st.sampled_from([False, False, False, True]),
    st.just(False),
    st.integers(1, 9),
)
reads = st.one_of(
    plain.map(lambda packet: encode(packet, V4)),
    # A packet identifier of zero, a duplicate, lengths that are wrong or long, a topic that is not UTF-8.
    st.sampled_from(
        [
            b"\x32\x05\0\x01t\0\0",
            b"\x3a\x05\0\x01t\0\x07",
            b"\x32\x06\0\x01t\0\x07",
            b"\x32\x85\x00\0\x01t\0\x07",
            b"\x32\x85\x80\x00\0\x01t\0\x07",
            b"\x32\x03\0\x01t",
            b"\x32\x04\0\x01t\0",
            b"\x32",
            b"\x32\x05\0\x01\xff\0\x07",
            b"\x32\x05\0\x01t\0\x07\xc0\0",
            b"\xc0\0",
            b"\x40\x02\0\x01",
            b"\x33\x05\0\x01t\0\x07",
            b"\x36\x05\0\x01t\0\x07",
        ]
    ),
    st.binary(min_size=1, max_size=8),
)


async def came_of(
    pieces: list[bytes], level: int, *, may_be_short: bool
) -> tuple[list[Message], bytes, str | None, int]:
    """What the owner got and the client was sent, why it was ended, and how many of its messages went the short way."""
    async with staged(LIMITS) as stage:
        line = await stage.line("c", level=level)
        publisher = stage.client(line)._publisher
        short = 0
        for piece in pieces:
            if not may_be_short:
                publisher.familiar = b""
            was = publisher.familiar
            line.stream.feed(piece)
            short += bool(was) and publisher.familiar is was
            await turn()
        return stage.owner.messages, bytes(line.stream.written), line.closed_for, short


def usual(topic: str, packet_id: int) -> bytes:
    return encode(Publish(topic, b"usual", 1, packet_id=packet_id), V4)


@given(st.lists(reads, min_size=1, max_size=3), st.sampled_from([V4, V4, V4, V5]), st.sampled_from(["t", "t/u"]))
@example([b"\x32\x05\0\x03t/u"], V4, "t/u")
@example([b"\x32\x06\0\x03t/u\x01"], V4, "t/u")
@example([encode(Publish("t", bytes(300), 1, packet_id=1), V4)], V4, "t")
def test_the_same_comes_of_the_short_way_as_of_the_long_one(odd: list[bytes], level: int, topic: str) -> None:
    async def compare() -> None:
        pieces = [usual(topic, 1), usual(topic, 2), odd[0], usual(topic, 3), *odd[1:]]
        either = await came_of(pieces, level, may_be_short=True)
        long = await came_of(pieces, level, may_be_short=False)
        assert either[:3] == long[:3]
        assert long[3] == 0

    asyncio.run(compare())


@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=80),
    st.binary(max_size=400),
    st.integers(1, 65_535),
)
def test_a_packet_with_the_topic_is_recognised_and_none_with_another(
    topic: str, payload: bytes, packet_id: int
) -> None:
    data = encode(Publish(topic, payload, 1, packet_id=packet_id), V4)
    position = identifier_at(data, topic_field(topic), len(data))
    assert data[position : position + 2] == packet_id.to_bytes(2, "big")
    assert data[position + 2 :] == payload
    assert not identifier_at(data, topic_field(topic + "/more"), len(data))
    assert not identifier_at(data + b"\0", topic_field(topic), len(data))
    assert not identifier_at(data[:-1], topic_field(topic), len(data))


@given(st.binary(min_size=1, max_size=40))
def test_no_bytes_are_a_fault(data: bytes) -> None:
    position = identifier_at(data, topic_field("t"), 1_000)
    assert position == 0 or data[position - 3 : position] == b"\0\1t"


async def publish(line: Line, count: int, payload: bytes = b"x") -> None:
    for packet_id in range(1, count + 1):
        assert await line.send(Publish("t", payload * packet_id, 1, packet_id=packet_id)) == [Puback(packet_id)]


async def is_short(stage: Stage, line: Line) -> bool:
    """Whether another message goes the short way."""
    publisher = stage.client(line)._publisher
    was = publisher.familiar
    for length in (1, 500):
        await line.send(Publish("t", bytes(length), 1, packet_id=77))
    return bool(was) and publisher.familiar is was


async def test_a_device_that_repeats_itself_goes_the_short_way_whatever_the_length() -> None:
    async with staged() as stage:
        line = await stage.line("c")
        await publish(line, 60, b"abc")
        assert [len(message.payload) for message in stage.owner.messages] == [3 * count for count in range(1, 61)]
        assert await is_short(stage, line)


async def test_a_new_policy_is_asked() -> None:
    async with staged() as stage:
        line = await stage.line("c")
        await publish(line, 2)
        stage.authorizer.denied_topics.add("t")
        await stage.broker.review(TENANT)
        await line.send(Publish("t", b"late", 1, packet_id=9))
        assert line.closed_for == "no right to publish to t"
        assert len(stage.owner.messages) == 2


async def test_what_is_too_much_for_a_second_counts_all_the_same() -> None:
    async with staged(Limits(publishes_per_s=10)) as stage:
        line = await stage.line("c")
        for packet_id in range(1, 12):
            line.stream.feed(encode(Publish("t", b"x", 1, packet_id=packet_id), V4))
        assert line.stream.is_paused
        assert stage.broker.refusals["slowed_down"] == 1


async def test_whoever_watches_sees_every_packet() -> None:
    async with staged() as stage:
        line = await stage.line("c")
        await publish(line, 2)
        seen: list[str] = []
        with stage.broker.tracing(TENANT, "c", lambda entry: seen.append(entry.type)):
            await publish(line, 2)
        assert seen == ["PUBLISH", "PUBACK"] * 2
        await publish(line, 1)
        assert await is_short(stage, line)


@pytest.mark.parametrize("is_now", [False, True])
async def test_it_is_acknowledged_as_the_rule_of_its_topic_says(is_now: bool) -> None:
    async with staged(QUIET) as stage:
        if is_now:
            stage.broker.exchange.now_filters = ("t",)
        line = await stage.line("c")
        await publish(line, 2)
        stage.owner.holds_back = True
        assert await line.send(Publish("t", b"x", 1, packet_id=5)) == [Puback(5)] * is_now
        stage.owner.release()
        assert await line.heard() == [Puback(5)] * (not is_now)
