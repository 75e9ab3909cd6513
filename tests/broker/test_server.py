"""Whole brokers and real sockets: who may do what, what is acknowledged when, and what hurts only its author."""

import asyncio
import contextlib
import socket
import time

import pytest

from broker.codec import encode
from broker.limits import Limits
from broker.packets import (
    Connack,
    Connect,
    Disconnect,
    Pingreq,
    Pingresp,
    Puback,
    Publish,
    ReturnCode,
    Suback,
    Subscribe,
    Subscription,
    Unsubscribe,
    Will,
)
from broker.ports import Connected, Disconnected, Message
from tests.broker.house import House, serving

QUICK = Limits(sweep_interval_s=0.02)


async def test_what_is_published_reaches_the_owner_and_the_subscriber(house: House) -> None:
    wire = await house.client("c")
    assert await wire.subscribe(("a/+", 1)) == (1,)
    await wire.send(Publish("a/b", b"hello", 1, packet_id=3))
    received = {type(packet): packet for packet in [await wire.receive(), await wire.receive()]}
    assert received == {Puback: Puback(3), Publish: Publish("a/b", b"hello", 1, packet_id=1)}
    (message,) = house.owner.messages
    assert message == Message(1, "c", "c", "a/b", b"hello", 1, False, 1_000)


class TestAcknowledgement:
    async def test_it_waits_for_the_owner_and_comes_in_the_order_of_the_messages(self, house: House) -> None:
        house.owner.holds_back = True
        wire = await house.client("c")
        await wire.send(*(Publish("t", b"", 1, packet_id=number) for number in (5, 3, 9)))
        await house.owner.until(lambda owner: len(owner.messages) == 3)
        await wire.ping()
        house.broker.acknowledge(house.owner.receipts(house.owner.messages))
        assert [await wire.receive() for _ in range(3)] == [Puback(5), Puback(3), Puback(9)]

    async def test_it_is_lost_with_the_connection_that_waited_for_it(self, house: House) -> None:
        house.owner.holds_back = True
        old = await house.client("c", clean_start=False)
        await old.send(Publish("t", b"1", 1, packet_id=5))
        await house.owner.until(lambda owner: len(owner.messages) == 1)
        new = await house.client("c", clean_start=False)
        house.broker.acknowledge(house.owner.receipts(house.owner.messages))
        await new.ping()
        await new.send(Publish("t", b"1", 1, duplicate=True, packet_id=5))
        await house.owner.until(lambda owner: len(owner.messages) == 2)
        house.broker.acknowledge(house.owner.receipts(house.owner.messages[1:]))
        assert await new.receive() == Puback(5)

    async def test_nobody_waits_for_it_at_qos_0(self, house: House) -> None:
        wire = await house.client("c")
        await wire.publish("t", qos=0)
        assert [message.receipt for message in house.owner.messages] == [None]

    async def test_messages_of_one_turn_are_one_batch(self, house: House) -> None:
        wire = await house.client("c")
        await wire.send(*[Publish("t", b"x")] * 50)
        await wire.ping()
        assert [len(batch) for batch in house.owner.batches] == [50]


class TestRights:
    async def test_who_may_not_connect_is_told_and_the_owner_hears_why(self, house: House) -> None:
        house.authorizer.denied_clients.add("stranger")
        wire = await house.knock()
        assert await wire.connect("stranger") == Connack(False, ReturnCode.NOT_AUTHORIZED)
        assert await wire.until_closed() == []
        (refused,) = house.owner.refused
        assert (refused.kind, refused.reason, refused.client_id) == (
            "connect_denied",
            "this client is not known",
            "stranger",
        )

    async def test_who_publishes_without_the_right_is_disconnected_and_nothing_is_delivered(self, house: House) -> None:
        house.authorizer.denied_topics.add("secret")
        listener, wire = await house.client("listener"), await house.client("c")
        await listener.subscribe(("#", 1))
        await wire.send(Publish("secret", b"x", 1, packet_id=1))
        assert await wire.until_closed() == []
        await listener.ping()
        assert house.owner.messages == []
        (refused,) = house.owner.refused
        assert (refused.kind, refused.principal, refused.client_id) == ("not_authorized", "c", "c")

    async def test_a_subscription_without_the_right_fails_alone(self, house: House) -> None:
        house.authorizer.denied_filters.add("#")
        wire = await house.client("c")
        assert await wire.subscribe(("#", 1), ("a", 1)) == (0x80, 1)
        house.broker.publish(1, Publish("b", b"x"))
        await wire.ping()
        assert [refused.kind for refused in house.owner.refused] == ["subscribe_not_authorized"]

    async def test_a_will_without_the_right_is_refused_at_connect(self, house: House) -> None:
        house.authorizer.denied_topics.add("secret")
        wire = await house.knock()
        connack = await wire.connect(will=Will("secret", b"", 0, retain=False))
        assert connack.code is ReturnCode.NOT_AUTHORIZED

    async def test_the_client_identifier_of_another_is_refused_whether_it_is_there_or_away(self, house: House) -> None:
        owner = await house.client("c", clean_start=False)
        for _ in range(2):
            thief = await house.knock()
            connack = await thief.connect("c", username="thief")
            assert connack.code is ReturnCode.NOT_AUTHORIZED
            await owner.ping()
            await owner.send(Disconnect())
            await owner.until_closed()
            owner = await house.knock()
            assert await owner.connect("c", clean_start=False) == Connack(True, ReturnCode.ACCEPTED)

    async def test_tenants_share_neither_topics_nor_identifiers(self, house: House) -> None:
        first = await house.client("c")
        await first.subscribe(("#", 1))
        house.authorizer.tenants["c"] = 2
        second = await house.client("c")
        await second.publish("t", retain=True)
        await first.ping()
        await first.subscribe(("t", 1))
        await first.ping()


