import asyncio
from collections.abc import Mapping

import pytest

from bench.packet_sequences import Action, PacketSequence, Publication, Step
from bench.sequence_player import Failure, Target, connect_packet, play, play_all
from tests.bench.scripted import CLOSE, HOST, PONG, RESET, scripted

PACKET, ANSWER = bytes.fromhex("82 00"), bytes.fromhex("90 00")
SEND, RECEIVE = Step(Action.SEND, PACKET), Step(Action.RECEIVE, ANSWER, comment="SUBACK")


def sequence(*steps: Step, closed: bool = True, connects: bool = True, version: int = 4) -> PacketSequence:
    return PacketSequence("F.json", "g: n", version, connects, closed, steps)


async def played(script: Mapping[bytes, bytes], one: PacketSequence) -> Failure | None:
    async with scripted(script) as port:
        return await play(one, "c", Target(HOST, port, patience_s=0.2))


@pytest.mark.parametrize("ending", [CLOSE, RESET], ids=["closed", "reset"])
async def test_a_refusal_goes_as_expected(ending: bytes) -> None:
    assert await played({PACKET: ending}, sequence(SEND)) is None


async def test_an_answer_and_a_live_connection_go_as_expected() -> None:
    assert await played({PACKET: ANSWER, **PONG}, sequence(SEND, RECEIVE, closed=False)) is None


async def test_an_answer_is_read_even_if_the_connection_is_closed_behind_it() -> None:
    assert await played({PACKET: ANSWER + CLOSE}, sequence(SEND, RECEIVE)) is None


@pytest.mark.parametrize(
    ("said", "came"),
    [
        (b"", "nothing and nothing more"),
        (b"\x90\x01", "90 01"),
        (b"\x90", "90 and nothing more"),
        (b"\x90" + CLOSE, "90 then the connection was closed"),
        (CLOSE, "nothing then the connection was closed"),
    ],
)
async def test_another_answer_is_told(said: bytes, came: str) -> None:
    assert await played({PACKET: said}, sequence(SEND, RECEIVE)) == Failure("90 00 (SUBACK)", came)


async def test_a_connection_that_stays_open_is_told() -> None:
    failure = await played({}, sequence(SEND))
    assert failure == Failure("the connection closed", "nothing: it is still open")


async def test_more_than_was_expected_before_the_close_is_told_whole() -> None:
    failure = await played({PACKET: ANSWER + b"\xe0\0" + CLOSE}, sequence(SEND, RECEIVE))
    assert failure == Failure("the connection closed, and nothing more", "e0 00 then the connection was closed")


async def test_a_connection_that_should_live_and_does_not_is_told() -> None:
    failure = await played({PACKET: CLOSE}, sequence(SEND, closed=False))
    assert failure is not None
    assert failure.expected == "d0 00 (PINGRESP: still connected)"


async def test_another_connack_of_the_plain_connect_is_told() -> None:
    failure = await played({PACKET: CLOSE}, sequence(SEND, version=5))
    assert failure is not None
    assert failure.expected.endswith("22 00 0a 27 00 1e 84 80 21 00 14 (CONNACK of the plain CONNECT)")


async def test_without_a_plain_connect_the_first_packet_is_the_first() -> None:
    assert await played({PACKET: CLOSE}, sequence(SEND, connects=False)) is None


async def test_nobody_at_the_port_is_told() -> None:
    async with scripted({}) as port:
        pass
    failure = await play(sequence(SEND), "c", Target(HOST, port, patience_s=0.2))
    assert failure == Failure(f"a connection to {HOST}:{port}", "ConnectionRefusedError")


@pytest.mark.parametrize("qos", [0, 1, 2])
async def test_another_client_publishes_and_is_acknowledged(qos: int) -> None:
    identifier = b"\0\1" if qos else b""
    publish = bytes((0x31 | qos << 1, 4 + len(identifier))) + b"\0\1p" + identifier + b"x"
    acknowledgements = {
        0: {},
        1: {publish: bytes.fromhex("40020001")},
        2: {publish: bytes.fromhex("50020001"), bytes.fromhex("62020001"): bytes.fromhex("70020001")},
    }[qos]
    step = Step(Action.PUBLISH, publication=Publication("p", "x", qos, retain=True))
    assert await played({**acknowledgements, **PONG}, sequence(step, closed=False)) is None
    # Without the acknowledgement it is told; nobody acknowledges QoS 0.
    failure = await played(PONG, sequence(step, closed=False))
    assert (failure is None) is (qos == 0)


@pytest.mark.parametrize(
    ("version", "head"),
    [(3, "10 0f 0006 4d5149736470 03 02 003c 0001 63"), (4, "10 0d 0004 4d515454 04 02 003c 0001 63")],
)
def test_the_plain_connect_is_that_of_its_version(version: int, head: str) -> None:
    assert connect_packet("c", version) == bytes.fromhex(head)


def test_the_plain_connect_of_mqtt_5_has_a_receive_maximum() -> None:
    assert connect_packet("c", 5) == bytes.fromhex("10 11 0004 4d515454 05 02 003c 03 21 0014 0001 63")


async def test_all_are_played_and_told_in_the_order_given() -> None:
    refusal, quiet = sequence(SEND), sequence(closed=False)
    wrong = sequence(SEND, RECEIVE)
    async with scripted({PACKET: CLOSE, **PONG}) as port:
        outcome = await asyncio.to_thread(play_all, [quiet, refusal, wrong, quiet] * 10, Target(HOST, port))
    assert [one.sequence for one in outcome] == [quiet, refusal, wrong, quiet] * 10
    assert [one.failure is None for one in outcome] == [True, True, False, True] * 10
