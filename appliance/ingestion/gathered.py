"""The readings of one object while they are gathered: plain values, values with a unit, locations."""

from collections.abc import Container, Mapping
from typing import Any

import msgspec

from appliance.ingestion import location, python_json
from appliance.ingestion.fault import PayloadError
from appliance.telemetry.model import Value

METRIC_NAME_LIMIT = 128
TEXT_LIMIT = 4_096
UNIT_LIMIT = 32
"""The most characters of a unit that a message declares."""

_INT64_END = 2**63
_WITH_UNIT = frozenset(("value", "unit"))

_encode = msgspec.json.Encoder().encode


class Gathered:
    """Values by metric, the first of each name; and the units that came with them."""

    __slots__ = ("units", "values")

    def __init__(self) -> None:
        self.values: dict[str, Value] = {}
        self.units: dict[str, str] = {}

    def take(self, readings: Mapping[str, Any], without: Container[str] = ()) -> None:
        """Take readings as they were sent, but not those of some names. Raises `PayloadError`."""
        values = self.values
        for name, value in readings.items():
            if name in without:
                continue
            # On the way of every reading: a number costs one call.
            kind = value.__class__
            if (kind is float or (kind is int and -_INT64_END <= value < _INT64_END)) and 0 < len(
                name
            ) <= METRIC_NAME_LIMIT:
                values.setdefault(name, value)
            elif kind is dict:
                self._take_nested(name, value)
            else:
                values.setdefault(name, _checked(name, value))

    def _take_nested(self, name: str, value: dict[str, Any]) -> None:
        if value.keys() == _WITH_UNIT and self._take_with_unit(name, value):
            return
        parts = location.parts(value) if name else None
        if parts is None:
            self.values.setdefault(name, _checked(name, value))
        else:
            for part, inner in parts.items():
                self.values.setdefault(f"{name}.{part}", _checked(f"{name}.{part}", inner))

    def _take_with_unit(self, name: str, told: Mapping[str, Any]) -> bool:
        value, unit = told["value"], told["unit"]
        if isinstance(value, (dict, list)) or not isinstance(unit, str) or not 0 < len(unit) <= UNIT_LIMIT:
            return False
        if name not in self.values:
            self.units[name] = unit
        self.values.setdefault(name, _checked(name, value))
        return True


def _checked(name: str, value: Any) -> Value:
    if not name or len(name) > METRIC_NAME_LIMIT:
        raise PayloadError("wrong_name", f"a metric name of {len(name)} characters, 1 to {METRIC_NAME_LIMIT} are taken")
    if isinstance(value, (dict, list)):
        value = _as_text(name, value)
    if isinstance(value, str) and len(value) > TEXT_LIMIT:
        raise PayloadError("text_too_long", f"{name} has {len(value):,} characters, at most {TEXT_LIMIT:,} are taken")
    if isinstance(value, int) and not -_INT64_END <= value < _INT64_END:
        return _as_float(name, value)
    plain: Value = value
    return plain


def _as_text(name: str, value: dict[str, Any] | list[Any]) -> str:
    """What is nested in a reading as its JSON text. NaN and infinities, which would be null in it, are their words."""
    try:
        text = _encode(value).decode()
        if "null" in text and python_json.may_be((written := python_json.encode(value)).encode()):
            return written
    except RecursionError:
        raise PayloadError("wrong_type", f"{name} is nested too deep") from None
    return text


def _as_float(name: str, value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise PayloadError("number_too_large", f"{name} is larger than any number that can be kept") from None
