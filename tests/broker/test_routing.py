"""Who is given a message: those who want it and may have it, in the order in which it came."""

from collections import Counter
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.limits import Limits
from broker.message import Message
from broker.packets import Puback, Publish, Subscription
from broker.permissions import Permissions
from broker.ports import ALLOWED, Decision, Denied, Pending, Principal
from broker.router import Route, Router
from broker.routing import FEW, Routing
from broker.session import Session
from broker.subscriptions import Target
from tests.broker.house import House
from tests.broker.parts import Thinker, Timers, delivery, message, session
from tests.broker.stage import payloads, staged, turn
from tests.broker.stored import FakeStore

LIMITS = Limits(queue_messages=3)
DENIED = Denied("no")


class Switchboard:
    """A router with what finds out who may have what; messages go to `got`, as in the exchange."""

    def __init__(self, limits: Limits = LIMITS) -> None:
        self.thinker, self.timers, self.router = Thinker(), Timers(), Router(limits)
        permissions = Permissions(self.thinker, limits, self.timers.time, self.timers.later)
        self.routing = Routing(permissions, limits, self.deliver)
        self.got: list[tuple[str, str, bytes]] = []

    def session(self, name: str, *topic_filters: str, allowed: str = "", is_connected: bool = True) -> Session:
        made = session(name, is_connected=is_connected)
        for topic_filter in topic_filters:
            made.subscriptions[topic_filter] = Subscription(topic_filter, 1)
            self.router.subscribe(made, made.subscriptions[topic_filter])
        for topic in allowed:
            self.thinker.allow(name, "receive", topic)
        return made

    def route(self, topic: str) -> Route:
        return self.router.known_route(topic) or self.routing.find(self.router, topic)

    def publish(self, topic: str, payload: bytes = b"", client_id: str = "publisher") -> None:
        published = message(topic, payload, client_id=client_id)
        for target in self.routing.chosen(published, self.route(topic).matches):
            self.deliver(published, target)

    def deliver(self, published: Message, target: Target[Session]) -> None:
        if target.subscriber.held is not None:
            self.routing.hold(target.subscriber, published, target)
        else:
            self.got.append((target.subscriber.client_id, published.topic, published.payload))

    def names(self) -> list[str]:
        return [name for name, _, _ in self.got]


def test_only_those_who_may_receive_a_topic_are_given_it() -> None:
    board = Switchboard()
    board.session("a", "#", allowed="x")
    board.session("b", "x")
    board.thinker.answers["b", "receive", "x"] = DENIED
    board.publish("x")
    board.publish("x")
    assert board.names() == ["a", "a"]
    assert len(board.thinker.asked) == 2, "what was found is remembered"


def test_a_route_about_which_somebody_thinks_is_not_remembered() -> None:
    board = Switchboard()
    board.session("a", "x", allowed="x")
    board.session("b", "x")
    board.publish("x")
    assert board.router.known_route("x") is None
    board.thinker.say(ALLOWED)
    board.publish("x")
    assert board.router.known_route("x") is not None
    assert Counter(board.names()) == {"a": 2, "b": 2}


def test_who_did_not_ask_for_a_topic_is_a_target_of_its_own_if_it_is_due_it_and_may_have_it() -> None:
    board = Switchboard()
    receiver = board.session("a", allowed="x")
    one = partial(board.routing.one, board.router, session=receiver)
    (target,) = one(message("x"), is_due=True).targets
    assert (target.subscriber, target.qos, target.identifiers) == (receiver, 1, ())
    assert one(message("x"), is_due=False).targets == ()
    board.thinker.answers["a", "receive", "y"] = DENIED
    assert one(message("y"), is_due=True).targets == ()
    (held,) = one(message("z"), is_due=True).targets
    board.deliver(message("z", b"1"), held)
    (behind,) = one(message("x"), is_due=True).targets
    board.deliver(message("x", b"2"), behind)
    assert board.got == []
    board.thinker.say(ALLOWED)
    assert board.got == [("a", "z", b"1"), ("a", "x", b"2")]


