"""The moment that an object tells where a rule says what it counts in."""

from collections.abc import Mapping
from typing import Any

from appliance.ingestion.fault import PayloadError
from appliance.ingestion.mapping.model import TimestampUnit
from appliance.ingestion.payload import SECONDS_END

_IN_A_SECOND: Mapping[TimestampUnit, int] = {
    TimestampUnit.SECONDS: 1,
    TimestampUnit.MILLISECONDS: 1_000,
    TimestampUnit.MICROSECONDS: 1_000_000,
    TimestampUnit.NANOSECONDS: 1_000_000_000,
}


def in_seconds(told: Any, unit: TimestampUnit) -> Any:
    """A number in seconds, which is read alike everywhere; all else as it was told. Raises `PayloadError`."""
    if unit is TimestampUnit.USUAL or isinstance(told, bool) or not isinstance(told, (int, float)):
        return told
    count = _IN_A_SECOND[unit]
    if abs(told) >= SECONDS_END * count:
        raise PayloadError("wrong_timestamp", f"timestamp {str(told)[:40]} is no moment in {unit}")
    return told / count
