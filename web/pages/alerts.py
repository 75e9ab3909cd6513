"""Alerts: what fires, who was told, and the rules behind it."""

import math
from typing import Annotated
from urllib.parse import urlencode

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import QueryParameter, URLEncodedBody
from litestar.response import Template

from appliance.alerts.model import Alert, Limit, NewRule, Operator, Severity
from appliance.errors import ApplianceError, InvalidInputError
from appliance.gateway import Gateway
from appliance.instant import SECOND_MS
from appliance.notifications.model import Notice
from appliance.registry.model import DEFAULT_TENANT
from appliance.vitals.conditions import DEVICE_ID, DEVICE_NAME, TOLD
from web import fleet
from web.errors import status_of
from web.figures import Sparkline, sparkline
from web.painting import Painting, Part, Stage
from web.parameters import RowNumber
from web.shell import Frame

SHOWN_LIMIT = 100
NOTICES_LIMIT = 500
TABS = {"firing": "Firing", "acknowledged": "Acknowledged", "resolved": "Resolved", "all": "All"}
DEFAULT_TAB = "firing"
OPERATOR_SIGNS = {
    Operator.GREATER_THAN: "above",
    Operator.GREATER_OR_EQUAL: "at or above",
    Operator.LESS_THAN: "below",
    Operator.LESS_OR_EQUAL: "at or below",
}
_LINE_MS = 10 * 60 * SECOND_MS


class Told(msgspec.Struct, frozen=True):
    """Whether one recipient was told."""

    recipient: str
    channel: str
    sent_at: int | None
    attempt_count: int
    is_given_up: bool
    last_error: str


class Entry(msgspec.Struct, frozen=True):
    """One alert in the list."""

    alert: Alert
    title: str
    """Of the device."""
    address: str
    """Where more is to be seen."""
    zone: str
    comparison: str
    told: tuple[Told, ...]
    has_recipients: bool
    """Whether its rule names somebody. Who is not told all the same was told a short time before."""
    spark: Sparkline | None


class Tab(msgspec.Struct, frozen=True):
    """Which alerts are listed."""

    key: str
    label: str
    is_current: bool


class AlertList(msgspec.Struct, frozen=True):
    """What of the page is live."""

    state: str
    tabs: tuple[Tab, ...]
    entries: tuple[Entry, ...]
    has_rules: bool


class RuleForm(msgspec.Struct, frozen=True):
    """A rule as it is typed in."""

    name: str = ""
    metric: str = ""
    operator: str = Operator.GREATER_THAN
    threshold: str = ""
    clear_threshold: str = ""
    hold_seconds: str = "60"
    severity: str = Severity.HIGH
    zones: str = ""
    recipients: str = ""


class SwitchForm(msgspec.Struct, frozen=True):
    """What a rule is to be from now on."""

    enabled: str = "no"


class AcknowledgeForm(msgspec.Struct, frozen=True):
    """Where to go back to."""

    state: str = DEFAULT_TAB


@get("/alerts", include_in_schema=False)
async def show_alerts(
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    tab: Annotated[str, QueryParameter(name="state")] = DEFAULT_TAB,
) -> Template:
    """The page."""
    return await _page(gateway, frame, tab, RuleForm(), "")


@post("/alerts/{alert_id:int}/acknowledge", include_in_schema=False, status_code=303)
async def acknowledge(
    alert_id: RowNumber,
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[AcknowledgeForm],
) -> Response[None]:
    """Note that somebody has seen the alert."""
    await gateway.alerts.acknowledge(frame.user.tenant_id, alert_id, frame.user.email)
    return _back(data.state)


@post("/alert-rules", include_in_schema=False, status_code=303)
async def add_rule(
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[RuleForm],
) -> Response[None] | Template:
    """Keep the rule; or the page again, with what is wrong with it."""
    try:
        await gateway.alerts.add_rule(frame.user.tenant_id, new_rule(data))
    except ApplianceError as error:
        page = await _page(gateway, frame, DEFAULT_TAB, data, str(error))
        page.status_code = status_of(error)
        return page
    return _back(DEFAULT_TAB)


@post("/alert-rules/{rule_id:int}", include_in_schema=False, status_code=303)
async def switch_rule(
    rule_id: RowNumber,
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[SwitchForm],
) -> Response[None]:
    """Switch a rule on or off."""
    await gateway.alerts.set_enabled(frame.user.tenant_id, rule_id, enabled=data.enabled == "yes")
    return _back(DEFAULT_TAB)


async def paint(stage: Stage) -> Painting:
    """The live pieces of the page: the list."""
    view = await _look(stage)
    part = Part("fragments/alert_list.html", view)
    return Painting((part,), {"alert-list": part})


