"""In which form a payload is written, and the objects in it: JSON, CBOR, SenML in either.

Rules:
- A content type that is known decides; MQTT 5 carries one (§3.3.2.3.9). Every other, and none, says nothing.
- Without one the first byte decides. JSON of objects begins with `{`, `[` or a blank; CBOR of maps and arrays begins
  with 80 to bf, or with a tag, c0 to db. No text in UTF-8 begins with any of these but as no JSON (RFC 8949 §3).
- Where JSON has the words NaN and Infinity, which it knows none of, they are the numbers that they name.
- Without one, an array of objects that have nothing but SenML's labels, and name something, is SenML.
"""

import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from enum import Enum
from typing import Any

import msgspec

from appliance.ingestion import cbor, python_json, senml
from appliance.ingestion.fault import PayloadError

OBJECTS_LIMIT = 1_000
"""Objects in one message, be they made of more records of SenML."""

CBOR_ITEMS_LIMIT = 10_000
"""Values in one message of CBOR; they are read one by one."""

_FIRST_CBOR = 0x80
_BEYOND_CBOR = 0xDC

_decode_json = msgspec.json.Decoder().decode


class Form(Enum):
    """What a content type says; the value tells whether it is CBOR and whether it is SenML, None if it does not say."""

    JSON = (False, False)
    CBOR = (True, False)
    SENML_JSON = (False, True)
    SENML_CBOR = (True, True)
    UNSAID = (None, None)


_FORMS: Mapping[str, Form] = {
    "application/json": Form.JSON,
    "application/cbor": Form.CBOR,
    "application/senml+json": Form.SENML_JSON,
    "application/sensml+json": Form.SENML_JSON,
    "application/senml+cbor": Form.SENML_CBOR,
    "application/sensml+cbor": Form.SENML_CBOR,
}
_PARAMETERS = re.compile(r"\s*;.*", re.DOTALL)


def form_of(content_type: str) -> Form:
    """What a content type says; its parameters and capitals do not matter."""
    return _FORMS.get(_PARAMETERS.sub("", content_type).strip().lower(), Form.UNSAID)


def objects(payload: bytes, content_type: str, device_id: str, arrived_at: int) -> tuple[list[Any], list[PayloadError]]:
    """The objects of a payload, and why parts of it were left out. Raises `PayloadError`."""
    is_cbor, is_senml = form_of(content_type).value if content_type else Form.UNSAID.value
    if is_cbor is None:
        is_cbor = len(payload) > 0 and _FIRST_CBOR <= payload[0] < _BEYOND_CBOR
    decoded = _of_cbor(payload) if is_cbor else decoded_json(payload, content_type)
    if is_senml is None:
        # What is too long for either is looked at no closer.
        is_senml = not _is_longer(decoded, senml.RECORDS_LIMIT) and senml.is_pack(decoded)
    if is_senml:
        return senml.objects(decoded, device_id, arrived_at)
    if _is_longer(decoded, OBJECTS_LIMIT):
        raise PayloadError("too_many_objects", f"{len(decoded):,} objects in one message, at most {OBJECTS_LIMIT:,}")
    if is_cbor:
        decoded = _as_in_json(decoded)
    return decoded if isinstance(decoded, list) else [decoded], []


def _is_longer(decoded: Any, limit: int) -> bool:
    return isinstance(decoded, list) and len(decoded) > limit


def decoded_json(payload: bytes, content_type: str = "") -> Any:
    """What a payload says in JSON. Raises `PayloadError`, which names a content type that says that it is JSON."""
    try:
        return _decode_json(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        if not python_json.may_be(payload):
            raise _not_json(str(error), content_type) from None
        try:
            return python_json.decode(payload)
        except (ValueError, RecursionError) as other:
            raise _not_json(f"{error}; with NaN and Infinity as numbers: {other}", content_type) from None


def _of_cbor(payload: bytes) -> Any:
    try:
        return cbor.decode_labelled(payload, CBOR_ITEMS_LIMIT)
    except cbor.InvalidCborError as error:
        raise PayloadError("not_cbor", f"not CBOR that can be read: {error}") from None


def _not_json(why: str, content_type: str) -> PayloadError:
    told = f" although its content type is {content_type[:60]}" if form_of(content_type) is not Form.UNSAID else ""
    return PayloadError("not_json", f"not JSON{told}: {why}")


def _as_in_json(value: Any) -> Any:
    """The same as JSON would have it (RFC 8949 §6.1): keys are texts, and bytes are their text in base64url."""
    if isinstance(value, dict):
        return {str(key): _as_in_json(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_as_in_json(inner) for inner in value]
    if isinstance(value, bytes):
        return urlsafe_b64encode(value).rstrip(b"=").decode()
    return value
