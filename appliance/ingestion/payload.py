"""What a telemetry message says: its readings, and the moments they are filed under.

Rules:
- A message is one object or an array of objects, in any of the forms of `forms.py`. An object either has its
  readings under `readings`, or is flat. Unknown fields are kept as readings.
- A reading is a value, a value with its unit, or a location; what else is nested is kept as its JSON text.
- No `timestamp`, or one from before 2000: the device has no clock, its arrival is taken.
- A `timestamp` further ahead or further back than the tolerances: the arrival is taken, and it is said.
- Good objects of an array are kept when others are not understood.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from appliance.config import IngestionConfig
from appliance.ingestion import forms
from appliance.ingestion.fault import PayloadError
from appliance.ingestion.gathered import METRIC_NAME_LIMIT, Gathered
from appliance.ingestion.model import Mishap
from appliance.ingestion.senml import Relative
from appliance.instant import from_text, to_text
from appliance.telemetry.model import Report, TimeSource, Value

METRICS_LIMIT = 256
OBJECTS_LIMIT = forms.OBJECTS_LIMIT
FAULTS_LIMIT = 100
"""Of the records of a pack that cannot be taken, so many are told."""

YEAR_2000 = 946_684_800_000
"""A moment before it is of no clock."""
SECONDS_END = 100_000_000_000
"""A number below this is a moment in seconds (until the year 5138), from here on in milliseconds."""
MILLISECONDS_END = SECONDS_END * 1_000
"""A number from here on is no moment."""
_INT64_END = 2**63

# On the way of every message, where looking into an enum costs as much as a call.
_DEVICE = TimeSource.DEVICE
_NO_CLOCK = TimeSource.ARRIVAL_NO_CLOCK

ENVELOPE = frozenset(("deviceId", "timestamp", "sequence", "readings"))
"""What in an object is no reading."""


class Envelope(msgspec.Struct, frozen=True):
    """What is known of a message before its payload is looked at."""

    tenant_id: int
    device_id: str
    topic: str
    client_id: str
    arrived_at: int
    content_type: str = ""
    """What the message says that its payload is; empty when it does not say."""


class Tolerances(msgspec.Struct, frozen=True):
    """How much is taken."""

    payload_bytes: int
    future_ms: int
    past_ms: int


def tolerances_of(config: IngestionConfig) -> Tolerances:
    """How much is taken, as it is set."""
    return Tolerances(
        payload_bytes=config.payload_limit_bytes,
        future_ms=config.future_tolerance_ms,
        past_ms=config.past_tolerance_ms,
    )


class Parsed(msgspec.Struct, frozen=True, gc=False):
    """A report as it was sent."""

    report: Report
    units: Mapping[str, str]
    """The units that the message itself declares, by metric."""
    behind_ms: int | None
    """How far the device's clock was behind the arrival; None when it told no moment of a clock."""


def unpack(payload: bytes, envelope: Envelope, tolerances: Tolerances) -> tuple[Sequence[Any], Sequence[PayloadError]]:
    """Give the objects of a message, which are to be read, and what is wrong with it. Raises nothing."""
    try:
        if payload[:1] == b"{" and not envelope.content_type and len(payload) <= tolerances.payload_bytes:
            # Nearly every message: one object in JSON, which can be in no other form.
            return (forms.decoded_json(payload),), ()
        return _objects(payload, envelope, tolerances)
    except PayloadError as error:
        return (), (error,)


def read(item: Any, envelope: Envelope, tolerances: Tolerances) -> tuple[Parsed | None, PayloadError | None]:
    """Give the report that an object of a message is, if it is one, and what is wrong with it. Raises nothing."""
    try:
        return _parsed_object(item, envelope, tolerances)
    except PayloadError as error:
        return None, error


def require_size(payload: bytes, tolerances: Tolerances) -> None:
    """Raise `PayloadError` if a payload is larger than any that is read."""
    if len(payload) > tolerances.payload_bytes:
        raise PayloadError(
            "payload_too_large",
            f"a payload of {len(payload):,} bytes, at most {tolerances.payload_bytes:,} are taken",
        )


def mishap(sent: Envelope | Report, error: PayloadError) -> Mishap:
    """What is wrong with a message as a problem of its device."""
    return Mishap(sent.tenant_id, sent.device_id, error.kind, error.reason, sent.arrived_at)