def new_rule(form: RuleForm) -> NewRule:
    """The rule that was typed in. Raises `InvalidInputError` for what is not a number."""
    return NewRule(
        name=form.name,
        metric=form.metric,
        operator=form.operator,
        threshold=_number("threshold", form.threshold),
        clear_threshold=_number("clear threshold", form.clear_threshold) if form.clear_threshold.strip() else None,
        hold_ms=_milliseconds("hold", form.hold_seconds),
        severity=form.severity,
        zones=_several(form.zones),
        recipients=_several(form.recipients),
    )


async def _page(gateway: Gateway, frame: Frame, state: str, form: RuleForm, complaint: str) -> Template:
    tenant_id = frame.user.tenant_id
    view = await _look(Stage(gateway, tenant_id, {"state": state}, frame.now))
    devices = gateway.registry.devices(tenant_id)
    metrics = sorted({metric for latest in gateway.telemetry.latest_of_all(tenant_id).values() for metric in latest})
    if tenant_id == DEFAULT_TENANT:
        metrics += TOLD
    context = {
        "frame": frame,
        "now": frame.now,
        "view": view,
        "rules": gateway.alerts.rules(tenant_id),
        "signs": OPERATOR_SIGNS,
        "severities": list(Severity),
        "metrics": metrics,
        "zones": sorted({device.zone for device in devices if device.zone}),
        "form": form,
        "complaint": complaint,
        "live_address": "/live?" + urlencode({"view": "alerts", "state": view.state}),
    }
    return Template("pages/alerts.html", context=context)


async def _look(stage: Stage) -> AlertList:
    gateway, tenant_id = stage.gateway, stage.tenant_id
    state = stage.parameters.get("state", DEFAULT_TAB)
    state = state if state in TABS else DEFAULT_TAB
    rules = {rule.rule_id: rule for rule in gateway.alerts.rules(tenant_id)}
    told: dict[int | None, list[Told]] = {}
    for notice in await gateway.notifications.notices(tenant_id, None, NOTICES_LIMIT):
        told.setdefault(notice.alert_id, []).append(_told(notice))
    alerts = await gateway.alerts.alerts(tenant_id, state=state, limit=SHOWN_LIMIT)
    if state == DEFAULT_TAB:
        alerts = sorted(alerts, key=lambda alert: (-fleet.badness(alert), -alert.opened_at))
    devices = {device.device_id: device for device in gateway.registry.devices(tenant_id)}
    titles = {DEVICE_ID: DEVICE_NAME, **{device_id: device.name for device_id, device in devices.items()}}
    return AlertList(
        state=state,
        tabs=tuple(Tab(key, label, key == state) for key, label in TABS.items()),
        entries=tuple(
            Entry(
                alert=alert,
                title=titles.get(alert.device_id) or alert.device_id,
                address=_address(alert),
                zone=devices[alert.device_id].zone if alert.device_id in devices else "",
                comparison=OPERATOR_SIGNS[alert.operator],
                told=tuple(told.get(alert.alert_id, ())),
                has_recipients=alert.rule_id in rules and bool(rules[alert.rule_id].recipients),
                spark=_line(gateway, alert, rules.get(alert.rule_id)),
            )
            for alert in alerts
        ),
        has_rules=bool(rules),
    )


def _address(alert: Alert) -> str:
    if alert.device_id == DEVICE_ID:
        return "/ingestion"
    return f"/devices/{alert.device_id}?{urlencode({'metric': alert.metric})}"


def _line(gateway: Gateway, alert: Alert, rule: Limit | None) -> Sparkline | None:
    """The metric around the opening of the alert, as far as it is still in memory."""
    if rule is None:
        return None
    points = gateway.telemetry.recent(alert.tenant_id, alert.device_id, alert.metric, fleet.SPARKLINE_COUNT)
    start = alert.breached_at - _LINE_MS
    end = points[-1][0] if points and alert.resolved_at is None else (alert.resolved_at or 0) + _LINE_MS
    points = [point for point in points if start <= point[0] <= end]
    return sparkline(points, points[0][0], points[-1][0], rule.threshold) if points else None


def _told(notice: Notice) -> Told:
    return Told(
        recipient=notice.recipient,
        channel=notice.channel,
        sent_at=notice.sent_at,
        attempt_count=notice.attempt_count,
        is_given_up=notice.given_up_at is not None,
        last_error=notice.last_error or "",
    )


def _back(state: str) -> Response[None]:
    address = "/alerts" if state not in TABS or state == DEFAULT_TAB else f"/alerts?state={state}"
    return Response(None, headers={"location": address})


def _number(name: str, text: str) -> float:
    try:
        number = float(text.strip().replace(",", "."))
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InvalidInputError(f"{name} is {text[:40]!r}, expected a number")
    return number


def _milliseconds(name: str, text: str) -> int:
    milliseconds = _number(name, text) * SECOND_MS
    if not math.isfinite(milliseconds):
        raise InvalidInputError(f"{name} is {text[:40]!r}, expected a number of seconds")
    return round(milliseconds)


def _several(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.replace("\n", ",").split(",") if part.strip())


HANDLERS = (show_alerts, acknowledge, add_rule, switch_rule)
