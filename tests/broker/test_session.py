"""A session against a plain model of it: identifiers, order and bounds, whatever happens in which order."""

from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.codec import Decoder, encode
from broker.errors import ProtocolError
from broker.limits import Limits
from broker.packets import (
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    ReturnCode,
    Suback,
    Subscribe,
    Unsuback,
    Unsubscribe,
    Will,
)
from broker.ports import Principal
from broker.reason_codes import ReasonCode
from broker.session import LARGEST_PACKET_ID, Accept, Close, Drop, Grant, Send, Session, check_will

LIMITS = Limits(in_flight=3, in_flight_bytes=40, queue_messages=4, queue_bytes=60, subscriptions=2)
CONNECT = Connect(4, "c", clean_start=False, keep_alive_s=0)


def new_session(limits: Limits = LIMITS) -> Session:
    return Session(Principal(1, "c"), CONNECT, limits)


def sent(effects: Iterable[object]) -> list[Packet]:
    data = b"".join(effect.data for effect in effects if isinstance(effect, Send))
    return Decoder().feed(data)


class SessionAgainstModel(RuleBasedStateMachine):
    """The model: what the client holds unacknowledged, in order, and what waits."""

    def __init__(self) -> None:
        super().__init__()
        self.session = new_session()
        self.is_connected = False
        self.in_flight: dict[int, bytes] = {}
        self.waiting: list[bytes] = []
        self.dropped_count = 0
        self.count = 0

    def take(self, packets: list[Packet]) -> None:
        """What came for the first time: the oldest that wait, under identifiers that are free."""
        for packet in packets:
            assert isinstance(packet, Publish)
            assert not packet.duplicate
            assert 1 <= packet.packet_id <= LARGEST_PACKET_ID
            assert packet.packet_id not in self.in_flight
            assert packet.payload == self.waiting.pop(0)
            self.in_flight[packet.packet_id] = packet.payload

    @rule(size=st.integers(0, 45))
    def deliver(self, size: int) -> None:
        self.count += 1
        payload = b"%05d" % self.count + bytes(size)
        in_queue, queued_bytes = len(self.waiting), sum(map(len, self.waiting))
        data = self.session.deliver(Publish("t", payload, 1))
        if self.is_connected and not self.waiting and self.window_is_open():
            self.waiting.append(payload)
            assert data is not None
            self.take(Decoder().feed(data))
            return
        assert data is None
        if in_queue < LIMITS.queue_messages and queued_bytes + len(payload) <= LIMITS.queue_bytes:
            self.waiting.append(payload)
        else:
            self.dropped_count += 1

    def window_is_open(self) -> bool:
        in_flight_bytes = sum(map(len, self.in_flight.values()))
        return len(self.in_flight) < LIMITS.in_flight and in_flight_bytes < LIMITS.in_flight_bytes

    @rule(draw=st.data())
    def acknowledge(self, draw: st.DataObject) -> None:
        if self.is_connected and self.in_flight:
            packet_id = draw.draw(st.sampled_from(sorted(self.in_flight)))
            del self.in_flight[packet_id]
            self.take(sent(self.session.receive(Puback(packet_id))))

    @rule(packet_id=st.integers(1, LARGEST_PACKET_ID))
    def acknowledge_what_was_never_sent(self, packet_id: int) -> None:
        if self.is_connected and packet_id not in self.in_flight:
            assert sent(self.session.receive(Puback(packet_id))) == []

    @rule()
    def reconnect(self) -> None:
        if self.is_connected:
            assert self.session.disconnect() is None
        packets = sent(self.session.connect(CONNECT))
        again = packets[: len(self.in_flight)]
        expected = [Publish("t", payload, 1, False, True, packet_id) for packet_id, payload in self.in_flight.items()]
        assert again == expected, "what was not acknowledged comes again, first, in order, marked as duplicate"
        self.is_connected = True
        self.take(packets[len(self.in_flight) :])

    @rule()
    def disconnect(self) -> None:
        self.session.disconnect()
        self.is_connected = False

    @invariant()
    def bounds_are_kept(self) -> None:
        assert self.session.waiting_count == len(self.waiting) + len(self.in_flight)
        assert len(self.in_flight) <= LIMITS.in_flight
        assert len(self.waiting) <= LIMITS.queue_messages
        assert sum(map(len, self.waiting)) <= LIMITS.queue_bytes
        assert self.session.dropped_count == self.dropped_count

    @invariant()
    def nothing_waits_that_could_be_sent(self) -> None:
        assert not (self.is_connected and self.waiting and self.window_is_open())


