"""`/v1/alert-rules`: limits, and who is told."""

import msgspec
from litestar import Request, get, patch, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import JSONBody

from appliance.accounts.model import User
from appliance.alerts.model import Limit, NewRule, Severity
from appliance.gateway import Gateway
from web.auth import Caller
from web.parameters import RowNumber


class RuleOut(msgspec.Struct, frozen=True):
    """A rule in force, or switched off."""

    rule_id: int
    name: str
    metric: str
    operator: str
    threshold: float
    clear_threshold: float
    hold_ms: int
    severity: str
    zones: list[str]
    recipients: list[str]
    enabled: bool


class RulesOut(msgspec.Struct, frozen=True):
    """All rules, in the order they were made."""

    alert_rules: list[RuleOut]


class NewRuleIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule to be kept. `operator`: GREATER_THAN, GREATER_OR_EQUAL, LESS_THAN or LESS_OR_EQUAL."""

    name: str
    metric: str
    operator: str
    threshold: float
    clear_threshold: float | None = None
    hold_ms: int = 0
    severity: str = Severity.MEDIUM
    zones: list[str] = []
    recipients: list[str] = []


class RuleChangeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is to change of a rule."""

    enabled: bool


@get("/v1/alert-rules", tags=["alerts"], summary="All alert rules")
async def list_rules(request: Request[User, Caller, State], gateway: NamedDependency[Gateway]) -> RulesOut:
    """Every rule, switched on or off."""
    return RulesOut([_out(rule) for rule in gateway.alerts.rules(request.user.tenant_id)])


@post("/v1/alert-rules", tags=["alerts"], summary="Add an alert rule")
async def add_rule(
    data: JSONBody[NewRuleIn], request: Request[User, Caller, State], gateway: NamedDependency[Gateway]
) -> RuleOut:
    """Keep a rule; it is in force at once."""
    rule = NewRule(
        name=data.name,
        metric=data.metric,
        operator=data.operator,
        threshold=data.threshold,
        clear_threshold=data.clear_threshold,
        hold_ms=data.hold_ms,
        severity=data.severity,
        zones=tuple(data.zones),
        recipients=tuple(data.recipients),
    )
    return _out(await gateway.alerts.add_rule(request.user.tenant_id, rule))


@patch("/v1/alert-rules/{rule_id:int}", tags=["alerts"], summary="Switch an alert rule on or off")
async def change_rule(
    rule_id: RowNumber,
    data: JSONBody[RuleChangeIn],
    request: Request[User, Caller, State],
    gateway: NamedDependency[Gateway],
) -> RuleOut:
    """Switch a rule on or off; off resolves its open alerts."""
    return _out(await gateway.alerts.set_enabled(request.user.tenant_id, rule_id, enabled=data.enabled))


def _out(rule: Limit) -> RuleOut:
    return RuleOut(
        rule_id=rule.rule_id,
        name=rule.name,
        metric=rule.metric,
        operator=rule.operator,
        threshold=rule.threshold,
        clear_threshold=rule.clear_threshold,
        hold_ms=rule.hold_ms,
        severity=rule.severity,
        zones=list(rule.zones),
        recipients=list(rule.recipients),
        enabled=rule.enabled,
    )


HANDLERS = (list_rules, add_rule, change_rule)
