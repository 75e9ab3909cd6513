"""The way of a message: who gets it in which order, what waits for the disk, and what its publisher hears of it."""

from collections.abc import Callable

import msgspec
import pytest

from broker.limits import Limits
from broker.packets import (
    V5,
    Properties,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Subscribe,
    Subscription,
)
from broker.ports import ALLOWED, Allowed, Decision, Denied, Pending, Principal
from tests.broker.stage import Hearing, payloads, staged
from tests.broker.stored import FakeStore


async def test_a_topic_is_heard_only_by_who_may_receive_it_and_while_that_is_not_known() -> None:
    async with staged() as stage:
        stage.authorizer.unreceivable_topics.add("a/c")
        line = await stage.kept("c", "a/+")
        assert stage.broker.is_heard(1, "a/b")
        assert not stage.broker.is_heard(1, "a/c")
        tell: list[Callable[[Allowed], None]] = []
        stage.authorizer.may_receive = lambda *_: Pending(tell.append)  # type: ignore[method-assign]  # a fake
        assert stage.broker.is_heard(1, "a/d")
        stage.broker.publish(stage.say("a/d", b"later", 1))
        assert await line.heard() == []
        for hear in tell:
            hear(ALLOWED)
        assert payloads(await line.heard()) == [b"later"]


