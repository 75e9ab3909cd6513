"""The broker as its owner has it: sessions that outlive it, reviews, traces, goodbyes, and real sockets."""

import asyncio
import contextlib
import socket

import pytest

from broker.codec import encode
from broker.limits import Limits
from broker.listener import Endpoint
from broker.message import Message
from broker.packets import (
    V4,
    V5,
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
    ReturnCode,
    Subscribe,
    Subscription,
    Will,
)
from broker.ports import Denied, Pending, Principal
from broker.reason_codes import ReasonCode
from broker.trace import TraceEntry
from tests.broker.house import House, serving
from tests.broker.stage import KEPT, Stage, kinds, payloads, staged, turn
from tests.broker.stored import FakeStore

WILL = Will("gone", b"c", 1, retain=False)


def store_after(stage: Stage, store: FakeStore | None = None) -> FakeStore:
    """What is on disk when everything was committed."""
    store = store or FakeStore()
    for each in stage.owner.turns:
        store.commit(each)
    return store


async def test_what_is_published_reaches_the_owner_and_the_subscriber(house: House) -> None:
    wire = await house.client("c")
    assert await wire.subscribe(("a/+", 1)) == (1,)
    await wire.send(Publish("a/b", b"hello", 1, packet_id=3))
    received = {type(packet): packet for packet in [await wire.receive(), await wire.receive()]}
    assert received == {Puback: Puback(3), Publish: Publish("a/b", b"hello", 1, packet_id=1)}
    (message,) = house.owner.messages
    assert message == Message(1, "c", "c", "a/b", b"hello", 1, False, 1_000, packet_identifier=b"\0\3")


async def test_an_answer_reaches_the_client_alone_that_it_is_for(house: House) -> None:
    asker, listener, stranger = [await house.client(name) for name in ("asker", "listener", "stranger")]
    for wire in (asker, listener):
        assert await wire.subscribe(("answers/+", 1)) == (1,)
    answer = Message(1, "", "", "answers/1", b"secret", 1, False, 1_000)
    assert house.broker.answer(answer, "asker") is not None
    assert await asker.receive() == Publish("answers/1", b"secret", 1, packet_id=1)
    untaken = house.broker.answer(answer, "stranger")
    assert untaken is not None
    assert not untaken.is_taken
    assert house.broker.answer(answer, "nobody") is None
    for wire in (listener, stranger):
        await wire.send(Pingreq())
        assert await wire.receive() == Pingresp()


async def test_a_topic_is_heard_while_somebody_is_subscribed_connected_or_away() -> None:
    async with staged() as stage:
        assert not stage.broker.is_heard(1, "a/b")
        line = await stage.kept("c", "a/+")
        assert stage.broker.is_heard(1, "a/b")
        assert not stage.broker.is_heard(1, "b")
        assert not stage.broker.is_heard(2, "a/b")
        line.vanish()
        await turn()
        assert stage.broker.is_heard(1, "a/b")
        stage.broker.end_session(1, "c", "it is over")
        assert not stage.broker.is_heard(1, "a/b")
        shared = await stage.kept("d", "$share/s/a/b")
        assert stage.broker.is_heard(1, "a/b")
        shared.vanish()
        await turn()
        assert stage.broker.is_heard(1, "a/b")


