"""`/v1/alerts`: what fires and what has fired."""

from typing import Annotated

import msgspec
from litestar import Request, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromQuery, QueryParameter

from appliance.accounts.model import User
from appliance.alerts.model import Alert
from appliance.errors import InvalidInputError
from appliance.gateway import Gateway
from appliance.instant import to_text
from web.auth import Caller
from web.parameters import RowNumber

HIGHEST_LIMIT = 1_000


class AlertOut(msgspec.Struct, frozen=True):
    """One opening of one rule for one device. Moments are ISO 8601, UTC."""

    alert_id: int
    rule_id: int
    rule_name: str
    severity: str
    device_id: str
    metric: str
    operator: str
    threshold: float
    opened_value: float
    breached_at: str
    opened_at: str
    resolved_at: str | None
    acknowledged_at: str | None
    acknowledged_by: str | None


class AlertsOut(msgspec.Struct, frozen=True):
    """The newest alerts, the newest first."""

    alerts: list[AlertOut]


@get("/v1/alerts", tags=["alerts"], summary="The newest alerts")
async def list_alerts(
    request: Request[User, Caller, State],
    gateway: NamedDependency[Gateway],
    wanted: Annotated[str, QueryParameter(name="state")] = "all",
    limit: FromQuery[int] = 100,
) -> AlertsOut:
    """Alerts that are `firing`, `acknowledged`, `resolved` or `all`."""
    if not 1 <= limit <= HIGHEST_LIMIT:
        raise InvalidInputError(f"limit is {limit}, expected 1 to {HIGHEST_LIMIT}")
    alerts = await gateway.alerts.alerts(request.user.tenant_id, state=wanted, limit=limit)
    return AlertsOut([_out(alert) for alert in alerts])


@post("/v1/alerts/{alert_id:int}/acknowledge", status_code=200, tags=["alerts"], summary="Acknowledge an alert")
async def acknowledge_alert(
    alert_id: RowNumber, request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> AlertOut:
    """Note that somebody has seen the alert; the first one stays noted."""
    user = request.user
    return _out(await gateway.alerts.acknowledge(user.tenant_id, alert_id, user.email))


def _out(alert: Alert) -> AlertOut:
    return AlertOut(
        alert_id=alert.alert_id,
        rule_id=alert.rule_id,
        rule_name=alert.rule_name,
        severity=alert.severity,
        device_id=alert.device_id,
        metric=alert.metric,
        operator=alert.operator,
        threshold=alert.threshold,
        opened_value=alert.opened_value,
        breached_at=to_text(alert.breached_at),
        opened_at=to_text(alert.opened_at),
        resolved_at=_moment(alert.resolved_at),
        acknowledged_at=_moment(alert.acknowledged_at),
        acknowledged_by=alert.acknowledged_by,
    )


def _moment(at: int | None) -> str | None:
    return None if at is None else to_text(at)


HANDLERS = (list_alerts, acknowledge_alert)
