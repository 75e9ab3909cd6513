"""The nouns of alerting.

Moments are event time, UTC milliseconds: the reading's own moment, not the gateway's.
"""

from enum import StrEnum

import msgspec


class Severity(StrEnum):
    """How bad it is. High and critical share the shorter cooldown."""

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"


class Operator(StrEnum):
    """How a value is compared with a threshold."""

    GREATER_THAN = "GREATER_THAN"
    GREATER_OR_EQUAL = "GREATER_OR_EQUAL"
    LESS_THAN = "LESS_THAN"
    LESS_OR_EQUAL = "LESS_OR_EQUAL"


class Phase(StrEnum):
    """Where a rule stands for one device."""

    NORMAL = "normal"
    PENDING = "pending"
    """The limit is breached, but not yet for the whole hold."""
    FIRING = "firing"


class NewRule(msgspec.Struct, frozen=True):
    """A rule as a person asks for it; nothing of it has been checked."""

    name: str
    metric: str
    operator: str
    threshold: float
    clear_threshold: float | None = None
    """None: the alert clears as soon as the limit is no longer breached."""
    hold_ms: int = 0
    severity: str = Severity.MEDIUM
    zones: tuple[str, ...] = ()
    recipients: tuple[str, ...] = ()


class Limit(msgspec.Struct, frozen=True):
    """A rule in force: which values breach it, for how long, and who is told."""

    rule_id: int
    tenant_id: int
    name: str
    metric: str
    operator: Operator
    threshold: float
    clear_threshold: float
    """An open alert stays open while the value compared with this one still holds."""
    hold_ms: int
    severity: Severity
    zones: tuple[str, ...]
    """Only devices in one of these zones are judged; empty: all devices."""
    recipients: tuple[str, ...]
    """Addresses; each gets its own notice."""
    enabled: bool = True


class AlertState(msgspec.Struct, frozen=True):
    """Where a rule stands for one device. The default is normal and never noticed."""

    phase: Phase = Phase.NORMAL
    breached_at: int | None = None
    """First reading of the breach that lasts; None when normal."""
    opened_at: int | None = None
    """The reading that completed the hold; None unless firing."""
    noticed_at: int | None = None
    """The reading that caused the last notice. It outlives the alert: the cooldown counts from it."""


class Step(msgspec.Struct, frozen=True):
    """What one reading does to one rule for one device."""

    state: AlertState
    opened: bool = False
    resolved: bool = False
    notice: bool = False
    """People are to be told now."""


class Change(msgspec.Struct, frozen=True):
    """A step that changed something, and what caused it."""

    limit: Limit
    device_id: str
    before: AlertState
    after: AlertState
    opened: bool
    resolved: bool
    notice: bool
    value: float
    at: int


class Alert(msgspec.Struct, frozen=True):
    """One opening of one rule for one device, as it is kept."""

    alert_id: int
    tenant_id: int
    rule_id: int
    device_id: str
    breached_at: int
    opened_at: int
    opened_value: float
    resolved_at: int | None
    acknowledged_at: int | None
    """Gateway time: when a person said that they have seen it."""
    acknowledged_by: str | None
    rule_name: str
    metric: str
    operator: Operator
    threshold: float
    severity: Severity


class AlertEvent(msgspec.Struct, frozen=True):
    """A change that concerns an alert, as it is in the database after the change was written."""

    change: Change
    alert: Alert


class AlertOpened(msgspec.Struct, frozen=True):
    """Event: this alert is on disk."""

    alert: Alert


class AlertResolved(msgspec.Struct, frozen=True):
    """Event: this alert is over."""

    alert: Alert
