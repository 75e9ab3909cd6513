"""The devices of a tenant as people look at them: how each is, and what it says."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TypeGuard

import msgspec

from appliance.alerts.model import Alert, Limit, Severity
from appliance.gateway import Gateway
from appliance.instant import HOUR_MS
from appliance.registry.model import Device, DeviceState, Presence
from appliance.telemetry.model import Latest, Value
from web import words
from web.figures import Sparkline, sparkline

BATTERY_METRICS = ("batteryLevel", "battery_level", "battery", "battery_percent")
SIGNAL_METRICS = ("signalStrength", "signal_strength", "rssi", "signal")
LOW_BATTERY = 20
SPARKLINE_COUNT = 120

_SEVERITIES = list(Severity)


class Condition(StrEnum):
    """How a device is, by the name of its colour."""

    ALERTING = "crit"
    ONLINE = "ok"
    OFFLINE = "off"


CONDITION_WORDS = {Condition.ALERTING: "Alerting", Condition.ONLINE: "Online", Condition.OFFLINE: "Offline"}


class Standing(msgspec.Struct, frozen=True):
    """One device, how it is, and the newest it said."""

    device: Device
    presence: Presence
    alert: Alert | None
    """The worst of its open alerts."""
    latest: Mapping[str, Latest]
    seen_at: int | None

    @property
    def condition(self) -> Condition:
        """How the device is: an alert says more than its connection."""
        if self.alert is not None:
            return Condition.ALERTING
        return Condition.ONLINE if self.presence.connected else Condition.OFFLINE

    @property
    def title(self) -> str:
        """The name people gave it, or its device id."""
        return self.device.name or self.device.device_id


class Row(msgspec.Struct, frozen=True):
    """One device as a line of a list."""

    device_id: str
    title: str
    zone: str
    condition: Condition
    condition_word: str
    alert_name: str
    state: str
    """Where it stands in its life; empty while it is active."""
    offline_since: int | None
    spark: Sparkline | None
    value: str
    unit: str
    battery: float | None
    is_battery_low: bool
    signal: float | None
    seen_at: int | None
    columns: "Columns"


class Columns(msgspec.Struct, frozen=True):
    """Which columns of a list have anything to show."""

    metric: str
    zone: bool
    battery: bool
    signal: bool


async def survey(gateway: Gateway, tenant_id: int) -> list[Standing]:
    """Every device of the tenant as it is now, sorted by device id."""
    worst = await worst_alerts(gateway, tenant_id)
    latest = gateway.telemetry.latest_of_all(tenant_id)
    return [
        Standing(
            device=device,
            presence=gateway.registry.presence(tenant_id, device.device_id),
            alert=worst.get(device.device_id),
            latest=latest.get(device.device_id, {}),
            seen_at=gateway.telemetry.last_seen(tenant_id, device.device_id),
        )
        for device in gateway.registry.devices(tenant_id)
    ]


async def worst_alerts(gateway: Gateway, tenant_id: int) -> dict[str, Alert]:
    """The worst open alert of each device that has one, by its device id."""
    worst: dict[str, Alert] = {}
    for alert in await gateway.alerts.alerts(tenant_id, state="firing", limit=1000):
        known = worst.get(alert.device_id)
        if known is None or badness(alert) > badness(known):
            worst[alert.device_id] = alert
    return worst


def standing(gateway: Gateway, device: Device, alert: Alert | None) -> Standing:
    """One device as it is now."""
    tenant_id, device_id = device.tenant_id, device.device_id
    return Standing(
        device=device,
        presence=gateway.registry.presence(tenant_id, device_id),
        alert=alert,
        latest=gateway.telemetry.latest(tenant_id, device_id),
        seen_at=gateway.telemetry.last_seen(tenant_id, device_id),
    )


def badness(alert: Alert) -> int:
    """How bad an alert is, as a number to sort by."""
    return _SEVERITIES.index(alert.severity)


def neediest(standings: Iterable[Standing]) -> list[Standing]:
    """The devices somebody should look at, the worst first."""
    in_need = [standing for standing in standings if standing.condition is not Condition.ONLINE or is_low(standing)]
    return sorted(
        in_need,
        key=lambda standing: (
            -badness(standing.alert) if standing.alert else 1,
            standing.condition is not Condition.OFFLINE,
            standing.device.device_id,
        ),
    )


def numeric_metrics(standings: Iterable[Standing]) -> list[str]:
    """Metrics that can be drawn, those that most devices send first; battery and signal last."""
    counts: Counter[str] = Counter()
    for standing in standings:
        counts.update(metric for metric, latest in standing.latest.items() if is_number(latest.value))
    aside = {*BATTERY_METRICS, *SIGNAL_METRICS}
    return sorted(counts, key=lambda metric: (metric in aside, -counts[metric], metric))


def chosen_metric(metrics: Sequence[str], rules: Iterable[Limit], wanted: str) -> str:
    """The wanted metric if there is such; else one that a rule watches; else the most common; else nothing."""
    if wanted in metrics:
        return wanted
    watched = [rule.metric for rule in rules if rule.enabled and rule.metric in metrics]
    return next(iter([*watched, *metrics]), "")


def columns(standings: Sequence[Standing], metric: str) -> Columns:
    """Which columns have anything to show."""
    return Columns(
        metric=metric,
        zone=any(standing.device.zone for standing in standings),
        battery=any(_first(standing, BATTERY_METRICS) is not None for standing in standings),
        signal=any(_first(standing, SIGNAL_METRICS) is not None for standing in standings),
    )


def row(gateway: Gateway, standing: Standing, shown: Columns, rules: Iterable[Limit], now: int) -> Row:
    """A device as a line, with a sparkline of the last hour of the chosen metric."""
    device = standing.device
    reading = standing.latest.get(shown.metric)
    points = gateway.telemetry.recent(device.tenant_id, device.device_id, shown.metric, SPARKLINE_COUNT)
    points = [point for point in points if now - HOUR_MS <= point[0]]
    # The left end is where the readings begin: a new device is not a dot in a corner.
    # The right end is its newest reading, so that the line only changes when a reading comes.
    start, end = (points[0][0], points[-1][0]) if points else (0, 0)
    offline = standing.condition is Condition.OFFLINE
    battery = _first(standing, BATTERY_METRICS)
    return Row(
        device_id=device.device_id,
        title=standing.title,
        zone=device.zone,
        condition=standing.condition,
        condition_word=CONDITION_WORDS[standing.condition],
        alert_name=standing.alert.rule_name if standing.alert else "",
        state="" if device.state is DeviceState.ACTIVE else device.state.value,
        offline_since=standing.presence.since if offline and standing.seen_at is not None else None,
        spark=sparkline(points, start, end, limit_for(rules, shown.metric, device.zone)),
        value=words.reading(reading.value) if reading else words.NOTHING,
        unit=unit(gateway, device, shown.metric) if reading else "",
        battery=battery,
        is_battery_low=is_low(standing),
        signal=_first(standing, SIGNAL_METRICS),
        seen_at=standing.seen_at,
        columns=shown,
    )


def unit(gateway: Gateway, device: Device, metric: str) -> str:
    """The unit of a metric of a device: what its type says, else what it declared, else what the name means."""
    return gateway.units.unit(device.tenant_id, device.device_id, metric) or words.unit(metric)


def limit_for(rules: Iterable[Limit], metric: str, zone: str) -> float | None:
    """The threshold of the first rule in force for this metric and zone."""
    for rule in rules:
        if rule.enabled and rule.metric == metric and (not rule.zones or zone in rule.zones):
            return rule.threshold
    return None


def is_low(standing: Standing) -> bool:
    """Whether the device says that its battery is nearly empty."""
    battery = _first(standing, BATTERY_METRICS)
    return battery is not None and battery < LOW_BATTERY


def is_number(value: Value) -> TypeGuard[float]:
    """Whether a value can be drawn."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _first(standing: Standing, metrics: Iterable[str]) -> float | None:
    for metric in metrics:
        latest = standing.latest.get(metric)
        if latest is not None and isinstance(latest.value, (int, float)) and not isinstance(latest.value, bool):
            return float(latest.value)
    return None
