"""`/v1/mapping-rules`: how what devices publish on topics of their own becomes telemetry."""

import binascii
from base64 import b64decode
from typing import Any

import msgspec
from litestar import Request, delete, get, post, put
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody

from appliance.accounts.model import User
from appliance.errors import InvalidInputError
from appliance.gateway import Gateway
from appliance.ingestion.mapping import check
from appliance.ingestion.mapping.model import KeptRule, MappingRule, Sample
from appliance.instant import to_text
from web.auth import Caller
from web.mapping import Tried, tried

AnyRequest = Request[User, Caller, State]


class MappingRuleIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A rule to be kept.

    `device` is `{"from": "publisher"}`, `{"from": "topic", "level": 2}` or `{"from": "payload", "path": "meta.id"}`;
    a metric is a path, or `{"path": …, "unit": …}`. Where the whole payload is one value, `value` says of which metric:
    `{"metric": "temperature", "unit": "Cel", "kind": "number"}`, or `{"metric": {"from": "topic", "level": 3}}`.
    """

    topic: str
    device: dict[str, Any] = {}
    timestamp: str = ""
    timestamp_unit: str = ""
    sequence: str = ""
    metrics: dict[str, Any] = {}
    value: dict[str, Any] | None = None
    publishers: list[str] = []


class MappingRuleOut(msgspec.Struct, frozen=True):
    """A rule as it was written."""

    name: str
    document: dict[str, Any]
    changed_at: str


class MappingRulesOut(msgspec.Struct, frozen=True):
    """All rules, by name: the first that matches a topic counts."""

    mapping_rules: list[MappingRuleOut]


class SampleIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A message that nobody sent: its payload as text, or in base64. With `rule`, only that one is tried."""

    publisher: str
    topic: str
    payload: str = ""
    payload_base64: str = ""
    content_type: str = ""
    rule: MappingRuleIn | None = None


@get("/v1/mapping-rules", tags=["mapping rules"], summary="All mapping rules")
async def list_mapping_rules(request: AnyRequest, gateway: NamedDependency[Gateway]) -> MappingRulesOut:
    """Every mapping rule of the tenant."""
    return MappingRulesOut([_out(kept) for kept in gateway.mapping.book.rules(request.user.tenant_id)])


@get("/v1/mapping-rules/{name:str}", tags=["mapping rules"], summary="One mapping rule")
async def get_mapping_rule(
    name: FromPath[str], request: AnyRequest, gateway: NamedDependency[Gateway]
) -> MappingRuleOut:
    """One mapping rule."""
    return _out(gateway.mapping.book.rule(request.user.tenant_id, name))


@put("/v1/mapping-rules/{name:str}", tags=["mapping rules"], summary="Keep a mapping rule")
async def put_mapping_rule(
    name: FromPath[str], data: JSONBody[MappingRuleIn], request: AnyRequest, gateway: NamedDependency[Gateway]
) -> MappingRuleOut:
    """Have a mapping rule in force, in place of the one of the same name: for what arrives from now on."""
    return _out(await gateway.mapping.put(request.user.tenant_id, _rule(name, data)))


@delete("/v1/mapping-rules/{name:str}", tags=["mapping rules"], summary="Remove a mapping rule")
async def remove_mapping_rule(name: FromPath[str], request: AnyRequest, gateway: NamedDependency[Gateway]) -> None:
    """Have a mapping rule no longer in force."""
    await gateway.mapping.remove(request.user.tenant_id, name)


@post("/v1/mapping-rules/try", tags=["mapping rules"], summary="What would come of a message?", status_code=200)
async def try_mapping_rules(data: JSONBody[SampleIn], request: AnyRequest, gateway: NamedDependency[Gateway]) -> Tried:
    """What would be kept of a message, and what be said to be wrong with it. Nothing is kept."""
    try:
        payload = b64decode(data.payload_base64, validate=True) if data.payload_base64 else data.payload.encode()
    except (binascii.Error, ValueError) as error:
        raise InvalidInputError(f"payload_base64 is not base64: {error}") from None
    sample = Sample(data.publisher, data.topic, payload, data.content_type)
    rule = _rule("tried", data.rule) if data.rule else None
    return await tried(gateway, request.user.tenant_id, sample, rule)


def _rule(name: str, told: MappingRuleIn) -> MappingRule:
    return MappingRule(name, check.read(msgspec.to_builtins(told)))


def _out(kept: KeptRule) -> MappingRuleOut:
    return MappingRuleOut(kept.rule.name, check.written(kept.rule.document), to_text(kept.changed_at))


HANDLERS = (list_mapping_rules, get_mapping_rule, put_mapping_rule, remove_mapping_rule, try_mapping_rules)
