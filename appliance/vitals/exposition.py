"""Figures as text that monitoring systems read: the Prometheus text format 0.0.4, and OpenMetrics 1.0.0."""

import math
from collections.abc import Iterable, Iterator
from enum import StrEnum

from appliance.histogram import MICROSECONDS_PER_S
from appliance.vitals.model import Buckets, Family, Kind, Labels, Sample

UNITS = ("seconds", "bytes", "ratio")
"""The last words of names that are units."""


class Form(StrEnum):
    """How it is written, as media types."""

    TEXT = "text/plain; version=0.0.4; charset=utf-8"
    OPEN_METRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def written(families: Iterable[Family], form: Form) -> str:
    """Every family that has samples, in its order."""
    lines = [line for family in families if family.samples for line in _family(family, form)]
    if form is Form.OPEN_METRICS:
        lines.append("# EOF")
    return "\n".join((*lines, ""))


def number(value: float) -> str:
    """A number in the way of both formats: whole ones without a fraction, others as short as they stay the same."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(value) if isinstance(value, int) else repr(float(value))


def _family(family: Family, form: Form) -> Iterator[str]:
    name, suffix = family.name, {Kind.COUNTER: "_total", Kind.INFO: "_info"}.get(family.kind, "")
    kind = family.kind.value
    if form is Form.TEXT:
        # There, a family has the name of its samples, and there is no kind for what is only said.
        name += suffix
        kind = Kind.GAUGE.value if family.kind is Kind.INFO else kind
    yield f"# HELP {name} {_escaped(family.told, quotes=form is Form.OPEN_METRICS)}"
    yield f"# TYPE {name} {kind}"
    unit = family.name.rsplit("_", 1)[-1]
    if form is Form.OPEN_METRICS and unit in UNITS and family.kind is not Kind.INFO:
        yield f"# UNIT {name} {unit}"
    for sample in family.samples:
        match sample:
            case Sample(value=value, labels=labels):
                yield f"{family.name}{suffix}{_labels(labels)} {number(value)}"
            case Buckets():
                yield from _buckets(family.name, sample)


def _buckets(name: str, buckets: Buckets) -> Iterator[str]:
    histogram = buckets.histogram
    bounds = [bound / MICROSECONDS_PER_S for bound in histogram.bounds]
    cumulative = histogram.cumulative()
    for bound, count in zip((*bounds, math.inf), cumulative, strict=True):
        yield f"{name}_bucket{_labels((*buckets.labels, ('le', number(bound))))} {count}"
    yield f"{name}_sum{_labels(buckets.labels)} {number(histogram.sum_us / MICROSECONDS_PER_S)}"
    yield f"{name}_count{_labels(buckets.labels)} {cumulative[-1]}"


def _labels(labels: Labels) -> str:
    if not labels:
        return ""
    return "{" + ",".join(f'{name}="{_escaped(value, quotes=True)}"' for name, value in labels) + "}"


def _escaped(text: str, *, quotes: bool) -> str:
    text = text.replace("\\", "\\\\").replace("\n", "\\n")
    return text.replace('"', '\\"') if quotes else text
