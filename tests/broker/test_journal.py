"""What a turn changes: the newest of each row, and nothing of sessions that are not stored."""

from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from broker.changes import (
    Change,
    ChangeKey,
    DeliveryGone,
    DeliveryKept,
    IdentifierFreed,
    IdentifierTaken,
    RetainedGone,
    RetainedKept,
    SessionGone,
    SubscriptionGone,
    SubscriptionKept,
)
from broker.journal import Journal
from broker.message import Message
from broker.packets import Subscription
from broker.session import Session
from tests.broker.parts import delivery, message, session

numbers = st.integers(1, 3)
expiries = st.sampled_from([0, 60])


class ChangesOfTurns(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.wake_count = 0
        self.journal = Journal(self.wake)
        self.sessions = [session(str(number), number) for number in range(3)]
        self.newest: dict[tuple[str, int, object], object] = {}

    def wake(self) -> None:
        self.wake_count += 1

    def note(self, about: Session, key: tuple[str, int, object], change: object) -> None:
        if about.expiry_s:
            self.newest[key] = change

    @rule(number=st.integers(0, 2), expiry_s=expiries, left_at=st.integers(0, 9))
    def change_a_session(self, number: int, expiry_s: int, left_at: int) -> None:
        about = self.sessions[number]
        about.expiry_s, about.left_at = expiry_s, left_at
        self.journal.session(about)
        self.note(about, ("session", number, ""), about.kept())

    @rule(number=st.integers(0, 2))
    def end_a_session(self, number: int) -> None:
        self.journal.session_gone(self.sessions[number])
        self.newest["session", number, ""] = SessionGone(number)

    @rule(number=st.integers(0, 2), topic_filter=st.sampled_from("ab"), qos=st.none() | st.integers(0, 2))
    def change_a_subscription(self, number: int, topic_filter: str, qos: int | None) -> None:
        about = self.sessions[number]
        key = ("subscription", number, topic_filter)
        if qos is None:
            self.journal.unsubscribed(about, topic_filter)
            self.note(about, key, SubscriptionGone(number, topic_filter))
        else:
            self.journal.subscribed(about, Subscription(topic_filter, qos))
            self.note(about, key, SubscriptionKept(number, Subscription(topic_filter, qos)))

    @rule(number=st.integers(0, 2), each=numbers, packet_id=st.integers(0, 9), is_over=st.booleans())
    def change_a_delivery(self, number: int, each: int, packet_id: int, is_over: bool) -> None:
        about, changed = self.sessions[number], delivery(each)
        changed.packet_id = packet_id
        if is_over:
            self.journal.delivery_gone(about, changed)
            self.note(about, ("delivery", number, each), DeliveryGone(number, each))
        else:
            self.journal.delivery(about, changed)
            self.note(about, ("delivery", number, each), DeliveryKept(number, changed))

    @rule(number=st.integers(0, 2), packet_id=numbers, is_taken=st.booleans())
    def change_an_identifier(self, number: int, packet_id: int, is_taken: bool) -> None:
        about = self.sessions[number]
        change: Change = (IdentifierTaken if is_taken else IdentifierFreed)(number, packet_id)
        (self.journal.identifier_taken if is_taken else self.journal.identifier_freed)(about, packet_id)
        self.note(about, ("identifier", number, packet_id), change)

    @rule(topic=st.sampled_from("ab"), payload=st.binary(max_size=2), has_expired=st.booleans())
    def change_what_is_retained(self, topic: str, payload: bytes, has_expired: bool) -> None:
        changed = message(topic, payload)
        if has_expired:
            self.journal.retained_gone(changed)
        else:
            self.journal.retained(changed)
        is_gone = has_expired or not payload
        self.newest["retained", 1, topic] = RetainedGone(1, topic) if is_gone else RetainedKept(changed)

    @invariant()
    def the_owner_is_woken_once_a_turn(self) -> None:
        assert self.wake_count == bool(self.newest)

    @rule()
    def take(self) -> None:
        assert self.journal.take() == self.newest
        assert self.journal.take() == {}
        self.newest, self.wake_count = {}, 0


TestTurns = ChangesOfTurns.TestCase
TestTurns.settings = settings(max_examples=60)


def journal() -> Journal:
    return Journal(lambda: None)


Note = Callable[[Journal, Session], None]
OF_SESSIONS: list[Note] = [
    lambda journal, about: journal.session(about),
    lambda journal, about: journal.session_left_behind(about, 5),
    lambda journal, about: journal.subscribed(about, Subscription("a", 1)),
    lambda journal, about: journal.unsubscribed(about, "a"),
    lambda journal, about: journal.delivery(about, delivery(1)),
    lambda journal, about: journal.delivery_gone(about, delivery(1)),
    lambda journal, about: journal.identifier_taken(about, 1),
    lambda journal, about: journal.identifier_freed(about, 1),
]


@pytest.mark.parametrize("note", OF_SESSIONS)
def test_a_session_that_is_not_stored_leaves_nothing(note: Note) -> None:
    changes = journal()
    note(changes, session(expiry_s=0))
    assert changes.take() == {}
    note(changes, session(expiry_s=1))
    assert len(changes.take()) == 1


def test_a_session_that_is_left_behind_has_its_client_still_and_is_kept_as_left() -> None:
    changes, about = journal(), session(expiry_s=1, is_connected=True)
    changes.session(about)
    changes.session_left_behind(about, 5)
    (kept,) = changes.take().values()
    assert kept == msgspec.structs.replace(about.kept(), left_at=5)
    assert about.kept().left_at is None


def test_what_is_committed_is_the_delivery_of_this_turn() -> None:
    changes, changing = journal(), delivery(1)
    changes.delivery(session(expiry_s=1), changing)
    changing.packet_id, changing.is_released = 7, True
    (kept,) = changes.take().values()
    assert kept == DeliveryKept(1, delivery(1))


@given(st.permutations([message("a", b"1"), message("a", b""), message("a", b"2")]))
def test_only_the_newest_of_what_is_retained_is_kept(published: list[Message]) -> None:
    changes = journal()
    for each in published:
        changes.retained(each)
    newest = published[-1]
    key: ChangeKey = ("retained", 1, "a")
    assert changes.take() == {key: RetainedKept(newest) if newest.payload else RetainedGone(1, "a")}
