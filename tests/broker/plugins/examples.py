"""Plugins written for amqtt as others write them, and a stand-in for the broker that hosts them."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from amqtt.contexts import Action
from amqtt.plugins.base import BaseAuthPlugin, BasePlugin, BaseTopicPlugin
from amqtt.session import Session

from broker.message import Message
from broker.packets import Publish, Subscription
from broker.plugins.host import PluginHost
from broker.plugins.ports import BrokerView, PluginConfig, SessionView
from broker.ports import Allowed, Credentials, Decision, Denied, Pending, Principal

TENANT = 1
NOW = 1_700_000_000_000
HERE = "tests.broker.plugins.examples"


class ByName(BaseAuthPlugin):  # type: ignore[misc]  # amqtt has no types
    """Lets in whoever is called so, refuses `villain`, has no opinion about others; asks slowly if told so."""

    async def authenticate(self, *, session: Session) -> bool | None:
        if self.config.is_slow:
            async with asyncio.timeout(30):
                await asyncio.sleep(0)
        if session.username == "faulty":
            raise RuntimeError(f"password {session.password} is odd")
        if session.username == "endless":
            await asyncio.Event().wait()
        if session.username == self.config.friend:
            return True
        return False if session.username == "villain" else None

    @dataclass
    class Config:
        friend: str = "anna"
        is_slow: bool = False


class ByTopic(BaseTopicPlugin):  # type: ignore[misc]  # amqtt has no types
    """Refuses topics that contain the name of an action it is asked for, slowly those that contain `slow`."""

    async def topic_filtering(
        self, *, session: Session | None = None, topic: str | None = None, action: Action | None = None
    ) -> bool | None:
        assert session is not None
        assert topic is not None
        if "slow" in topic:
            await asyncio.sleep(0)
        if "fault" in topic:
            raise RuntimeError(topic)
        if "silent" in topic:
            return None
        return str(action) not in topic and f"not-{session.client_id}" not in topic

    @dataclass
    class Config:
        pass


class Listening(BasePlugin[Any]):  # type: ignore[misc]  # amqtt has no types
    """Writes down what it hears. The list belongs to the class: the host makes the plugin."""

    heard: list[tuple[str, dict[str, Any]]] = []  # noqa: RUF012  emptied by each test
    contexts: list[Any] = []  # noqa: RUF012  the same

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        self.contexts.append(context)

    async def on_broker_pre_start(self) -> None:
        self.heard.append(("pre_start", {}))

    async def on_broker_post_shutdown(self) -> None:
        self.heard.append(("post_shutdown", {}))

    async def on_broker_client_connected(self, **told: Any) -> None:
        self.heard.append(("connected", told))

    async def on_broker_client_disconnected(self, **told: Any) -> None:
        self.heard.append(("disconnected", told))

    async def on_broker_client_subscribed(self, **told: Any) -> None:
        self.heard.append(("subscribed", told))

    async def on_broker_client_unsubscribed(self, **told: Any) -> None:
        self.heard.append(("unsubscribed", told))

    async def on_broker_message_received(self, **told: Any) -> None:
        if told["message"].topic == "fault":
            raise RuntimeError("a secret")
        self.heard.append(("received", told))

    async def on_broker_message_broadcast(self, **told: Any) -> None:
        self.heard.append(("broadcast", told))

    async def on_broker_retained_message(self, **told: Any) -> None:
        self.heard.append(("retained", told))

    async def close(self) -> None:
        self.heard.append(("close", {}))
        if self.config.fails_to_close:
            raise RuntimeError("a secret")

    @dataclass
    class Config:
        fails_to_close: bool = False


class HearingPackets(BasePlugin[Any]):  # type: ignore[misc]  # amqtt has no types
    """Writes down packets."""

    packets: list[tuple[str, Any, Any]] = []  # noqa: RUF012  emptied by each test

    async def on_mqtt_packet_received(self, *, packet: Any, session: Any = None) -> None:
        self.packets.append(("in", packet, session))

    async def on_mqtt_packet_sent(self, *, packet: Any, session: Any = None) -> None:
        self.packets.append(("out", packet, session))


class Breaking(BasePlugin[Any]):  # type: ignore[misc]  # amqtt has no types
    """Cannot be made."""

    def __init__(self, context: Any) -> None:
        super().__init__(context)
        raise RuntimeError(f"password {self.config.password}")

    @dataclass
    class Config:
        password: str = ""


class FakeBase:
    """The gateway's own word: knows the clients it is told of, and what they may not do."""

    def __init__(self, *known: str) -> None:
        self.known = set(known)
        self.operators: set[str] = set()
        self.denied: set[str] = set()
        self.tenants: dict[str, int] = {}
        self.is_slow = False

    def authenticate(self, credentials: Credentials) -> Principal | Denied | Pending:
        client_id = credentials.client_id
        if client_id not in self.known:
            return self._answer(Denied("the gateway does not know it"))
        tenant_id = self.tenants.get(client_id, TENANT)
        return self._answer(Principal(tenant_id, client_id, client_id in self.operators))

    def may_publish(self, principal: Principal, topic: str) -> Decision:
        return self._decide(topic)

    def may_subscribe(self, principal: Principal, topic_filter: str) -> Decision:
        return self._decide(topic_filter)

    def may_receive(self, principal: Principal, topic: str) -> Decision:
        return self._decide(topic)

    def _decide(self, topic: str) -> Decision:
        word = Denied("the gateway does not allow it") if topic in self.denied else Allowed()
        return Pending(lambda tell: tell(word)) if self.is_slow else word

    def _answer(self, word: Principal | Denied) -> Principal | Denied | Pending:
        return Pending(lambda tell: tell(word)) if self.is_slow else word


