"""The text of a mapping rule: read, checked and written.

It is `{"topic": "iot/wearable/data", "device": {"from": "payload", "path": "deviceId"}}`, with `timestamp`,
`timestamp_unit`, `sequence`, `metrics`, `value` and `publishers` where they are wanted.
"""

import json
import re
from typing import Any

import msgspec

from appliance.ingestion.gathered import METRIC_NAME_LIMIT, UNIT_LIMIT
from appliance.ingestion.mapping.model import (
    Document,
    InvalidMappingRuleError,
    MappingRule,
    Metric,
    OneValue,
    PayloadPath,
    TopicLevel,
)
from broker.limits import Limits
from broker.topics import filter_fault

TEXT_BYTES = 65_536
"""The largest text of a rule."""
TOPIC_LENGTH = 512
PATH_LENGTH = 256
STEPS_LIMIT = 8
METRICS_LIMIT = 64
PUBLISHERS_LIMIT = 100
DEVICE_ID_LENGTH = 128

OWN = ("sensors", "cmd", "fw")
"""First levels of topics that the gateway itself understands; so it does all that begin with $."""
RESERVED_NAMES = ("try",)
"""What stands at this place in an address and is no rule."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", re.ASCII)
_LIMITS = Limits()


def parse(text: str | bytes) -> Document:
    """The document that a JSON text says. Raises `InvalidMappingRuleError`."""
    if len(text) > TEXT_BYTES:
        raise InvalidMappingRuleError(f"the rule is longer than {TEXT_BYTES:,} bytes")
    try:
        told = msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeError, RecursionError) as error:
        raise InvalidMappingRuleError(f"the rule is no JSON: {error}") from None
    return read(told)


def read(told: object) -> Document:
    """The document that an object says. Raises `InvalidMappingRuleError`."""
    try:
        return msgspec.convert(told, Document)
    except msgspec.ValidationError as error:
        raise InvalidMappingRuleError(f"the rule is not of a form that is known: {error}") from None


def written(document: Document) -> dict[str, Any]:
    """A document as an object; `read` gives the same of it."""
    said: dict[str, Any] = msgspec.to_builtins(document)
    return said


def as_text(document: Document) -> str:
    """A document as people edit it."""
    return json.dumps(written(document), indent=2, ensure_ascii=False)


def check_rule(rule: MappingRule) -> MappingRule:
    """The same rule. Raises `InvalidMappingRuleError` unless it can be kept."""
    if not _NAME.fullmatch(rule.name) or rule.name in RESERVED_NAMES:
        raise InvalidMappingRuleError(
            f"{rule.name[:140]!r} cannot be a mapping rule's name: 1 to 64 letters, digits, dots, dashes and"
            " underscores, and not 'try'"
        )
    document = rule.document
    _check_topic(document.topic)
    match document.device:
        case TopicLevel(level=level):
            _check_level("device", level, document.topic)
        case PayloadPath(path=path):
            _check_path("device", path)
        case _:
            pass
    for field in ("timestamp", "sequence"):
        path = getattr(document, field)
        if path:
            _check_path(field, path)
    _check_metrics(document)
    if document.value is not None:
        _check_value(document, document.value)
    _check_publishers(document)
    return rule


def _check_topic(topic: str) -> None:
    fault = filter_fault(topic, _LIMITS)
    if fault is None and len(topic) > TOPIC_LENGTH:
        fault = f"a topic filter of {len(topic):,} characters, at most {TOPIC_LENGTH} are taken"
    if fault is not None:
        raise InvalidMappingRuleError(f"topic is no topic filter: {fault}")
    first = topic.partition("/")[0]
    if first in ("+", "#", ""):
        raise InvalidMappingRuleError(f"topic is {topic!r}: its first level must be a name, such as iot/#")
    if first.startswith("$") or first in OWN:
        raise InvalidMappingRuleError(
            f"topic is {topic!r}: what begins with $, {', '.join(f'{own}/' for own in OWN)} is the gateway's own"
        )


def _check_level(field: str, level: int, topic: str) -> None:
    levels = topic.split("/")
    if level < 1 or (levels[-1] != "#" and level > len(levels)) or level > _LIMITS.topic_levels:
        raise InvalidMappingRuleError(f"{field}.level is {level}: the levels of {topic!r} count from 1")
    if level <= len(levels) and levels[level - 1] not in ("+", "#"):
        raise InvalidMappingRuleError(
            f"{field}.level is {level}, where {topic!r} always says {levels[level - 1]!r}: name a level with + or #"
        )


def _check_path(field: str, path: str) -> None:
    steps = path.split(".")
    if not all(steps) or len(path) > PATH_LENGTH or len(steps) > STEPS_LIMIT:
        raise InvalidMappingRuleError(
            f"{field} is no path: 1 to {STEPS_LIMIT} names with a dot in between, of {PATH_LENGTH} characters at most"
        )


def _check_metrics(document: Document) -> None:
    if len(document.metrics) > METRICS_LIMIT:
        raise InvalidMappingRuleError(f"{len(document.metrics):,} metrics, at most {METRICS_LIMIT} are taken")
    for name, told in document.metrics.items():
        _check_name(name)
        metric = Metric(told) if isinstance(told, str) else told
        _check_path(f"metrics.{name[:64]}", metric.path)
        _check_unit(name, metric.unit)


def _check_value(document: Document, value: OneValue) -> None:
    """A payload that is one value has nothing in it that could be looked for."""
    if document.timestamp or document.timestamp_unit or document.sequence or document.metrics:
        raise InvalidMappingRuleError(
            "value says that the payload is one value: then there is no timestamp, sequence or metric to look for"
        )
    if isinstance(document.device, PayloadPath):
        raise InvalidMappingRuleError(
            "value says that the payload is one value: the device is its publisher, or named by a level of the topic"
        )
    match value.metric:
        case TopicLevel(level=level):
            _check_level("value.metric", level, document.topic)
            _check_unit("value", value.unit)
        case name:
            _check_name(name)
            _check_unit(name, value.unit)


def _check_name(name: str) -> None:
    if not 0 < len(name) <= METRIC_NAME_LIMIT:
        raise InvalidMappingRuleError(f"a metric name has 1 to {METRIC_NAME_LIMIT} characters")


def _check_unit(name: str, unit: str) -> None:
    if len(unit) > UNIT_LIMIT:
        raise InvalidMappingRuleError(f"the unit of {name[:64]!r} is longer than {UNIT_LIMIT} characters")


def _check_publishers(document: Document) -> None:
    if len(document.publishers) > PUBLISHERS_LIMIT:
        raise InvalidMappingRuleError(f"{len(document.publishers):,} publishers, at most {PUBLISHERS_LIMIT} are taken")
    if not all(0 < len(name) <= DEVICE_ID_LENGTH for name in document.publishers):
        raise InvalidMappingRuleError("publishers are device ids")
