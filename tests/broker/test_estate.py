"""Wills and retained messages: published and shown when their publishers may, however long it takes to say so."""

import asyncio
from collections.abc import Callable

import pytest

from broker.estate import Answers
from broker.limits import Limits
from broker.message import Message
from broker.packets import V5, Disconnect, Pingreq, Pingresp, Properties, Publish, Suback, Subscribe, Subscription, Will
from broker.ports import ALLOWED, Allowed, Decision, Denied, Pending, Principal, Refused
from broker.subscribing import REPLAYED_PER_TURN
from tests.broker.house import serving
from tests.broker.stage import QUIET, Stage, kinds, payloads, staged, turn

WILL = Will("gone", b"words", 1, retain=False)
RETAINED_WILL = Will("gone", b"words", 1, retain=True)
DENIED = Denied("it may not say so")
NO_PLACE = Denied("too many questions", is_judgement=False)


class Thinking:
    """What an authoriser thinks about who may publish what."""

    def __init__(self, stage: Stage, answer: Denied | None = None) -> None:
        self.open: list[tuple[str, Callable[[Allowed | Denied | Principal], None]]] = []
        self.answer = answer
        stage.authorizer.may_publish = self.may_publish  # type: ignore[method-assign]  # a fake

    def may_publish(self, principal: Principal, topic: str) -> Decision:
        if self.answer is not None:
            return self.answer
        return Pending(lambda hear: self.open.append((topic, hear)))

    def say(self, answer: Allowed | Denied, topic: str | None = None) -> None:
        said = [each for each in self.open if topic in (None, each[0])]
        self.open = [each for each in self.open if each not in said]
        for _, hear in said:
            hear(answer)


def said(stage: Stage) -> list[Message]:
    return stage.owner.messages


