"""What a client publishes: acknowledged when its policy says so, in order, taken once at QoS 2, counted."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.limits import Limits
from broker.message import Message
from broker.packets import (
    V4,
    V5,
    Disconnect,
    Packet,
    Properties,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
)
from broker.ports import Denied
from broker.reason_codes import ReasonCode
from tests.broker.stage import Stage, kinds, staged

UNKNOWN = ReasonCode.PACKET_IDENTIFIER_NOT_FOUND


def one(packet_id: int, topic: str = "t", qos: int = 1, *, duplicate: bool = False) -> Publish:
    return Publish(topic, b"x", qos, duplicate=duplicate, packet_id=packet_id)


class TestAcknowledgement:
    async def test_it_waits_for_the_commit_and_comes_in_the_order_of_the_messages(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            stage.owner.holds_back = True
            assert await line.send(one(5), one(3, qos=2), one(9)) == []
            stage.owner.release()
            assert await line.heard() == [Puback(5), Pubrec(3), Puback(9)]

    async def test_messages_of_one_turn_are_one_turn_of_the_owner(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            await line.send(*[Publish("t", b"x")] * 50)
            assert [len(each.messages) for each in stage.owner.turns if each.messages] == [50]

    async def test_it_is_lost_with_the_connection_that_waited_for_it(self) -> None:
        async with staged() as stage:
            old = await stage.kept("c", level=V4)
            stage.owner.holds_back = True
            await old.send(one(5))
            new = await stage.kept("c", level=V4)
            stage.owner.release()
            assert await new.heard() == []
            assert await new.send(one(5, duplicate=True)) == []
            stage.owner.release()
            assert await new.heard() == [Puback(5)]

    async def test_the_owner_hears_what_was_sent_before_and_under_which_identifier(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", level=V4)
            for sent in (one(258), one(259), one(259, duplicate=True), one(7, qos=2), one(0, qos=0)):
                await line.send(sent)
            told = [(each.packet_identifier, each.is_redelivery) for each in stage.owner.messages]
            assert told == [(b"\1\2", False), (b"\1\3", False), (b"\1\3", True), (b"\0\7", False), (b"", False)]

    async def test_what_is_acknowledged_now_does_not_wait(self) -> None:
        async with staged() as stage:
            stage.broker.exchange.now_filters = ("quick/#",)
            stage.owner.holds_back = True
            line = await stage.line("c")
            assert await line.send(one(1, "quick/a"), one(2, "quick")) == [Puback(1), Puback(2)]
            assert await line.send(one(3, "slow")) == []

    async def test_qos_2_waits_whatever_is_said_of_its_topic(self) -> None:
        async with staged() as stage:
            stage.broker.exchange.now_filters = ("quick/#",)
            stage.owner.holds_back = True
            line = await stage.line("c")
            assert await line.send(one(1, "quick/a"), one(2, "quick/b", qos=2)) == [Puback(1)]
            assert await line.send(one(3, "quick/a")) == [], "it must not overtake"
            stage.owner.release()
            assert await line.heard() == [Pubrec(2), Puback(3)]

    @given(topics=st.lists(st.lists(st.sampled_from(["quick", "durable"]), min_size=1, max_size=4), max_size=6))
    async def test_whatever_is_mixed_the_order_of_the_messages_is_that_of_the_answers(
        self, topics: list[list[str]]
    ) -> None:
        async with staged() as stage:
            stage.broker.exchange.now_filters = ("quick",)
            stage.owner.holds_back = True
            line = await stage.line("c")
            answers: list[Packet] = []
            number = 0
            for read in topics:
                packets = [one(number + place, topic) for place, topic in enumerate(read, 1)]
                number += len(read)
                before = len(stage.owner.turns)
                answers += await line.send(*packets)
                if number % 3 == 0 and len(stage.owner.turns) > before:
                    stage.owner.release(1)
                    answers += await line.heard()
            stage.owner.release()
            answers += await line.heard()
            assert answers == [Puback(each) for each in range(1, number + 1)]

    async def test_a_client_of_mqtt_5_learns_that_nobody_wanted_it_where_the_owner_does_not(self) -> None:
        async with staged() as stage:
            stage.broker.exchange.owner_is_subscriber = False
            line, old = await stage.line("c", level=V5), await stage.line("old")
            assert await line.send(one(1)) == [Puback(1, ReasonCode.NO_MATCHING_SUBSCRIBERS)]
            assert await old.send(one(1)) == [Puback(1)]


class TestRetaining:
    async def test_a_message_may_be_published_and_yet_not_retained(self) -> None:
        async with staged() as stage:
            stage.authorizer.unretainable_topics.add("t")
            line = await stage.line("c", level=V5)
            [refused] = await line.send(Publish("t", b"x", 1, retain=True, packet_id=1))
            assert isinstance(refused, Puback)
            assert refused.code == ReasonCode.NOT_AUTHORIZED
            # The right to the topic is remembered by now, and does not stand for the other one.
            [taken] = await line.send(one(2))
            assert isinstance(taken, Puback)
            assert taken.code < 0x80
            [again] = await line.send(Publish("t", b"x", 1, retain=True, packet_id=3))
            assert isinstance(again, Puback)
            assert again.code == ReasonCode.NOT_AUTHORIZED
            assert len(stage.owner.messages) == 1

    async def test_a_client_of_3_1_1_is_disconnected_for_it(self) -> None:
        async with staged() as stage:
            stage.authorizer.unretainable_topics.add("t")
            line = await stage.line("c")
            assert await line.send(Publish("t", b"x", 1, retain=True, packet_id=1)) == []
            assert stage.owner.messages == []


class TestExactlyOnce:
    async def test_a_message_is_taken_once_however_often_it_is_sent_until_pubrel(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            assert await line.send(one(1, qos=2), one(1, qos=2, duplicate=True)) == [Pubrec(1), Pubrec(1)]
            assert len(stage.owner.messages) == 1
            assert await line.send(Pubrel(1)) == [Pubcomp(1)]
            await line.send(one(1, qos=2))
            assert len(stage.owner.messages) == 2

    @pytest.mark.parametrize(("level", "code"), [(V4, 0), (V5, UNKNOWN)])
    async def test_pubrel_for_nothing_is_answered_all_the_same(self, level: int, code: int) -> None:
        async with staged() as stage:
            line = await stage.line("c", level=level)
            assert await line.send(Pubrel(7)) == [Pubcomp(7, code)]

    async def test_pubcomp_of_a_stored_session_waits_for_the_commit_also_when_asked_again(self) -> None:
        """Were the identifier used anew and the power cut, its next message would be taken for the one before."""
        async with staged() as stage:
            line = await stage.kept("c")
            await line.send(one(1, qos=2))
            stage.owner.holds_back = True
            assert await line.send(Pubrel(1)) == []
            line = await stage.kept("c")
            assert await line.send(Pubrel(1)) == []
            stage.owner.release()
            assert await line.heard() == [Pubcomp(1, UNKNOWN)]

    async def test_pubcomp_of_a_session_that_is_not_stored_does_not_wait(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            await line.send(one(1, qos=2))
            stage.owner.holds_back = True
            assert await line.send(Pubrel(1)) == [Pubcomp(1)]

    async def test_pubcomp_does_not_overtake_the_pubrec_of_a_client_that_did_not_wait_for_it(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            assert await line.send(one(1, qos=2), Pubrel(1)) == [Pubrec(1), Pubcomp(1)]
            stage.owner.holds_back = True
            assert await line.send(one(2, qos=2)) == []
            assert await line.send(Pubrel(2)) == []
            stage.owner.release()
            assert await line.heard() == [Pubrec(2), Pubcomp(2)]

    @pytest.mark.parametrize("level", [V4, V5])
    async def test_what_was_taken_is_answered_so_also_when_it_is_allowed_no_more(self, level: int) -> None:
        async with staged() as stage:
            line = await stage.line("c", level=level)
            assert await line.send(one(1, qos=2)) == [Pubrec(1)]
            stage.authorizer.denied_topics.add("t")
            await stage.broker.review(1)
            assert await line.send(one(1, qos=2, duplicate=True)) == [Pubrec(1)]
            assert await line.send(Pubrel(1)) == [Pubcomp(1)]
            assert await line.send(one(1, "other", qos=2)) == [Pubrec(1)]
            assert [each.topic for each in stage.owner.messages] == ["t", "other"]


class TestReceiveMaximum:
    LIMITS = Limits(receive_maximum=3)

    @pytest.mark.parametrize("qos", [[1, 1, 1], [2, 2, 2], [1, 2, 1]])
    async def test_one_more_than_it_ends_the_connection(self, qos: list[int]) -> None:
        async with staged(self.LIMITS) as stage:
            line = await stage.line("c", level=V5)
            stage.owner.holds_back = True
            await line.send(*[one(number, qos=each) for number, each in enumerate(qos, 1)])
            (farewell,) = await line.send(one(9, qos=qos[-1]))
            assert isinstance(farewell, Disconnect)
            assert farewell.code == ReasonCode.RECEIVE_MAXIMUM_EXCEEDED

    async def test_what_is_answered_counts_no_more(self) -> None:
        async with staged(self.LIMITS) as stage:
            line = await stage.line("c", level=V5)
            for _ in range(3):
                await line.send(one(1), one(2, qos=2), one(3))
                await line.send(Pubrel(2))
            assert line.closed_for is None
            assert len(stage.owner.messages) == 9

    async def test_no_client_of_3_1_1_could_know_of_it_but_open_exchanges_stay_bounded(self) -> None:
        async with staged(self.LIMITS) as stage:
            line = await stage.line("c")
            stage.owner.holds_back = True
            await line.send(*[one(number) for number in range(1, 10)])
            assert line.closed_for is None
            await line.send(*[one(number, qos=2) for number in range(1, 5)])
            assert [each.kind for each in stage.owner.refused] == ["receive_maximum_exceeded"]


class TestTopics:
    async def test_an_alias_stands_for_the_topic_it_was_given_last(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", level=V5)
            aliased = Properties(topic_alias=1)
            for topic in ("a", "", "b", ""):
                await line.send(Publish(topic, b"", properties=aliased))
            assert [message.topic for message in stage.owner.messages] == ["a", "a", "b", "b"]

    async def test_an_alias_is_no_way_around_a_right(self) -> None:
        async with staged() as stage:
            stage.authorizer.denied_topics.add("secret")
            line = await stage.line("c", level=V5)
            await line.send(Publish("secret", b"1", 1, packet_id=1, properties=Properties(topic_alias=1)))
            answers = await line.send(Publish("", b"2", 1, packet_id=2, properties=Properties(topic_alias=1)))
            assert [each.code for each in answers if isinstance(each, Puback)] == [ReasonCode.NOT_AUTHORIZED]
            assert stage.owner.messages == []

    async def test_the_properties_of_the_message_travel_and_those_of_the_packet_do_not(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", level=V5)
            own = Properties(content_type="text", user_properties=(("k", "v"),), correlation_data=b"1")
            packet = Properties(
                content_type="text",
                user_properties=(("k", "v"),),
                correlation_data=b"1",
                topic_alias=1,
                message_expiry_s=10,
            )
            await line.send(Publish("t", b"", properties=packet))
            (message,) = stage.owner.messages
            assert message == Message(1, "c", "c", "t", b"", 0, False, stage.now, own, expires_at=stage.now + 10_000)


class TestRights:
    async def deny(self, stage: Stage, level: int, packet: Publish) -> list[Packet]:
        stage.authorizer.denied_topics.add("secret")
        line = await stage.line("c", level=level)
        answers = await line.send(one(1), packet, one(9))
        assert (line.closed_for is None) == (kinds(answers)[-1:] == [Puback])
        return answers

    async def test_in_3_1_1_only_a_close_can_tell(self) -> None:
        async with staged() as stage:
            assert await self.deny(stage, V4, one(5, "secret")) == []
            assert [each.kind for each in stage.owner.refused] == ["not_authorized"]
            assert [message.topic for message in stage.owner.messages] == ["t"]

    @pytest.mark.parametrize(("qos", "kind"), [(1, Puback), (2, Pubrec)])
    async def test_mqtt_5_tells_in_its_place_and_goes_on(self, qos: int, kind: type[Packet]) -> None:
        async with staged() as stage:
            answers = await self.deny(stage, V5, one(5, "secret", qos=qos))
            assert kinds(answers) == [Puback, kind, Puback]
            assert answers[1].code == ReasonCode.NOT_AUTHORIZED  # type: ignore[attr-defined]  # one of two
            assert [each.kind for each in stage.owner.refused] == ["publish_denied"]

    async def test_at_qos_0_mqtt_5_has_no_answer_either(self) -> None:
        async with staged() as stage:
            answers = await self.deny(stage, V5, Publish("secret", b""))
            assert kinds(answers) == [Disconnect]

    async def test_the_code_is_what_the_authoriser_says(self) -> None:
        async with staged() as stage:
            stage.authorizer.may_publish = lambda *_: Denied("slow down", 0x97)  # type: ignore[method-assign]  # fake
            line = await stage.line("c", level=V5)
            (answer,) = await line.send(one(1))
            assert isinstance(answer, Puback)
            assert (answer.code, answer.properties.reason_string) == (0x97, "slow down")

    async def test_what_was_fine_a_moment_ago_is_asked_again_when_the_policy_changes(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", level=V5)
            await line.send(one(1))
            stage.authorizer.denied_topics.add("t")
            await stage.broker.review(1)
            (answer,) = await line.send(one(2))
            assert isinstance(answer, Puback)
            assert answer.code == ReasonCode.NOT_AUTHORIZED