class TestRestart:
    """A new process knows what was committed."""

    async def test_the_session_is_there_with_its_subscriptions_and_what_waited(self) -> None:
        async with staged() as stage:
            line = await stage.kept("c", "t")
            stage.broker.publish(stage.say("t", b"sent", 1))
            await line.heard()
            line.vanish()
            stage.broker.publish(stage.say("t", b"waits", 1))
            await line.heard()
            store = store_after(stage)
        async with staged(store=store) as stage:
            line, connack, packets = await stage.line_back("c")
            assert connack.session_present
            assert [(each.payload, each.duplicate) for each in packets if isinstance(each, Publish)] == [
                (b"sent", True),
                (b"waits", False),
            ]
            stage.broker.publish(stage.say("t", b"new", 1))
            assert payloads(await line.heard()) == [b"new"]

    async def test_what_was_kept_is_taken_up_once_however_early(self) -> None:
        async with staged() as stage:
            await stage.kept("c", "t")
            stage.broker.publish(stage.say("state", b"old", 1, retain=True))
            await turn()
            store = store_after(stage)
        stage = Stage(store=store)
        stage.broker.restore()
        stage.broker.publish(stage.say("state", b"new", 1, retain=True))
        async with stage.broker.connected():
            assert [message.payload for message in stage.broker.retained(1, "state")] == [b"new"]
            assert [session.client_id for session in stage.broker.sessions(1)] == ["c"]

    async def test_exactly_once_goes_on_where_it_was(self) -> None:
        async with staged() as stage:
            line = await stage.kept("c", "t")
            for payload in (b"1", b"2"):
                stage.broker.publish(stage.say("t", payload, 2))
            await line.heard()
            assert await line.send(Pubrec(1)) == [Pubrel(1)]
            assert await line.send(Publish("up", b"x", 2, packet_id=9)) == [Pubrec(9)]
            store = store_after(stage)
        async with staged(store=store) as stage:
            line, _, packets = await stage.line_back("c")
            assert sorted(packets, key=repr) == sorted(
                [Pubrel(1), Publish("t", b"2", 2, duplicate=True, packet_id=2)], key=repr
            )
            assert await line.send(Publish("up", b"x", 2, duplicate=True, packet_id=9)) == [Pubrec(9)]
            assert stage.owner.messages == []
            assert await line.send(Pubrel(9), Pubcomp(1)) == [Pubcomp(9)]
            await line.send(Pubrec(2))
            await line.send(Pubcomp(2))
            (kept,) = store_after(stage, store).sessions()
            assert (kept.deliveries, kept.taken_identifiers) == ((), ())

    async def test_an_identifier_that_was_given_is_not_given_again_while_it_is_in_use(self) -> None:
        async with staged() as stage:
            line = await stage.kept("c", "t")
            stage.broker.publish(stage.say("t", b"1", 2))
            await line.heard()
            store = store_after(stage)
        async with staged(store=store) as stage:
            line, _, _ = await stage.line_back("c")
            stage.broker.publish(stage.say("t", b"2", 2))
            (packet,) = await line.heard()
            assert isinstance(packet, Publish)
            assert packet.packet_id == 2

    async def test_its_time_goes_on_to_run(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", level=V5, properties=Properties(session_expiry_s=10))
            line.vanish()
            await line.heard()
            store = store_after(stage)
        async with staged(store=store) as stage:
            stage.now += 10_000
            assert not (await stage.back("c"))[0].session_present

    async def test_it_belongs_to_who_it_belonged_to(self) -> None:
        async with staged() as stage:
            line = await stage.kept("c", "t")
            line.vanish()
            await line.heard()
            store = store_after(stage)
        async with staged(store=store) as stage:
            thief = stage.knock()
            answer = await thief.send(Connect(V4, "c", clean_start=True, keep_alive_s=0, username="thief"))
            assert answer == [Connack(False, ReturnCode.NOT_AUTHORIZED)]
            assert (await stage.back("c"))[0].session_present

    async def test_that_of_a_person_keeps_no_device_from_its_name(self) -> None:
        async with staged() as stage:
            stage.authorizer.operators |= {"c"}
            line = await stage.kept("c", "t")
            line.vanish()
            await line.heard()
            store = store_after(stage)
        async with staged(store=store) as stage:
            device = stage.knock()
            answer = await device.send(Connect(V4, "c", clean_start=False, keep_alive_s=0, username="device"))
            assert answer == [Connack(False, ReturnCode.ACCEPTED)]
            (session,) = stage.broker.sessions(1)
            assert (session.principal.name, dict(session.subscriptions)) == ("device", {})

    async def test_retained_messages_are_there(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            await line.send(
                Publish("a", b"1", retain=True), Publish("b", b"2", retain=True), Publish("b", b"", retain=True)
            )
            store = store_after(stage)
        async with staged(store=store) as stage:
            line = await stage.line("c")
            assert payloads(await line.send(Subscribe(1, (Subscription("#", 0),)))) == [b"1"]


class TestReview:
    async def test_who_would_not_be_let_in_today_is_disconnected_and_told_why(self) -> None:
        async with staged() as stage:
            line, other = await stage.line("c", level=V5, will=WILL), await stage.line("other")
            stage.authorizer.denied_clients.add("c")
            await stage.broker.review(1)
            (farewell,) = await line.heard()
            assert isinstance(farewell, Disconnect)
            assert farewell.code == ReasonCode.NOT_AUTHORIZED
            assert other.closed_for is None
            assert [(each.client_id, each.kind) for each in stage.owner.refused] == [("c", "connection_ended")]

    async def test_an_answer_that_takes_time_ends_it_when_it_comes(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            tell: list[object] = []
            stage.authorizer.authenticate = lambda _: Pending(tell.append)  # type: ignore[method-assign,assignment]  # a fake
            await stage.broker.review(1, "c")
            assert line.closed_for is None
            tell[0](Denied("revoked"))  # type: ignore[operator]  # a function, by its port
            assert line.closed_for == "revoked"

    async def test_deliveries_stop_and_a_will_that_is_allowed_no_more_is_not_published(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", will=WILL)
            await line.subscribe("t")
            stage.broker.publish(stage.say("t", b"1"))
            stage.authorizer.unreceivable_topics.add("t")
            stage.authorizer.denied_topics.add("gone")
            await stage.broker.review(1)
            stage.broker.publish(stage.say("t", b"2"))
            assert payloads(await line.heard()) == [b"1"]
            stage.authorizer.denied_topics.clear()
            line.vanish()
            await line.heard()
            assert stage.owner.messages == []

    async def test_another_tenant_is_left_alone(self) -> None:
        async with staged() as stage:
            line = await stage.line("c")
            stage.authorizer.denied_clients.add("c")
            await stage.broker.review(2)
            assert line.closed_for is None


class TestLook:
    async def test_a_trace_shows_the_packets_of_one_client_while_it_is_on(self) -> None:
        async with staged() as stage:
            line, other = await stage.line("c"), await stage.line("other")
            await line.subscribe("t", qos=0)
            entries: list[TraceEntry] = []
            with stage.broker.tracing(1, "c", entries.append) as is_connected:
                assert is_connected
                await other.send(Publish("t", b"secret"))
                await line.send(Pingreq())
            await line.send(Pingreq())
            assert [(each.is_from_client, each.type, each.topic, each.size_bytes) for each in entries] == [
                (False, "PUBLISH", "t", 6),
                (True, "PINGREQ", "", 0),
                (False, "PINGRESP", "", 0),
            ]

    async def test_who_is_not_connected_cannot_be_traced(self) -> None:
        async with staged() as stage:
            with stage.broker.tracing(1, "nobody", lambda _: None) as is_connected:
                assert not is_connected

    async def test_observers_of_packets_see_them_all_and_who_it_is_once_that_is_known(self) -> None:
        seen: list[tuple[str, Principal | None, type[Packet]]] = []

        class Tap:
            def packet_received(self, principal: Principal | None, client_id: str, packet: Packet) -> None:
                seen.append(("in", principal, type(packet)))

            def packet_sent(self, principal: Principal | None, client_id: str, packet: Packet) -> None:
                seen.append(("out", principal, type(packet)))

        async with staged() as stage:
            stage.broker.packet_observers.append(Tap())
            line = await stage.line("c")
            await line.send(Pingreq())
        known = Principal(1, "c")
        assert seen[0] == ("in", None, Connect)
        assert seen[1][::2] == ("out", Connack)
        assert seen[2:] == [("in", known, Pingreq), ("out", known, Pingresp)]

    async def test_a_client_can_be_disconnected_with_a_reason(self) -> None:
        async with staged() as stage:
            line = await stage.line("c", level=V5)
            assert stage.broker.disconnect(1, "c", "the owner said so")
            (farewell,) = await line.heard()
            assert isinstance(farewell, Disconnect)
            assert (farewell.code, farewell.properties.reason_string) == (0x98, "the owner said so")
            assert not stage.broker.disconnect(1, "c", "again")


class TestGoodbye:
    async def test_clients_of_mqtt_5_are_told_and_there_are_no_wills(self) -> None:
        async with staged() as stage:
            five, four = await stage.line("five", level=V5, will=WILL), await stage.line("four", will=WILL)
        (farewell,) = await five.heard()
        assert isinstance(farewell, Disconnect)
        assert farewell.code == ReasonCode.SERVER_SHUTTING_DOWN
        assert (await four.heard(), four.closed_for) == ([], "the gateway is shutting down")
        assert stage.owner.messages == []

    async def test_what_is_left_of_sessions_is_handed_over(self) -> None:
        async with staged() as stage:
            await stage.kept("c", "t")
            stage.now += 5
        kept = [change for key, change in stage.owner.kept.items() if key[0] == "session"]
        assert [change.left_at for change in kept] == [stage.now]  # type: ignore[union-attr]  # of a session

    async def test_an_owner_that_takes_nothing_more_knows_already_when_they_left(self) -> None:
        async with staged() as stage:
            await stage.kept("c", "t")
            async with stage.broker.listening(Endpoint("127.0.0.1", 0)):
                stage.now += 5
            kept = [change for key, change in stage.owner.kept.items() if key[0] == "session"]
            assert [change.left_at for change in kept] == [stage.now]  # type: ignore[union-attr]  # of a session

    async def test_what_was_sent_before_is_written(self) -> None:
        async with serving() as house:
            wire = await house.client("c")
            await wire.subscribe(("t", 0))
            house.broker.publish(Message(1, "", "", "t", b"last", 0, False, 1_000))
            # The helper's clients would be gone before the broker is: keep this one.
            house.clients.pop_all()
        assert await wire.until_closed() == [Publish("t", b"last")]
        wire.abort()


class TestSockets:
    async def test_a_client_that_never_takes_its_answers_is_cut(self) -> None:
        """An endless row of PINGREQ, each of which is owed an answer."""
        limits = Limits(unsent_bytes=40_000, in_flight_bytes=10_000, packet_bytes=10_000, sweep_interval_s=0.05)
        async with serving(limits) as house:
            wire = await house.client("c")
            wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # the transport is a socket's
            wire.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            pings = encode(Pingreq()) * 100_000
            async with asyncio.timeout(20):
                with contextlib.suppress(ConnectionError):
                    while not house.owner.refused:
                        await wire.send(pings)
            assert [refused.kind for refused in house.owner.refused] == ["quota_exceeded"]
            assert await house.is_alive()

    async def test_beyond_the_limit_of_connections_nobody_is_let_in(self) -> None:
        async with serving(Limits(connections=2, sweep_interval_s=0.05)) as house:
            first, _ = await house.client("a"), await house.client("b")
            third = await house.knock()
            assert await third.until_closed() == []
            assert [refused.kind for refused in house.owner.refused] == ["server_busy"]
            await first.send(Disconnect())
            await first.until_closed()
            await house.client("c")

    async def test_while_the_owner_is_behind_nobody_is_read_and_nobody_is_called_silent(self) -> None:
        async with serving(Limits(connect_timeout_s=0.2, sweep_interval_s=0.01)) as house:
            wires = [await house.knock(), await house.knock()]
            house.broker.pause_reading()
            await wires[0].send(Connect(4, "before", clean_start=True, keep_alive_s=0))
            for client in house.broker._clients:
                client.opened_at -= 100
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(wires[0].reader.read(1), 0.1)
            house.broker.resume_reading()
            assert await wires[0].receive() == Connack(False, ReturnCode.ACCEPTED)
            assert await wires[1].connect("after") == Connack(False, ReturnCode.ACCEPTED)

    async def test_a_session_that_is_kept_is_had_again_over_another_connection(self, house: House) -> None:
        wire = await house.client("c", clean_start=False, level=V5, properties=KEPT)
        await wire.subscribe(("t", 1))
        wire.abort()
        await house.owner.until(lambda owner: bool(owner.left))
        house.broker.publish(Message(1, "", "", "t", b"x", 1, False, 1_000))
        again = await house.knock()
        assert (await again.connect("c", clean_start=False, level=V5, properties=KEPT)).session_present
        assert kinds([await again.receive()]) == [Publish]