def _objects(
    payload: bytes, envelope: Envelope, tolerances: Tolerances
) -> tuple[Sequence[Any], Sequence[PayloadError]]:
    require_size(payload, tolerances)
    objects, faults = forms.objects(payload, envelope.content_type, envelope.device_id, envelope.arrived_at)
    if len(objects) > OBJECTS_LIMIT:
        raise PayloadError("too_many_objects", f"{len(objects):,} objects in one message, at most {OBJECTS_LIMIT:,}")
    if not objects and not faults:
        raise PayloadError("no_readings", "an empty array")
    return objects, faults[:FAULTS_LIMIT]


def _parsed_object(item: Any, envelope: Envelope, tolerances: Tolerances) -> tuple[Parsed, PayloadError | None]:
    if not isinstance(item, dict):
        raise PayloadError("wrong_type", f"an object with readings was expected, got {_name(item)}")
    claimed = item.get("deviceId")
    if claimed != envelope.device_id and "deviceId" in item:
        shown = str(claimed)[:METRIC_NAME_LIMIT]
        raise PayloadError("wrong_device", f"deviceId is {shown!r}, but the topic belongs to {envelope.device_id!r}")
    values, units = _values(item)
    stamp = item.get("timestamp")
    told_at = _told_at(stamp)
    arrived_at = envelope.arrived_at
    at, source, remark = _moment(told_at, arrived_at, tolerances)
    number = item.get("sequence")
    report = Report(
        envelope.tenant_id,
        envelope.device_id,
        at,
        arrived_at,
        source,
        envelope.topic,
        envelope.client_id,
        values,
        None if number is None else _sequence(number),
    )
    if told_at is None or told_at < YEAR_2000 or stamp.__class__ is Relative:
        return Parsed(report, units, None), remark
    return Parsed(report, units, arrived_at - told_at), remark


def _values(item: dict[str, Any]) -> tuple[dict[str, Value], Mapping[str, str]]:
    """The readings of an object, and their units as far as it declares them."""
    gathered = Gathered()
    if "readings" in item:
        readings = item["readings"]
        if not isinstance(readings, dict):
            raise PayloadError("wrong_type", f"readings must be an object, got {_name(readings)}")
        gathered.take(readings)
    if not ENVELOPE.issuperset(item):
        gathered.take(item, ENVELOPE)
    values = gathered.values
    if not values:
        raise PayloadError("no_readings", "no reading in the message")
    if len(values) > METRICS_LIMIT:
        raise PayloadError("too_many_metrics", f"{len(values):,} metrics in one object, at most {METRICS_LIMIT}")
    return values, gathered.units


def _moment(at: int | None, arrived_at: int, tolerances: Tolerances) -> tuple[int, TimeSource, PayloadError | None]:
    if at is None or at < YEAR_2000:
        return arrived_at, _NO_CLOCK, None
    ahead_ms = at - arrived_at
    if -tolerances.past_ms <= ahead_ms <= tolerances.future_ms:
        return at, _DEVICE, None
    kind, source, words = "clock_ahead", TimeSource.ARRIVAL_CLOCK_AHEAD, "ahead of the gateway"
    if ahead_ms < 0:
        kind, source, words = "clock_behind", TimeSource.ARRIVAL_CLOCK_BEHIND, "behind the gateway"
    shift = f"{abs(ahead_ms) // 1000:,} s {words}"
    return arrived_at, source, PayloadError(kind, f"timestamp {to_text(at)} is {shift}; filed under its arrival")


def _told_at(stamp: Any) -> int | None:
    """The moment that an object tells; None when it tells none."""
    if stamp is None:
        return None
    if stamp.__class__ is int and SECONDS_END <= stamp < MILLISECONDS_END:
        # What most devices send.
        milliseconds: int = stamp
        return milliseconds
    if stamp.__class__ is Relative:
        at: int = stamp.at
        return at
    if isinstance(stamp, str):
        try:
            return from_text(stamp)
        except ValueError:
            raise PayloadError("wrong_timestamp", f"timestamp {stamp[:64]!r} is not ISO 8601") from None
    if isinstance(stamp, (int, float)) and not isinstance(stamp, bool):
        if abs(stamp) < SECONDS_END:
            return round(stamp * 1_000)
        if abs(stamp) < MILLISECONDS_END:
            return round(stamp)
    raise PayloadError("wrong_timestamp", f"timestamp must be ISO 8601 or seconds or milliseconds, got {_name(stamp)}")


def _sequence(value: Any) -> int:
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _INT64_END:
        return value
    raise PayloadError("wrong_type", f"sequence must be a whole number from 0, got {_name(value)}")


def _name(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), f"the number {value}")
