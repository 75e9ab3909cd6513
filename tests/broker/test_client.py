"""One connection: its packets in their order, what it may ask for, and what ends it."""

import asyncio
import gc
import ssl

import pytest

from broker.client import Client
from broker.codec import encode
from broker.connection import Connection
from broker.limits import Limits
from broker.packets import (
    V5,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Packet,
    Pingreq,
    Pingresp,
    Properties,
    Puback,
    Pubcomp,
    Publish,
    Pubrec,
    Pubrel,
    Suback,
    Will,
)
from broker.ports import ALLOWED, Allowed, Denied, Pending, Principal
from broker.publisher import Publisher
from broker.reason_codes import ReasonCode
from tests.broker.house import House
from tests.broker.stage import KEPT, PATIENCE_S, Stage, kinds, payloads, staged, turn
from tests.broker.stored import FakeStore

CONNECT = Connect(4, "c", clean_start=True, keep_alive_s=0)
ALIAS_OF_NOTHING = Publish("", b"", properties=Properties(topic_alias=1))


async def test_nothing_after_the_packet_that_closed_the_connection_is_taken() -> None:
    async with staged() as stage:
        line = await stage.line("c")
        assert await line.send(Pingreq(), Disconnect(), Publish("t", b"late"), b"\0\0") == [Pingresp()]
        assert (line.closed_for, stage.owner.messages, stage.owner.refused) == ("the client disconnected", [], [])


async def test_what_came_before_broken_bytes_is_taken_and_then_the_client_is_refused() -> None:
    async with staged() as stage:
        line = await stage.line("c")
        assert await line.send(Publish("t", b"1", 1, packet_id=4), b"\x36\x05\0\1t\0\1") == []
        assert [message.payload for message in stage.owner.messages] == [b"1"]
        assert [refused.kind for refused in stage.owner.refused] == ["malformed_packet"]


async def test_packets_that_are_cut_anywhere_are_put_together() -> None:
    async with staged() as stage:
        line = stage.knock()
        for byte in encode(CONNECT) + encode(Publish("t", b"whole")):
            line.stream.feed(bytes([byte]))
        assert kinds(await line.heard()) == [Connack]
        assert [message.payload for message in stage.owner.messages] == [b"whole"]


@pytest.mark.parametrize(
    ("packet", "code"),
    [
        (Connect(5, "c", clean_start=True, keep_alive_s=0), ReasonCode.PROTOCOL_ERROR),
        (Auth(), ReasonCode.PROTOCOL_ERROR),
        (Connack(False, 0), ReasonCode.PROTOCOL_ERROR),
        (Suback(1, (0,)), ReasonCode.PROTOCOL_ERROR),
        (Pingresp(), ReasonCode.PROTOCOL_ERROR),
        (Publish("a/+", b""), ReasonCode.MALFORMED_PACKET),
        (Publish("t", b"", properties=Properties(topic_alias=17)), ReasonCode.TOPIC_ALIAS_INVALID),
        (ALIAS_OF_NOTHING, ReasonCode.PROTOCOL_ERROR),
        (Publish("t", b"", properties=Properties(response_topic="a/#")), ReasonCode.PROTOCOL_ERROR),
    ],
    ids=repr,
)
async def test_a_client_of_mqtt_5_is_told_why_its_connection_ends(packet: Packet, code: ReasonCode) -> None:
    async with staged() as stage:
        line = await stage.line("c", level=V5)
        (farewell,) = await line.send(packet)
        assert isinstance(farewell, Disconnect)
        assert (farewell.code, farewell.properties.reason_string) == (code, line.closed_for)
        assert [refused.kind for refused in stage.owner.refused] == [code.kind]


