"""The outgoing half of a session, against the plainest model of it that there is."""

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.changes import Delivery
from broker.deliveries import LARGEST_PACKET_ID, Budget, Deliveries
from broker.limits import Limits
from broker.packets import Properties
from tests.broker.parts import delivery, delivery_of, message

LIMITS = Limits(in_flight=4, in_flight_bytes=15, packet_bytes=12, queue_messages=5, queue_bytes=25)
BUDGET_BYTES = 40
"""Of all queues; the others hold more or less of it."""
payloads = st.sampled_from([b"", b"12", bytes(12)])


class DeliveriesAgainstAModel(RuleBasedStateMachine):
    """The model: what waits, in order, and how many of those at its head were sent on this connection."""

    def __init__(self) -> None:
        super().__init__()
        self.budget = Budget(BUDGET_BYTES)
        self.others_bytes = 0
        self.deliveries = Deliveries(LIMITS, self.budget)
        self.all: list[Delivery] = []
        """What is not over, in the order of pushes."""
        self.sent: list[Delivery] = []
        """Of those, what is in flight on this connection."""
        self.identifiers: dict[int, int] = {}
        """Of everything that was ever sent, by number."""
        self.first_sends: list[int] = []
        self.window = 0
        self.number = 0

    @property
    def waiting(self) -> list[Delivery]:
        return self.all[len(self.sent) :]

    @property
    def is_open(self) -> bool:
        return len(self.sent) < self.window and size(self.sent) < LIMITS.in_flight_bytes

    def was_sent(self, taken: Delivery) -> None:
        assert self.is_open
        assert taken is self.waiting[0], "in the order of pushes, what was sent before first of all"
        if taken.number in self.identifiers:
            assert self.identifiers[taken.number] == taken.packet_id, "the identifier stays with its message"
        else:
            self.first_sends.append(taken.number)
            self.identifiers[taken.number] = taken.packet_id
        self.sent.append(taken)

    @rule(payload=payloads, qos=st.integers(1, 2))
    def push(self, payload: bytes, qos: int) -> None:
        self.number += 1
        pushed = delivery(self.number, payload, qos=qos)
        may_be_sent = self.is_open and not self.waiting
        has_room = (
            len(self.waiting) < LIMITS.queue_messages
            and size(self.waiting) + size([pushed]) <= LIMITS.queue_bytes
            and self.budget.used_bytes + size([pushed]) <= self.budget.limit_bytes
        )
        outcome = self.deliveries.push(pushed)
        if may_be_sent:
            assert outcome is True
            self.all.append(pushed)
            self.was_sent(pushed)
        else:
            assert outcome is (False if has_room else None)
            if has_room:
                self.all.append(pushed)
            assert not pushed.packet_id

    @rule(others_bytes=st.sampled_from([0, 30]))
    def others_change(self, others_bytes: int) -> None:
        self.budget.used_bytes += others_bytes - self.others_bytes
        self.others_bytes = others_bytes

    @rule()
    def send_next(self) -> None:
        following = self.deliveries.next()
        if following is None:
            assert not self.waiting or not self.is_open
        else:
            taken, was_sent = following
            assert was_sent == (taken.number in self.identifiers)
            self.was_sent(taken)

    @rule(draw=st.data())
    def answer(self, draw: st.DataObject) -> None:
        if self.sent:
            answered = draw.draw(st.sampled_from(self.sent))
            assert self.deliveries.find(answered.packet_id) is answered
            assert self.deliveries.finish(answered.packet_id) is answered
            assert self.deliveries.find(answered.packet_id) is None
            self.sent.remove(answered)
            self.all.remove(answered)

    @rule(packet_id=st.integers(0, LARGEST_PACKET_ID))
    def answer_what_was_not_sent(self, packet_id: int) -> None:
        if packet_id not in {each.packet_id for each in self.sent}:
            assert self.deliveries.find(packet_id) is None
            assert self.deliveries.finish(packet_id) is None

    @rule(draw=st.data())
    def withdraw(self, draw: st.DataObject) -> None:
        number = draw.draw(st.sampled_from([0, self.number + 1, *(each.number for each in self.all)]))
        never_sent = [each for each in self.waiting if each.number == number and number not in self.identifiers]
        assert self.deliveries.withdraw(number) == bool(never_sent)
        for each in never_sent:
            self.all.remove(each)

    @rule(draw=st.data())
    def withdraw_even_what_was_sent(self, draw: st.DataObject) -> None:
        number = draw.draw(st.sampled_from([0, *(each.number for each in self.all)]))
        meant = [each for each in self.all if each.number == number]
        assert self.deliveries.withdraw(number, even_sent=True) == bool(meant)
        for each in meant:
            self.all.remove(each)
            if each in self.sent:
                self.sent.remove(each)

    @rule(draw=st.data())
    def record(self, draw: st.DataObject) -> None:
        if self.sent:
            draw.draw(st.sampled_from(self.sent)).is_released = True

    @rule(receive_maximum=st.integers(1, 6), is_taken_over=st.booleans())
    def reconnect(self, receive_maximum: int, is_taken_over: bool) -> None:
        if not is_taken_over:
            self.disconnect()
        unanswered = [each for each in self.all if each.number in self.identifiers]
        assert self.all[: len(unanswered)] == unanswered
        self.deliveries.connect(receive_maximum)
        self.sent = []
        self.window = min(receive_maximum, LIMITS.in_flight)

    @rule()
    def disconnect(self) -> None:
        self.deliveries.disconnect()
        self.window = 0
        assert self.deliveries.next() is None

    @rule()
    def restart(self) -> None:
        """The process starts again with what was kept."""
        self.deliveries.clear()
        assert self.budget.used_bytes == self.others_bytes
        self.deliveries = Deliveries(LIMITS, self.budget)
        for each in self.all:
            self.deliveries.restore(each)
        self.sent, self.window = [], 0

    @invariant()
    def everything_is_where_the_model_has_it(self) -> None:
        assert list(self.deliveries) == self.all
        assert len(self.deliveries) == len(self.all)
        assert self.deliveries.has_queue == bool(self.waiting)

    @invariant()
    def no_more_is_in_flight_than_the_window(self) -> None:
        assert self.deliveries.window == self.window <= LIMITS.in_flight
        assert len(self.sent) <= LIMITS.in_flight
        assert self.deliveries._in_flight_bytes == size(self.sent)
        assert size(self.sent[:-1]) < LIMITS.in_flight_bytes

    @invariant()
    def identifiers_in_use_are_distinct(self) -> None:
        used = [each.packet_id for each in self.all if each.packet_id]
        assert len(used) == len(set(used))
        assert all(0 < packet_id <= LARGEST_PACKET_ID for packet_id in used)

    @invariant()
    def first_sends_are_in_the_order_of_pushes(self) -> None:
        assert self.first_sends == sorted(self.first_sends)

    @invariant()
    def the_bytes_that_wait_are_counted(self) -> None:
        assert self.deliveries._queue_bytes == size(self.waiting)
        assert self.budget.used_bytes == self.others_bytes + size(self.waiting)

    def teardown(self) -> None:
        self.deliveries.clear()
        assert (len(self.deliveries), self.deliveries.has_queue) == (0, False)
        assert self.budget.used_bytes == self.others_bytes
        assert self.deliveries._queue_bytes == self.deliveries._in_flight_bytes == 0