class TestTakeOver:
    async def test_it_closes_the_older_connection_and_publishes_its_will(self, house: House) -> None:
        witness = await house.client("witness")
        await witness.subscribe(("gone", 1))
        old = await house.client("c", will=Will("gone", b"c", 0, retain=False))
        await house.client("c")
        assert await old.until_closed() == []
        assert await witness.receive() == Publish("gone", b"c")
        assert [(event.client_id, event.reason) for event in house.owner.left] == [
            ("c", "another connection took the session over")
        ]
        assert house.broker.connection_count == 2

    async def test_the_session_lives_on_with_what_waited(self, house: House) -> None:
        old = await house.client("c", clean_start=False)
        await old.subscribe(("t", 1))
        house.broker.publish(1, Publish("t", b"x", 1))
        assert await old.expect(Publish) == Publish("t", b"x", 1, packet_id=1)
        new = await house.knock()
        assert await new.connect("c", clean_start=False) == Connack(True, ReturnCode.ACCEPTED)
        assert await new.receive() == Publish("t", b"x", 1, duplicate=True, packet_id=1)

    async def test_many_in_a_row_leave_one_connection_and_one_session(self, house: House) -> None:
        wire = await house.client("c")
        for number in range(99):
            wire = await house.client("c", clean_start=number % 2 == 0)
            await wire.send(
                Subscribe(1, (Subscription("t", 1),)), Unsubscribe(2, ("t",)), Subscribe(3, (Subscription("u", 0),))
            )
        await wire.send(Pingreq())
        await wire.until(Pingresp)
        assert (house.broker.connection_count, len(house.broker._sessions)) == (1, 1)
        assert len(house.broker._client_of) == 1
        kinds = [type(event) for event in house.owner.events]
        assert kinds == [Connected] + [Disconnected, Connected] * 99


