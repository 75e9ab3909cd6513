"""SenML (RFC 8428): packs of records, resolved and put together as the objects that other devices send.

Rules:
- Base fields hold for their record and for all after it. A time below 2^28 is relative to the arrival.
- The device is known from the topic. What a full name has before the metric, the device id of the topic or a
  `urn:dev:` name (RFC 9039), is taken away; where nothing is left, the metric is `value`.
- Records of one moment make one object; a name that comes twice at one moment begins another object.
- A label that ends in `_` must be understood, and none is: such a pack is refused as a whole (§4.4).
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from appliance.ingestion import location
from appliance.ingestion.fault import PayloadError

RECORDS_LIMIT = 1_500
"""Records in one pack; they are resolved one by one."""
NAMELESS = "value"
NAMELESS_PLACE = "location"
SUM_SUFFIX = ".sum"

_VERSION = 10
_RELATIVE_END = 2**28
"""A time below it is seconds from now, from here on since 1970 (§4.5.3)."""
_SECONDS_END = 100_000_000_000

_LABELS: Mapping[int, str] = {
    -1: "bver",
    -2: "bn",
    -3: "bt",
    -4: "bu",
    -5: "bv",
    -6: "bs",
    0: "n",
    1: "u",
    2: "v",
    3: "vs",
    4: "vb",
    5: "s",
    6: "t",
    7: "ut",
    8: "vd",
}
"""What the numbers of SenML in CBOR stand for (§6, table 4)."""

_KNOWN = frozenset(_LABELS.values())
_VALUES = ("v", "vs", "vb", "vd")
_DEVICE_URN = re.compile(r"urn:dev:[a-z]+:[^:/_;]*[:/_;]?")


class Relative(NamedTuple):
    """A moment that the device counted from its sending, so that it says nothing of the device's clock."""

    at: int
    """UTC milliseconds."""


class _Record(NamedTuple):
    """One record, resolved."""

    name: str
    stamp: int | Relative | None
    """UTC milliseconds; None is the arrival."""
    values: dict[str, Any]


class Objects(NamedTuple):
    """What a pack comes to: objects with `timestamp` and `readings`, and the records that were left out."""

    objects: list[dict[str, Any]]
    faults: list[PayloadError]


def is_pack(decoded: object) -> bool:
    """Whether what came without a content type is SenML: an array of objects with no labels but SenML's.

    A name must be there in text, and a value or a sum. Whole numbers as labels are SenML's alone.
    """
    if not isinstance(decoded, list) or not decoded or not all(isinstance(item, dict) for item in decoded):
        return False
    labels = {_LABELS.get(key, key) if isinstance(key, int) else key for item in decoded for key in item}
    if any(isinstance(key, int) for item in decoded for key in item):
        return True
    named = any(isinstance(item.get(key), str) for item in decoded for key in ("n", "bn"))
    return labels <= _KNOWN and named and not labels.isdisjoint((*_VALUES, "s"))


def objects(decoded: object, device_id: str, arrived_at: int) -> Objects:
    """The objects that a pack comes to. Raises `PayloadError` when the pack as a whole cannot be taken."""
    if not isinstance(decoded, list) or not all(isinstance(item, dict) for item in decoded):
        raise PayloadError("wrong_type", "SenML is an array of records")
    if len(decoded) > RECORDS_LIMIT:
        raise PayloadError("too_many_objects", f"{len(decoded):,} records in one pack, at most {RECORDS_LIMIT:,}")
    records = [_with_names(item) for item in decoded]
    _check_labels(records)
    base: dict[str, Any] = {}
    found, faults = [], []
    for record in records:
        base |= {key: value for key, value in record.items() if key.startswith("b")}
        if not record.keys() <= base.keys():
            try:
                found.append(_resolved(record, base, device_id, arrived_at))
            except PayloadError as fault:
                faults.append(fault)
    return Objects(_together(found), faults)


def metric_of(full_name: str, device_id: str) -> str:
    """The metric that a full name means on the topic of a device; empty when it names the device alone."""
    if full_name == device_id:
        return ""
    if full_name.startswith((f"{device_id}:", f"{device_id}/")):
        return full_name[len(device_id) + 1 :]
    urn = _DEVICE_URN.match(full_name)
    return full_name[urn.end() :] if urn else full_name


def _with_names(record: Mapping[Any, Any]) -> dict[str, Any]:
    named: dict[str, Any] = {}
    for key, value in record.items():
        name = _LABELS.get(key, str(key)) if isinstance(key, int) else key
        if name in named:
            raise PayloadError("wrong_type", f"the field {name[:40]!r} of a record is there twice")
        named[name] = value
    return named