class FakeView:
    """A broker that holds what it is given and remembers what it is asked to do."""

    def __init__(self) -> None:
        self.open: dict[str, SessionView] = {}
        self.subscribed: list[tuple[SessionView, Subscription]] = []
        self.kept: list[Message] = []
        self.published: list[Publish] = []
        self.unsubscribable: set[str] = set()

    def sessions(self) -> Iterable[SessionView]:
        return self.open.values()

    def session(self, client_id: str) -> SessionView | None:
        return self.open.get(client_id)

    def subscriptions(self) -> Iterable[tuple[SessionView, Subscription]]:
        return self.subscribed

    def retained(self) -> Iterable[Message]:
        return self.kept

    def publish(self, message: Publish) -> None:
        self.published.append(message)

    def subscribe(self, client_id: str, subscription: Subscription) -> bool:
        if subscription.topic_filter in self.unsubscribable:
            return False
        self.subscribed.append((self.open[client_id], subscription))
        return True


@asynccontextmanager
async def hosting(config: PluginConfig, view: BrokerView | None = None) -> AsyncIterator[PluginHost]:
    """Plugins that run, and what the examples among them have heard forgotten before."""
    Listening.heard.clear()
    Listening.contexts.clear()
    HearingPackets.packets.clear()
    host = PluginHost(config, lambda: NOW)
    async with host.running(view or FakeView()):
        yield host


def shown(
    client_id: str, username: str | None = None, password: str | None = None, certificate: bytes | None = None
) -> Credentials:
    """What a client shows."""
    secret = None if password is None else password.encode()
    return Credentials(client_id, username, secret, certificate, "127.0.0.1:50000")


async def answer(word: Principal | Allowed | Denied | Pending) -> Principal | Allowed | Denied:
    """The answer, whether it is there or still to come. Fails when it comes twice."""
    if not isinstance(word, Pending):
        return word
    answers: list[Principal | Allowed | Denied] = []
    has_come = asyncio.Event()

    def tell(told: Principal | Allowed | Denied) -> None:
        answers.append(told)
        has_come.set()

    word.then(tell)
    async with asyncio.timeout(30):
        await has_come.wait()
    for _ in range(3):
        await asyncio.sleep(0)
    [only] = answers
    return only


def message(
    topic: str = "a/b", payload: bytes = b"1", qos: int = 0, *, retain: bool = False, tenant: int = 1
) -> Message:
    """A message of the client `c`."""
    return Message(tenant, "c", "c", topic, payload, qos, retain, NOW)
