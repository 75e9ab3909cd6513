"""The plugins while they run: loaded, asked, told, closed."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from amqtt.contexts import Action
from amqtt.events import BrokerEvents
from amqtt.plugins.base import BaseAuthPlugin, BaseTopicPlugin

from broker.plugins.authorizer import SILENT, HostedPrincipal, Opinion, Verdict
from broker.plugins.context import HostedContext, load_plugins
from broker.plugins.events import EventQueue, PluginObserver
from broker.plugins.faults import Faults
from broker.plugins.ports import BrokerView, PluginConfig
from broker.plugins.questions import Later, Questions
from broker.plugins.sessions import HostedSession, KnownSessions, session_of
from broker.ports import ALLOWED, Credentials, Denied, Principal

UNANSWERED = Denied("the plugins did not answer")
TURNED_AWAY = Denied("the plugins have too many questions to answer", is_judgement=False)


class RunningPlugins:
    """Plugins that are loaded. A `Judge` for the authoriser; its `observer` tells them what happens."""

    def __init__(
        self, options_by_path: Mapping[str, Any], config: PluginConfig, view: BrokerView, clock: Callable[[], int]
    ) -> None:
        """Load the plugins; called on the loop. Raises `PluginError`."""
        self.faults = Faults()
        self.sessions = KnownSessions(clock)
        self.questions = Questions(config.open_questions, config.answer_timeout_s)
        self._view = view
        self._timeout_s = config.answer_timeout_s
        self._plugins = load_plugins(options_by_path, HostedContext(view, self.sessions, options_by_path))
        self._auth_plugins = [plugin for plugin in self._plugins if isinstance(plugin, BaseAuthPlugin)]
        self._topic_plugins = [plugin for plugin in self._plugins if isinstance(plugin, BaseTopicPlugin)]
        self.events = EventQueue(self._plugins, self.faults, config.waiting_events, config.answer_timeout_s)
        self.observer = PluginObserver(self.events, self.sessions, config.tenant_id)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Ask and tell plugins; they hear that the broker starts and stops, and are closed at the end."""
        try:
            async with self.questions.running():
                await self.events.tell(BrokerEvents.PRE_START, {})
                await self.events.tell(BrokerEvents.POST_START, {})
                async with self.events.running():
                    yield
                await self.events.tell(BrokerEvents.PRE_SHUTDOWN, {})
            await self.events.tell(BrokerEvents.POST_SHUTDOWN, {})
        finally:
            await self._close()

    def judge_client(self, credentials: Credentials) -> tuple[Opinion, object] | Later[tuple[Opinion, object]]:
        """What the authentication plugins say of a client."""
        session = session_of(credentials)
        failed: tuple[Opinion, object] = (UNANSWERED, session)
        return self.questions.ask(self._opinion_on_client(session), failed, (TURNED_AWAY, session))

    def welcome(self, principal: Principal, credentials: Credentials, remembered: object) -> Principal:
        """Remember what a client showed that was let in."""
        session = remembered if isinstance(remembered, HostedSession) else session_of(credentials)
        self.sessions.prune(lambda: {(view.principal, view.client_id) for view in self._view.sessions()})
        self.sessions.keep(principal, session)
        return HostedPrincipal(principal.tenant_id, principal.name, principal.is_operator, credentials.client_id)

    def judge_topic(self, principal: Principal, topic: str, action: str) -> Verdict | Later[Verdict]:
        """Whether every plugin that filters topics allows this; without such plugins everything is allowed."""
        if not self._topic_plugins:
            return ALLOWED
        question = self._verdict_on_topic(self.sessions.find(principal), topic, Action(action))
        failed: Verdict = UNANSWERED
        return self.questions.ask(question, failed, TURNED_AWAY)

    async def _opinion_on_client(self, session: HostedSession) -> tuple[Opinion, object]:
        """All that have an opinion must be for it, as in amqtt; the first that is not ends it."""
        opinion: Opinion = SILENT
        for plugin in self._auth_plugins:
            try:
                answer = await plugin.authenticate(session=session)
            except Exception as error:  # noqa: BLE001  a plugin raises whatever it likes
                self.faults.note(plugin, "authenticate", error)
                return Denied(f"the plugin {type(plugin).__name__} failed"), session
            if answer is None:
                continue
            if not answer:
                return Denied(f"the plugin {type(plugin).__name__} does not let it in"), session
            opinion = ALLOWED
        return opinion, session

    async def _verdict_on_topic(self, session: HostedSession, topic: str, action: Action) -> Verdict:
        """All must be for it; no opinion is a refusal, as it is in amqtt's code."""
        for plugin in self._topic_plugins:
            try:
                answer = await plugin.topic_filtering(session=session, topic=topic, action=action)
            except Exception as error:  # noqa: BLE001  a plugin raises whatever it likes
                self.faults.note(plugin, "topic_filtering", error)
                return Denied(f"the plugin {type(plugin).__name__} failed")
            if not answer:
                return Denied(f"the plugin {type(plugin).__name__} does not let it {action} {topic!r}")
        return ALLOWED

    async def _close(self) -> None:
        for plugin in self._plugins:
            try:
                async with asyncio.timeout(self._timeout_s):
                    await plugin.close()
            except Exception as error:  # noqa: BLE001  a plugin raises whatever it likes
                self.faults.note(plugin, "close", error)
