"""The figures of the gateway that alert rules may be about, as readings of a device that stands for the gateway."""

import math

from appliance.histogram import MICROSECONDS_PER_S, Histogram
from appliance.instant import SECOND_MS
from appliance.vitals.model import Snapshot

DEVICE_ID = "$gateway"
"""Whose readings they are. No device can have this name."""
DEVICE_NAME = "This gateway"
LONGEST_S = 10**9
"""Stands for what is longer than can be told."""
NEVER_DAYS = 36_500
"""Stands for a disk that does not fill up: a rule that asks for few days left is not breached."""

TOLD = {
    "gateway.ingestion_lag_seconds": "now minus the arrival of the oldest message that is not committed",
    "gateway.acknowledgement_p95_seconds": "what 95 of 100 messages of the last minutes did not wait longer than",
    "gateway.store_p95_seconds": "what 95 of 100 messages took at most from being received to the disk",
    "gateway.stage_decided_p95_seconds": "what 95 of 100 messages took at most to be decided",
    "gateway.stage_committed_p95_seconds": "what 95 of 100 messages took at most from being decided to the disk",
    "gateway.stage_acknowledged_p95_seconds": "what 95 of 100 messages then took at most to be acknowledged",
    "gateway.event_age_p95_seconds": "how old 95 of 100 reports were at most when stored, by clocks that are believed",
    "gateway.backlog_messages": "messages that wait for their commit",
    "gateway.disk_days_left": f"days until the disk budget is used up; {NEVER_DAYS} when that will not be",
    "gateway.disk_free_bytes": "free on the disk of the data folder",
    "gateway.consumer_lag_seconds": "how far the consumer that is furthest behind lags; 0 without consumers",
    "gateway.notices_waiting": "notices that wait to be sent",
    "gateway.unhealthy_parts": "parts of the gateway that say they are not well",
    "gateway.connections": "MQTT connections that are open",
    "gateway.event_loop_lag_seconds": "how late the event loop came at worst to what was due, since the reading before",
    "gateway.cpu_ratio": "the part of one core that the process takes",
    "gateway.memory_bytes": "memory that the process takes",
}
"""What each is, by its name."""


def readings(snapshot: Snapshot) -> dict[str, float]:
    """The value of each figure that is known, by its name."""
    usage, recent = snapshot.usage, snapshot.recent
    values: dict[str, float | None] = {
        "gateway.ingestion_lag_seconds": snapshot.lag_ms / SECOND_MS,
        "gateway.acknowledgement_p95_seconds": _p95_seconds(recent.whole),
        "gateway.store_p95_seconds": _p95_seconds(recent.stored),
        **{f"gateway.stage_{stage}_p95_seconds": _p95_seconds(histogram) for stage, histogram in recent.each.items()},
        "gateway.event_age_p95_seconds": _p95_seconds(recent.age),
        "gateway.backlog_messages": _detail(snapshot, "ingestion", "backlog_messages"),
        "gateway.disk_days_left": None if usage is None else _days(usage.days_left),
        "gateway.disk_free_bytes": _detail(snapshot, "room", "free_bytes"),
        "gateway.consumer_lag_seconds": (_detail(snapshot, "stream", "lag_ms") or 0) / SECOND_MS,
        "gateway.notices_waiting": snapshot.waiting_notices,
        "gateway.unhealthy_parts": sum(not status.ok for status in snapshot.statuses.values()),
        "gateway.connections": _detail(snapshot, "broker", "connections"),
        "gateway.event_loop_lag_seconds": _seconds(snapshot.worst_loop_lag_us),
        "gateway.cpu_ratio": snapshot.cpu_ratio,
        "gateway.memory_bytes": snapshot.process.resident_bytes,
    }
    return {name: value for name, value in values.items() if value is not None}


def _detail(snapshot: Snapshot, part: str, key: str) -> float | None:
    status = snapshot.statuses.get(part)
    value = status.details.get(key) if status is not None else None
    return value if isinstance(value, int | float) else None


def _days(days_left: int | None) -> int:
    return NEVER_DAYS if days_left is None else min(days_left, NEVER_DAYS)


def _p95_seconds(histogram: Histogram) -> float:
    """0 when nothing was counted."""
    return _seconds(histogram.quantile_us(0.95) or 0)


def _seconds(length_us: float) -> float:
    """Finite: what is longer than every bucket would be judged by no rule."""
    return LONGEST_S if math.isinf(length_us) else length_us / MICROSECONDS_PER_S