class TestWills:
    @pytest.mark.parametrize("is_kept", [False, True])
    async def test_one_that_takes_time_to_judge_is_published_with_the_answer(self, is_kept: bool) -> None:
        async with staged() as stage:
            properties = Properties(session_expiry_s=100) if is_kept else Properties()
            line = await stage.line("c", will=RETAINED_WILL, level=V5, properties=properties)
            other = await stage.line("other")
            await other.subscribe("gone")
            thinking = Thinking(stage)
            line.vanish()
            stage.now += 2_000
            await turn()
            assert said(stage) == []
            thinking.say(ALLOWED)
            assert payloads(await other.heard()) == [b"words"]
            [message] = said(stage)
            assert (message.topic, message.principal, message.arrived_at) == ("gone", "c", stage.now - 2_000)
            assert [each.payload for each in stage.broker.retained(1, "#")] == [b"words"]

    @pytest.mark.parametrize("answer", [DENIED, NO_PLACE])
    async def test_one_that_is_denied_after_all_is_not(self, answer: Denied) -> None:
        async with staged() as stage:
            line = await stage.line("c", will=WILL)
            thinking = Thinking(stage)
            line.vanish()
            thinking.say(answer)
            await turn()
            assert said(stage) == []

    @pytest.mark.parametrize("takes_time", [False, True])
    async def test_one_that_is_denied_is_counted_and_noted_for_its_client(self, takes_time: bool) -> None:
        async with staged() as stage:
            line = await stage.line("c", will=WILL)
            thinking = Thinking(stage, None if takes_time else DENIED)
            line.vanish()
            thinking.say(DENIED)
            await turn()
            assert stage.broker.refusals == {"will_denied": 1}
            assert stage.owner.refused == [
                Refused(1, "c", "c", "", "will_denied", "gone: it may not say so", stage.now),
            ]

    async def test_one_that_may_not_be_retained_any_more_is_counted_and_noted(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", will=RETAINED_WILL)
            stage.authorizer.unretainable_topics.add("gone")
            line.vanish()
            await turn()
            assert [(each.kind, each.reason) for each in stage.owner.refused] == [
                ("will_denied", "gone: no right to retain at gone")
            ]

    async def test_thinking_too_long_is_a_denial(self) -> None:
        async with staged(Limits(sweep_interval_s=0.01, decision_timeout_s=0.01)) as stage:
            line = await stage.line("c", will=WILL)
            thinking = Thinking(stage)
            line.vanish()
            [(_, hear)] = thinking.open
            while stage.broker.exchange.estate.waiting_count:
                await turn()
            hear(ALLOWED)
            await turn()
            assert said(stage) == []

    async def test_whoever_may_not_retain_it_by_then_leaves_none(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", will=RETAINED_WILL)
            thinking = Thinking(stage)
            line.vanish()
            stage.authorizer.unretainable_topics.add("gone")
            thinking.say(ALLOWED)
            await turn()
            assert said(stage) == []

    async def test_one_of_a_client_that_was_retired_meanwhile_is_not_published(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", will=WILL)
            thinking = Thinking(stage)
            line.vanish()
            stage.broker.forget(1, "c")
            thinking.answer = DENIED
            thinking.say(ALLOWED)
            await turn()
            assert said(stage) == []

    async def test_one_that_was_put_off_outlasts_a_review_that_takes_time_and_is_judged_when_it_is_due(self) -> None:
        async with staged() as stage:
            will = Will("gone", b"late", 1, retain=False, properties=Properties(will_delay_s=10))
            line = await stage.line("c", will=will, level=V5, properties=Properties(session_expiry_s=100))
            line.vanish()
            thinking = Thinking(stage)
            await stage.broker.review(1)
            stage.now += 10_000
            while not thinking.open:
                await turn()
            thinking.say(ALLOWED)
            await turn()
            assert [message.payload for message in said(stage)] == [b"late"]

    async def test_so_many_wait_and_others_are_not_held_up(self) -> None:
        async with staged(Limits(sweep_interval_s=0.01, queue_messages=2)) as stage:
            lines = [await stage.line(f"c{number}", will=WILL) for number in range(3)]
            quick = await stage.line("quick", will=WILL)
            at_once = stage.authorizer.may_publish
            thinking = Thinking(stage)
            for line in lines:
                line.vanish()
            stage.authorizer.may_publish = at_once  # type: ignore[method-assign]  # a fake
            quick.vanish()
            await turn()
            assert [message.client_id for message in said(stage)] == ["quick"]
            thinking.say(ALLOWED)
            await turn()
            assert [message.client_id for message in said(stage)] == ["quick", "c0", "c1"]
            assert [(each.client_id, each.kind) for each in stage.owner.refused] == [("c2", "will_denied")]
            assert stage.broker.refusals == {"will_denied": 1}


class TestRetained:
    async def test_one_that_waits_for_an_answer_is_kept_when_it_is_allowed(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            thinking = Thinking(stage)
            await line.send(Publish("t", b"x", retain=True))
            assert list(stage.broker.retained(1, "#")) == []
            thinking.say(ALLOWED)
            assert [each.payload for each in stage.broker.retained(1, "#")] == [b"x"]

    async def test_those_that_take_time_to_judge_are_shown_with_the_answer_and_the_client_is_heard_after(self) -> None:
        async with staged() as stage:
            await retain(stage, "a", "b", "c")
            line, thinking = await stage.line("reader"), Thinking(stage)
            packets = await line.send(Subscribe(1, (Subscription("#", 0),)), Pingreq())
            assert kinds(packets) == [Suback]
            thinking.say(DENIED, "b")
            thinking.say(ALLOWED, "a")
            assert payloads(await line.heard()) == [b"a"]
            thinking.say(ALLOWED)
            assert kinds(await line.heard()) == [Publish, Pingresp]

    async def test_of_many_so_many_are_asked_about_at_once(self) -> None:
        async with staged() as stage:
            topics = [f"t{number:03}" for number in range(2 * REPLAYED_PER_TURN + 10)]
            await retain(stage, *topics)
            line, thinking = await stage.line("reader"), Thinking(stage)
            await line.subscribe("#", qos=0)
            heard: list[bytes] = []
            while thinking.open:
                assert len(thinking.open) <= REPLAYED_PER_TURN
                thinking.say(ALLOWED)
                heard += payloads(await line.heard())
            assert sorted(heard) == sorted(topic.encode() for topic in topics)

    async def test_one_that_was_replaced_or_given_up_or_has_expired_meanwhile_is_not_shown(self) -> None:
        async with staged() as stage:
            await retain(stage, "old", "brief", expiry_s=5)
            line, thinking = await stage.line("reader"), Thinking(stage)
            for topic_filter in ("old", "brief"):
                await line.send(Subscribe(1, (Subscription(topic_filter, 0),)))
            [session] = stage.broker.sessions(1, "reader")
            stage.broker.publish(stage.say("unwanted", b"x", retain=True))
            stage.broker.publish(stage.say("old", b"new", retain=True))
            stage.now += 6_000
            thinking.say(ALLOWED)
            await turn()
            thinking.say(ALLOWED)
            assert payloads(await line.heard()) == [b"new"]
            await line.send(Subscribe(1, (Subscription("unwanted", 0),)))
            stage.broker.exchange.discard(session)
            thinking.say(ALLOWED)
            assert payloads(await line.heard()) == []

    @pytest.mark.parametrize("answer", [DENIED, NO_PLACE])
    async def test_one_that_nobody_could_be_asked_about_counts_as_not_received(self, answer: Denied) -> None:
        async with staged() as stage:
            await retain(stage, "t")
            line, thinking = await stage.line("reader"), Thinking(stage)
            await line.subscribe("t", qos=0)
            [session] = stage.broker.sessions(1, "reader")
            thinking.say(answer)
            await turn()
            assert session.dropped_count == (0 if answer.is_judgement else 1)

    async def test_a_client_without_a_connection_gets_what_was_granted_for_it_with_the_answer(self) -> None:
        async with staged() as stage:
            await retain(stage, "t")
            (await stage.kept("c")).vanish()
            thinking = Thinking(stage)
            assert stage.broker.grant(1, "c", Subscription("t", 1))
            thinking.say(ALLOWED)
            _, packets = await stage.back("c")
            assert payloads(packets) == [b"t"]


async def retain(stage: Stage, *topics: str, expiry_s: int | None = None) -> None:
    """Have a device leave a retained message at each topic, which is its own name."""
    properties = Properties(message_expiry_s=expiry_s)
    line = await stage.line("writer", level=V5)
    for topic in topics:
        await line.send(Publish(topic, topic.encode(), 1, retain=True, packet_id=1, properties=properties))
    line.vanish()
    await turn()


def test_what_goes_on_after_the_last_answer_is_called_once() -> None:
    answers, calls = Answers(), list[int]()
    answers.open_count += 2
    answers.then(lambda: calls.append(1))
    answers.heard()
    assert calls == []
    answers.heard()
    assert calls == [1]


async def test_a_route_is_not_remembered_without_those_who_could_not_be_asked_about() -> None:
    async with staged(QUIET) as stage:
        line = await stage.line("c")
        await line.subscribe("t", qos=0)
        at_once = stage.authorizer.may_receive
        stage.authorizer.may_receive = lambda *_: NO_PLACE  # type: ignore[method-assign]  # a fake
        stage.broker.publish(stage.say("t", b"1"))
        stage.authorizer.may_receive = at_once  # type: ignore[method-assign]  # a fake
        stage.broker.publish(stage.say("t", b"2"))
        assert payloads(await line.heard()) == [b"2"]


@pytest.mark.parametrize("is_told", [False, True])
async def test_a_retained_message_that_waits_for_an_answer_is_kept_though_its_client_is_gone(is_told: bool) -> None:
    """Many a client publishes one message and leaves."""
    async with serving() as house:
        wire = await house.client("c")
        asked: asyncio.Future[Callable[[Allowed | Denied | Principal], None]] = asyncio.Future()
        house.authorizer.may_publish = lambda *_: Pending(asked.set_result)  # type: ignore[method-assign]  # a fake
        await wire.send(Publish("t", b"x", retain=True), *([Disconnect()] if is_told else []))
        tell = await asked
        wire.abort()
        await house.client("witness")
        tell(ALLOWED)
        assert [each.payload for each in house.broker.retained(1, "#")] == [b"x"]
