import contextlib
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.ingestion import cbor
from appliance.ingestion.fault import PayloadError
from appliance.ingestion.mapping.model import ValueKind
from appliance.ingestion.mapping.one_value import value_of
from appliance.telemetry.model import Value
from tests.appliance.ingestion.examples import TOLERANCES, envelope

CBOR = envelope(content_type="application/cbor")
texts = st.text(st.characters(codec="utf-8"), min_size=1, max_size=20)


def read(payload: bytes, kind: ValueKind = ValueKind.ANY, *, is_cbor: bool = False) -> Value:
    return value_of(payload, kind, CBOR if is_cbor else envelope(), TOLERANCES)


@pytest.mark.parametrize(
    ("payload", "value"),
    [
        (b"21.5", 21.5),
        (b" 7\r\n", 7),
        (b"true", True),
        (b"null", None),
        (b"ON", "ON"),
        (b'"21.5"', "21.5"),
        (b"00123", "00123"),
        (b"21,5 C", "21,5 C"),
        ("°C".encode(), "°C"),
        (b"{open", "{open"),
        (b"Infinity", math.inf),
        (b" -Infinity\n", -math.inf),
        (b'"NaN"', "NaN"),
        (b"nan", "nan"),
        (b"NaN of them", "NaN of them"),
        (b"1e400", "1e400"),
        (b"1" * 4_090, int("1" * 4_090)),
    ],
)
def test_what_json_has_a_word_for_is_that_and_all_else_a_text(payload: bytes, value: Value) -> None:
    found = read(payload)
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize("kind", [ValueKind.ANY, ValueKind.NUMBER])
def test_a_nan_is_a_number(kind: ValueKind) -> None:
    number = read(b"NaN", kind)
    assert isinstance(number, float)
    assert math.isnan(number)


@given(texts.filter(str.strip))
def test_a_rule_for_texts_takes_all_as_it_stands(text: str) -> None:
    assert read(text.encode(), ValueKind.TEXT) == text.strip()


@given(st.integers() | st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_comes_to_itself(number: float) -> None:
    assert read(str(number).encode(), ValueKind.NUMBER) == number


@given(st.sampled_from(ValueKind), st.binary(max_size=64), st.booleans())
@example(ValueKind.NUMBER, b"\xfb\x7f\xf8" + bytes(6), True)
@example(ValueKind.TEXT, b"\xc2\x58\x40" + b"\xff" * 64, True)
@example(ValueKind.ANY, b"[" * 60, False)
def test_any_payload_is_a_value_or_a_refusal_that_says_why(kind: ValueKind, payload: bytes, is_cbor: bool) -> None:
    with contextlib.suppress(PayloadError):
        value = read(payload, kind, is_cbor=is_cbor)
        assert value is None or isinstance(value, (bool, int, float, str))
        assert kind is not ValueKind.TEXT or isinstance(value, str)
        assert kind is not ValueKind.NUMBER or (isinstance(value, (int, float)) and not isinstance(value, bool))


@pytest.mark.parametrize(
    ("payload", "kind", "fault", "reason"),
    [
        (b"ON", ValueKind.NUMBER, "wrong_type", "a number was expected, got 'ON'"),
        (b"true", ValueKind.NUMBER, "wrong_type", "a number was expected, got 'true'"),
        (b'{"a": 1}', ValueKind.ANY, "wrong_type", "one number or text was expected, got an object"),
        (b"[1]", ValueKind.NUMBER, "wrong_type", "one number or text was expected, got an array"),
        (b" \n", ValueKind.ANY, "no_readings", "an empty payload"),
        (b"\xff\xfe", ValueKind.ANY, "not_text", "no UTF-8"),
        (b"x" * 4_097, ValueKind.ANY, "text_too_long", "a text of 4,097 characters, at most 4,096 are taken"),
        (b"1" * 10_001, ValueKind.ANY, "payload_too_large", "a payload of 10,001 bytes, at most 10,000 are taken"),
    ],
)
def test_a_refusal_is_explained(payload: bytes, kind: ValueKind, fault: str, reason: str) -> None:
    with pytest.raises(PayloadError) as refused:
        read(payload, kind)
    assert refused.value.kind == fault
    assert reason in refused.value.reason


def test_one_value_of_cbor_is_read_where_the_content_type_says_so() -> None:
    assert read(cbor.encode(21.5), ValueKind.NUMBER, is_cbor=True) == 21.5
    assert read(cbor.encode(7), ValueKind.TEXT, is_cbor=True) == "7"
    with pytest.raises(PayloadError, match="got an object"):
        read(cbor.encode({"a": 1}), is_cbor=True)
    with pytest.raises(PayloadError, match="not CBOR"):
        read(b"\xa1", is_cbor=True)
