"""The nouns of mapping rules: where on other topics the device, the moment and the metrics are found."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from appliance.errors import ConflictError, InvalidInputError, NotFoundError

RULES_LIMIT = 50
"""Of one tenant."""


class InvalidMappingRuleError(InvalidInputError):
    """It cannot be a mapping rule; the message says what is wrong with it."""

    code = "invalid_mapping_rule"


class UnknownMappingRuleError(NotFoundError):
    """There is no mapping rule of that name."""

    code = "unknown_mapping_rule"


class TooManyMappingRulesError(ConflictError):
    """A tenant has as many as it may have."""

    code = "too_many_mapping_rules"


class Publisher(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="from", tag="publisher"):
    """The device is whoever published the message."""


class TopicLevel(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="from", tag="topic"):
    """The device is named by a level of the topic."""

    level: int
    """From 1."""


class PayloadPath(msgspec.Struct, frozen=True, forbid_unknown_fields=True, tag_field="from", tag="payload"):
    """The device is named in each object of the payload."""

    path: str


Whose = Publisher | TopicLevel | PayloadPath


class Metric(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Where the value of a metric is found, and in which unit it comes."""

    path: str
    unit: str = ""


class TimestampUnit(StrEnum):
    """What a number counts that tells a moment, from the beginning of 1970."""

    USUAL = ""
    """Seconds or milliseconds, told by its size, as in every payload."""
    SECONDS = "s"
    MILLISECONDS = "ms"
    MICROSECONDS = "us"
    NANOSECONDS = "ns"


class ValueKind(StrEnum):
    """What a payload that is one value must be."""

    ANY = "any"
    """What JSON has a word for is that; everything else is a text."""
    NUMBER = "number"
    TEXT = "text"


class OneValue(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """The whole payload is one value, and of which metric, and in which unit it comes."""

    metric: str | TopicLevel
    kind: ValueKind = ValueKind.ANY
    unit: str = ""


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a mapping rule says. A path is names with a dot in between, from the outside in; numbers count in arrays."""

    topic: str
    """The topic filter."""
    device: Whose = Publisher()
    timestamp: str = ""
    """The path of the moment; empty: `timestamp`, as in every payload."""
    timestamp_unit: TimestampUnit = TimestampUnit.USUAL
    sequence: str = ""
    """The path of the sequence number; empty: `sequence`."""
    metrics: Mapping[str, Metric | str] = {}
    """By name, each with its path. None: every field is a reading."""
    value: OneValue | None = None
    """Where payloads are no objects: then there are no paths."""
    publishers: tuple[str, ...] = ()
    """The devices that may report for others, too."""


class MappingRule(msgspec.Struct, frozen=True):
    """A document with a name."""

    name: str
    document: Document


class KeptRule(msgspec.Struct, frozen=True):
    """A mapping rule as it is kept."""

    tenant_id: int
    rule: MappingRule
    changed_at: int


class Change(msgspec.Struct, frozen=True):
    """What a transaction did to a mapping rule."""

    before: MappingRule | None
    """What it was in that transaction; None: there was none of its name."""
    after: MappingRule | None
    """What it is; None: it is gone."""


class Sample(msgspec.Struct, frozen=True):
    """A message that nobody sent, to see what would come of it."""

    publisher: str
    topic: str
    payload: bytes
    content_type: str = ""