def test_for_one_client_nobody_else_is_asked_about_and_nothing_is_remembered() -> None:
    board = Switchboard()
    receiver = board.session("a", "x", allowed="x")
    board.session("b", "x")
    (target,) = board.routing.one(board.router, message("x"), receiver, is_due=False).targets
    assert (target.subscriber, target.qos) == (receiver, 1)
    assert len(board.thinker.asked) == 1
    assert board.router.known_route("x") is None


@pytest.mark.parametrize("count", [FEW, FEW + 1])
def test_of_few_subscriptions_and_of_many_one_client_gets_the_same(count: int) -> None:
    board = Switchboard()
    receiver = board.session("a", "x", "+", *[f"y/{number}" for number in range(count - 2)], allowed="x")
    board.session("b", "#", allowed="x")
    assert len(receiver.subscriptions) == count
    one = partial(board.routing.one, board.router, session=receiver, is_due=False)
    assert [target.subscriber for target in one(message("x")).targets] == [receiver]
    assert one(message("z/z")).targets == ()


questions = st.lists(st.tuples(st.sampled_from("xyz"), st.sampled_from(["publish", "allow", "deny"])), max_size=25)


@given(questions, st.sets(st.sampled_from("xyz")))
def test_what_is_held_comes_in_its_order_and_only_where_allowed(
    steps: list[tuple[str, str]], known_topics: set[str]
) -> None:
    board = Switchboard(Limits(queue_messages=100))
    receiver = board.session("a", "#", allowed="".join(known_topics))
    decided: dict[str, bool] = dict.fromkeys(known_topics, True)
    published: list[tuple[str, bytes]] = []
    for number, (topic, step) in enumerate(steps):
        if step == "publish":
            board.publish(topic, str(number).encode())
            published.append((topic, str(number).encode()))
        elif any(about == topic for (_, _, about), _ in board.thinker.thoughts):
            board.thinker.say(ALLOWED if step == "allow" else DENIED, topic=topic)
            decided[topic] = step == "allow"
        # Everything before the first message about which nothing is known, and nothing behind it.
        first = next((place for place, (about, _) in enumerate(published) if about not in decided), len(published))
        expected = [(about, payload) for about, payload in published[:first] if decided[about]]
        assert [(about, payload) for _, about, payload in board.got] == expected
        assert (receiver.held is None) == (first == len(published))
        assert len(board.thinker.thoughts) <= 1, "one question at a time"
    board.timers.pass_by(1_000.0)


def test_what_is_held_is_bounded() -> None:
    board = Switchboard()
    receiver = board.session("a", "x")
    for number in range(5):
        board.publish("x", bytes([number]))
    assert receiver.held is not None
    assert (len(receiver.held), receiver.dropped_count) == (3, 2)
    board.thinker.say(ALLOWED)
    assert [payload for _, _, payload in board.got] == [b"\0", b"\1", b"\2"]
    assert receiver.held is None


def test_a_question_that_is_not_answered_denies_what_is_held() -> None:
    board = Switchboard()
    receiver = board.session("a", "x", "y", allowed="y")
    board.publish("x")
    board.publish("y")
    board.timers.pass_by(5.0)
    assert board.got == [("a", "y", b"")]
    assert receiver.held is None


def test_a_session_that_ended_gets_nothing_that_was_held_for_it() -> None:
    board = Switchboard()
    receiver = board.session("a", "x")
    board.publish("x")
    receiver.held = None
    board.thinker.say(ALLOWED)
    assert board.got == []
    board.routing.hold(receiver, message("x"), Target(receiver, Subscription("x", 1)))
    assert receiver.dropped_count == 1


def test_messages_of_one_read_are_asked_about_once() -> None:
    board = Switchboard()
    board.session("a", "x")
    for _ in range(100):
        board.publish("x")
    assert len(board.thinker.asked) == 1


