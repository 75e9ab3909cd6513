"""Laws of properties by kind of packet, then the values that are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker.errors import ProtocolError
from broker.fields import read_variable, write_variable
from broker.packets import (
    NO_PROPERTIES,
    Auth,
    Connack,
    Connect,
    Disconnect,
    Properties,
    Puback,
    Publish,
    Subscribe,
    Unsubscribe,
    Will,
)
from broker.properties import REPEATED_LIMIT, Kind, decode_properties, encode_properties
from broker.reason_codes import ReasonCode
from tests.broker.strategies import ALLOWED_PROPERTIES, PROPERTY_VALUES, properties_of

kinds = st.sampled_from(sorted(ALLOWED_PROPERTIES, key=lambda kind: kind.__name__))


def refusal(data: bytes, kind: Kind) -> ReasonCode:
    with pytest.raises(ProtocolError) as caught:
        decode_properties(data, 0, len(data), kind)
    assert caught.value.reason
    return caught.value.code


def of(body: str) -> bytes:
    content = bytes.fromhex(body)
    return bytes((len(content),)) + content


@given(st.data(), kinds, st.binary(max_size=5), st.binary(max_size=5))
def test_decoding_what_was_encoded_gives_the_same_properties(
    draw: st.DataObject, kind: Kind, before: bytes, behind: bytes
) -> None:
    properties = draw.draw(properties_of(kind))
    encoded = encode_properties(properties)
    data = before + encoded + behind
    end = len(before) + len(encoded)
    assert decode_properties(data, len(before), len(data), kind) == (properties, end)
    assert decode_properties(data, len(before), end, kind) == (properties, end)


@given(st.data(), kinds, st.sampled_from(sorted(PROPERTY_VALUES)))
def test_a_property_stands_only_where_the_specification_has_it(draw: st.DataObject, kind: Kind, name: str) -> None:
    value = draw.draw(PROPERTY_VALUES[name].filter(lambda value: value != ()))
    if kind is Subscribe and isinstance(value, tuple):
        value = value[:1]
    properties = Properties(**{name: value})  # type: ignore[arg-type]
    if name == "authentication_data":
        properties = Properties(authentication_data=b"", authentication_method="m")
    encoded = encode_properties(properties)
    if name in ALLOWED_PROPERTIES[kind]:
        assert decode_properties(encoded, 0, len(encoded), kind)[0] == properties
    elif kind in {Subscribe, Unsubscribe}:
        assert refusal(encoded, kind) is ReasonCode.MALFORMED_PACKET
    else:
        assert refusal(encoded, kind) is ReasonCode.PROTOCOL_ERROR


@given(st.data(), kinds)
def test_properties_that_are_cut_short_are_malformed(draw: st.DataObject, kind: Kind) -> None:
    encoded = encode_properties(draw.draw(properties_of(kind)))
    if len(encoded) > 1:
        cut = draw.draw(st.integers(1, len(encoded) - 1))
        assert refusal(encoded[:cut], kind) is ReasonCode.MALFORMED_PACKET


@given(st.binary(max_size=40), kinds)
def test_no_bytes_raise_anything_else(body: bytes, kind: Kind) -> None:
    data = bytes((len(body),)) + body
    try:
        properties, end = decode_properties(data, 0, len(data), kind)
    except ProtocolError:
        return
    assert end == len(data)
    assert decode_properties(encoded := encode_properties(properties), 0, len(encoded), kind)[0] == properties


@given(st.data(), kinds)
def test_a_property_comes_once_unless_it_may_repeat(draw: st.DataObject, kind: Kind) -> None:
    name = draw.draw(st.sampled_from(sorted(ALLOWED_PROPERTIES[kind])))
    value = draw.draw(PROPERTY_VALUES[name].filter(lambda value: value != ()))
    if name in {"user_properties", "subscription_identifiers"}:
        value = (value[0],)  # type: ignore[index]
    encoded = encode_properties(Properties(**{name: value}))  # type: ignore[arg-type]
    _, start = read_variable(encoded, 0, len(encoded))
    data = write_variable(2 * (len(encoded) - start)) + 2 * encoded[start:]
    if name == "user_properties" or (name == "subscription_identifiers" and kind is Publish):
        assert getattr(decode_properties(data, 0, len(data), kind)[0], name) == 2 * value  # type: ignore[operator]
    else:
        assert refusal(data, kind) is ReasonCode.PROTOCOL_ERROR


def test_nothing_is_the_one_value_for_nothing() -> None:
    assert encode_properties(NO_PROPERTIES) == encode_properties(Properties()) == b"\0"
    properties, end = decode_properties(b"\0\1", 0, 2, Publish)
    assert properties is NO_PROPERTIES
    assert end == 1


WRONG: list[tuple[Kind, str, ReasonCode]] = [
    (Publish, "01 02", ReasonCode.PROTOCOL_ERROR),
    (Will, "01 02", ReasonCode.PROTOCOL_ERROR),
    (Connect, "17 02", ReasonCode.PROTOCOL_ERROR),
    (Connect, "19 02", ReasonCode.PROTOCOL_ERROR),
    (Connect, "21 0000", ReasonCode.PROTOCOL_ERROR),
    (Connect, "27 00000000", ReasonCode.PROTOCOL_ERROR),
    (Connect, "16 0001 78", ReasonCode.PROTOCOL_ERROR),
    (Auth, "16 0001 78", ReasonCode.PROTOCOL_ERROR),
    (Connack, "24 02", ReasonCode.PROTOCOL_ERROR),
    (Connack, "25 02", ReasonCode.PROTOCOL_ERROR),
    (Connack, "28 02", ReasonCode.PROTOCOL_ERROR),
    (Connack, "29 02", ReasonCode.PROTOCOL_ERROR),
    (Connack, "2a 02", ReasonCode.PROTOCOL_ERROR),
    (Publish, "23 0000", ReasonCode.TOPIC_ALIAS_INVALID),
    (Publish, "0b 00", ReasonCode.PROTOCOL_ERROR),
    (Subscribe, "0b 00", ReasonCode.PROTOCOL_ERROR),
    (Subscribe, "0b 01 0b 02", ReasonCode.PROTOCOL_ERROR),
    (Subscribe, "0b 8000", ReasonCode.MALFORMED_PACKET),
    (Subscribe, "0b 80808080 01", ReasonCode.MALFORMED_PACKET),
    (Publish, "08 0000", ReasonCode.PROTOCOL_ERROR),
    (Publish, "08 0001 2b", ReasonCode.PROTOCOL_ERROR),
    (Publish, "08 0001 23", ReasonCode.PROTOCOL_ERROR),
    (Publish, "08 0001 07", ReasonCode.MALFORMED_PACKET),
    (Publish, "03 0001 ff", ReasonCode.MALFORMED_PACKET),
    (Publish, "26 0001 00 0000", ReasonCode.MALFORMED_PACKET),
    (Publish, "26 0001 61", ReasonCode.MALFORMED_PACKET),
    (Publish, "26", ReasonCode.MALFORMED_PACKET),
    (Puback, "00 01", ReasonCode.MALFORMED_PACKET),
    (Puback, "7f 01", ReasonCode.MALFORMED_PACKET),
    (Puback, "8001 01", ReasonCode.MALFORMED_PACKET),
    (Disconnect, "22 00", ReasonCode.MALFORMED_PACKET),
]


@pytest.mark.parametrize(("kind", "body", "code"), WRONG, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_value_that_is_not_allowed_has_its_reason(kind: Kind, body: str, code: ReasonCode) -> None:
    assert refusal(of(body), kind) is code


def test_text_may_have_more_than_one_line() -> None:
    properties = Properties(reason_string="one\ntwo", user_properties=(("a\tb", "\n"),))
    encoded = encode_properties(properties)
    assert decode_properties(encoded, 0, len(encoded), Puback)[0] == properties


def test_the_number_of_user_properties_is_bounded() -> None:
    most = Properties(user_properties=(("", ""),) * REPEATED_LIMIT)
    encoded = encode_properties(most)
    assert decode_properties(encoded, 0, len(encoded), Publish)[0] == most
    encoded = encode_properties(Properties(user_properties=(("", ""),) * (REPEATED_LIMIT + 1)))
    assert refusal(encoded, Publish) is ReasonCode.QUOTA_EXCEEDED
