"""The mapping rules: which there are, the form that writes one, and the form that tries them on a message."""

from typing import Any

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, URLEncodedBody
from litestar.response import Template

from appliance.accounts.model import Role
from appliance.errors import ApplianceError
from appliance.gateway import Gateway
from appliance.ingestion.mapping import check
from appliance.ingestion.mapping.model import (
    RULES_LIMIT,
    Document,
    MappingRule,
    OneValue,
    PayloadPath,
    Sample,
    TopicLevel,
)
from web import roles
from web.errors import status_of
from web.mapping import Tried, tried
from web.shell import Frame

EXAMPLE = """{
  "topic": "iot/wearable/data",
  "device": {"from": "payload", "path": "deviceId"}
}"""
"""A rule to begin with."""
FIELDS = (
    ("topic", "A topic filter that begins with a name. sensors/, cmd/ and fw/ are the gateway's own.", '"iot/+/data"'),
    (
        "device",
        "The device that publishes, or one that a level of the topic, counted from 1, or the payload names.",
        '{"from": "publisher"}, {"from": "topic", "level": 2}, {"from": "payload", "path": "meta.id"}',
    ),
    (
        "metrics",
        "The metrics, and where their values are found; without it every field is a reading.",
        '{"heartRate": "vitals.hr", "voltage": {"path": "cells.0.v", "unit": "V"}}',
    ),
    (
        "timestamp, sequence",
        "Where the moment and the sequence number are found, if not in fields of these names.",
        '"meta.at"',
    ),
    (
        "timestamp_unit",
        "What a moment counts: s, ms, us or ns. Without it, seconds or milliseconds by its size.",
        '"us"',
    ),
    (
        "value",
        "The whole payload is one value: number, text or any. A level of the topic may name the metric.",
        '{"metric": "inlet", "unit": "Cel", "kind": "number"}, {"metric": {"from": "topic", "level": 3}}',
    ),
    ("publishers", "Devices that may report for other devices, too; all others for themselves only.", '["hub-1"]'),
)
"""What can stand in a rule: a field, what it means, and how it is written."""
SAMPLE = '{"deviceId": "wearable-1", "heartRate": 72}'


class RuleForm(msgspec.Struct, frozen=True):
    """A rule as it is typed in."""

    name: str = ""
    document: str = EXAMPLE


class RuleLine(msgspec.Struct, frozen=True):
    """One rule of the list."""

    name: str
    topic: str
    whose: str
    read: str
    """What of a payload is read."""
    publishers: tuple[str, ...]
    changed_at: int


class TrialForm(msgspec.Struct, frozen=True):
    """A message as it is typed in."""

    publisher: str = ""
    topic: str = ""
    payload: str = SAMPLE


@get("/mapping-rules", include_in_schema=False)
async def show_mapping_rules(
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    publisher: FromQuery[str] = "",
    topic: FromQuery[str] = "",
    payload: FromQuery[str] = SAMPLE,
) -> Template:
    """The list, an empty form, and what would come of a message, if one is given."""
    trial = TrialForm(publisher, topic, payload)
    return _page(gateway, frame, RuleForm(), trial=trial, came=await _came(gateway, frame, trial))


@get("/mapping-rules/{name:str}", include_in_schema=False)
async def show_mapping_rule(
    name: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    publisher: FromQuery[str] = "",
    topic: FromQuery[str] = "",
    payload: FromQuery[str] = SAMPLE,
) -> Template:
    """The list, one rule in the form, and what would come of a message, if one is given."""
    rule = gateway.mapping.book.rule(frame.user.tenant_id, name).rule
    trial = TrialForm(publisher, topic, payload)
    came = await _came(gateway, frame, trial)
    return _page(gateway, frame, RuleForm(rule.name, check.as_text(rule.document)), edited=name, trial=trial, came=came)


@post("/mapping-rules", include_in_schema=False, status_code=303)
async def keep_mapping_rule(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], data: URLEncodedBody[RuleForm]
) -> Response[None] | Template:
    """Have a rule in force; or the page again, with what is wrong with it."""
    try:
        rule = MappingRule(data.name.strip(), check.parse(data.document))
        await gateway.mapping.put(frame.user.tenant_id, rule)
    except ApplianceError as error:
        page = _page(gateway, frame, data, complaint=str(error))
        page.status_code = status_of(error)
        return page
    return Response(None, headers={"location": "/mapping-rules"})


@post("/mapping-rules/{name:str}/remove", include_in_schema=False, status_code=303)
async def end_mapping_rule(
    name: FromPath[str], gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Response[None]:
    """Have a rule no longer in force."""
    await gateway.mapping.remove(frame.user.tenant_id, name)
    return Response(None, headers={"location": "/mapping-rules"})


async def _came(gateway: Gateway, frame: Frame, trial: TrialForm) -> Tried | None:
    """What would come of a message by the rules in force; None where none is given."""
    if not trial.topic:
        return None
    sample = Sample(trial.publisher, trial.topic, trial.payload.encode("utf-8", "replace"))
    return await tried(gateway, frame.user.tenant_id, sample)


def _page(
    gateway: Gateway,
    frame: Frame,
    form: RuleForm,
    *,
    edited: str = "",
    complaint: str = "",
    trial: TrialForm | None = None,
    came: Tried | None = None,
) -> Template:
    context: dict[str, Any] = {
        "frame": frame,
        "now": frame.now,
        "rules": [
            RuleLine(
                kept.rule.name,
                kept.rule.document.topic,
                _whose(kept.rule.document),
                _read(kept.rule.document),
                kept.rule.document.publishers,
                kept.changed_at,
            )
            for kept in gateway.mapping.book.rules(frame.user.tenant_id)
        ],
        "rules_limit": RULES_LIMIT,
        "fields": FIELDS,
        "form": form,
        "edited": edited,
        "complaint": complaint,
        "trial": trial or TrialForm(),
        "came": came,
        "may_act": roles.is_enough(frame.user.role, Role.OPERATOR),
    }
    return Template("pages/mapping_rules.html", context=context)


def _whose(document: Document) -> str:
    match document.device:
        case TopicLevel(level=level):
            return f"Device at level {level} of the topic"
        case PayloadPath(path=path):
            return f"Device at {path} in the payload"
        case _:
            return "Device is whoever publishes"


def _read(document: Document) -> str:
    match document.value:
        case OneValue(metric=TopicLevel(level=level)):
            return f"one value, its metric at level {level} of the topic"
        case OneValue(metric=str(metric)):
            return f"one value, {metric}"
        case _:
            pass
    count = len(document.metrics)
    if not count:
        return "every field is a reading"
    return "1 metric by path" if count == 1 else f"{count} metrics by path"


HANDLERS = (show_mapping_rules, show_mapping_rule, keep_mapping_rule, end_mapping_rule)