def test_a_message_is_admitted_denied_or_held() -> None:
    board = Switchboard()
    receiver = board.session("a", allowed="x")
    board.thinker.answers["a", "receive", "y"] = DENIED
    target = Target(receiver, Subscription("#", 1))
    assert board.routing.admits(message("x"), target)
    assert not board.routing.admits(message("y"), target)
    assert receiver.held is None
    assert not board.routing.admits(message("z", b"1"), target)
    assert not board.routing.admits(message("x", b"2"), target), "behind what is held"
    board.thinker.say(ALLOWED)
    assert board.got == [("a", "z", b"1"), ("a", "x", b"2")]


def test_their_own_messages_are_kept_from_those_who_do_not_want_them() -> None:
    board = Switchboard()
    for name in "ab":
        made = board.session(name, allowed="x")
        board.router.subscribe(made, Subscription("x", 2, no_local=True, identifier=1))
        if name == "b":
            board.router.subscribe(made, Subscription("+", 1, identifier=2))
    found = board.route("x").matches

    def chosen(client_id: str) -> dict[str, tuple[int, tuple[int, ...]]]:
        targets = board.routing.chosen(message("x", client_id=client_id), found)
        return {target.subscriber.client_id: (target.qos, tuple(sorted(target.identifiers))) for target in targets}

    assert chosen("c") == {"a": (2, (1,)), "b": (2, (1, 2))}
    assert chosen("a") == {"b": (2, (1, 2))}
    assert chosen("b") == {"a": (2, (1,)), "b": (1, (2,))}


# Shared subscriptions.


@given(st.integers(1, 5), st.integers(0, 30))
def test_each_message_goes_to_exactly_one_member_in_turn(member_count: int, message_count: int) -> None:
    board = Switchboard()
    members = [str(number) for number in range(member_count)]
    for name in members:
        board.session(name, "$share/g/+", allowed="xy")
    for number in range(message_count):
        board.publish("xy"[number % 2])
    assert len(board.got) == message_count
    counts = [board.names().count(name) for name in members]
    assert max(counts) - min(counts) <= 1


def test_a_member_that_is_not_ready_leaves_its_turn_to_all_others_evenly() -> None:
    board = Switchboard()
    for name in ("away", "asleep"):
        board.session(name, "$share/g/x", allowed="x", is_connected=False)
    behind = board.session("behind", "$share/g/x", allowed="x")
    behind.deliveries.connect(1)
    for number in (1, 2):
        behind.deliveries.push(delivery(number))
    board.session("denied", "$share/g/x")
    board.thinker.answers["denied", "receive", "x"] = DENIED
    for name in "ab":
        board.session(name, "$share/g/x", allowed="x")
    for _ in range(6):
        board.publish("x")
    assert Counter(board.names()) == {"a": 3, "b": 3}
    for each in group_members(board):
        if each.client_id in ("a", "b"):
            board.router.unsubscribe(each, "$share/g/x")
    board.publish("x")
    assert board.names()[-1] == "behind", "late is better than away"
    board.router.unsubscribe(behind, "$share/g/x")
    for _ in range(4):
        board.publish("x")
    assert Counter(board.names()[-4:]) == {"away": 2, "asleep": 2}, "somebody keeps it for later"


def group_members(board: Switchboard) -> list[Session]:
    (group,) = board.route("x").matches.groups
    return list(group.members)


def test_a_group_of_which_nobody_may_have_a_message_does_not_get_it() -> None:
    board = Switchboard()
    board.session("a", "$share/g/x")
    board.thinker.answers["a", "receive", "x"] = DENIED
    board.publish("x")
    assert board.got == []


def test_somebody_about_whom_is_thought_leaves_it_to_others() -> None:
    board = Switchboard()
    board.session("slow", "$share/g/x")
    board.session("a", "$share/g/x", allowed="x")
    for _ in range(3):
        board.publish("x")
    assert board.names() == ["a", "a", "a"]
    board.thinker.say(ALLOWED)
    board.publish("x")
    assert board.names()[-1] == "slow"


