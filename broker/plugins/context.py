"""amqtt's `BrokerContext`, answered from our broker, and the loading of plugins by class path."""

import asyncio
import contextlib
import logging
import warnings
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Never

from amqtt.broker import BrokerContext, RetainedApplicationMessage
from amqtt.contexts import BrokerConfig
from amqtt.plugins.manager import PluginManager
from dacite.exceptions import DaciteFieldError, UnexpectedDataError

from broker.message import Message
from broker.packets import Publish, Subscription
from broker.plugins.ports import BrokerView, PluginError
from broker.plugins.sessions import HostedSession, KnownSessions

log = logging.getLogger(__name__)

NAMESPACE = "amqtt.broker.plugins.host"
"""What the loggers of plugins begin with, as in amqtt."""
_TELLS_SECRETS = "Malformed line in password file"


class HostedContext(BrokerContext):  # type: ignore[misc]  # amqtt has no types
    """What plugins reach of the broker. Everything it gives is a copy, made when it is asked for."""

    def __init__(self, view: BrokerView, sessions: KnownSessions, plugins: Mapping[str, Any]) -> None:
        super().__init__(_NoBroker())
        self.config = BrokerConfig(plugins=dict(plugins))
        self._view = view
        self._known = sessions

    async def broadcast_message(self, topic: str, data: bytes, qos: int | None = None) -> None:
        """Publish in the gateway's own name."""
        self._view.publish(Publish(topic, bytes(data), qos or 0))

    async def retain_message(self, topic_name: str, data: bytes | bytearray, qos: int | None = None) -> None:
        """Publish a retained message in the gateway's own name; without data, the retained one is gone."""
        self._view.publish(Publish(topic_name, bytes(data or b""), qos or 0, retain=True))

    @property
    def sessions(self) -> Iterator[HostedSession]:
        """Every session of the broker."""
        for view in self._view.sessions():
            yield self._known.get(view.principal, view.client_id).show(view)

    def get_session(self, client_id: str) -> HostedSession | None:
        """The session of a client, if it has one."""
        view = self._view.session(client_id)
        return None if view is None else self._known.get(view.principal, client_id).show(view)

    @property
    def retained_messages(self) -> Mapping[str, Any]:
        """Retained messages by topic. They are changed by `retain_message` only."""
        return MappingProxyType({message.topic: amqtt_retained(message) for message in self._view.retained()})

    @property
    def subscriptions(self) -> dict[str, list[tuple[HostedSession, int]]]:
        """Subscriptions by topic filter: whose, and the QoS."""
        found: dict[str, list[tuple[HostedSession, int]]] = {}
        for view, subscription in self._view.subscriptions():
            session = self._known.get(view.principal, view.client_id).show(view)
            found.setdefault(subscription.topic_filter, []).append((session, subscription.qos))
        return found

    async def add_subscription(self, client_id: str, topic: str | None, qos: int | None) -> None:
        """Subscribe for a client that has a session, as though it had asked itself.

        Raises `PluginError` when it has none, or may not.
        """
        if self._view.session(client_id) is None:
            raise PluginError(f"{client_id!r} has no session, and plugins cannot make one")
        if topic is not None and qos is not None and not self._view.subscribe(client_id, Subscription(topic, qos)):
            raise PluginError(f"{client_id!r} may not subscribe to {topic!r}")


def load_plugins(options_by_path: Mapping[str, Any], context: HostedContext) -> list[Any]:
    """Make the plugins by amqtt's own `PluginManager`, in their order. Called on the loop.

    Raises `PluginError`, which names the plugin and never shows its options.
    """
    plugins = []
    for path, options in options_by_path.items():
        # One at a time, so that whatever goes wrong has a name.
        context.config = BrokerConfig(plugins={path: options or {}})
        with _heard(path):
            try:
                manager = PluginManager(NAMESPACE, context, asyncio.get_running_loop())
            except Exception as error:  # noqa: BLE001  the constructor of a plugin raises whatever it likes
                # Without the cause, which shows options where it is printed.
                raise PluginError(f"the plugin {path} cannot be used: {_reason(error)}") from None
        plugins += manager.plugins
        for plugin in manager.plugins:
            plugin.context.logger.addFilter(_keeps_secrets)
    context.config = BrokerConfig(plugins=dict(options_by_path))
    return plugins


def amqtt_retained(message: Message) -> Any:
    """Give a retained message as amqtt's class."""
    return RetainedApplicationMessage(None, message.topic, message.payload, message.qos)


class _NoBroker:
    """Stands where amqtt's broker object would be, for plugins that look behind their context."""

    def __getattr__(self, name: str) -> Never:
        raise AttributeError(f"this gateway has no broker object of amqtt's, so plugins find no {name!r} in it")


@contextlib.contextmanager
def _heard(path: str) -> Iterator[None]:
    """Log what a plugin warns of while it is loaded, and what it must not print, not at all."""
    logger = logging.getLogger(f"{NAMESPACE}.{path.rpartition('.')[2]}")
    logger.addFilter(_keeps_secrets)
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        yield
    for warning in warned:
        log.warning("plugin warned plugin=%s message=%s", path, warning.message)


def _keeps_secrets(record: logging.LogRecord) -> bool:
    """Whether a line of a plugin may be logged: amqtt prints lines of the password file it cannot read."""
    return _TELLS_SECRETS not in str(record.msg)


def _reason(error: Exception) -> str:
    """Say what was wrong, without the values of options: they may be secrets."""
    cause = error.__cause__ or error
    if isinstance(cause, UnexpectedDataError):
        return f"it has no option {', '.join(sorted(cause.keys))}"
    if isinstance(cause, DaciteFieldError):
        return f"its option {cause.field_path} is missing or of another type"
    if isinstance(cause, ImportError):
        return f"it cannot be imported: {cause}"
    if isinstance(cause, OSError) or type(cause).__module__.startswith("amqtt."):
        return str(cause)
    return f"{type(cause).__name__} while it was made"
