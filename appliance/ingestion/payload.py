"""What a telemetry message says: the payload forms, and the moments they are filed under.

Rules:
- A message is one object or an array of objects. An object either has its readings under `readings`,
  or is flat. Unknown fields are kept as readings; what is nested in them is kept as its JSON text.
- No `timestamp`, or one from before 2000: the device has no clock, its arrival is taken.
- A `timestamp` further ahead or further back than the tolerances: the arrival is taken, and it is said.
- Good objects of an array are kept when others are not understood.
"""

from typing import Any

import msgspec

from appliance.ingestion.model import Mishap
from appliance.instant import from_text, to_text
from appliance.telemetry.model import Report, TimeSource, Value

METRICS_LIMIT = 256
METRIC_NAME_LIMIT = 128
TEXT_LIMIT = 4_096
OBJECTS_LIMIT = 1_000

_YEAR_2000 = 946_684_800_000
_SECONDS_END = 100_000_000_000
"""A number below this is a moment in seconds (until the year 5138), from here on in milliseconds."""
_MILLISECONDS_END = _SECONDS_END * 1_000
_INT64_END = 2**63

_ENVELOPE = frozenset(("deviceId", "timestamp", "sequence", "readings"))

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


class PayloadError(Exception):
    """A payload, or one object in it, cannot be understood."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind
        self.reason = reason


class Envelope(msgspec.Struct, frozen=True):
    """What is known of a message before its payload is looked at."""

    tenant_id: int
    device_id: str
    topic: str
    client_id: str
    arrived_at: int


class Tolerances(msgspec.Struct, frozen=True):
    """How much is taken."""

    payload_bytes: int
    future_ms: int
    past_ms: int


def read(payload: bytes, envelope: Envelope, tolerances: Tolerances) -> tuple[list[Report], list[Mishap]]:
    """Give the reports of a message, and what of it could not be taken as it was. Raises nothing."""
    reports: list[Report] = []
    mishaps: list[Mishap] = []
    try:
        objects = _objects(payload, tolerances)
    except PayloadError as error:
        return [], [_mishap(envelope, error)]
    for item in objects:
        try:
            report, remark = _report(item, envelope, tolerances)
        except PayloadError as error:
            mishaps.append(_mishap(envelope, error))
        else:
            reports.append(report)
            if remark is not None:
                mishaps.append(_mishap(envelope, remark))
    return reports, mishaps


def _objects(payload: bytes, tolerances: Tolerances) -> list[Any]:
    if len(payload) > tolerances.payload_bytes:
        raise PayloadError(
            "payload_too_large",
            f"a payload of {len(payload):,} bytes, at most {tolerances.payload_bytes:,} are taken",
        )
    try:
        decoded = _decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PayloadError("not_json", f"not JSON: {error}{_hint(payload)}") from None
    objects = decoded if isinstance(decoded, list) else [decoded]
    if len(objects) > OBJECTS_LIMIT:
        raise PayloadError("too_many_objects", f"{len(objects):,} objects in one message, at most {OBJECTS_LIMIT:,}")
    if not objects:
        raise PayloadError("no_readings", "an empty array")
    return objects


def _hint(payload: bytes) -> str:
    if b"NaN" in payload or b"Infinity" in payload:
        return "; JSON has no NaN and no Infinity: leave the reading out or send null"
    return ""


def _report(item: Any, envelope: Envelope, tolerances: Tolerances) -> tuple[Report, PayloadError | None]:
    if not isinstance(item, dict):
        raise PayloadError("wrong_type", f"an object with readings was expected, got {_name(item)}")
    claimed = item.get("deviceId", envelope.device_id)
    if claimed != envelope.device_id:
        shown = str(claimed)[:METRIC_NAME_LIMIT]
        raise PayloadError("wrong_device", f"deviceId is {shown!r}, but the topic belongs to {envelope.device_id!r}")
    values = _values(item)
    at, source, remark = _moment(item.get("timestamp"), envelope.arrived_at, tolerances)
    report = Report(
        envelope.tenant_id,
        envelope.device_id,
        at,
        envelope.arrived_at,
        source,
        envelope.topic,
        envelope.client_id,
        values,
        _sequence(item.get("sequence")),
    )
    return report, remark


def _values(item: dict[str, Any]) -> dict[str, Value]:
    readings = item.get("readings", {})
    if not isinstance(readings, dict):
        raise PayloadError("wrong_type", f"readings must be an object, got {_name(readings)}")
    values = {name: _value(name, value) for name, value in readings.items()}
    for name, value in item.items():
        if name not in _ENVELOPE:
            values.setdefault(name, _value(name, value))
    if not values:
        raise PayloadError("no_readings", "no reading in the message")
    if len(values) > METRICS_LIMIT:
        raise PayloadError("too_many_metrics", f"{len(values):,} metrics in one object, at most {METRICS_LIMIT}")
    return values


def _value(name: str, value: Any) -> Value:
    if not name or len(name) > METRIC_NAME_LIMIT:
        raise PayloadError("wrong_name", f"a metric name of {len(name)} characters, 1 to {METRIC_NAME_LIMIT} are taken")
    if value.__class__ is float:
        number: float = value
        return number
    if isinstance(value, (dict, list)):
        value = _encode(value).decode()
    if isinstance(value, str) and len(value) > TEXT_LIMIT:
        raise PayloadError("text_too_long", f"{name} has {len(value):,} characters, at most {TEXT_LIMIT:,} are taken")
    if isinstance(value, int) and not -_INT64_END <= value < _INT64_END:
        return _as_float(name, value)
    plain: Value = value
    return plain


def _as_float(name: str, value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        raise PayloadError("number_too_large", f"{name} is larger than any number that can be kept") from None


def _moment(stamp: Any, arrived_at: int, tolerances: Tolerances) -> tuple[int, TimeSource, PayloadError | None]:
    at = _parsed(stamp)
    if at is None or at < _YEAR_2000:
        return arrived_at, TimeSource.ARRIVAL_NO_CLOCK, None
    ahead_ms = at - arrived_at
    if -tolerances.past_ms <= ahead_ms <= tolerances.future_ms:
        return at, TimeSource.DEVICE, None
    kind, source, words = "clock_ahead", TimeSource.ARRIVAL_CLOCK_AHEAD, "ahead of the gateway"
    if ahead_ms < 0:
        kind, source, words = "clock_behind", TimeSource.ARRIVAL_CLOCK_BEHIND, "behind the gateway"
    shift = f"{abs(ahead_ms) // 1000:,} s {words}"
    return arrived_at, source, PayloadError(kind, f"timestamp {to_text(at)} is {shift}; filed under its arrival")


def _parsed(stamp: Any) -> int | None:
    if stamp is None:
        return None
    if isinstance(stamp, str):
        try:
            return from_text(stamp)
        except ValueError:
            raise PayloadError("wrong_timestamp", f"timestamp {stamp[:64]!r} is not ISO 8601") from None
    if isinstance(stamp, (int, float)) and not isinstance(stamp, bool):
        if abs(stamp) < _SECONDS_END:
            return int(stamp * 1_000)
        if abs(stamp) < _MILLISECONDS_END:
            return int(stamp)
    raise PayloadError("wrong_timestamp", f"timestamp must be ISO 8601 or seconds or milliseconds, got {_name(stamp)}")


def _sequence(value: Any) -> int | None:
    if value is None:
        return None
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _INT64_END:
        return value
    raise PayloadError("wrong_type", f"sequence must be a whole number from 0, got {_name(value)}")


def _name(value: Any) -> str:
    names = {dict: "an object", list: "an array", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), f"the number {value}")


def _mishap(envelope: Envelope, error: PayloadError) -> Mishap:
    return Mishap(envelope.tenant_id, envelope.device_id, error.kind, error.reason, envelope.arrived_at)
