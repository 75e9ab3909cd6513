"""What would come of a message by the mapping rules, as people and scripts read it."""

import msgspec

from appliance.errors import ApplianceError
from appliance.gateway import Gateway
from appliance.ingestion.mapping.model import MappingRule, Sample
from appliance.ingestion.quality import Observation
from appliance.instant import to_text
from appliance.policies.model import Action
from appliance.telemetry.model import Value


class TriedReport(msgspec.Struct, frozen=True):
    """A report that would be kept."""

    device_id: str
    at: str
    time_source: str
    """Whether `at` is the device's own moment, or why it is the arrival."""
    sequence: int | None
    readings: dict[str, Value]
    units: dict[str, str]
    """Those that the rule or the message declares."""


class TriedProblem(msgspec.Struct, frozen=True):
    """What would be shown as a problem, and of which device; of none when that is empty."""

    device_id: str
    kind: str
    reason: str
    count: int


class Tried(msgspec.Struct, frozen=True):
    """What would come of a message."""

    rule: str | None
    """The rule that reads it; None when none is about its topic."""
    may_publish: bool
    """Whether the policies of its publisher let it publish there at all."""
    may_publish_reason: str
    reports: list[TriedReport]
    problems: list[TriedProblem]


async def tried(gateway: Gateway, tenant_id: int, sample: Sample, rule: MappingRule | None = None) -> Tried:
    """Try a message by the rules in force, or by one that is not kept. Raises `InvalidMappingRuleError`."""
    outcome = await gateway.mapping.tried(tenant_id, sample, rule)
    book = gateway.mapping.book if rule is None else gateway.mapping.book.only(tenant_id, rule)
    turning = book.turning(tenant_id, sample.topic)
    may_publish, reason = _may_publish(gateway, tenant_id, sample)
    return Tried(
        turning.name if turning else None,
        may_publish,
        reason,
        [_report(each) for each in outcome.told],
        [TriedProblem(each.device_id, each.kind, each.reason, each.count) for each in outcome.mishaps],
    )


def _may_publish(gateway: Gateway, tenant_id: int, sample: Sample) -> tuple[bool, str]:
    registry = gateway.registry
    try:
        device = registry.device(tenant_id, sample.publisher)
    except ApplianceError as error:
        return False, str(error)
    verdict = registry.policies.book.explain(device, Action.PUBLISH, sample.topic)
    return verdict.is_allowed, verdict.reason


def _report(told: Observation) -> TriedReport:
    report, units = told.report, told.units
    return TriedReport(
        report.device_id,
        to_text(report.at),
        report.time_source.name.lower(),
        report.sequence,
        dict(report.values),
        dict(units),
    )
