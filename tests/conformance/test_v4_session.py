"""MQTT 3.1.1, sections 3.1.2, 3.1.4, 3.2.2 and 4.1: what a session keeps, and for how long."""

import asyncio

import pytest

from tests.conformance.site import Site
from tests.conformance.wire_format import PINGREQ, Connect, Kind, Publish, Will, subscribe


async def test_a_kept_session_is_present_and_a_new_one_is_not(v4: Site) -> None:
    """[MQTT-3.1.2-4] [MQTT-3.2.2-2] [MQTT-3.2.2-3]"""
    wire = await v4.client(clean=False)
    assert not wire.connack.session_present
    await wire.leave()
    assert (await v4.client(clean=False)).connack.session_present


async def test_a_clean_session_begins_and_ends_with_nothing(v4: Site) -> None:
    """[MQTT-3.1.2-6] [MQTT-3.1.4-3] [MQTT-3.2.2-1] [MQTT-3.2.2-3]"""
    wire = await v4.client(clean=False)
    await wire.subscribe(("t", 1))
    wire.abort()
    wire = await v4.client(clean=True)
    assert not wire.connack.session_present
    await wire.subscribe(("t", 1))
    await wire.leave()
    await (await v4.client("publisher")).publish("t", b"x", 1)
    wire = await v4.client(clean=False)
    assert not wire.connack.session_present
    await wire.expect_nothing()


async def test_subscriptions_are_kept(v4: Site) -> None:
    """[MQTT-3.1.2-4] [MQTT-4.1.0-1]"""
    wire = await v4.client(clean=False)
    await wire.subscribe(("t", 0))
    await wire.leave()
    wire = await v4.client(clean=False)
    await (await v4.client("publisher")).publish("t")
    assert await wire.messages() == [("t", b"x", 0, False)]


async def test_an_unsubscribed_filter_is_not_kept(v4: Site) -> None:
    """[MQTT-3.10.4-1] [MQTT-3.10.4-2]"""
    wire = await v4.client(clean=False)
    await wire.subscribe(("t", 1), ("u", 1))
    await wire.unsubscribe("t")
    await wire.leave()
    publisher = await v4.client("publisher")
    await publisher.publish("t", b"1", 1)
    await publisher.publish("u", b"2", 1)
    wire = await v4.client(clean=False)
    assert await wire.messages() == [("u", b"2", 1, False)]


async def test_state_belongs_to_one_client_identifier(v4: Site) -> None:
    """[MQTT-3.1.3-2]"""
    wire = await v4.client("c", clean=False)
    await wire.subscribe(("t", 1))
    await wire.leave()
    for other in ("C", "c ", "cc"):
        assert not (await v4.client(other, clean=False)).connack.session_present


async def test_a_session_is_taken_over_with_what_is_under_way(v4: Site) -> None:
    """[MQTT-3.1.4-2] [MQTT-4.4.0-1]"""
    old = await v4.client(clean=False)
    await old.subscribe(("t", 1))
    await (await v4.client("publisher")).publish("t", b"x", 1)
    first = await old.expect(Kind.PUBLISH)
    new = await v4.client(clean=False)
    await old.expect_closed()
    assert new.connack.session_present
    again = await new.expect(Kind.PUBLISH)
    assert (again.message, again.number, again.duplicate) == (first.message, first.number, True)
    await new.ping()


async def test_a_session_that_is_taken_over_often_stays_one(v4: Site) -> None:
    """[MQTT-3.1.4-2] [MQTT-4.5.0-1]"""
    wires = [await v4.client(clean=False) for _ in range(5)]
    await wires[-1].subscribe(("t", 0))
    for wire in wires[:-1]:
        await wire.expect_closed()
    await (await v4.client("publisher")).publish("t")
    assert await wires[-1].messages() == [("t", b"x", 0, False)]


async def test_a_silent_client_is_let_go_after_one_and_a_half_keep_alives(v4: Site) -> None:
    """[MQTT-3.1.2-24]: as if the network had failed, so the will is published."""
    witness = await v4.client("witness")
    await witness.subscribe(("gone", 0))
    wire = await v4.client(keep_alive_s=1, will=Will("gone"))
    begun_at = asyncio.get_running_loop().time()
    await wire.expect_closed()
    silent_s = asyncio.get_running_loop().time() - begun_at
    assert 1.0 < silent_s < 15.0
    assert (await witness.receive()).message == ("gone", b"gone", 0, False)


