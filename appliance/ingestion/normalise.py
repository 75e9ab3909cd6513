"""A report as the type of its device asks for it: in the type's units, and without what the type rejects.

Rules:
- A unit that the message declares and that differs from the type's is converted; where there is no way, the reading
  violates its type. Without a unit of the type, the reading stays in the unit that was declared.
- null violates nothing: the device says that it has no value. Bounds are in the unit of the type.
- A location is its metrics; a rule for its name holds for them together.
"""

from collections.abc import Mapping
from math import isnan
from typing import NamedTuple

import msgspec

from appliance.ingestion import location, units
from appliance.ingestion.fault import PayloadError
from appliance.ingestion.payload import Parsed
from appliance.registry.catalogue.model import DeviceType, MetricKind, MetricRule, Violation
from appliance.telemetry.model import Report, Value

REJECTED = "schema_rejected"
FLAGGED = "schema_flagged"

_NO_RULE = MetricRule()
_WORDS: Mapping[MetricKind, str] = {
    MetricKind.NUMBER: "a number",
    MetricKind.WHOLE: "a whole number",
    MetricKind.TEXT: "a text",
    MetricKind.BOOLEAN: "a boolean",
    MetricKind.LOCATION: "a location",
}


class Normalised(NamedTuple):
    """A report as it is kept, and what was found on the way."""

    report: Report
    """Without readings when all were rejected."""
    units: Mapping[str, str]
    """The declared units that its readings are still in, by metric."""
    rejected_count: int
    flagged_count: int
    remarks: tuple[PayloadError, ...]
    """At most one for what was rejected and one for what is flagged."""


def normalise(parsed: Parsed, kind: DeviceType) -> Normalised:
    """What becomes of a report under the type of its device."""
    values: dict[str, Value] = {}
    left: dict[str, str] = {}
    rejected, flagged = [], []
    for metric, value in parsed.report.values.items():
        declared = parsed.units.get(metric, "")
        value_, fault, violation = _judged(metric, value, declared, kind)
        if fault and violation is Violation.REJECT:
            rejected.append(fault)
            continue
        if fault and violation is Violation.FLAG:
            flagged.append(fault)
        values[metric] = value_
        if declared and metric not in kind.units:
            left[metric] = declared
    report = parsed.report
    if rejected or values != report.values:
        report = msgspec.structs.replace(report, values=values)
    remarks = [_remark(name, faults) for name, faults in ((REJECTED, rejected), (FLAGGED, flagged)) if faults]
    return Normalised(report, left, len(rejected), len(flagged), tuple(remarks))


def _judged(metric: str, value: Value, declared: str, kind: DeviceType) -> tuple[Value, str, Violation]:
    """The value as it is kept, what is wrong with it, empty if nothing, and what is to become of it then."""
    place = location.owner(metric)
    is_place = place in kind.metrics and kind.metrics[place].kind is MetricKind.LOCATION
    rule = kind.metrics.get(metric)
    unit = kind.units.get(metric, "")
    if rule is None and not unit and not is_place:
        fault = f"{metric} is no metric of the type {kind.name}" if kind.unknown_metrics is not Violation.KEEP else ""
        return value, fault, kind.unknown_metrics
    rule = rule or _NO_RULE
    is_other = bool(declared and unit) and not units.is_same(declared, unit)
    if is_other and isinstance(value, (int, float)) and not isinstance(value, bool):
        converted = units.convert(value, declared, unit)
        if converted is None:
            return value, f"{metric} is in {declared}, which cannot be made {unit}", rule.violation
        value = converted
    return value, _fault(metric, value, rule, unit), rule.violation


def _fault(metric: str, value: Value, rule: MetricRule, unit: str) -> str:
    if value is None:
        return ""
    if not _is_of(value, rule.kind):
        return f"{metric} is {_shown(value)}, expected {_WORDS[rule.kind]}"
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return ""
    in_unit = f" {unit}" if unit else ""
    if rule.least is not None and not value >= rule.least:
        return f"{metric} is {_shown(value)}{in_unit}, below {rule.least:g}"
    if rule.greatest is not None and not value <= rule.greatest:
        return f"{metric} is {_shown(value)}{in_unit}, above {rule.greatest:g}"
    return ""


def _is_of(value: Value, kind: MetricKind) -> bool:
    match kind:
        case MetricKind.ANY:
            return True
        case MetricKind.NUMBER:
            return isinstance(value, (int, float)) and not isinstance(value, bool) and not isnan(value)
        case MetricKind.WHOLE:
            return isinstance(value, (int, float)) and not isinstance(value, bool) and float(value).is_integer()
        case MetricKind.TEXT:
            return isinstance(value, str)
        case MetricKind.BOOLEAN:
            return isinstance(value, bool)
        case MetricKind.LOCATION:
            # A location has become its coordinates: what still has its name is none.
            return False


def _shown(value: Value) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return f"the text {value[:40]!r}"
        case _:
            return str(value)


def _remark(kind: str, faults: list[str]) -> PayloadError:
    more = f", and {len(faults) - 1} more" if len(faults) > 1 else ""
    return PayloadError(kind, faults[0] + more)