def size(deliveries: list[Delivery]) -> int:
    return sum(len(each.message.topic) + len(each.message.payload) for each in deliveries)


TestDeliveries = DeliveriesAgainstAModel.TestCase
TestDeliveries.settings = settings(max_examples=100, stateful_step_count=40)


@given(st.integers(0, 12), st.integers(1, 12))
def test_a_reconnect_sends_again_exactly_what_was_not_answered_for(count: int, answered: int) -> None:
    deliveries = Deliveries(Limits(in_flight=10), Budget(10_000))
    deliveries.connect(10)
    for number in range(1, count + 1):
        deliveries.push(delivery(number))
    before = {each.number: each.packet_id for each in deliveries if each.packet_id}
    first = next(iter(before), None)
    if first is not None:
        deliveries.finish(before.pop(first))
    for _ in range(answered):
        deliveries.connect(10)
        again = []
        while (following := deliveries.next()) is not None:
            again.append(following)
        assert {each.number: each.packet_id for each, was_sent in again if was_sent} == before
        assert [each.number for each, _ in again] == sorted(each.number for each, _ in again)
        before = {each.number: each.packet_id for each, _ in again}


def test_a_smaller_window_sends_again_bit_by_bit_and_nothing_new_in_between() -> None:
    deliveries = Deliveries(LIMITS, Budget(1_000))
    deliveries.connect(3)
    pushed = [delivery(number) for number in (1, 2, 3, 4)]
    assert [deliveries.push(each) for each in pushed] == [True, True, True, False]
    pushed[0].is_released = True
    deliveries.connect(1)
    for each, was_sent in zip(pushed, (True, True, True, False), strict=True):
        assert deliveries.next() == (each, was_sent)
        assert deliveries.next() is None
        deliveries.finish(each.packet_id)
    assert [each.packet_id for each in pushed] == [1, 2, 3, 4]