async def test_what_a_client_receives_does_not_keep_it_alive(v4: Site) -> None:
    """[MQTT-3.1.2-24]: it is the client that must be heard."""
    wire = await v4.client(keep_alive_s=1)
    await wire.subscribe(("t", 0))
    publisher = await v4.client("publisher")
    async with asyncio.TaskGroup() as tasks:
        closed = tasks.create_task(wire.until_closed())
        while not closed.done():
            await publisher.publish("t")
            await asyncio.wait([closed], timeout=0.1)
    assert len(closed.result()) > 5


async def test_any_packet_keeps_a_client_alive(v4: Site) -> None:
    """[MQTT-3.1.2-24]"""
    wire = await v4.client(keep_alive_s=2)
    for _ in range(6):
        # A keep alive is measured by the clock of the network, which no test can move.
        await asyncio.sleep(0.6)
        await wire.send(Publish("t", b""))
    await wire.ping()


async def test_connack_comes_before_everything_else(v4: Site) -> None:
    """[MQTT-3.2.0-1] [MQTT-3.1.4-4]"""
    wire = await v4.knock()
    await wire.send(Connect("c", 4).data, PINGREQ, subscribe(1, 4, [("t", 0)]))
    assert (await wire.expect(Kind.CONNACK)).code == 0
    assert (await wire.expect(Kind.PINGRESP)).kind is Kind.PINGRESP
    assert (await wire.expect(Kind.SUBACK)).codes == (0,)


async def test_waiting_messages_come_after_connack(v4: Site) -> None:
    """[MQTT-3.2.0-1] [MQTT-3.1.2-5]"""
    wire = await v4.client(clean=False)
    await wire.subscribe(("t", 1))
    await wire.leave()
    await (await v4.client("publisher")).publish("t", b"x", 1)
    wire = await v4.knock()
    await wire.send(Connect("c", 4, clean=False).data)
    assert (await wire.expect(Kind.CONNACK)).session_present
    assert (await wire.take()).message == ("t", b"x", 1, False)


async def test_two_clients_without_an_identifier_have_two_sessions(v4: Site) -> None:
    """[MQTT-3.1.3-6]"""
    first, second = await v4.client(""), await v4.client("")
    await first.subscribe(("t", 0))
    await second.publish("t")
    assert await first.messages() == [("t", b"x", 0, False)]
    await second.expect_nothing()


async def test_no_identifier_but_a_session_to_keep_is_refused(v4: Site) -> None:
    """[MQTT-3.1.3-8] [MQTT-3.2.2-4] [MQTT-3.2.2-5]"""
    wire = await v4.attempt(Connect("", 4, clean=False))
    assert (wire.connack.code, wire.connack.session_present) == (2, False)
    await wire.expect_closed()


async def test_a_refused_client_has_no_session_and_nothing_of_it_is_processed(v4: Site) -> None:
    """[MQTT-3.1.4-5] [MQTT-3.2.2-4] [MQTT-3.2.2-5]"""
    v4.deny_client("c")
    witness = await v4.client("witness")
    await witness.subscribe(("#", 0))
    wire = await v4.knock()
    await wire.send(Connect("c", 4, will=Will("gone")).data, Publish("t", b"x"))
    connack = await wire.expect(Kind.CONNACK)
    assert (connack.code, connack.session_present) == (5, False)
    await wire.expect_closed()
    await witness.expect_nothing()


@pytest.mark.parametrize("client_id", ["0", "abcdefghijklmnopqrstuvw", "ABCDEFGHIJKLMNOPQRSTUVW", "0123456789XYZxyz"])
async def test_an_ordinary_client_identifier_is_accepted(v4: Site, client_id: str) -> None:
    """[MQTT-3.1.3-5]"""
    await v4.client(client_id)


async def test_a_message_that_was_not_acknowledged_is_kept_by_a_goodbye_too(v4: Site) -> None:
    """[MQTT-4.4.0-1] [MQTT-4.1.0-1]"""
    wire = await v4.client(clean=False)
    await wire.subscribe(("t", 1))
    await (await v4.client("publisher")).publish("t", b"x", 1)
    first = await wire.expect(Kind.PUBLISH)
    await wire.leave()
    wire = await v4.client(clean=False)
    again = await wire.take()
    assert (again.number, again.duplicate) == (first.number, True)
    wire.abort()
    await (await v4.client(clean=False)).expect_nothing()


async def test_nothing_comes_again_while_the_connection_lasts(v4: Site) -> None:
    """[MQTT-4.4.0-1]: section 4.4 asks for it after a reconnect only."""
    wire = await v4.client(clean=False)
    await wire.subscribe(("t", 1))
    await (await v4.client("publisher")).publish("t", b"x", 1)
    await wire.expect(Kind.PUBLISH)
    for _ in range(5):
        await wire.expect_nothing()
