"""Our broker as plugins reach it."""

from broker.exchange import Exchange
from broker.packets import Publish, Subscription
from broker.plugins.ports import SessionView
from broker.plugins.view import TenantView
from broker.ports import Principal
from broker.server import Broker
from tests.broker.plugins.examples import NOW
from tests.fakes import FakeAuthorizer, FakeOwner


def _exchange() -> Exchange:
    return Broker(FakeOwner(), FakeAuthorizer(), lambda: NOW).exchange


def _open(exchange: Exchange, client_id: str, tenant_id: int = 1, expiry_s: int = 0) -> None:
    session = exchange.sessions.prepare(Principal(tenant_id, f"name of {client_id}"), client_id)
    session.expiry_s = expiry_s
    exchange.sessions.open(session)
    subscription = Subscription(f"{client_id}/#", 1)
    session.subscriptions[subscription.topic_filter] = subscription
    exchange.sessions.router(tenant_id).subscribe(session, subscription)


def test_plugins_see_the_sessions_of_their_tenant_and_no_other() -> None:
    exchange = _exchange()
    _open(exchange, "a")
    _open(exchange, "b", expiry_s=60)
    _open(exchange, "c", tenant_id=2)
    view = TenantView(exchange, 1, lambda: NOW)
    a = SessionView("name of a", "a", is_connected=False, is_clean=True)
    b = SessionView("name of b", "b", is_connected=False, is_clean=False)
    assert sorted(view.sessions(), key=lambda session: session.client_id) == [a, b]
    assert view.session("b") == b
    assert view.session("c") is None
    assert sorted((shown.client_id, each.topic_filter) for shown, each in view.subscriptions()) == [
        ("a", "a/#"),
        ("b", "b/#"),
    ]


async def test_what_waits_for_a_client_is_counted() -> None:
    exchange = _exchange()
    _open(exchange, "b", expiry_s=60)
    view = TenantView(exchange, 1, lambda: NOW)
    for _ in range(3):
        view.publish(Publish("b/x", b"1", 1))
    shown = view.session("b")
    assert shown is not None
    assert (shown.sent_count, shown.queued_count) == (0, 3)


async def test_retained_messages_of_plugins_are_kept_and_seen() -> None:
    exchange = _exchange()
    view = TenantView(exchange, 1, lambda: NOW)
    for topic in ("a/b", "$SYS/broker/version"):
        view.publish(Publish(topic, b"1", retain=True))
    view.publish(Publish("not/kept", b"1"))
    assert sorted(kept.topic for kept in view.retained()) == ["$SYS/broker/version", "a/b"]
    assert list(TenantView(exchange, 2, lambda: NOW).retained()) == []


def test_plugins_subscribe_for_a_client_only_where_they_are_given_a_way() -> None:
    exchange = _exchange()
    wanted = Subscription("a", 1)
    assert not TenantView(exchange, 1, lambda: NOW).subscribe("c", wanted)
    asked: list[tuple[str, Subscription]] = []

    def subscribe(client_id: str, subscription: Subscription) -> bool:
        asked.append((client_id, subscription))
        return True

    assert TenantView(exchange, 1, lambda: NOW, subscribe).subscribe("c", wanted)
    assert asked == [("c", wanted)]