class TestTurn:
    async def test_everything_of_one_turn_is_handed_over_at_once(self) -> None:
        async with staged() as stage:
            line = await stage.kept("c", "t")
            stage.owner.turns.clear()
            await line.send(Publish("t", b"1", 1, packet_id=1), Publish("t", b"2", 2, retain=True, packet_id=2))
            first = stage.owner.turns[0]
            assert [message.payload for message in first.messages] == [b"1", b"2"]
            assert sorted({kind for kind, _, _ in first.changes}) == ["delivery", "identifier", "retained"]
            assert len(first.receipts) == 2

    async def test_a_turn_without_anything_is_not_handed_over(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            stage.owner.turns.clear()
            await line.subscribe("t")
            stage.broker.publish(stage.say("t", qos=1))
            await line.send(Puback(1))
            assert stage.owner.turns == []

    async def test_what_clients_are_sent_of_a_session_that_is_not_stored_is_not_kept(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            await line.subscribe("t")
            await line.send(Publish("t", b"1", 2, packet_id=1))
            assert stage.owner.kept == {}


class TestDelivery:
    @pytest.mark.parametrize("published", [0, 1, 2])
    @pytest.mark.parametrize("wanted", [0, 1, 2])
    async def test_its_quality_is_the_lower_of_both(self, published: int, wanted: int) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            await line.subscribe("t", qos=wanted)
            stage.broker.publish(stage.say("t", qos=published))
            (packet,) = await line.heard()
            assert isinstance(packet, Publish)
            assert packet.qos == min(published, wanted)

    async def test_no_more_is_in_flight_than_the_client_takes_and_the_rest_follows_in_order(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", level=V5, properties=Properties(receive_maximum=2))
            await line.subscribe("t", qos=1)
            for number in range(5):
                stage.broker.publish(stage.say("t", b"%d" % number, 1))
            assert payloads(await line.heard()) == [b"0", b"1"]
            assert payloads(await line.send(Puback(2))) == [b"2"]
            assert payloads(await line.send(Puback(1), Puback(3))) == [b"3", b"4"]

    async def test_one_at_qos_2_to_a_stored_session_waits_and_what_follows_keeps_its_order(self) -> None:
        """Sent before it is on disk it could be doubled by a power cut: its identifier would be given again."""
        async with staged() as stage:
            line = await stage.kept("c", "t")
            stage.owner.holds_back = True
            stage.broker.publish(stage.say("t", b"1", 1))
            stage.broker.publish(stage.say("t", b"2", 2))
            stage.broker.publish(stage.say("t", b"3", 1))
            assert payloads(await line.heard()) == [b"1"]
            stage.owner.release()
            assert payloads(await line.heard()) == [b"2", b"3"]
            stage.broker.publish(stage.say("t", b"4", 1))
            assert payloads(await line.heard()) == [b"4"]

    async def test_to_a_session_that_is_not_stored_nothing_waits(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            await line.subscribe("t")
            stage.owner.holds_back = True
            stage.broker.publish(stage.say("t", b"2", 2))
            assert payloads(await line.heard()) == [b"2"]
            assert await line.send(Pubrec(1)) == [Pubrel(1)]
            assert await line.send(Pubcomp(1)) == []

    async def test_pubrel_to_a_stored_session_waits_for_the_commit(self) -> None:
        async with staged() as stage:
            line = await stage.kept("c", "t")
            stage.broker.publish(stage.say("t", b"2", 2))
            assert payloads(await line.heard()) == [b"2"]
            stage.owner.holds_back = True
            assert await line.send(Pubrec(1)) == []
            stage.owner.release()
            assert await line.heard() == [Pubrel(1)]

    async def test_a_message_that_expired_while_it_waited_is_not_sent_and_one_that_did_not_says_what_is_left(
        self,
    ) -> None:
        async with staged() as stage:
            line = await stage.kept("c", "t")
            line.vanish()
            for seconds in (10, 60):
                message = stage.say("t", b"%d" % seconds, 1)
                stage.broker.publish(msgspec.structs.replace(message, expires_at=stage.now + seconds * 1_000))
            stage.now += 30_500
            (packet,) = (await stage.back("c"))[1]
            assert isinstance(packet, Publish)
            assert (packet.payload, packet.properties.message_expiry_s) == (b"60", 30)
            assert stage.broker.dropped_count == 1

    async def test_beyond_the_bounds_of_its_queue_messages_are_dropped_and_counted(self) -> None:
        async with staged(Limits(queue_messages=3)) as stage:
            line = await stage.kept("c", "t")
            line.vanish()
            for number in range(5):
                stage.broker.publish(stage.say("t", b"%d" % number, 1))
            assert stage.broker.dropped_count == 2
            assert payloads((await stage.back("c"))[1]) == [b"0", b"1", b"2"]

    async def test_at_qos_0_nothing_is_kept_for_who_is_away_or_reads_too_slowly(self) -> None:
        async with staged() as stage:
            away, slow = await stage.kept("away", "t"), await stage.kept("slow", "t")
            away.vanish()
            slow.stream.is_stuck = True
            for _ in range(20):
                stage.broker.publish(stage.say("t", bytes(100_000)))
            assert 500_000 <= slow.stream.unsent_bytes <= 700_000
            assert stage.broker.dropped_count >= 14
            assert slow.closed_for is None

    async def test_what_a_client_says_itself_is_not_told_to_it_with_no_local(self) -> None:
        async with staged() as stage:
            line, other = await stage.line("c", level=V5), await stage.line("other")
            await line.subscribe(Subscription("t", 0, no_local=True))
            await other.send(Publish("t", b"1"))
            assert payloads(await line.send(Publish("t", b"2"))) == [b"1"]

    async def test_identifiers_of_all_matching_subscriptions_come_along(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", level=V5)
            for number, topic_filter in ((3, "t"), (4, "+")):
                properties = Properties(subscription_identifiers=(number,))
                await line.send(Subscribe(number, (Subscription(topic_filter, 1),), properties))
            stage.broker.publish(stage.say("t", qos=1))
            (packet,) = await line.heard()
            assert isinstance(packet, Publish)
            assert sorted(packet.properties.subscription_identifiers) == [3, 4]

    async def test_of_a_shared_subscription_each_message_goes_to_one(self) -> None:
        async with staged() as stage:
            lines = [await stage.line(name) for name in ("one", "two")]
            for line in lines:
                await line.subscribe("$share/g/t")
            for number in range(4):
                stage.broker.publish(stage.say("t", b"%d" % number))
            got = [payloads(await line.heard()) for line in lines]
            assert sorted(got[0] + got[1]) == [b"0", b"1", b"2", b"3"]
            assert [len(each) for each in got] == [2, 2]

    async def test_aliases_are_used_where_the_client_allows_them_and_never_where_bytes_are_overtaken(self) -> None:
        async with staged() as stage:
            properties = Properties(topic_alias_maximum=2, session_expiry_s=100)
            line = await stage.line("c", level=V5, properties=properties)
            await line.subscribe("t")
            stage.owner.holds_back = True
            for qos in (2, 0, 0):
                stage.broker.publish(stage.say("t", b"%d" % qos, qos))
            packets = await line.heard()
            stage.owner.release()
            got = [each for each in (*packets, *await line.heard()) if isinstance(each, Publish)]
            assert [(each.topic, each.properties.topic_alias) for each in got] == [("t", 1), ("", 1), ("t", None)]


class TestRights:
    """A right that is lost is lost for what waits, too."""

    async def test_what_waited_is_not_sent_where_it_may_not_be_received_any_more(self) -> None:
        async with staged() as stage:
            line = await stage.kept("c", "+")
            stage.broker.publish(stage.say("secret", b"in flight", 1))
            line.vanish()
            for topic in ("secret", "open"):
                stage.broker.publish(stage.say(topic, topic.encode(), 1))
            stage.authorizer.unreceivable_topics.add("secret")
            assert payloads((await stage.back("c"))[1]) == [b"open"]
            assert stage.broker.dropped_count == 2

    async def test_nor_to_who_was_there_all_the_time(self) -> None:
        async with staged(Limits(in_flight=1)) as stage:
            line = await stage.kept("c", "+")
            for topic in ("open", "secret", "secret", "open"):
                stage.broker.publish(stage.say(topic, topic.encode(), 1))
            assert payloads(await line.heard()) == [b"open"]
            stage.authorizer.unreceivable_topics.add("secret")
            await stage.broker.review(1)
            assert payloads(await line.send(Puback(1))) == [b"open"]
            stage.broker.publish(stage.say("secret"))
            assert payloads(await line.send(Puback(4))) == []

    async def test_an_exchange_at_qos_2_that_has_begun_comes_to_its_end(self) -> None:
        async with staged() as stage:
            line = await stage.kept("c", "t")
            stage.broker.publish(stage.say("t", b"1", 2))
            assert payloads(await line.heard()) == [b"1"]
            stage.authorizer.unreceivable_topics.add("t")
            line, _, packets = await stage.line_back("c")
            assert payloads(packets) == [b"1"]
            assert await line.send(Pubrec(1)) == [Pubrel(1)]

    async def test_an_authoriser_that_fails_lets_nobody_receive(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            await line.subscribe("t")

            def fail(*_: object) -> Decision:
                raise RuntimeError("the rules cannot be read")

            stage.authorizer.may_receive = fail  # type: ignore[method-assign,assignment]  # a fake
            stage.broker.publish(stage.say("t", qos=1))
            assert await line.heard() == []

    async def test_while_the_authoriser_thinks_about_a_topic_messages_wait_in_order_and_for_nobody_else(self) -> None:
        async with staged() as stage:
            line, other = await stage.line("c"), await stage.line("other")
            for each in (line, other):
                await each.subscribe("+", qos=1)
            tell: list[Callable[[Allowed | Denied | Principal], None]] = []
            quick = stage.authorizer.may_receive

            def think(principal: Principal, topic: str) -> Decision:
                if (principal.name, topic) == ("c", "slow"):
                    return Pending(tell.append)
                return quick(principal, topic)

            stage.authorizer.may_receive = think  # type: ignore[method-assign]  # a fake
            for topic in ("quick", "slow", "quick"):
                stage.broker.publish(stage.say(topic, topic.encode()))
            assert payloads(await line.heard()) == [b"quick"]
            assert payloads(await other.heard()) == [b"quick", b"slow", b"quick"]
            tell[0](ALLOWED)
            assert payloads(await line.heard()) == [b"slow", b"quick"]


class TestEvidence:
    """What the owner hears of a message that it published."""

    async def test_it_was_written_and_then_acknowledged(self) -> None:
        async with staged() as stage:
            for name, qos in (("zero", 0), ("one", 1), ("two", 2)):
                line, hearing = await stage.line(name), Hearing()
                await line.subscribe(name)
                assert stage.broker.publish(stage.say(name, qos=qos), hearing).is_taken
                assert hearing.heard == [f"written {name}", *([] if qos else [f"unanswerable {name}"])]
                await line.send(*([] if qos == 0 else [Puback(1)] if qos == 1 else [Pubrec(1), Pubcomp(1)]))
                assert hearing.heard[1:] == [f"acknowledged {name}" if qos else f"unanswerable {name}"]

    async def test_it_is_written_when_its_turn_comes_and_again_after_a_reconnect(self) -> None:
        async with staged() as stage:
            line, hearing = await stage.kept("c", "t"), Hearing()
            line.vanish()
            assert stage.broker.publish(stage.say("t", qos=1), hearing).is_taken
            assert hearing.heard == []
            for _ in range(2):
                line, _, packets = await stage.line_back("c")
                assert payloads(packets) == [b"x"]
            await line.send(Puback(1))
            assert hearing.heard == ["written c", "written c", "acknowledged c"]

    @pytest.mark.parametrize("qos", [0, 1, 2])
    async def test_nobody_took_it(self, qos: int) -> None:
        async with staged(Limits(queue_messages=1)) as stage:
            full = await stage.kept("full", "t")
            full.vanish()
            stage.broker.publish(stage.say("t", qos=1))
            hearing = Hearing()
            for topic in ("t", "nobody"):
                assert not stage.broker.publish(stage.say(topic, qos=qos), hearing).is_taken
            assert hearing.heard == ["untaken", "untaken"]

    @pytest.mark.parametrize("qos", [0, 1, 2])
    async def test_who_takes_nothing_so_large_did_not_take_it(self, qos: int) -> None:
        async with staged() as stage:
            line, hearing = await stage.line("c", level=V5, properties=Properties(maximum_packet_bytes=100)), Hearing()
            await line.subscribe("t")
            assert not stage.broker.publish(stage.say("t", b"x" * 100, qos), hearing).is_taken
            assert hearing.heard == ["untaken"]
            assert await line.heard() == []
            assert (stage.broker.dropped_count, stage.broker.exchange.delivered_count) == (1, 0)

    async def test_what_waits_can_be_withdrawn_and_what_was_sent_cannot(self) -> None:
        async with staged() as stage:
            line, away = await stage.kept("c", "t"), await stage.kept("away", "t")
            away.vanish()
            publication = stage.broker.publish(stage.say("t", qos=1), Hearing())
            assert payloads(await line.heard()) == [b"x"]
            assert (publication.withdraw(), publication.withdraw()) == (1, 0)
            assert (await stage.back("away"))[1] == []
            assert (await stage.line_back("c"))[2] != []

    async def test_a_withdrawn_message_is_gone_from_the_disk(self) -> None:
        store = FakeStore()
        async with staged() as stage:
            away = await stage.kept("away", "t")
            away.vanish()
            stage.broker.publish(stage.say("t", qos=1)).withdraw()
            await away.heard()
            for each in stage.owner.turns:
                store.commit(each)
            (stored,) = store.sessions()
            assert stored.deliveries == ()

    async def test_the_owner_hears_of_what_was_kept_once_it_follows_it(self) -> None:
        async with staged() as stage:
            line, hearing = await stage.kept("c", "t"), Hearing()
            stage.broker.publish(stage.say("t", qos=2))
            line.vanish()
            [delivery] = next(iter(stage.broker.sessions(1, "c"))).deliveries
            stage.broker.exchange.follow(delivery, hearing)
            line, _, _ = await stage.line_back("c")
            await line.send(Pubrec(1), Pubcomp(1))
            assert hearing.heard == ["written c", "acknowledged c"]

    async def test_nothing_is_remembered_of_sessions_that_ended(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            await line.subscribe("t")
            publication = stage.broker.publish(stage.say("t", qos=1), Hearing())
            line.vanish()
            assert stage.broker.exchange._evidence == {}
            assert publication.withdraw() == 0


class TestRetained:
    async def test_the_newest_is_kept_and_an_empty_one_clears_it(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            for payload in (b"1", b"2"):
                await line.send(Publish("t", payload, 1, retain=True, packet_id=1))
            assert [message.payload for message in stage.broker.retained(1, "#")] == [b"2"]
            await line.send(Publish("t", b"", retain=True))
            assert list(stage.broker.retained(1, "#")) == []
            assert [type(change).__name__ for change in stage.owner.kept.values()] == ["RetainedGone"]

    async def test_beyond_the_quota_it_is_delivered_and_not_kept_and_the_owner_hears_why(self) -> None:
        async with staged(Limits(retained_per_client=1)) as stage:
            line = await stage.line("c")
            await line.subscribe("#", qos=0)
            packets = await line.send(*[Publish(topic, b"x", retain=True) for topic in ("a", "b")])
            assert payloads(packets) == [b"x", b"x"]
            assert [message.topic for message in stage.broker.retained(1, "#")] == ["a"]
            assert [(each.client_id, each.kind) for each in stage.owner.refused] == [("c", "retain_quota")]

    async def test_what_its_publisher_may_say_no_more_is_not_shown_unless_nobody_cares(self) -> None:
        async with staged() as stage:
            line, other = await stage.line("c"), await stage.line("other")
            await line.send(Publish("t", b"x", retain=True))
            stage.authorizer.denied_topics.add("t")
            assert payloads(await other.send(Subscribe(1, (Subscription("t", 0),)))) == []
            stage.broker.exchange.retained_source_is_checked = False
            assert payloads(await other.send(Subscribe(1, (Subscription("t", 0),)))) == [b"x"]