def _check_labels(records: Sequence[Mapping[str, Any]]) -> None:
    for record in records:
        for label in record:
            if label.endswith("_"):
                raise PayloadError("wrong_type", f"the field {label[:40]!r} must be understood, and is not known here")
        version = record.get("bver", _VERSION)
        if type(version) is not int or not 0 < version <= _VERSION:
            raise PayloadError("wrong_type", f"SenML of version {str(version)[:40]}, at most {_VERSION} is understood")


def _resolved(record: Mapping[str, Any], base: Mapping[str, Any], device_id: str, arrived_at: int) -> _Record:
    name = metric_of(_text(base, "bn") + _text(record, "n"), device_id)
    unit = _text(record, "u") or _text(base, "bu")
    told = [key for key in _VALUES if key in record]
    if len(told) > 1 or (not told and "s" not in record):
        shown = " and ".join(told) or "none"
        raise PayloadError("wrong_type", f"a record has one of v, vs, vb, vd or a sum s; {name[:40]!r} has {shown}")
    values: dict[str, Any] = {}
    coordinate = location.SENML_UNITS.get(unit)
    if coordinate is not None and not name.endswith(f".{coordinate}"):
        name = f"{name or NAMELESS_PLACE}.{coordinate}"
    name = name or NAMELESS
    if told:
        value = _value(record, base, told[0])
        values[name] = {"value": value, "unit": unit} if unit and not coordinate and told[0] == "v" else value
    if "s" in record:
        values[name + SUM_SUFFIX] = _plus(base, "bs", record, "s")
    return _Record(name, _stamp(base, record, arrived_at), values)


def _value(record: Mapping[str, Any], base: Mapping[str, Any], label: str) -> Any:
    value = record[label]
    match label:
        case "v":
            return _plus(base, "bv", record, "v")
        case "vd":
            return _data(value)
        case "vs":
            is_right = isinstance(value, str)
        case _:
            is_right = isinstance(value, bool)
    if not is_right:
        raise PayloadError("wrong_type", f"{label} of a record is no {'text' if label == 'vs' else 'boolean'}")
    return value


def _data(value: object) -> str:
    """Bytes as their text in base64 without padding, as JSON has them (§5)."""
    if isinstance(value, str):
        try:
            value = urlsafe_b64decode(value + "=" * (-len(value) % 4))
        except ValueError:
            raise PayloadError("wrong_type", "vd of a record is not base64url") from None
    if not isinstance(value, bytes):
        raise PayloadError("wrong_type", "vd of a record is no data")
    return urlsafe_b64encode(value).rstrip(b"=").decode()


def _stamp(base: Mapping[str, Any], record: Mapping[str, Any], arrived_at: int) -> int | Relative | None:
    seconds = _plus(base, "bt", record, "t")
    if not -_SECONDS_END < seconds < _SECONDS_END:
        raise PayloadError("wrong_timestamp", "the time of a record is no moment")
    if seconds >= _RELATIVE_END:
        return round(seconds * 1_000)
    return Relative(arrived_at + round(seconds * 1_000)) if seconds else None


def _plus(base: Mapping[str, Any], base_label: str, record: Mapping[str, Any], label: str) -> float:
    """A number and the base that is added to it; either may be missing, which is zero."""
    if base_label not in base:
        number = record.get(label, 0)
        # What most records are.
        if number.__class__ is int or number.__class__ is float:
            plain: float = number
            return plain
    parts = [values[key] for values, key in ((base, base_label), (record, label)) if key in values]
    for part in parts:
        if isinstance(part, bool) or not isinstance(part, (int, float)):
            raise PayloadError("wrong_type", f"{label} of a record is no number")
    try:
        return sum(parts) if len(parts) > 1 else parts[0] if parts else 0
    except OverflowError:
        raise PayloadError("number_too_large", f"{label} of a record is larger than any number") from None


def _text(fields: Mapping[str, Any], label: str) -> str:
    text = fields.get(label, "")
    if not isinstance(text, str):
        raise PayloadError("wrong_type", f"{label} of a record is no text")
    return text


def _together(records: Sequence[_Record]) -> list[dict[str, Any]]:
    """An object for each moment, in the order in which they first come."""
    newest: dict[int | Relative | None, dict[str, Any]] = {}
    made = []
    for record in records:
        readings = newest.get(record.stamp)
        if readings is None or not readings.keys().isdisjoint(record.values):
            readings = newest[record.stamp] = {}
            made.append({"timestamp": record.stamp, "readings": readings})
        readings |= record.values
    return made
