"""Hosts plugins written for amqtt 0.12: authentication, topic filtering and events, by class path.

amqtt is imported when the first plugin is loaded and not before: a gateway without plugins does not need it.
Who decides what, and what differs from amqtt, stands in docs/decisions/0014-amqtt-plugins.md.
"""

import contextlib
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any

from broker.message import Message
from broker.packets import Packet, Subscription
from broker.plugins.authorizer import Opinion, PluginAuthorizer, Verdict
from broker.plugins.ports import BrokerView, PluginConfig, PluginError, PluginList, PluginStatus
from broker.plugins.questions import Later
from broker.ports import Authorizer, Credentials, Denied, Observer, PacketObserver, Principal

if TYPE_CHECKING:
    from broker.plugins.running import RunningPlugins

NOT_RUNNING = Denied("the plugins are not running")


class PluginHost:
    """The plugins of one tenant, from the settings to their last event.

    `authorizer` and `observer` can be had before the plugins run: until then everything the plugins
    would be asked about is denied, and nobody hears anything.
    """

    def __init__(self, config: PluginConfig, clock: Callable[[], int]) -> None:
        """`clock` gives UTC milliseconds."""
        self._config = config
        self._clock = clock
        self._now = _Now()

    @contextlib.asynccontextmanager
    async def running(self, view: BrokerView) -> AsyncIterator[None]:
        """Host the plugins; on leaving, they are told that the broker stops, and closed.

        Enter before the first client is accepted, and leave after the last has gone.
        Raises `PluginError` when a plugin cannot be loaded.
        """
        options_by_path = options_by_class_path(self._config.plugins)
        if not options_by_path:
            yield
            return
        plugins = _loaded(options_by_path, self._config, view, self._clock)
        async with plugins.running():
            self._now.plugins = plugins
            try:
                yield
            finally:
                self._now.plugins = None

    def authorizer(self, base: Authorizer) -> Authorizer:
        """The gateway's own authoriser, narrowed by the plugins; itself when there are none.

        Slow answers are `Pending`, and nothing is remembered: asked again, the plugins answer again.
        """
        return PluginAuthorizer(base, self._config, _Asked(self._now)) if self._config.plugins else base

    def observer(self) -> Observer | None:
        """Who hears what happens; None when there are no plugins."""
        return _Heard(self._now) if self._config.plugins else None

    def packet_observer(self) -> PacketObserver | None:
        """Who hears of every packet; None, once the plugins run, when none of them listens to packets."""
        plugins = self._now.plugins
        if not self._config.plugins or (plugins is not None and not plugins.observer.wants_packets):
            return None
        return _Heard(self._now)

    def status(self) -> PluginStatus:
        """How the plugins do."""
        plugins = self._now.plugins
        if plugins is None:
            return PluginStatus()
        return PluginStatus(
            open_questions=plugins.questions.open_count,
            timed_out_count=plugins.questions.timed_out_count,
            turned_away_count=plugins.questions.turned_away_count,
            dropped_event_count=plugins.events.dropped_count,
            fault_count=plugins.faults.counts.total(),
        )


def options_by_class_path(plugins: PluginList) -> dict[str, dict[str, Any]]:
    """Options by class path, from amqtt's dictionary or from its older list.

    Raises `PluginError` for a class path that stands there twice: amqtt would silently take the last.
    """
    entries = (
        [plugins]
        if isinstance(plugins, dict)
        else [each if isinstance(each, dict) else {each: None} for each in plugins]
    )
    found: dict[str, dict[str, Any]] = {}
    for entry in entries:
        for path, options in entry.items():
            if path in found:
                raise PluginError(f"the plugin {path} is configured twice")
            found[path] = options or {}
    return found


def _loaded(
    options_by_path: dict[str, dict[str, Any]], config: PluginConfig, view: BrokerView, clock: Callable[[], int]
) -> "RunningPlugins":
    try:
        from broker.plugins.running import RunningPlugins  # noqa: PLC0415  amqtt is imported only for whoever has plugins
    except ModuleNotFoundError as error:
        raise PluginError(f"plugins need the package {error.name}: install headworks[amqtt]") from error
    return RunningPlugins(options_by_path, config, view, clock)


class _Now:
    """The plugins, while they run."""

    plugins: "RunningPlugins | None" = None


class _Asked:
    """The `Judge`: the plugins if they run, else a denial."""

    def __init__(self, now: _Now) -> None:
        self._now = now

    def judge_client(self, credentials: Credentials) -> tuple[Opinion, object] | Later[tuple[Opinion, object]]:
        plugins = self._now.plugins
        return (NOT_RUNNING, None) if plugins is None else plugins.judge_client(credentials)

    def welcome(self, principal: Principal, credentials: Credentials, remembered: object) -> Principal:
        plugins = self._now.plugins
        return principal if plugins is None else plugins.welcome(principal, credentials, remembered)

    def judge_topic(self, principal: Principal, topic: str, action: str) -> Verdict | Later[Verdict]:
        plugins = self._now.plugins
        return NOT_RUNNING if plugins is None else plugins.judge_topic(principal, topic, action)


class _Heard:
    """The `Observer` and `PacketObserver`: the plugins if they run, else nobody."""

    def __init__(self, now: _Now) -> None:
        self._now = now

    def connected(self, principal: Principal, client_id: str) -> None:
        if self._now.plugins is not None:
            self._now.plugins.observer.connected(principal, client_id)

    def disconnected(self, principal: Principal, client_id: str) -> None:
        if self._now.plugins is not None:
            self._now.plugins.observer.disconnected(principal, client_id)

    def subscribed(self, principal: Principal, client_id: str, subscription: Subscription) -> None:
        if self._now.plugins is not None:
            self._now.plugins.observer.subscribed(principal, client_id, subscription)

    def unsubscribed(self, principal: Principal, client_id: str, topic_filter: str) -> None:
        if self._now.plugins is not None:
            self._now.plugins.observer.unsubscribed(principal, client_id, topic_filter)

    def published(self, message: Message) -> None:
        if self._now.plugins is not None:
            self._now.plugins.observer.published(message)

    def delivered(self, client_id: str, message: Message) -> None:
        """Tell nobody: amqtt has no event for it but the packet."""

    def packet_received(self, principal: Principal | None, client_id: str, packet: Packet) -> None:
        if self._now.plugins is not None:
            self._now.plugins.observer.packet_received(principal, client_id, packet)

    def packet_sent(self, principal: Principal | None, client_id: str, packet: Packet) -> None:
        if self._now.plugins is not None:
            self._now.plugins.observer.packet_sent(principal, client_id, packet)
