"""What plugins are told of the broker, and what they may ask of it."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from broker.message import Message, TenantId
from broker.packets import Publish, Subscription

PluginList = dict[str, dict[str, Any] | None] | list[str | dict[str, dict[str, Any] | None]]
"""Options by class path, or the older list of class paths, each alone or with its options."""


class PluginError(Exception):
    """A plugin cannot be used as it is configured; the message names it and says why, without its options."""


class Mode(StrEnum):
    """Whom plugins are asked about."""

    NARROW = "narrow"
    """Clients that the gateway knows: a plugin can refuse what the gateway allows, never the reverse."""
    GUESTS = "guests"
    """Clients without a certificate that the gateway does not know: a plugin can admit them as guests."""
    BOTH = "both"


class PluginConfig(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which plugins are hosted, and what they decide about. Without plugins amqtt is not imported."""

    plugins: PluginList = msgspec.field(default_factory=dict)
    mode: Mode = Mode.NARROW
    guest_filters: tuple[str, ...] = ()
    """What guests may publish to and subscribe to at most; plugins narrow it. Never topics that begin with `$`."""
    tenant_id: TenantId = 1
    """Whose plugins these are: of other tenants they hear nothing and decide nothing."""
    answer_timeout_s: float = 5.0
    """How long one plugin may think before its answer is a refusal."""
    open_questions: int = 1_000
    """Questions that may wait for their answers; beyond it the answer is a refusal."""
    waiting_events: int = 10_000
    """Events that may wait for plugins; beyond it they are dropped and counted."""


class PluginStatus(msgspec.Struct, frozen=True):
    """How the plugins do."""

    open_questions: int = 0
    """Questions that wait for a plugin's answer now."""
    timed_out_count: int = 0
    turned_away_count: int = 0
    """Questions that were refused, or put off, because too many were open."""
    dropped_event_count: int = 0
    fault_count: int = 0
    """Errors of plugins; each of them was a refusal or an event not taken."""


class SessionView(msgspec.Struct, frozen=True):
    """A session of the broker, as plugins see it."""

    principal: str
    client_id: str
    is_connected: bool
    is_clean: bool
    """Whether it ends with its connection."""
    received_count: int = 0
    """Messages of the client that are in flight (QoS 1 and 2)."""
    sent_count: int = 0
    """Messages to the client that are in flight."""
    queued_count: int = 0
    """Messages that wait for the client."""


class BrokerView(Protocol):
    """The broker, as the plugins of one tenant reach it. Nothing here waits."""

    def sessions(self) -> Iterable[SessionView]:
        """Every session of the tenant, connected or away."""

    def session(self, client_id: str) -> SessionView | None:
        """The session of a client, if it has one."""

    def subscriptions(self) -> Iterable[tuple[SessionView, Subscription]]:
        """Every subscription of the tenant, with whose it is."""

    def retained(self) -> Iterable[Message]:
        """Every retained message of the tenant."""

    def publish(self, message: Publish) -> None:
        """Publish in the gateway's own name."""

    def subscribe(self, client_id: str, subscription: Subscription) -> bool:
        """Subscribe for a client as though it had asked itself; False when it may not."""
