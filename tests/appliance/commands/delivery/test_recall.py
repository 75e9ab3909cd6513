"""What sessions have kept of commands, and what a new start of the gateway makes of it."""

from types import SimpleNamespace
from typing import cast

import pytest

from appliance.commands.delivery.flight import Flight, Key
from appliance.commands.delivery.recall import kept, recalled, request_of
from appliance.commands.dialects.aws import Aws
from appliance.commands.dialects.dialect import Cbor
from appliance.commands.dialects.plain import Plain
from appliance.commands.model import Command, NewCommand, State
from appliance.ingestion import cbor
from appliance.registry.service import Registry
from appliance.store.database import Database
from broker.changes import Delivery
from broker.message import Message
from broker.session import Session
from tests.appliance.commands.room import TENANT, Hall
from tests.appliance.registry.examples import FakeClock

ANSWERED = (Aws(Cbor(cbor.encode, cbor.decode)), Plain())


def delivery(
    topic: str, qos: int = 2, packet_id: int = 7, client_id: str = "", *, is_released: bool = False
) -> Delivery:
    message = Message(TENANT, client_id, client_id, topic, b"", qos, False, 5)
    return Delivery(1, message, 1, qos, False, (), packet_id, is_released)


def session(*deliveries: Delivery) -> Session:
    return cast("Session", SimpleNamespace(client_id="lamp-radio", deliveries=deliveries))


def test_a_message_is_a_command_by_its_topic_and_only_the_gateway_sends_any() -> None:
    wanted = {
        "cmd/lamp/request/x-2": "x-2",
        "$aws/commands/things/lamp/executions/x/request/json": "x",
        "$aws/commands/clients/lamp/executions/x/request": "x",
        "cmd/lamp/hello": None,
        "fw/lamp/offer": None,
    }
    for topic, wire_id in wanted.items():
        found = request_of(ANSWERED, delivery(topic).message)
        assert (None if found is None else found.wire_id) == wire_id
        assert request_of(ANSWERED, delivery(topic, client_id="script").message) is None


@pytest.mark.parametrize("device_id", ["lamp", "request", "request-7", "a-request", "response"])
@pytest.mark.parametrize(
    "topic",
    [
        "cmd/{}/request/x-2",
        *(
            f"$aws/commands/{kind}/{{}}/executions/x-2/request{form}"
            for kind in ("things", "clients")
            for form in ("", "/json", "/cbor")
        ),
    ],
)
def test_a_device_may_be_called_after_a_word_of_the_topics(device_id: str, topic: str) -> None:
    for qos in (1, 2):
        request = delivery(topic.format(device_id), qos=qos)
        found = request_of(ANSWERED, request.message)
        assert found is not None
        assert (found.device_id, found.wire_id) == (device_id, "x-2")
        assert list(kept(ANSWERED, [session(request)])) == ([("x", 2)] if qos == 2 else [])
    answer = topic.replace("/request", "/response").format(device_id)
    assert request_of(ANSWERED, delivery(answer).message) is None


def test_what_a_session_brings_to_its_end_is_at_qos_2_and_was_begun() -> None:
    first, waiting = delivery("cmd/lamp/request/x"), delivery("cmd/lamp/request/y-3", packet_id=0)
    found = kept(ANSWERED, [session(first, delivery("cmd/lamp/request/z", qos=1)), session(waiting)])
    assert {key: (one.delivery, one.is_begun) for key, one in found.items()} == {
        ("x", 1): (first, True),
        ("y", 3): (waiting, False),
    }
    assert found["x", 1].client_id == "lamp-radio"


