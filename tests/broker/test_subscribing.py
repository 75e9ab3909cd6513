"""SUBSCRIBE and UNSUBSCRIBE: what is granted, what waits for the disk, and what a new subscription is given."""

from collections.abc import Callable

import pytest

from broker.limits import Limits
from broker.packets import (
    NO_PROPERTIES,
    V4,
    V5,
    Disconnect,
    Pingreq,
    Pingresp,
    Properties,
    Publish,
    Suback,
    Subscribe,
    Subscription,
    Unsuback,
    Unsubscribe,
)
from broker.ports import ALLOWED, Allowed, Connected, Denied, Pending, Principal, Subscribed
from broker.reason_codes import ReasonCode
from broker.subscribing import REPLAYED_PER_TURN
from tests.broker.house import serving
from tests.broker.stage import payloads, staged

INVALID = ["a/#/b", "a+", "+a", "/".join(["+"] * 200), "$share/g", "$share//t", "$share/g+/t", "x" * 2_000]


def asks(packet_id: int, *filters: str | Subscription, qos: int = 2) -> Subscribe:
    wanted = tuple(each if isinstance(each, Subscription) else Subscription(each, qos) for each in filters)
    return Subscribe(packet_id, wanted)


class TestFilters:
    @pytest.mark.parametrize("topic_filter", INVALID)
    async def test_one_that_is_none_ends_a_connection_of_3_1_1(self, topic_filter: str) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            assert await line.send(asks(1, "ok", topic_filter)) == []
            assert [each.kind for each in stage.owner.refused] == ["topic_filter_invalid"]

    @pytest.mark.parametrize("topic_filter", INVALID)
    async def test_one_that_is_none_is_told_to_a_client_of_mqtt_5(self, topic_filter: str) -> None:
        async with staged() as stage:
            line = await stage.line("c", level=V5)
            answer = await line.send(asks(1, topic_filter, "ok"))
            [suback] = answer
            assert isinstance(suback, Suback)
            assert (suback.codes, bool(suback.properties.reason_string)) == ((ReasonCode.TOPIC_FILTER_INVALID, 2), True)
            assert [each.kind for each in stage.owner.refused] == ["subscribe_topic_filter_invalid"]

    async def test_one_that_is_none_cannot_be_given_up_in_3_1_1_either(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            await line.send(Unsubscribe(1, ("a/#/b",)))
            assert [each.kind for each in stage.owner.refused] == ["topic_filter_invalid"]

    async def test_a_shared_subscription_cannot_be_deaf_to_its_own(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", level=V5)
            (farewell,) = await line.send(asks(1, Subscription("$share/g/t", 0, no_local=True)))
            assert isinstance(farewell, Disconnect)
            assert farewell.code == ReasonCode.PROTOCOL_ERROR


class TestRights:
    @pytest.mark.parametrize(("level", "code"), [(V4, 0x80), (V5, ReasonCode.NOT_AUTHORIZED)])
    async def test_a_filter_without_the_right_fails_alone(self, level: int, code: int) -> None:
        async with staged() as stage:
            stage.authorizer.denied_filters.add("#")
            line = await stage.line("c", level=level)
            assert await line.subscribe("#", "a") == (code, 2)
            stage.broker.publish(stage.say("b"))
            assert await line.heard() == []
            (refused,) = stage.owner.refused
            assert (refused.kind, refused.reason) == ("subscribe_not_authorized", "#: no right to subscribe to #")

    @pytest.mark.parametrize("wants_none", [False, True])
    async def test_a_client_of_5_is_told_why_of_each_filter_that_was_refused(self, *, wants_none: bool) -> None:
        async with staged() as stage:
            stage.authorizer.denied_filters |= {"no", "nor"}
            wishes = Properties(request_problem_information=0) if wants_none else NO_PROPERTIES
            line = await stage.line("c", level=V5, properties=wishes)
            (answer,) = await line.send(asks(1, "no", "a", "nor"))
            assert isinstance(answer, Suback)
            told = None if wants_none else "no right to subscribe to no; no right to subscribe to nor"
            assert (answer.codes, answer.properties.reason_string) == ((0x87, 2, 0x87), told)
            (answer,) = await line.send(asks(2, "b"))
            assert isinstance(answer, Suback)
            assert answer.properties.reason_string is None

    async def test_a_shared_subscription_needs_the_right_to_its_filter(self) -> None:
        async with staged() as stage:
            stage.authorizer.denied_filters.add("secret/#")
            line = await stage.line("c")
            assert await line.subscribe("$share/g/secret/#") == (0x80,)

    async def test_an_authoriser_that_fails_grants_nothing(self) -> None:
        async with staged() as stage:

            def fail(*_: object) -> Denied:
                raise RuntimeError("the rules cannot be read")

            stage.authorizer.may_subscribe = fail  # type: ignore[method-assign,assignment]  # a fake
            line = await stage.line("c", level=V5)
            assert await line.subscribe("t") == (ReasonCode.NOT_AUTHORIZED,)

    async def test_an_authoriser_that_thinks_is_asked_about_all_filters_at_once(self) -> None:
        async with staged() as stage:
            tell: list[Callable[[Principal | Allowed | Denied], None]] = []
            stage.authorizer.may_subscribe = lambda *_: Pending(tell.append)  # type: ignore[method-assign]  # a fake
            line = await stage.line("c", level=V5)
            assert await line.send(asks(1, "a", "b", "c")) == []
            assert len(tell) == 3
            answers: tuple[Allowed | Denied, ...] = (ALLOWED, Denied("not this one"), ALLOWED)
            for answer, hear in zip(answers, tell, strict=True):
                hear(answer)
            why = Properties(reason_string="not this one")
            assert await line.heard() == [Suback(1, (2, ReasonCode.NOT_AUTHORIZED, 2), why)]


class TestBounds:
    async def test_subscriptions_are_counted_within_a_packet_too(self) -> None:
        async with staged(Limits(subscriptions=3)) as stage:
            line = await stage.line("c", level=V5)
            assert await line.subscribe("a", "b") == (2, 2)
            assert await line.subscribe("b", "c", "d") == (2, 2, ReasonCode.QUOTA_EXCEEDED)
            assert await line.subscribe("c") == (2,)
            await line.send(Unsubscribe(1, ("a",)))
            assert await line.subscribe("d") == (2,)

    async def test_filters_in_one_packet_are_bounded(self) -> None:
        async with staged(Limits(filters_per_subscribe=3)) as stage:
            line = await stage.line("c")
            await line.send(asks(1, "a", "b", "c", "d"))
            assert [each.kind for each in stage.owner.refused] == ["quota_exceeded"]


class TestCommit:
    """What a session on disk was told must be there after a power cut."""

    async def test_suback_of_a_stored_session_waits_also_when_it_was_granted_before(self) -> None:
        async with staged() as stage:
            line = await stage.kept("c")
            stage.owner.holds_back = True
            assert await line.send(asks(1, "t")) == []
            assert await line.send(asks(2, "t")) == []
            assert stage.owner.held_count == 2
            stage.owner.release(1)
            assert await line.heard() == [Suback(1, (2,))]
            stage.owner.release()
            assert await line.heard() == [Suback(2, (2,))]

    async def test_unsuback_of_a_stored_session_waits_also_when_it_was_ended_before(self) -> None:
        async with staged() as stage:
            line = await stage.kept("c", "t")
            stage.owner.holds_back = True
            assert await line.send(Unsubscribe(1, ("t",))) == []
            assert await line.send(Unsubscribe(2, ("t",))) == []
            stage.owner.release()
            assert await line.heard() == [Unsuback(1, (0,)), Unsuback(2, (ReasonCode.NO_SUBSCRIPTION_EXISTED,))]

    async def test_those_of_a_session_that_is_not_stored_do_not_wait(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            stage.owner.holds_back = True
            assert await line.send(asks(1, "t"), Unsubscribe(2, ("t",))) == [Suback(1, (2,)), Unsuback(2)]

    async def test_a_refusal_changes_nothing_and_does_not_wait(self) -> None:
        async with staged() as stage:
            stage.authorizer.denied_filters.add("t")
            line = await stage.kept("c")
            stage.owner.holds_back = True
            assert await line.subscribe("t") == (ReasonCode.NOT_AUTHORIZED,)

    async def test_what_a_subscription_matches_comes_from_the_turn_on_in_which_it_was_taken(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            await line.send(asks(1, "t"))
            stage.broker.publish(stage.say("t", b"1"))
            assert payloads(await line.heard()) == [b"1"]
            assert await line.send(Unsubscribe(2, ("t",))) == [Unsuback(2)]
            stage.broker.publish(stage.say("t", b"2"))
            assert await line.heard() == []


class TestRetained:
    async def retaining(self, *requests: Subscription | str, level: int = V5) -> list[list[bytes]]:
        """What each of these requests is given, one after the other."""
        async with staged() as stage:
            for topic in ("r/1", "r/2"):
                stage.broker.publish(stage.say(topic, topic.encode(), 1, retain=True))
            line = await stage.line("c", level=level)
            given = []
            for request in requests:
                packets = await line.send(asks(1, request, qos=0))
                assert all(each.retain for each in packets if isinstance(each, Publish))
                given.append(sorted(payloads(packets)))
            return given

    async def test_it_is_given_to_each_subscription_by_default(self) -> None:
        assert await self.retaining("r/#", "r/#", "r/1") == [[b"r/1", b"r/2"], [b"r/1", b"r/2"], [b"r/1"]]

    async def test_handling_1_gives_it_to_those_that_are_new(self) -> None:
        wanted = Subscription("r/1", 0, retain_handling=1)
        assert await self.retaining(wanted, wanted) == [[b"r/1"], []]

    async def test_handling_2_gives_none(self) -> None:
        assert await self.retaining(Subscription("r/1", 0, retain_handling=2)) == [[]]

    async def test_shared_subscriptions_are_given_none(self) -> None:
        assert await self.retaining("$share/g/r/#") == [[]]

    async def test_nobody_is_given_what_they_may_not_receive(self) -> None:
        async with staged() as stage:
            stage.broker.publish(stage.say("r/1", b"1", 1, retain=True))
            stage.broker.publish(stage.say("r/secret", b"2", 1, retain=True))
            stage.authorizer.unreceivable_topics.add("r/secret")
            line = await stage.line("c")
            assert payloads(await line.send(asks(1, "r/#"))) == [b"1"]


class TestReview:
    async def test_a_subscription_that_is_allowed_no_more_ends_and_the_owner_hears_of_it(self) -> None:
        async with staged() as stage:
            line, away = await stage.kept("c", "a", "b"), await stage.kept("away", "a", "$share/g/a")
            away.vanish()
            stage.authorizer.denied_filters.add("a")
            await stage.broker.review(1)
            assert [list(each.subscriptions) for each in stage.broker.sessions(1)] == [["b"], []]
            assert [(each.client_id, each.kind) for each in stage.owner.refused] == [("c", "subscription_ended")]
            stage.broker.publish(stage.say("a"))
            stage.broker.publish(stage.say("b"))
            assert [each.topic for each in await line.heard() if isinstance(each, Publish)] == ["b"]
            gone = {key for key, value in stage.owner.kept.items() if type(value).__name__ == "SubscriptionGone"}
            assert {name for _, _, name in gone} == {"a", "$share/g/a"}

    async def test_it_concerns_those_it_is_about(self) -> None:
        async with staged() as stage:
            one, two = await stage.kept("one", "a"), await stage.kept("two", "a")
            stage.authorizer.denied_filters.add("a")
            await stage.broker.review(1, "one")
            stage.broker.publish(stage.say("a"))
            assert [payloads(await line.heard()) for line in (one, two)] == [[], [b"x"]]


class TestGrants:
    """What is subscribed for a client by someone else."""

    async def test_it_is_as_though_the_client_had_asked_connected_or_not(self) -> None:
        async with staged() as stage:
            stage.broker.publish(stage.say("t", b"kept", 1, retain=True))
            here, away = await stage.kept("here"), await stage.kept("away")
            away.vanish()
            for client_id in ("here", "away"):
                assert stage.broker.grant(1, client_id, Subscription("t", 1))
            assert payloads(await here.heard()) == [b"kept"]
            stage.broker.publish(stage.say("t", b"new", 1))
            assert payloads(await here.heard()) == [b"new"]
            kept = [key for key, value in stage.owner.kept.items() if type(value).__name__ == "SubscriptionKept"]
            assert len(kept) == 2

    async def test_what_it_has_already_changes_nothing_but_the_options(self) -> None:
        async with staged(Limits(subscriptions=1)) as stage:
            line = await stage.kept("c", "t")
            assert stage.broker.grant(1, "c", Subscription("t", 0))
            stage.broker.publish(stage.say("t", b"1", 1))
            (packet,) = await line.heard()
            assert isinstance(packet, Publish)
            assert packet.qos == 0

    async def test_what_it_may_not_or_cannot_have_is_not_granted(self) -> None:
        async with staged(Limits(subscriptions=1)) as stage:
            await stage.kept("full", "t")
            await stage.kept("c")
            stage.authorizer.denied_filters.add("secret")
            for wanted in ("secret", "$share/g/secret", "a/#/b"):
                assert not stage.broker.grant(1, "c", Subscription(wanted, 1))
            assert not stage.broker.grant(1, "c", Subscription("$share/g/t", 1, no_local=True))
            assert not stage.broker.grant(1, "full", Subscription("u", 1))
            assert not stage.broker.grant(1, "nobody", Subscription("t", 1))
            assert not stage.broker.grant(2, "c", Subscription("t", 1))
            assert [list(each.subscriptions) for each in stage.broker.sessions(1)] == [["t"], []]

    @pytest.mark.parametrize(("answer", "has_it"), [(ALLOWED, True), (Denied("on reflection, no"), False)])
    async def test_an_authoriser_that_thinks_is_waited_for(self, answer: Allowed | Denied, has_it: bool) -> None:
        async with staged() as stage:
            tell: list[Callable[[Principal | Allowed | Denied], None]] = []
            stage.authorizer.may_subscribe = lambda *_: Pending(tell.append)  # type: ignore[method-assign]  # a fake
            await stage.kept("c")
            assert stage.broker.grant(1, "c", Subscription("t", 1))
            (session,) = stage.broker.sessions(1)
            assert not session.subscriptions
            tell[0](answer)
            assert list(session.subscriptions) == (["t"] if has_it else [])
            assert stage.broker.publish(stage.say("t", b"", 1)).is_taken == has_it

    async def test_a_session_that_ended_while_the_authoriser_thought_is_granted_nothing(self) -> None:
        async with staged() as stage:
            tell: list[Callable[[Principal | Allowed | Denied], None]] = []
            stage.authorizer.may_subscribe = lambda *_: Pending(tell.append)  # type: ignore[method-assign]  # a fake
            await stage.kept("c")
            assert stage.broker.grant(1, "c", Subscription("t", 1))
            await stage.line("c")
            tell[0](ALLOWED)
            assert not stage.broker.publish(stage.say("t", b"", 1)).is_taken


async def test_thousands_of_retained_messages_leave_turns_to_others() -> None:
    async with staged() as stage:
        count = 9 * REPLAYED_PER_TURN + 7
        for number in range(count):
            stage.broker.publish(stage.say(f"kept/{number}", retain=True))
        line, other = await stage.line("c"), await stage.line("other")
        told = await line.send(Subscribe(1, (Subscription("kept/#", 0),)), Pingreq())
        assert not any(isinstance(packet, Pingresp) for packet in told), "it is not over within one turn"
        assert await other.send(Pingreq()) == [Pingresp()]
        while not any(isinstance(packet, Pingresp) for packet in told):
            told += await line.heard()
        kept = [packet for packet in told if isinstance(packet, Publish)]
        assert len({packet.topic for packet in kept}) == len(kept) == count
        assert told[-1] == Pingresp(), "what came after SUBSCRIBE is taken after it"


async def test_what_a_client_subscribes_to_and_gives_up_is_told_by_packet() -> None:
    heard: list[Subscribed] = []
    async with serving() as house:
        house.broker.desk.heard = heard.append
        house.authorizer.denied_filters.add("no")
        wire = await house.client("c")
        await wire.subscribe(("a", 0), ("no", 0), ("b/#", 1))
        await wire.subscribe(("no", 0))
        await wire.send(Unsubscribe(1, ("a", "never")))
        await wire.expect(Unsuback)
        [connected] = [event for event in house.owner.events if isinstance(event, Connected)]
    assert [(each.topic_filters, each.is_over) for each in heard] == [(("a", "b/#"), False), (("a",), True)]
    assert {each.connection for each in heard} == {connected.connection}
