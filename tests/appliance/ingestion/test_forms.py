from typing import Any, cast

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion import cbor, senml
from appliance.ingestion.fault import PayloadError
from appliance.ingestion.forms import CBOR_ITEMS_LIMIT, Form, form_of, objects
from appliance.ingestion.model import Mishap
from appliance.instant import to_text
from appliance.telemetry.model import Report
from tests.appliance.ingestion.examples import NOW, envelope, read_reports

names = st.text("abcdefgÜ-", min_size=1, max_size=8).filter(lambda name: name not in {"readings", "sequence"})
numbers = st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
scalars = numbers | st.booleans() | st.text(st.characters(exclude_categories=["Cs"]), max_size=10)
readings = st.dictionaries(names, scalars, min_size=1, max_size=6)
moments = st.integers(NOW - 10**9, NOW)


def cbor_of(value: object) -> bytes:
    return cbor.encode(cast("cbor.Value", value))


def told(payload: bytes, content_type: str = "") -> tuple[list[Report], list[Mishap]]:
    return read_reports(payload, envelope(content_type=content_type))


def pack_of(values: dict[str, Any], at: int, labels: dict[str, Any]) -> list[dict[Any, Any]]:
    """The readings as SenML, with these labels."""
    records: list[dict[Any, Any]] = [
        {
            labels["n"]: f"pump:{name}",
            labels["vb" if isinstance(value, bool) else "vs" if isinstance(value, str) else "v"]: value,
        }
        for name, value in values.items()
    ]
    return [{labels["bt"]: at / 1_000, **records[0]}, *records[1:]]


TEXTS = {key: key for key in ("n", "bt", "v", "vs", "vb")}
LABELS = {"n": 0, "bt": -3, "v": 2, "vs": 3, "vb": 4}


@given(values=readings, at=moments, is_said=st.booleans())
def test_every_form_carries_the_same_readings(values: dict[str, Any], at: int, *, is_said: bool) -> None:
    whole = {"deviceId": "pump", "timestamp": at, "readings": values}
    expected = told(msgspec.json.encode(whole))
    assert len(expected[0]) == 1
    assert expected[1] == []
    written = {
        "application/json": [
            msgspec.json.encode(other)
            for other in ({"timestamp": to_text(at), **values}, [whole], {"timestamp": at / 1_000, "readings": values})
        ],
        "application/cbor": [cbor_of(other) for other in (whole, {"timestamp": at, **values}, [whole])],
        "application/senml+json": [msgspec.json.encode(pack_of(values, at, TEXTS))],
        "application/senml+cbor": [cbor_of(pack_of(values, at, LABELS)), cbor_of(pack_of(values, at, TEXTS))],
    }
    for content_type, payloads in written.items():
        for payload in payloads:
            assert told(payload, content_type if is_said else "") == expected


@given(st.binary(max_size=120), st.sampled_from(["", "application/cbor", "application/senml+cbor", "application/json"]))
def test_no_bytes_raise_in_any_form(payload: bytes, content_type: str) -> None:
    reports, mishaps = told(payload, content_type)
    assert reports or mishaps


@given(st.binary(max_size=40))
def test_bytes_that_begin_as_cbor_never_raise(payload: bytes) -> None:
    for first in (0x81, 0x9F, 0xA1, 0xBF, 0xC1, 0xD9):
        reports, mishaps = told(bytes([first]) + payload)
        assert reports or mishaps


@pytest.mark.parametrize(
    ("content_type", "form"),
    [
        ("application/json", Form.JSON),
        ("Application/CBOR", Form.CBOR),
        ("application/senml+json; charset=utf-8", Form.SENML_JSON),
        ("application/senml+cbor;x", Form.SENML_CBOR),
        ("text/plain", Form.UNSAID),
        ("", Form.UNSAID),
        ("application/jsonx", Form.UNSAID),
    ],
)
def test_content_types_are_known_without_their_parameters(content_type: str, form: Form) -> None:
    assert form_of(content_type) is form


def test_a_content_type_that_is_known_decides() -> None:
    pack = msgspec.json.encode([{"n": "a", "v": 1}])
    assert [report.values for report in told(pack)[0]] == [{"a": 1}]
    assert [report.values for report in told(pack, "application/json")[0]] == [{"n": "a", "v": 1}]
    assert [report.values for report in told(pack, "text/plain")[0]] == [{"a": 1}]
    [mishap] = told(cbor_of({"a": 1}), "application/json")[1]
    assert mishap.kind == "not_json"
    assert "although its content type is application/json" in mishap.reason
    assert told(b'{"a":1}', "application/cbor")[1][0].kind == "not_cbor"


def test_what_only_cbor_has_is_kept_as_json_would_have_it() -> None:
    data = bytes.fromhex("a3") + b"\x61r" + b"\x42hi" + b"\x01\x05" + b"\x61n\x81\x41\xff"
    [report], _ = told(data)
    assert report.values == {"r": "aGk", "1": 5, "n": '["_w"]'}


def test_a_message_of_cbor_is_bounded_in_its_values() -> None:
    assert objects(cbor_of([{"a": 1}]), "", "pump", NOW) == ([{"a": 1}], [])
    with pytest.raises(PayloadError, match="more than 10000 values"):
        objects(b"\x9f" + b"\x00" * CBOR_ITEMS_LIMIT + b"\xff", "", "pump", NOW)


def test_what_is_too_long_to_be_senml_is_refused_as_any_other_array() -> None:
    records = msgspec.json.encode([{"n": "a", "v": 1}] * (senml.RECORDS_LIMIT + 1))
    for content_type, words in (("", "objects in one message"), ("application/senml+json", "records in one pack")):
        with pytest.raises(PayloadError, match=words):
            objects(records, content_type, "pump", NOW)