class TestLimits:
    async def test_a_client_that_does_not_read_loses_messages_at_qos_0_and_the_others_do_not(self) -> None:
        async with serving(Limits(unsent_bytes=200_000)) as house:
            slow, quick = await house.client("slow"), await house.client("quick")
            for wire in (slow, quick):
                await wire.subscribe(("t", 0))
            slow.writer.transport.pause_reading()  # type: ignore[attr-defined]  # the transport is a socket's
            for number in range(200):
                message = Publish("t", b"%06d" % number + bytes(60_000))
                house.broker.publish(1, message)
                assert await quick.receive() == message
            unsent = [client.connection.unsent_bytes for client in house.broker._clients]
            assert max(unsent) <= 200_000
            assert house.broker.dropped_count > 50
            slow.writer.transport.resume_reading()  # type: ignore[attr-defined]  # the same
            await slow.send(Pingreq())
            assert len(await slow.until(Pingresp)) == 200 - house.broker.dropped_count

    async def test_a_client_that_does_not_read_is_cut_at_the_bound_and_the_others_go_on(self) -> None:
        limits = Limits(unsent_bytes=200_000, in_flight=1_000, in_flight_bytes=100_000_000)
        async with serving(limits) as house:
            slow, quick = await house.client("slow"), await house.client("quick")
            for wire in (slow, quick):
                await wire.subscribe(("t", 1))
            slow.writer.transport.pause_reading()  # type: ignore[attr-defined]  # the transport is a socket's
            for number in range(1, 201):
                house.broker.publish(1, Publish("t", bytes(60_000), 1))
                assert await quick.receive() == Publish("t", bytes(60_000), 1, packet_id=number)
            assert [(event.client_id, event.kind) for event in house.owner.refused] == [("slow", "quota_exceeded")]

    async def test_a_client_that_never_takes_its_answers_is_cut(self) -> None:
        """An endless row of PINGREQ, each of which is owed an answer."""
        async with serving(Limits(unsent_bytes=20_000, sweep_interval_s=0.05)) as house:
            wire = await house.client("c")
            wire.writer.transport.pause_reading()  # type: ignore[attr-defined]  # the transport is a socket's
            wire.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
            (client,) = house.broker._clients
            client.connection._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)
            pings = encode(Pingreq()) * 300_000
            with contextlib.suppress(ConnectionError):
                await wire.send(pings)
            await house.owner.until(lambda owner: bool(owner.refused))
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

    async def test_silent_connections_are_reaped(self) -> None:
        async with serving(Limits(connect_timeout_s=0.2, sweep_interval_s=0.02)) as house:
            started = time.monotonic()
            wires = [await house.knock() for _ in range(100)]
            for wire in wires[::2]:
                await wire.send(b"\x10")
            for wire in wires:
                assert await wire.until_closed() == []
            assert 0.15 < time.monotonic() - started < 5
            assert house.broker.connection_count == 0
            assert house.broker.refusals == {"protocol_error": 100}

    async def test_nobody_is_called_silent_while_nobody_is_heard(self) -> None:
        async with serving(Limits(connect_timeout_s=0.2, sweep_interval_s=0.01)) as house:
            wires = [await house.knock(), await house.knock()]
            house.broker.pause_reading()
            await wires[0].send(Connect(4, "before", clean_start=True, keep_alive_s=0))
            await asyncio.sleep(0.4)
            house.broker.resume_reading()
            assert await wires[0].receive() == Connack(False, ReturnCode.ACCEPTED)
            await asyncio.sleep(0.05)
            assert await wires[1].connect("after") == Connack(False, ReturnCode.ACCEPTED)

    async def test_keep_alive_ends_after_one_and_a_half_times_and_publishes_the_will(self) -> None:
        async with serving(QUICK) as house:
            witness = await house.client("witness")
            await witness.subscribe(("gone", 0))
            lively, silent = await house.knock(), await house.knock()
            await lively.connect("lively", keep_alive_s=1)
            started = time.monotonic()
            await silent.connect("silent", keep_alive_s=1, will=Will("gone", b"silent", 0, retain=False))
            await asyncio.sleep(0.8)
            await lively.ping()
            assert await witness.receive() == Publish("gone", b"silent")
            assert 1.4 < time.monotonic() - started < 2.4
            assert await silent.until_closed() == []
            await lively.ping()
            assert [refused.kind for refused in house.owner.refused] == ["keep_alive_timeout"]

    async def test_subscriptions_are_counted_within_a_packet_too(self) -> None:
        async with serving(Limits(subscriptions=3, sweep_interval_s=0.05)) as house:
            wire = await house.client("c")
            assert await wire.subscribe(("a", 1), ("b", 1)) == (1, 1)
            assert await wire.subscribe(("b", 0), ("c", 1), ("d", 1)) == (0, 1, 0x80)
            assert await wire.subscribe(("c", 0)) == (0,)
            await wire.send(Subscribe(1, tuple(Subscription(str(number), 0) for number in range(4))))
            assert await wire.until_closed() == []
            assert house.broker.refusals == {"subscribe_quota_exceeded": 1, "quota_exceeded": 1}

    async def test_retained_messages_beyond_what_a_client_takes_at_once_do_not_cut_it(self) -> None:
        async with serving(Limits(unsent_bytes=20_000, sweep_interval_s=0.05)) as house:
            for number in range(50):
                house.broker.publish(1, Publish(f"r/{number}", bytes(1_000), retain=True))
            wire = await house.client("c")
            await wire.subscribe(("r/#", 0))
            await wire.send(Pingreq())
            received = await wire.until(Pingresp)
            assert len(received) == 50 - house.broker.dropped_count
            assert 9 <= len(received) <= 11
            assert house.owner.refused == []


