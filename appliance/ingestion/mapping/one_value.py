"""A payload that is one value: a number, a text, true, false or null.

Rules:
- It is text in UTF-8; blanks around it do not count. What JSON has a word for is that, a text in quotes too; so are
  NaN, Infinity and -Infinity, which are numbers. Everything else is a text as it stands. A rule may ask for numbers,
  or take everything for a text.
- With the content type of CBOR it is one value of CBOR.
"""

import json
from typing import Any

from appliance.ingestion import forms
from appliance.ingestion.fault import PayloadError
from appliance.ingestion.gathered import TEXT_LIMIT
from appliance.ingestion.mapping.model import ValueKind
from appliance.ingestion.payload import Envelope, Tolerances, require_size
from appliance.telemetry.model import Value

_SHOWN = 40
"""Characters of a text that are shown."""


def value_of(payload: bytes, kind: ValueKind, envelope: Envelope, tolerances: Tolerances) -> Value:
    """The value that a payload is. Raises `PayloadError`."""
    require_size(payload, tolerances)
    if forms.form_of(envelope.content_type) is forms.Form.CBOR:
        objects, _ = forms.objects(payload, envelope.content_type, envelope.device_id, envelope.arrived_at)
        value = objects[0] if len(objects) == 1 else objects
    else:
        value = _of_text(payload, kind)
    return _checked(value, kind)


def _of_text(payload: bytes, kind: ValueKind) -> Any:
    try:
        text = payload.decode("utf-8").strip()
    except UnicodeDecodeError as error:
        raise PayloadError("not_text", f"a number or a text was expected, and this is no UTF-8: {error}") from None
    if not text:
        raise PayloadError("no_readings", "an empty payload")
    if kind is ValueKind.TEXT:
        return text
    try:
        return forms.decoded_json(text.encode())
    except PayloadError:
        return text


def _checked(value: Any, kind: ValueKind) -> Value:
    if isinstance(value, (dict, list)):
        shown = "an object" if isinstance(value, dict) else "an array"
        raise PayloadError("wrong_type", f"one number or text was expected, got {shown}")
    if isinstance(value, str) and len(value) > TEXT_LIMIT:
        raise PayloadError("text_too_long", f"a text of {len(value):,} characters, at most {TEXT_LIMIT:,} are taken")
    plain: Value = value
    match kind:
        case ValueKind.ANY:
            return plain
        case ValueKind.TEXT:
            return _as_text(plain)
        case ValueKind.NUMBER:
            if isinstance(plain, bool) or not isinstance(plain, (int, float)):
                raise PayloadError("wrong_type", f"a number was expected, got {_as_text(plain)[:_SHOWN]!r}")
            return plain


def _as_text(value: Value) -> str:
    return value if isinstance(value, str) else json.dumps(value)