def test_a_group_about_all_of_whom_is_thought_gets_the_message_when_it_is_decided() -> None:
    board = Switchboard()
    receivers = [board.session(name, "$share/g/x") for name in "ab"]
    for number in range(3):
        board.publish("x", bytes([number]))
    assert board.got == []
    board.thinker.say(ALLOWED)
    assert sorted(payload for _, _, payload in board.got) == [b"\0", b"\1", b"\2"]
    assert Counter(board.names()) == {"a": 2, "b": 1}
    assert [each.held for each in receivers] == [None, None]


class Wavering(Thinker):
    """Thinks about the first question, and knows the answer to the next at once."""

    def may_receive(self, principal: Principal, topic: str) -> Decision:
        self.asked.append((principal.name, "receive", topic))
        return Pending(lambda hear: None) if len(self.asked) == 1 else ALLOWED


def test_a_member_about_whom_is_decided_after_all_is_given_the_message() -> None:
    board = Switchboard()
    board.routing = Routing(
        Permissions(Wavering(), LIMITS, board.timers.time, board.timers.later), LIMITS, board.deliver
    )
    board.session("a", "$share/g/x")
    board.publish("x")
    assert board.names() == ["a"]


@pytest.mark.parametrize("member_count", [1, 3])
def test_no_more_members_are_asked_than_needed(member_count: int) -> None:
    board = Switchboard()
    for number in range(member_count):
        board.session(str(number), "$share/g/x", allowed="x")
    for number in range(4):
        board.publish("x")
        assert len(board.thinker.asked) == number + 1


class TestReply:
    """Answers that reach the client that waits for them, whatever it has subscribed to."""

    ANSWER = Message(1, "", "", "answers/1", b"secret", 1, False, 1_000)

    @pytest.mark.parametrize(
        "filters",
        [(), (("answers/1", 1),), (("answers/+", 1), ("#", 2)), (("other", 1),), (("$share/g/answers/1", 1),)],
    )
    async def test_it_comes_once_to_who_asked_and_to_nobody_else(
        self, house: House, filters: tuple[tuple[str, int], ...]
    ) -> None:
        asker, listener = await house.client("asker"), await house.client("listener")
        assert await listener.subscribe(("answers/+", 1)) == (1,)
        if filters:
            await asker.subscribe(*filters)
        publication = house.broker.reply(self.ANSWER, "asker")
        assert publication is not None
        assert publication.is_taken
        assert await asker.receive() == Publish("answers/1", b"secret", 1, packet_id=1)
        await asker.send(Puback(1))
        for wire in (asker, listener):
            await wire.ping()
        assert house.broker.reply(self.ANSWER, "nobody") is None

    async def test_the_terms_of_its_own_subscription_hold(self, house: House) -> None:
        asker = await house.client("asker")
        assert await asker.subscribe(("answers/#", 0)) == (0,)
        house.broker.reply(self.ANSWER, "asker")
        assert await asker.receive() == Publish("answers/1", b"secret", 0)

    async def test_it_waits_for_a_session_that_is_kept(self) -> None:
        async with staged() as stage:
            line = await stage.kept("c")
            line.vanish()
            stage.broker.reply(stage.say("answers/1", b"1", 1), "c")
            stage.broker.reply(stage.say("answers/1", b"2", 1), "c")
            await turn()
            store = FakeStore()
            for each in stage.owner.turns:
                store.commit(each)
        async with staged(store=store) as stage:
            _, connack, packets = await stage.line_back("c")
            assert connack.session_present
            assert payloads(packets) == [b"1", b"2"]

    async def test_it_is_kept_from_who_may_not_receive_it(self, house: House) -> None:
        house.authorizer.unreceivable_topics.add("answers/1")
        asker = await house.client("asker")
        publication = house.broker.reply(self.ANSWER, "asker")
        assert publication is not None
        assert not publication.is_taken
        await asker.ping()