def test_each_attempt_is_looked_for_in_the_sessions_of_its_own_device() -> None:
    asked = []

    def sessions(tenant_id: int, device_id: str) -> list[Session]:
        asked.append((tenant_id, device_id))
        return [session(delivery("cmd/lamp/request/x"))] if device_id == "lamp" else []

    attempts = [(TENANT, "lamp", 1, 1, "x"), (TENANT, "lamp", 2, 2, "x"), (TENANT, "fan", 3, 1, "x")]
    found = list(recalled(attempts, ANSWERED, sessions))
    assert [(key, one is not None) for key, one in found] == [
        (Key(TENANT, "lamp", 1, 1), True),
        (Key(TENANT, "lamp", 2, 2), False),
        (Key(TENANT, "fan", 3, 1), False),
    ]
    assert asked == [(TENANT, "lamp"), (TENANT, "fan")]


class Restarted:
    """A command at QoS 2 that was being offered when the gateway ended, and the gateway that starts anew."""

    def __init__(self, hall: Hall, sent: Command) -> None:
        self.hall, self.sent = hall, sent
        self.followed: list[tuple[Delivery, Flight]] = []
        hall.commands.courier.follow = lambda *told: self.followed.append(told)

    def keep(self, packet_id: int, *, is_released: bool = False) -> None:
        """Its session has kept it."""
        device_id = self.sent.device_id
        line = self.hall.connect(device_id, qos=2)
        line.client, line.is_stored = None, True
        topic = f"cmd/{device_id}/request/{self.sent.execution_id}"
        line.deliveries = [delivery(topic, packet_id=packet_id, is_released=is_released)]


@pytest.fixture(params=["lamp", "request-7"])
async def restarted(
    request: pytest.FixtureRequest, database: Database, registry: Registry, clock: FakeClock
) -> Restarted:
    hall = Hall(database, registry, clock)
    await hall.add(request.param)
    async with hall.commands.running(hall.exchange):
        hall.connect(request.param, qos=2).acknowledges = False
        sent = await hall.commands.send(TENANT, request.param, NewCommand("blink", qos=2, may_repeat=True))
    again = Hall(database, registry, clock)
    # It has not been heard yet that it was written.
    await database.write(lambda connection: connection.execute("UPDATE command SET sent_at = NULL, state = 'queued'"))
    return Restarted(again, sent)


@pytest.mark.parametrize("is_released", [False, True])
async def test_what_a_session_has_begun_is_not_offered_again_and_its_end_is_heard(
    restarted: Restarted, is_released: bool
) -> None:
    hall, execution_id = restarted.hall, restarted.sent.execution_id
    restarted.keep(7, is_released=is_released)
    async with hall.commands.running(hall.exchange):
        await hall.settled()
        assert hall.commands.courier.flight_count == 1
        # PUBREC is a word of the device: it was written. Before that, nobody knows.
        expected = (State.SENT, 5) if is_released else (State.QUEUED, None)
        await hall.until(execution_id, lambda one: (one.state, one.sent_at) == expected)
        [(_, flight)] = restarted.followed
        assert not flight.withdraw()
        flight.written(flight.client_id)
        assert (await hall.until(execution_id, lambda one: one.state is State.SENT)).sent_at is not None
        flight.acknowledged(flight.client_id)
        done = await hall.until(execution_id, lambda one: one.state is State.ACKNOWLEDGED)
        assert (done.is_repeated, hall.commands.courier.flight_count) == (False, 0)


async def test_what_still_waited_in_a_session_was_not_written_and_is_offered_anew(restarted: Restarted) -> None:
    hall = restarted.hall
    restarted.keep(0)
    async with hall.commands.running(hall.exchange):
        known = await hall.until(restarted.sent.execution_id, lambda one: one.offered_at is None)
        assert (known.is_repeated, restarted.followed) == (False, [])


async def test_a_session_that_has_ended_brings_nothing_to_its_end(restarted: Restarted) -> None:
    hall = restarted.hall
    restarted.keep(7)
    async with hall.commands.running(hall.exchange):
        [line] = hall.exchange.lines.pop(restarted.sent.device_id)
        hall.connect(line.client_id, qos=2)
        done = await hall.until(restarted.sent.execution_id, lambda one: one.state is State.ACKNOWLEDGED)
        assert done.is_repeated
