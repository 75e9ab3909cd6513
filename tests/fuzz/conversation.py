"""A whole broker without sockets, and what any clients say to it.

A script is steps. The low two bits of who speaks are a client, which connects anew when it has no connection; the
other bits say what happens instead of bytes that it sends:

    4  its connection is lost          16  its bytes come one by one
    8  the owner publishes the bytes   32  time goes on by so many seconds as the bytes say
    64 the owner acknowledges nothing until the next step with this bit

Run long as `python -m tests.fuzz.conversation --minutes 10`.
"""

import asyncio
import sys
from typing import cast

from broker.client import Client
from broker.codec import Decoder, encode
from broker.limits import Limits
from broker.packets import Publish
from tests.broker.stage import FakeStream, Line, Stage, staged, turn
from tests.fuzz import corpus, mutation
from tests.fuzz.search import Target, main

# Small enough that a script reaches each of them.
LIMITS = Limits(
    packet_bytes=512,
    connect_packet_bytes=512,
    client_id_bytes=32,
    topic_bytes=64,
    topic_levels=5,
    subscriptions=4,
    filters_per_subscribe=3,
    receive_maximum=3,
    topic_aliases=2,
    in_flight=3,
    in_flight_bytes=1_024,
    queue_messages=5,
    queue_bytes=1_024,
    queues_bytes=1_500,
    unsent_bytes=4_096,
    sessions=3,
    retained_messages=4,
    retained_bytes=600,
    retained_per_client=3,
    routes=3,
    sweep_interval_s=0.001,
)
_LOST, _OWNER, _DRIPPING, _TIME, _HOLD = 4, 8, 16, 32, 64

_runner = asyncio.Runner()


def check(data: bytes) -> None:
    """Nothing happens but that connections close, every word of the broker is MQTT, and nothing is left behind."""
    _runner.run(_play(mutation.steps_of(data)))


async def _play(steps: list[tuple[int, bytes]]) -> None:
    async with staged(LIMITS) as stage:
        lines: dict[int, Line] = {}
        for who, what in steps:
            await _take(stage, lines, who, what)
            _check_bounds(stage)
        stage.owner.holds_back = False
        stage.owner.release()
        for line in lines.values():
            line.vanish()
        await turn()
        _check_nothing_left(stage)


async def _take(stage: Stage, lines: dict[int, Line], who: int, what: bytes) -> None:
    if who & _HOLD:
        stage.owner.holds_back = not stage.owner.holds_back
        stage.owner.release()
    if who & _TIME:
        stage.now += 1_000 * int.from_bytes(what[:4], "big")
        # Whoever looks after what time brings gets its turn.
        await asyncio.sleep(LIMITS.sweep_interval_s * 2)
    elif who & _OWNER:
        stage.broker.publish(stage.say("a", what, who & 1, retain=bool(who & 2)))
    elif who & _LOST and who & 3 in lines:
        lines.pop(who & 3).vanish()
    else:
        line = _line(stage, lines, who & 3)
        for piece in [bytes((byte,)) for byte in what] if who & _DRIPPING else [what]:
            line.stream.feed(piece)
    await turn()
    for line in lines.values():
        _check_words(line.stream)


def _line(stage: Stage, lines: dict[int, Line], number: int) -> Line:
    line = lines.get(number)
    if line is None or not line.stream.is_open:
        line = lines[number] = stage.knock()
    return line


def _check_words(stream: FakeStream) -> None:
    client = cast("Client", stream._receiver)
    decoder = Decoder(protocol_level=client.level)
    packets = decoder.feed(bytes(stream.written))
    stream.written.clear()
    assert decoder.failure is None, decoder.failure
    assert not decoder._unfinished
    for packet in packets:
        assert client.takes(len(encode(packet, client.level))), packet
        assert not isinstance(packet, Publish) or packet.topic or packet.properties.topic_alias, packet


def _check_bounds(stage: Stage) -> None:
    sessions = stage.broker.exchange.sessions
    assert 0 <= sessions.queued_bytes <= LIMITS.queues_bytes + LIMITS.in_flight_bytes * 4
    for session in sessions:
        assert len(session.subscriptions) <= LIMITS.subscriptions
        assert len(session.deliveries) <= LIMITS.queue_messages + LIMITS.in_flight
        assert len(session.taken_identifiers or ()) <= LIMITS.receive_maximum * 2
    for router in sessions.routers.values():
        assert len(router.retained) <= LIMITS.retained_messages
        assert 0 <= router.retained.stored_bytes <= LIMITS.retained_bytes
    for client in stage.broker._clients:
        assert client.owed_count >= client.waiting_count >= 0
        assert client._publisher.unanswered_count >= 0


def _check_nothing_left(stage: Stage) -> None:
    exchange = stage.broker.exchange
    assert not stage.broker._clients
    for session in list(exchange.sessions):
        session.will = None
        exchange.discard(session)
    assert not len(exchange.sessions)
    assert exchange.sessions.queued_bytes == 0
    for router in exchange.sessions.routers.values():
        assert router.subscriptions.is_empty
        for topic in list(router.retained._messages):
            router.retained.keep(stage.say(topic, b"", retain=True))
        assert router.retained.stored_bytes == 0
        assert not router.retained._count_of
        assert not router.retained._root.below


TARGET = Target("conversation", check, mutation.of_scripts, seeds=corpus.read_scripts, written=corpus.write_script)

if __name__ == "__main__":
    sys.exit(main(TARGET))