TestSession = SessionAgainstModel.TestCase
TestSession.settings = settings(max_examples=60, stateful_step_count=40)


@given(st.integers(0, 5))
def test_identifiers_begin_anew_after_the_largest_and_skip_those_in_flight(held: int) -> None:
    session = new_session(Limits())
    session.connect(CONNECT)
    first = [_delivered(session).packet_id for _ in range(held)]
    session._last_packet_id = LARGEST_PACKET_ID - 2
    assert first == list(range(1, held + 1))
    assert [_delivered(session).packet_id for _ in range(3)] == [LARGEST_PACKET_ID - 1, LARGEST_PACKET_ID, held + 1]


def _delivered(session: Session) -> Publish:
    data = session.deliver(Publish("t", b"x", 1))
    assert data is not None
    (packet,) = Decoder().feed(data)
    assert isinstance(packet, Publish)
    return packet


def test_qos_0_is_sent_to_who_is_connected_and_dropped_for_who_is_away() -> None:
    session = new_session()
    message = Publish("t", b"x")
    assert session.deliver(message) is None
    assert session.dropped_count == 1
    session.connect(CONNECT)
    assert session.deliver(message) == encode(message)
    assert session.waiting_count == 0


@pytest.mark.parametrize(
    "packet",
    [
        CONNECT,
        Connack(session_present=False, return_code=ReturnCode.ACCEPTED),
        Suback(1, (0,)),
        Unsuback(1),
        Pingresp(),
        Publish("t", b"", 2, packet_id=1),
        Publish("", b""),
        Publish("a/#", b""),
        Subscribe(1, (("a", 0), ("b", 0), ("c", 0))),
    ],
    ids=lambda packet: type(packet).__name__,
)
def test_what_a_client_may_not_send_is_an_error(packet: Packet) -> None:
    session = new_session()
    session.connect(CONNECT)
    with pytest.raises(ProtocolError):
        session.receive(packet)


def test_every_packet_of_a_client_has_its_effect() -> None:
    session = new_session()
    session.connect(CONNECT)
    message, request = Publish("t", b"x", 1, packet_id=4), Subscribe(2, (("t", 1), ("u", 2)))
    assert list(session.receive(message)) == [Accept(message)]
    assert list(session.receive(request)) == [Grant(request)]
    assert sent([session.granted(request, (1, 0x80))]) == [Suback(2, (1, 0x80))]
    assert session.subscriptions == {"t": 1}
    assert list(session.receive(Unsubscribe(3, ("u",)))) == [Send(encode(Unsuback(3)))]
    assert list(session.receive(Unsubscribe(3, ("t", "u")))) == [Drop(("t",)), Send(encode(Unsuback(3)))]
    assert session.subscriptions == {}
    assert sent(session.receive(Pingreq())) == [Pingresp()]
    assert list(session.receive(Disconnect())) == [Close()]


def test_a_will_is_due_once_and_never_after_a_goodbye() -> None:
    session = new_session()
    with_will = Connect(4, "c", clean_start=True, keep_alive_s=0, will=Will("gone", b"w", 1, retain=True))
    session.connect(with_will)
    assert session.disconnect() == Publish("gone", b"w", 1, retain=True)
    assert session.disconnect() is None
    session.connect(with_will)
    session.receive(Disconnect())
    assert session.disconnect() is None


@pytest.mark.parametrize(
    ("topic", "qos", "code"),
    [
        ("a/+", 0, ReasonCode.TOPIC_NAME_INVALID),
        ("", 1, ReasonCode.TOPIC_NAME_INVALID),
        ("a", 2, ReasonCode.QOS_NOT_SUPPORTED),
    ],
)
def test_a_will_that_could_not_be_published_is_refused_at_once(topic: str, qos: int, code: ReasonCode) -> None:
    with pytest.raises(ProtocolError) as refused:
        check_will(Will(topic, b"", qos, retain=False), LIMITS)
    assert refused.value.code is code
    check_will(Will("a", b"", 1, retain=False), LIMITS)