BIG = Limits(connect_packet_bytes=1_000, packet_bytes=5_000, sweep_interval_s=0.05)
CONNECT = encode(Connect(4, "c", clean_start=True, keep_alive_s=0))
# What is sent → why the connection ends.
ATTACKS = {
    "B-01 PUBLISH of 256 MB first": (bytes.fromhex("30 ff ff ff 7f") + bytes(65_536), "packet_too_large"),
    "B-02 CONNECT of 256 MB": (bytes.fromhex("10 ff ff ff 7f") + bytes(65_536), "packet_too_large"),
    "CONNECT of 1,001 bytes": (bytes.fromhex("10 e9 07"), "packet_too_large"),
    "PUBLISH of 5,001 bytes": (CONNECT + bytes.fromhex("30 89 27"), "packet_too_large"),
    "B-03 PUBACK first": (bytes.fromhex("40 02 0001"), "protocol_error"),
    "PUBLISH first": (encode(Publish("t", b"")), "protocol_error"),
    "B-04 five bytes of length": (bytes.fromhex("10 ff ff ff ff 01"), "malformed_packet"),
    "B-07 a second CONNECT": (CONNECT + CONNECT, "protocol_error"),
    "B-07 a reserved flag": (bytes.fromhex("10 0c 0004 4d515454 04 03 003c 0000"), "malformed_packet"),
    "B-09 an empty topic": (CONNECT + bytes.fromhex("30 02 0000"), "topic_name_invalid"),
    "B-10 a topic with a wildcard": (CONNECT + encode(Publish("w/#", b"")), "topic_name_invalid"),
    "B-10 a null character": (CONNECT + bytes.fromhex("30 03 0001 00"), "malformed_packet"),
    "B-10 invalid UTF-8": (CONNECT + bytes.fromhex("30 03 0001 ff"), "malformed_packet"),
    "B-10 a topic that is cut off": (CONNECT + bytes.fromhex("30 03 0002 74"), "malformed_packet"),
    "B-10 QoS 3": (CONNECT + bytes.fromhex("36 05 0001 74 0001"), "malformed_packet"),
    "B-10 packet identifier 0": (CONNECT + bytes.fromhex("32 05 0001 74 0000"), "malformed_packet"),
    "B-14 65,000 filters": (CONNECT + encode(Subscribe(1, (Subscription("/", 0),) * 1_000)), "quota_exceeded"),
    "B-14 a topic of many levels": (CONNECT + encode(Publish("/" * 100, b"")), "topic_name_invalid"),
    "B-15 SUBSCRIBE with bad flags": (CONNECT + bytes.fromhex("80 06 0001 0001 74 00"), "malformed_packet"),
    "B-15 SUBSCRIBE without a filter": (CONNECT + bytes.fromhex("82 02 0001"), "malformed_packet"),
    "B-16 QoS 2": (CONNECT + encode(Publish("t", b"", 2, packet_id=1)), "qos_not_supported"),
    "B-18 CONNACK from a client": (CONNECT + bytes.fromhex("20 02 00 00"), "protocol_error"),
    "a will at QoS 2": (encode(Connect(4, "c", True, 0, Will("t", b"", 2, retain=False))), "qos_not_supported"),
    "a will with a wildcard": (encode(Connect(4, "c", True, 0, Will("#", b"", 0, retain=False))), "topic_name_invalid"),
}


@pytest.mark.parametrize(("data", "kind"), ATTACKS.values(), ids=list(ATTACKS))
async def test_an_attack_ends_its_own_connection_with_a_reason_and_nothing_else(data: bytes, kind: str) -> None:
    async with serving(BIG) as house:
        witness, wire = await house.client("witness"), await house.knock()
        await witness.subscribe(("#", 1))
        await wire.send(data)
        answers = await wire.until_closed()
        assert answers in ([], [Connack(False, ReturnCode.ACCEPTED)])
        await witness.ping()
        assert house.owner.messages == []
        assert [refused.kind for refused in house.owner.refused] == [kind]
        assert house.owner.refused[0].reason
        assert house.broker.connection_count == 1


@pytest.mark.parametrize("topic_filter", ["", "a/#/b", "a+", "/".join(["+"] * 200), "$share/g/t"])
async def test_a_filter_that_is_not_valid_fails_alone(house: House, topic_filter: str) -> None:
    wire = await house.client("c")
    await wire.send(Subscribe(1, (Subscription(topic_filter, 0), Subscription("ok", 0))))
    assert await wire.receive() == Suback(1, (0x80, 0))
    assert len(house.owner.refused) == 1


async def test_the_broker_says_goodbye_without_wills_when_it_stops() -> None:
    async with serving() as house:
        wire = await house.client("c", will=Will("gone", b"", 0, retain=False))
        await wire.subscribe(("t", 0))
        house.broker.publish(1, Publish("t", b"last"))
        owner = house.owner
        # The helper's clients would be gone before the broker is: keep this one.
        house.clients.pop_all()
    assert await wire.until_closed() == [Publish("t", b"last")]
    wire.abort()
    assert owner.messages == []
    assert [event.reason for event in owner.left] == ["the gateway is shutting down"]
