"""Turns what is published on a topic of a mapping rule into what the devices in it would publish on their own.

Rules:
- A device reports for itself. Who is named in the rule reports for other devices of its tenant, too, as long as these
  are registered and neither suspended nor retired. No device comes to be by being named.
- With metrics of its own a rule takes those and nothing else; one whose path leads nowhere is left out.
- Without, every field is a reading but those that the rule takes for something else.
- Where payloads are one value, the rule names its metric, or the level of the topic that does.
- Where a rule looks for the moment or the sequence number and nothing is there, the usual field counts.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from appliance.ingestion.fault import PayloadError
from appliance.ingestion.mapping.model import MappingRule, Metric, OneValue, PayloadPath, Publisher, TopicLevel
from appliance.ingestion.mapping.moment import in_seconds
from appliance.ingestion.mapping.one_value import value_of
from appliance.ingestion.mapping.paths import NOTHING, Steps, found, steps_of, without
from appliance.ingestion.payload import Envelope, Tolerances, unpack

MayReport = Callable[[int, str], bool]
"""Tells of a tenant and a device id whether there is such a device, and readings of it are taken."""

NAME_LENGTH = 140
"""How much of a name is shown."""
_ENVELOPE = ("timestamp", "sequence")
_IS_NOT_THERE = "is not registered here, or suspended or retired"


class Turning:
    """A mapping rule, ready for work."""

    __slots__ = ("_device", "_metrics", "_publishers", "_told", "name", "rule", "weight")

    def __init__(self, rule: MappingRule) -> None:
        document = rule.document
        self.rule = rule
        self.name = rule.name
        whose = document.device
        self._device: Steps = steps_of(whose.path) if isinstance(whose, PayloadPath) else ()
        self._told: list[tuple[str, Steps]] = [
            (name, steps_of(path or name))
            for name, path in zip(_ENVELOPE, (document.timestamp, document.sequence), strict=True)
        ]
        self._metrics = [(name, *_places(metric)) for name, metric in document.metrics.items()]
        self._publishers = frozenset(document.publishers)
        self.weight = 1 + len(self._metrics)
        """How much work an object is, in values."""

    def unpacked(
        self, payload: bytes, envelope: Envelope, tolerances: Tolerances
    ) -> tuple[Sequence[Any], Sequence[PayloadError]]:
        """Give the objects of a message, which are to be turned, and what is wrong with it. Raises nothing."""
        one_value = self.rule.document.value
        if one_value is None:
            return unpack(payload, envelope, tolerances)
        try:
            value = value_of(payload, one_value.kind, envelope, tolerances)
            name = self._metric_of(one_value, envelope.topic)
        except PayloadError as error:
            return (), (error,)
        return ({"readings": {name: _with_unit(value, one_value.unit)}},), ()

    def device_of(self, item: object, topic: str, publisher: str) -> str:
        """The device that an object of a message is about. Raises `PayloadError`."""
        match self.rule.document.device:
            case Publisher():
                return publisher
            case TopicLevel(level=level):
                device_id = _at_level(topic, level)
                if not device_id:
                    raise self._no_device(f"at level {level} of the topic", "nothing is there")
                return device_id
            case PayloadPath(path=path):
                named = found(item, self._device) if isinstance(item, dict) else NOTHING
                if named is NOTHING or named is None or named == "":
                    raise self._no_device(f"at {path} in the payload", "nothing is there")
                if isinstance(named, bool) or not isinstance(named, (str, int)):
                    raise self._no_device(f"at {path} in the payload", "neither a text nor a whole number is there")
                return str(named)

    def require_voice(self, device_id: str, publisher: str, *, is_there: bool) -> None:
        """Raise `PayloadError` unless who published it may report for a device."""
        if device_id == publisher:
            return
        shown = f"mapping rule {self.name!r} finds the device {device_id[:NAME_LENGTH]!r}"
        if publisher not in self._publishers:
            raise PayloadError(
                "other_device",
                f"{shown}, but {publisher!r} published it and may report for itself only;"
                " the publishers of the rule may report for others",
            )
        if not is_there:
            raise PayloadError("unknown_device", f"{shown}, which {_IS_NOT_THERE}")

    def turned(self, item: object) -> object:
        """An object as its device would publish it; what is no object stays what it is. Raises `PayloadError`."""
        if not isinstance(item, dict):
            return item
        told = {name: item[name] for name in _ENVELOPE if name in item}
        told |= {name: value for name, steps in self._told if (value := found(item, steps)) is not NOTHING}
        if "timestamp" in told:
            told["timestamp"] = in_seconds(told["timestamp"], self.rule.document.timestamp_unit)
        if self._metrics:
            return {**told, "readings": self._readings(item)}
        left = without(item, self._device) if self._device else item
        for _, steps in self._told:
            left = without(left, steps)
        return {**left, **told}

    def _readings(self, item: Mapping[str, Any]) -> dict[str, Any]:
        readings: dict[str, Any] = {}
        for name, steps, unit in self._metrics:
            value = found(item, steps)
            if value is not NOTHING:
                readings[name] = _with_unit(value, unit)
        if not readings:
            raise PayloadError("no_readings", f"mapping rule {self.name!r} finds none of its metrics in it")
        return readings

    def _metric_of(self, one_value: OneValue, topic: str) -> str:
        match one_value.metric:
            case TopicLevel(level=level):
                named = _at_level(topic, level)
                if not named:
                    wrong = f"looks for the metric at level {level} of the topic, and nothing is there"
                    raise PayloadError("wrong_name", f"mapping rule {self.name!r} {wrong}")
                return named
            case name:
                return name

    def _no_device(self, place: str, wrong: str) -> PayloadError:
        return PayloadError("no_device", f"mapping rule {self.name!r} looks for the device {place}, and {wrong}")


def of_no_device(turning: Turning, principal: str, *, is_operators: bool) -> PayloadError:
    """Say that what a rule is about was published by somebody who is no device, or one that may not report.

    `is_operators`: a person or a script published it.
    """
    wrong = "is none" if is_operators else _IS_NOT_THERE
    told = f"takes what devices publish, and {principal[:NAME_LENGTH]!r} {wrong}"
    return PayloadError("no_device", f"mapping rule {turning.name!r} {told}")


def _at_level(topic: str, level: int) -> str:
    """What a level of a topic says; empty where there is none."""
    levels = topic.split("/")
    return levels[level - 1] if level <= len(levels) else ""


def _with_unit(value: Any, unit: str) -> Any:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return {"value": value, "unit": unit} if unit and is_number else value


def _places(metric: Metric | str) -> tuple[Steps, str]:
    if isinstance(metric, str):
        return steps_of(metric), ""
    return steps_of(metric.path), metric.unit