def test_identifiers_go_round_and_pass_over_those_in_use() -> None:
    deliveries = Deliveries(Limits(in_flight=3), Budget(1_000))
    last, first = delivery(1), delivery(2)
    last.packet_id, first.packet_id = LARGEST_PACKET_ID, 1
    deliveries.restore(last)
    deliveries.restore(first)
    deliveries.connect(3)
    assert deliveries.next() == (last, True)
    assert deliveries.next() == (first, True)
    new = delivery(3)
    assert deliveries.push(new) is True
    assert new.packet_id == 2


def test_identifiers_go_on_after_those_that_were_kept() -> None:
    deliveries = Deliveries(LIMITS, Budget(1_000))
    kept = delivery(1)
    kept.packet_id = 9
    deliveries.restore(kept)
    deliveries.connect(3)
    assert deliveries.next() == (kept, True)
    new = delivery(2)
    deliveries.push(new)
    assert new.packet_id == 10


def test_what_is_in_flight_is_bounded_in_bytes() -> None:
    deliveries = Deliveries(LIMITS, Budget(1_000))
    deliveries.connect(4)
    assert [deliveries.push(delivery(number, bytes(12))) for number in (1, 2, 3)] == [True, True, False]


def test_the_queues_of_others_leave_no_room() -> None:
    budget = Budget(20)
    first, second = Deliveries(LIMITS, budget), Deliveries(LIMITS, budget)
    assert first.push(delivery(1, bytes(12))) is False
    assert second.push(delivery(2, bytes(12))) is None
    first.clear()
    assert second.push(delivery(3, bytes(12))) is False


def test_every_identifier_can_be_in_use() -> None:
    count = LARGEST_PACKET_ID
    deliveries = Deliveries(Limits(in_flight=count, in_flight_bytes=524_288), Budget(10**9))
    deliveries.connect(count)
    assert all(deliveries.push(delivery(number)) for number in range(count))
    assert deliveries.push(delivery(count)) is False
    assert {each.packet_id for each in deliveries} == {0, *range(1, count + 1)}
    deliveries.finish(500)
    following = deliveries.next()
    assert following is not None
    assert following[0].packet_id == 500


def test_properties_take_room_too() -> None:
    budget = Budget(1_000)
    deliveries = Deliveries(LIMITS, budget)
    large = delivery_of(message(properties=Properties(correlation_data=bytes(25))))
    assert deliveries.push(large) is None
    small = delivery_of(message(properties=Properties(correlation_data=bytes(24))))
    assert deliveries.push(small) is False
    assert budget.used_bytes == 25
