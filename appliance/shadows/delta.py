"""What is desired and not reported so: the delta of a shadow."""

from typing import Any

from appliance.shadows.difference import is_same

_PLAIN = (str, int, float, bool)


def delta_of(desired: dict[str, Any] | None, reported: dict[str, Any] | None) -> dict[str, Any] | None:
    """The desired values that are missing in what is reported or differ from it; None when there are none."""
    if not desired:
        return None
    if not reported:
        return desired
    return _delta_of(desired, reported) or None


def times_of(delta: dict[str, Any], metadata: dict[str, Any]) -> dict[str, Any]:
    """The part of the metadata of what is desired that belongs to a delta."""
    return {
        key: times_of(value, metadata[key]) if isinstance(value, dict) else metadata[key]
        for key, value in delta.items()
    }


def _delta_of(desired: dict[str, Any], reported: dict[str, Any]) -> dict[str, Any]:
    found = {}
    for key, value in desired.items():
        if key not in reported:
            found[key] = value
            continue
        there = reported[key]
        if isinstance(value, dict) and isinstance(there, dict):
            if inner := _delta_of(value, there):
                found[key] = inner
        elif not _is_equal(value, there):
            found[key] = value
    return found


def _is_equal(value: object, there: object) -> bool:
    """The same as `is_same`, and cheap for what mostly stands there: texts and numbers of one type."""
    if value != there:
        return False
    return (type(value) in _PLAIN and type(value) is type(there)) or is_same(value, there)
