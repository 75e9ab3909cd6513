"""amqtt's `BrokerContext`, answered from our broker."""

from typing import Any

import pytest
from amqtt.broker import BrokerContext, RetainedApplicationMessage
from amqtt.contexts import BrokerConfig

from broker.packets import Publish, Subscription
from broker.plugins.context import HostedContext
from broker.plugins.ports import PluginConfig, PluginError, SessionView
from broker.plugins.sessions import KnownSessions
from tests.broker.plugins.examples import HERE, NOW, FakeBase, FakeView, Listening, hosting, message, shown

ANNA = SessionView("anna", "c", is_connected=True, is_clean=False, queued_count=4)


@pytest.fixture
def view() -> FakeView:
    view = FakeView()
    view.open["c"] = ANNA
    return view


@pytest.fixture
def context(view: FakeView) -> Any:
    return HostedContext(view, KnownSessions(lambda: NOW), {})


async def test_plugins_publish_in_the_name_of_the_gateway(context: Any, view: FakeView) -> None:
    await context.broadcast_message("a", bytearray(b"1"))
    await context.broadcast_message("b", b"2", 1)
    await context.retain_message("c", b"3", 2)
    await context.retain_message("c", b"")
    assert view.published == [
        Publish("a", b"1"),
        Publish("b", b"2", 1),
        Publish("c", b"3", 2, retain=True),
        Publish("c", b"", 0, retain=True),
    ]


async def test_plugins_see_sessions_and_subscriptions(context: Any, view: FakeView) -> None:
    [session] = context.sessions
    assert (session.client_id, session.retained_messages_count) == ("c", 4)
    assert context.get_session("c").transitions.is_connected()
    assert context.get_session("d") is None
    view.subscribed = [(ANNA, Subscription("a/#", 1)), (ANNA, Subscription("b", 0))]
    subscriptions = context.subscriptions
    assert [(topic, [qos for _, qos in found]) for topic, found in subscriptions.items()] == [("a/#", [1]), ("b", [0])]
    assert subscriptions["b"][0][0].client_id == "c"


async def test_plugins_see_what_the_client_has_shown(view: FakeView) -> None:
    async with hosting(PluginConfig(plugins={f"{HERE}.Listening": None}), view) as host:
        view.open["c"] = SessionView("c", "c", is_connected=True, is_clean=True)
        host.authorizer(FakeBase("c")).authenticate(shown("c", "anna", "secret"))
        [context] = Listening.contexts
        assert context.get_session("c").username == "anna"
        assert isinstance(context, BrokerContext)
        assert context.loop is not None
        assert context.logger.name == "amqtt.broker.plugins.host.Listening"


def test_retained_messages_are_seen_and_not_changed_behind_the_broker(context: Any, view: FakeView) -> None:
    view.kept = [message("a/b", b"1", 1, retain=True)]
    retained = context.retained_messages
    assert len(retained) == 1
    assert isinstance(retained["a/b"], RetainedApplicationMessage)
    assert (retained["a/b"].data, retained["a/b"].qos, retained["a/b"].retain) == (b"1", 1, True)
    with pytest.raises(TypeError):
        retained["c"] = retained["a/b"]


async def test_a_plugin_subscribes_for_a_client_that_may(context: Any, view: FakeView) -> None:
    view.unsubscribable = {"b"}
    await context.add_subscription("c", "a", 1)
    await context.add_subscription("c", None, None)
    assert view.subscribed == [(ANNA, Subscription("a", 1))]
    with pytest.raises(PluginError, match="may not subscribe"):
        await context.add_subscription("c", "b", 1)
    with pytest.raises(PluginError, match="no session"):
        await context.add_subscription("d", None, None)


def test_the_configuration_is_amqtts_and_lists_every_plugin(context: Any, view: FakeView) -> None:
    assert isinstance(context.config, BrokerConfig)
    listed = {"a.B": {"c": 1}}
    assert HostedContext(view, KnownSessions(lambda: NOW), listed).config.plugins == listed


def test_whoever_looks_behind_the_context_is_told_that_nothing_is_there(context: Any) -> None:
    with pytest.raises(AttributeError, match="no broker object of amqtt's"):
        context._broker_instance.plugins_manager.fire_event("anything")
