"""What a client answers for its deliveries; a PUBACK that comes alone goes a short way, and nobody can tell."""

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.answering import PUBACK_BYTES
from broker.codec import encode, encode_puback
from broker.limits import Limits
from broker.packets import V4, V5, Packet, Puback, Pubcomp, Publish, Pubrec, Pubrel
from broker.reason_codes import ReasonCode
from tests.broker.stage import Hearing, Line, Stage, kinds, payloads, staged, turn
from tests.fakes import TENANT

LIMITS = Limits(sweep_interval_s=0.01, in_flight=3)
pieces = st.one_of(
    st.integers(1, 6).map(encode_puback),
    # A packet identifier of zero, halves, a flag, wrong lengths, a reason of MQTT 5, others of four bytes, two at once.
    st.sampled_from(
        [
            b"\x40\x02\0\0",
            b"\x40",
            b"\x40\x02\0",
            b"\x02\0\x01",
            b"\0\x01",
            b"\x41\x02\0\x01",
            b"\x40\x03\0\x01",
            b"\x40\x03\0\x01\x10",
            b"\x40\x04\0\x01\0\0",
            b"\x50\x02\0\x04",
            b"\x62\x02\0\x01",
            b"\x70\x02\0\x04",
            b"\xc0\0\xc0\0",
            b"\x40\x02\0\x01\x40\x02\0\x02",
        ]
    ),
    st.binary(min_size=PUBACK_BYTES, max_size=PUBACK_BYTES),
)


async def came_of(read: list[bytes], level: int, *, may_be_short: bool) -> tuple[object, ...]:
    """What a client was sent, why it was ended, what is in flight to it, and what was heard of its deliveries."""
    async with staged(LIMITS) as stage:
        line = await stage.line("c", level=level)
        await line.subscribe("t")
        hearing = Hearing()
        for number, qos in enumerate([1, 1, 1, 2, 1], 1):
            stage.broker.publish(stage.say("t", b"%d" % number, qos), hearing)
        await turn()
        client = stage.client(line)
        for piece in read:
            if may_be_short:
                line.stream.feed(piece)
            else:
                with stage.broker.tracing(TENANT, "c", lambda _: None):
                    line.stream.feed(piece)
            await turn()
        in_flight = [one.packet_id for one in client.session.deliveries] if client.session else []
        return bytes(line.stream.written), line.closed_for, in_flight, hearing.heard


@given(st.lists(pieces, min_size=1, max_size=5), st.sampled_from([V4, V5]))
def test_the_same_comes_of_the_short_way_as_of_the_long_one(read: list[bytes], level: int) -> None:
    async def compare() -> None:
        assert await came_of(read, level, may_be_short=True) == await came_of(read, level, may_be_short=False)

    asyncio.run(compare())


async def told(stage: Stage, line: Line, number: int, qos: int = 1) -> None:
    stage.broker.publish(stage.say("t", b"%d" % number, qos))
    assert payloads(await line.heard()) == [b"%d" % number]


@pytest.mark.parametrize(("answer", "is_short"), [([Puback(1)], True), ([Puback(1), Puback(2)], False)])
async def test_who_answers_between_its_messages_goes_on_as_it_did(answer: list[Packet], is_short: bool) -> None:
    async with staged() as stage:
        line = await stage.line("c")
        await line.subscribe("t")
        await told(stage, line, 1)
        await told(stage, line, 2)
        await line.send(Publish("u", b"x", 1, packet_id=1))
        client = stage.client(line)
        familiar = client._publisher.familiar
        assert familiar
        await line.send(*answer)
        assert (client._publisher.familiar is familiar) == is_short
        assert client.session is not None
        assert len(client.session.deliveries) == 2 - len(answer)


async def test_what_answers_for_nothing_or_for_something_else_goes_the_long_way() -> None:
    async with staged() as stage:
        line = await stage.line("c")
        await line.subscribe("t")
        await told(stage, line, 1, qos=2)
        assert await line.send(Puback(9)) == []
        assert line.closed_for is None
        await line.send(Puback(1))
        assert line.closed_for == "PUBACK does not answer a message of QoS 2"


async def test_the_rest_of_a_packet_is_no_packet_of_its_own() -> None:
    async with staged() as stage:
        line = await stage.line("c")
        await line.subscribe("t")
        await told(stage, line, 1)
        whole = encode(Publish("u", encode_puback(1), 1, packet_id=5), V4)
        line.stream.feed(whole[:-PUBACK_BYTES])
        line.stream.feed(whole[-PUBACK_BYTES:])
        await turn()
        assert [message.payload for message in stage.owner.messages] == [encode_puback(1)]
        session = stage.client(line).session
        assert session is not None
        assert len(session.deliveries) == 1


async def test_an_answer_before_connect_lets_nobody_in() -> None:
    async with staged() as stage:
        line = stage.knock()
        line.stream.feed(encode_puback(1))
        assert line.closed_for == "the first packet is not CONNECT [MQTT-3.1.0-1]"


async def test_who_waits_for_a_decision_is_not_answered_for_out_of_turn() -> None:
    async with staged() as stage:
        line = await stage.line("c")
        await line.subscribe("t")
        await told(stage, line, 1)
        client = stage.client(line)
        client.rest()
        client.received(encode_puback(1))
        assert client.session is not None
        assert len(client.session.deliveries) == 1
        client.go_on()
        assert len(client.session.deliveries) == 0


async def test_qos_2_is_answered_in_two_steps_and_a_fault_ends_it_at_once() -> None:
    async with staged() as stage:
        line = await stage.line("c", level=V5)
        await line.subscribe("t")
        await told(stage, line, 1, qos=2)
        await told(stage, line, 2, qos=2)
        assert await line.send(Pubrec(1)) == [Pubrel(1)]
        assert await line.send(Pubrec(2, ReasonCode.QUOTA_EXCEEDED)) == []
        assert await line.send(Pubcomp(1)) == []
        session = stage.client(line).session
        assert session is not None
        assert len(session.deliveries) == 0
        assert kinds(await line.send(Pubrec(2))) == [Pubrel]
