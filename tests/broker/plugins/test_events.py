"""What happens in the broker reaches plugins as amqtt's events, and never holds the broker up."""

import asyncio
from typing import Any

from amqtt.broker import RetainedApplicationMessage
from amqtt.events import BrokerEvents
from amqtt.session import IncomingApplicationMessage, Session

from broker.packets import Auth, Puback, Subscription
from broker.plugins.events import EventQueue, PluginObserver
from broker.plugins.faults import Faults
from broker.plugins.ports import PluginConfig
from broker.plugins.sessions import KnownSessions
from broker.ports import Principal
from tests.broker.plugins.examples import HERE, NOW, HearingPackets, Listening, hosting, message

CLIENT = Principal(1, "c")
STRANGER = Principal(2, "c")
LISTENING = PluginConfig(plugins={f"{HERE}.Listening": None})


def _heard() -> list[tuple[str, dict[str, Any]]]:
    """What was heard between the start and the end."""
    return Listening.heard[1:-2]


async def test_events_come_in_order_with_amqtts_arguments() -> None:
    async with hosting(LISTENING) as host:
        observer = host.observer()
        assert observer is not None
        observer.connected(CLIENT, "c")
        observer.subscribed(CLIENT, "c", Subscription("a/#", 1))
        observer.published(message("a/b", b"1", 1, retain=True))
        observer.delivered("c", message())
        observer.unsubscribed(CLIENT, "c", "a/#")
        observer.disconnected(CLIENT, "c")
    heard = _heard()
    names = ["connected", "subscribed", "received", "broadcast", "retained", "unsubscribed", "disconnected"]
    assert [name for name, _ in heard] == names
    told = dict(heard)
    assert isinstance(told["connected"]["client_session"], Session)
    assert told["connected"]["client_id"] == "c"
    assert told["subscribed"] == {"client_id": "c", "topic": "a/#", "qos": 1}
    assert told["unsubscribed"] == {"client_id": "c", "topic": "a/#"}
    received = told["received"]["message"]
    assert isinstance(received, IncomingApplicationMessage)
    assert (received.topic, received.data, received.qos, received.retain) == ("a/b", b"1", 1, True)
    assert received.publish_packet.retain_flag
    retained = told["retained"]
    assert retained["client_id"] is None
    assert isinstance(retained["retained_message"], RetainedApplicationMessage)
    assert told["disconnected"]["client_session"].transitions.is_disconnected()


async def test_nothing_of_another_tenant_is_heard() -> None:
    async with hosting(LISTENING) as host:
        observer = host.observer()
        assert observer is not None
        observer.connected(STRANGER, "c")
        observer.subscribed(STRANGER, "c", Subscription("a", 0))
        observer.unsubscribed(STRANGER, "c", "a")
        observer.published(message(tenant=2, retain=True))
        observer.disconnected(STRANGER, "c")
    assert _heard() == []


async def test_what_the_gateway_publishes_itself_was_not_received_from_a_client() -> None:
    async with hosting(LISTENING) as host:
        observer = host.observer()
        assert observer is not None
        own = message(retain=True)
        observer.published(type(own)(own.tenant_id, "", "", own.topic, own.payload, 0, True, own.arrived_at))
    assert [name for name, _ in _heard()] == ["retained"]


async def test_an_event_that_a_plugin_fails_at_is_over_and_the_next_one_comes() -> None:
    async with hosting(LISTENING) as host:
        observer = host.observer()
        assert observer is not None
        observer.published(message("fault"))
        observer.connected(CLIENT, "c")
    assert [name for name, _ in _heard()] == ["broadcast", "connected"]


async def test_events_beyond_the_limit_are_dropped_and_counted() -> None:
    config = PluginConfig(plugins={f"{HERE}.Listening": None}, waiting_events=3)
    async with hosting(config) as host:
        observer = host.observer()
        assert observer is not None
        for number in range(5):
            observer.unsubscribed(CLIENT, "c", str(number))
        assert host.status().dropped_event_count == 2
    assert [told["topic"] for _, told in _heard()] == ["0", "1", "2"]


async def test_packets_reach_those_who_listen_to_them() -> None:
    async with hosting(PluginConfig(plugins={f"{HERE}.HearingPackets": None})) as host:
        packets = host.packet_observer()
        assert packets is not None
        packets.packet_received(None, "c", Puback(1))
        packets.packet_sent(CLIENT, "c", Puback(2))
        packets.packet_sent(CLIENT, "c", Auth())
        packets.packet_sent(STRANGER, "c", Puback(3))
    (first, received, nobody), (second, sent, session) = HearingPackets.packets
    assert (first, received.packet_id, nobody) == ("in", 1, None)
    assert (second, sent.packet_id, session.client_id) == ("out", 2, "c")


async def test_a_plugin_that_never_ends_does_not_stop_the_others() -> None:
    class Endless:
        async def on_broker_client_unsubscribed(self, **_told: Any) -> None:
            await asyncio.Event().wait()

    faults = Faults()
    heard = asyncio.Event()

    class Hearing:
        async def on_broker_client_unsubscribed(self, **_told: Any) -> None:
            heard.set()

    queue = EventQueue([Endless(), Hearing()], faults, 10, 0.01)
    async with queue.running(), asyncio.timeout(30):
        PluginObserver(queue, KnownSessions(lambda: NOW), 1).unsubscribed(CLIENT, "c", "a")
        await heard.wait()
    assert faults.counts == {("Endless", "on_broker_client_unsubscribed", "TimeoutError"): 1}


async def test_an_event_that_nobody_wants_is_not_queued() -> None:
    queue = EventQueue([object()], Faults(), 0, 1.0)
    assert not queue.wants(BrokerEvents.CLIENT_CONNECTED)
    PluginObserver(queue, KnownSessions(lambda: NOW), 1).connected(CLIENT, "c")
    assert queue.dropped_count == 0


async def test_at_the_end_nobody_is_waited_for_long() -> None:
    class Slow:
        async def on_broker_client_unsubscribed(self, **_told: Any) -> None:
            await asyncio.Event().wait()

    queue = EventQueue([Slow()], Faults(), 10, 60.0, stop_s=0.01)
    async with queue.running():
        observer = PluginObserver(queue, KnownSessions(lambda: NOW), 1)
        for topic in ("a", "b", "c"):
            observer.unsubscribed(CLIENT, "c", topic)
    assert queue.dropped_count == 2