class TestAnswersToDeliveries:
    async def test_those_for_nothing_in_flight_change_nothing(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            assert await line.send(Puback(9), Pubcomp(9), Pubrec(9)) == [Pubrel(9)]
            five = await stage.line("five", level=V5)
            assert await five.send(Pubrec(9)) == [Pubrel(9, ReasonCode.PACKET_IDENTIFIER_NOT_FOUND)]
            assert line.closed_for is five.closed_for is None

    @pytest.mark.parametrize(("qos", "answer"), [(1, Pubrec(1)), (1, Pubcomp(1)), (2, Puback(1)), (2, Pubcomp(1))])
    async def test_one_of_another_quality_of_service_ends_the_connection(self, qos: int, answer: Packet) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            await line.subscribe("t")
            stage.broker.publish(stage.say("t", qos=qos))
            await line.send(answer)
            assert [refused.kind for refused in stage.owner.refused] == ["protocol_error"]

    async def test_a_fault_in_pubrec_ends_the_delivery(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", level=V5, properties=Properties(receive_maximum=1))
            await line.subscribe("t")
            for number in (b"1", b"2"):
                stage.broker.publish(stage.say("t", number, 2))
            assert payloads(await line.heard()) == [b"1"]
            assert payloads(await line.send(Pubrec(1, ReasonCode.QUOTA_EXCEEDED))) == [b"2"]


class TestDisconnect:
    WILL = Will("gone", b"", 0, retain=False)

    async def test_it_takes_the_will_back_unless_it_asks_for_it(self) -> None:
        async with staged() as stage:
            for code, wills in ((0, 0), (ReasonCode.DISCONNECT_WITH_WILL, 1)):
                line = await stage.line("c", level=V5, will=self.WILL)
                await line.send(Disconnect(code))
                assert len(stage.owner.messages) == wills

    async def test_it_may_change_how_long_the_session_is_kept(self) -> None:
        async with staged() as stage:
            line = await stage.kept("c", "t")
            await line.send(Disconnect(0, Properties(session_expiry_s=5)))
            stage.now += 4_999
            again = stage.knock(V5)
            connect = Connect(V5, "c", clean_start=False, keep_alive_s=0, properties=KEPT)
            (connack,) = await again.send(connect)
            assert isinstance(connack, Connack)
            assert connack.session_present
            await again.send(Disconnect(0, Properties(session_expiry_s=5)))
            stage.now += 5_000
            (connack,) = await stage.knock(V5).send(connect)
            assert connack == Connack(False, 0, connack.properties)  # type: ignore[attr-defined]  # a CONNACK
            assert stage.broker.dropped_count == 0

    async def test_it_may_end_the_session_also_on_disk(self) -> None:
        store = FakeStore()
        async with staged(store=store) as stage:
            line = await stage.kept("c", "t")
            await line.send(Disconnect(0, Properties(session_expiry_s=0)))
            for each in stage.owner.turns:
                store.commit(each)
            assert (list(stage.broker.sessions(1)), store.sessions()) == ([], [])

    async def test_it_cannot_prolong_a_session_that_was_to_end(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", level=V5)
            (farewell,) = await line.send(Disconnect(0, Properties(session_expiry_s=5)))
            assert isinstance(farewell, Disconnect)
            assert farewell.code == ReasonCode.PROTOCOL_ERROR

    async def test_no_session_is_kept_longer_than_the_limit(self) -> None:
        async with staged(Limits(session_expiry_s=10)) as stage:
            line = stage.knock(V5)
            (connack,) = await line.send(Connect(V5, "c", clean_start=False, keep_alive_s=0, properties=KEPT))
            assert isinstance(connack, Connack)
            assert connack.properties.session_expiry_s == 10
            await line.send(Disconnect(0, Properties(session_expiry_s=1_000)))
            (session,) = stage.broker.sessions(1)
            assert session.expiry_s == 10


class SlowAuthorizer:
    """Puts an action off for a topic until it is told what to say."""

    def __init__(self, stage: Stage, action: str, topic: str) -> None:
        self.asked: list[str] = []
        self._tell: list[object] = []
        self._quick = getattr(stage.authorizer, action)
        self._topic = topic
        setattr(stage.authorizer, action, self._ask)

    def _ask(self, *question: object) -> object:
        topic = str(question[-1]) if len(question) > 1 else ""
        if topic != self._topic:
            return self._quick(*question)
        self.asked.append(topic)
        return Pending(self._tell.append)

    async def say(self, answer: Principal | Allowed | Denied) -> None:
        tell, self._tell = self._tell, []
        for each in tell:
            each(answer)  # type: ignore[operator]  # functions, by their port
        await turn()


class TestThinking:
    """The authoriser takes its time: the session waits in order, the others do not."""

    async def test_who_connects_waits_with_everything_sent_along(self) -> None:
        async with staged() as stage:
            slow = SlowAuthorizer(stage, "authenticate", "")
            line, other = stage.knock(), None
            assert await line.send(CONNECT, Publish("t", b"1"), Pingreq()) == []
            await line.send(Publish("t", b"2"))
            assert stage.owner.messages == []
            await slow.say(Principal(1, "c"))
            assert kinds(await line.heard()) == [Connack, Pingresp]
            assert [message.payload for message in stage.owner.messages] == [b"1", b"2"]
            assert other is None

    async def test_an_allowance_without_a_name_lets_nobody_in(self) -> None:
        async with staged() as stage:
            slow = SlowAuthorizer(stage, "authenticate", "")
            line = stage.knock()
            await line.send(CONNECT)
            await slow.say(ALLOWED)
            assert await line.heard() == [Connack(False, 5)]

    async def test_a_publish_holds_up_what_follows_and_nobody_else(self) -> None:
        async with staged() as stage:
            line, other = await stage.line("c"), await stage.line("other")
            slow = SlowAuthorizer(stage, "may_publish", "slow")
            slow_one, quick_one = Publish("slow", b"1", 1, packet_id=1), Publish("quick", b"2", 1, packet_id=2)
            assert await line.send(slow_one, quick_one, Pingreq()) == []
            assert line.stream.is_paused
            assert await other.send(Publish("quick", b"3", 1, packet_id=3)) == [Puback(3)]
            await slow.say(ALLOWED)
            assert await line.heard() == [Pingresp(), Puback(1), Puback(2)]
            assert [message.payload for message in stage.owner.messages] == [b"3", b"1", b"2"]
            assert not line.stream.is_paused

    async def test_what_was_said_after_thinking_is_remembered_until_the_policy_changes(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            slow = SlowAuthorizer(stage, "may_publish", "slow")
            await line.send(Publish("slow", b"1"))
            await slow.say(ALLOWED)
            await line.send(Publish("slow", b"2"))
            assert (len(stage.owner.messages), len(slow.asked)) == (2, 1)
            await stage.broker.review(1)
            await line.send(Publish("slow", b"3"))
            assert (len(stage.owner.messages), len(slow.asked)) == (2, 2)

    async def test_a_subscription_is_answered_when_all_its_filters_are_decided(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            slow = SlowAuthorizer(stage, "may_subscribe", "slow")
            with pytest.raises(ValueError, match="unpack"):
                await line.subscribe("quick", "slow")
            stage.broker.publish(stage.say("quick"))
            assert await line.heard() == []
            await slow.say(Denied("no"))
            assert await line.expect(Suback) == Suback(7, (2, 0x80))

    async def test_too_long_is_no(self) -> None:
        async with staged(Limits(decision_timeout_s=0.02)) as stage:
            line = await stage.line("c", level=V5)
            SlowAuthorizer(stage, "may_publish", "slow")
            await line.send(Publish("slow", b"1", 1, packet_id=1))
            await stage.owner.until(lambda owner: bool(owner.refused))
            (answer,) = await line.heard()
            assert (kinds([answer]), answer.code) == ([Puback], 0x87)  # type: ignore[attr-defined]  # a PUBACK
            assert "did not answer within 0.02 s" in stage.owner.refused[0].reason

    async def test_silence_is_forgiven_while_it_lasts(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", keep_alive_s=1)
            slow = SlowAuthorizer(stage, "may_publish", "slow")
            await line.send(Publish("slow", b"1"))
            stage.fall_silent(line, 1_000)
            # Somebody who is called silent meanwhile shows that the sweep has passed.
            silent = await stage.line("silent", keep_alive_s=1)
            stage.fall_silent(silent, 1_000)
            await stage.owner.until(lambda owner: bool(owner.refused))
            await slow.say(ALLOWED)
            second = await stage.line("second", keep_alive_s=1)
            stage.fall_silent(second, 1_000)
            await stage.owner.until(lambda owner: len(owner.refused) == 2)
            assert [refused.client_id for refused in stage.owner.refused] == ["silent", "second"]
            assert line.closed_for is None


class TestBounds:
    async def test_who_sends_too_much_is_read_more_slowly_and_loses_nothing(self) -> None:
        async with staged(Limits(publishes_per_s=10)) as stage:
            line = await stage.line("c")
            # Its second is nearly over, so that the test need not wait for it.
            (client,) = stage.broker._clients
            client.window_began_at -= 0.9
            await line.send(*[Publish("t", b"1")] * 20)
            assert line.stream.is_paused
            await line.send(Publish("t", b"2"))
            assert len(stage.owner.messages) == 20
            await stage.owner.until(lambda owner: len(owner.messages) == 21)
            assert stage.broker.refusals == {"slowed_down": 1}

    async def test_bytes_count_too(self) -> None:
        async with staged(Limits(bytes_per_s=1_000)) as stage:
            line = await stage.line("c")
            await line.send(Publish("t", bytes(1_000)))
            assert line.stream.is_paused

    async def test_a_decision_does_not_end_a_pause_for_sending_too_much_nor_the_other_way_round(self) -> None:
        async with staged(Limits(publishes_per_s=3, decision_timeout_s=PATIENCE_S)) as stage:
            line = await stage.line("c")
            slow = SlowAuthorizer(stage, "may_publish", "slow")
            (client,) = stage.broker._clients
            await line.send(Publish("slow", b"1"), *[Publish("t", b"2")] * 9)
            await slow.say(ALLOWED)
            assert line.stream.is_paused
            client.window_began_at -= 0.95
            slow = SlowAuthorizer(stage, "may_publish", "slower")
            line.stream.is_paused = False
            await line.send(Publish("slower", b"3"), *[Publish("t", b"4")] * 9)
            await asyncio.sleep(0.1)
            assert line.stream.is_paused

    async def test_who_does_not_read_is_cut_at_the_bound(self) -> None:
        limits = Limits(unsent_bytes=50_000, in_flight_bytes=20_000, packet_bytes=20_000, queue_bytes=20_000)
        async with staged(limits) as stage:
            stuck, other = await stage.line("stuck", level=V5), await stage.line("other")
            stuck.stream.is_stuck = True
            await stuck.send(*[Pingreq()] * 26_000)
            assert stuck.closed_for == "the client reads too slowly"
            assert [(each.client_id, each.kind) for each in stage.owner.refused] == [("stuck", "quota_exceeded")]
            assert await other.send(Pingreq()) == [Pingresp()]

    async def test_a_packet_larger_than_the_client_takes_is_not_sent(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", level=V5, properties=Properties(maximum_packet_bytes=200))
            await line.subscribe("t")
            for qos in (0, 1):
                stage.broker.publish(stage.say("t", bytes(300), qos))
                stage.broker.publish(stage.say("t", b"small", qos))
            assert payloads(await line.heard()) == [b"small", b"small"]


@pytest.mark.parametrize("is_watched", [False, True])
@pytest.mark.parametrize("ending", [encode(Disconnect()), b"\x36\x05\0\1t\0\1", None])
async def test_one_whose_connection_is_gone_takes_no_memory_until_garbage_is_collected(
    tls_house: House, *, ending: bytes | None, is_watched: bool
) -> None:
    def there() -> list[object]:
        kinds = (Client, Publisher, Connection, ssl.SSLSocket)
        return [one for one in gc.get_objects() if isinstance(one, kinds)]

    if is_watched:
        tls_house.broker.packet_observers.append(Unmoved())
    gc.collect()
    gc.disable()
    try:
        before = len(there())
        wire = await tls_house.client("c")
        await wire.subscribe(("u", 1))
        await wire.publish("t")
        assert len(there()) >= before + 4
        if ending is None:
            wire.abort()
        else:
            await wire.send(ending)
            await wire.until_closed()
        await tls_house.owner.until(lambda owner: bool(owner.left))
        await turn()
        # They know who waited for an answer.
        tls_house.owner.turns.clear()
        async with asyncio.timeout(PATIENCE_S):
            # The thread that made the handshake may still be about to let go.
            while len(there()) > before:  # noqa: ASYNC110  memory tells nobody when it is free
                await asyncio.sleep(0)
    finally:
        gc.enable()


class Unmoved:
    """Watches packets and does nothing about it."""

    def packet_received(self, principal: Principal | None, client_id: str, packet: Packet) -> None: ...

    def packet_sent(self, principal: Principal | None, client_id: str, packet: Packet) -> None: ...
