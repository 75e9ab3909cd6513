"""The gateway's own figures over the real rooms, with a clock that a test turns."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import NamedTuple

from appliance.alerts.model import NewRule
from appliance.config import TelemetryConfig
from appliance.health import Health
from appliance.monitoring import MetricsConfig
from appliance.telemetry.keeping.room.service import Room
from appliance.vitals.service import Sources, Vitals
from tests.appliance.ingestion.gateway import Gateway, ingesting

LAGS = NewRule(
    name="Ingestion lags",
    metric="gateway.ingestion_lag_seconds",
    operator="GREATER_THAN",
    threshold=10,
    hold_ms=60_000,
    severity="high",
    recipients=("maria@example.com", "juan@example.com"),
)


class Observed(NamedTuple):
    """A gateway, and what it says of itself."""

    gateway: Gateway
    vitals: Vitals


@contextlib.asynccontextmanager
async def observed(folder: Path) -> AsyncIterator[Observed]:
    """Both, with ingestion running; nothing looks at them by itself."""
    async with ingesting(folder) as gateway:
        health = Health()
        health.register_all({"ingestion": gateway.ingestion.status, "telemetry": gateway.telemetry.status})
        room = Room(gateway.database, gateway.telemetry, folder, TelemetryConfig(), lambda: gateway.now)
        sources = Sources(health, gateway.ingestion, room, gateway.registry, gateway.alerts)
        yield Observed(gateway, Vitals(gateway.database, sources, gateway.bus, lambda: gateway.now, MetricsConfig()))
