"""The reader of these tests is an oracle only while it refuses what a server may not send."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.conformance.wire_format import (
    Kind,
    Name,
    NotMqttError,
    Properties,
    Publish,
    one_property,
    property_field,
    varint,
)
from tests.conformance.wire_reading import Cursor, read

texts = st.text(st.characters(exclude_characters="\0+#", exclude_categories=["Cs"]), max_size=20)
pairs: st.SearchStrategy[Properties] = st.lists(
    st.one_of(
        st.tuples(st.just(Name.USER_PROPERTY), st.tuples(texts, texts)),
        st.tuples(st.just(Name.SUBSCRIPTION_IDENTIFIER), st.integers(1, 268_435_455)),
    ),
    max_size=5,
).map(tuple)


@given(st.integers(0, 268_435_455))
def test_a_variable_byte_integer_is_read_as_it_was_written(value: int) -> None:
    cursor = Cursor(varint(value) + b"rest")
    assert (cursor.varint(), cursor.data) == (value, b"rest")


@given(texts.filter(bool), st.binary(max_size=50), st.integers(0, 2), st.booleans(), pairs)
def test_a_message_is_read_as_it_was_written(
    topic: str, payload: bytes, qos: int, retain: bool, properties: Properties
) -> None:
    message = Publish(topic, payload, qos, retain, 7, properties=properties)
    data = message.data(5)
    cursor = Cursor(data)
    first, length = cursor.byte(), cursor.varint()
    assert length == len(cursor.data)
    found = read(first, cursor.data, 5)
    assert found.message == (topic, payload, qos, retain)
    assert found.properties == properties
    assert found.size == len(data)


WRONG = {
    "flags of CONNACK": (0x21, b"\0\0\0"),
    "acknowledge flags": (0x20, b"\x02\0\0"),
    "a refusal with a session": (0x20, b"\x01\x87\0"),
    "an undefined code in CONNACK": (0x20, b"\0\x7f\0"),
    "no property length in SUBACK": (0x90, b"\0\1"),
    "a maximum QoS of 2": (0x20, b"\0\0" + property_field([(Name.MAXIMUM_QOS, 2)])),
    "a receive maximum of 0": (0x20, b"\0\0" + property_field([(Name.RECEIVE_MAXIMUM, 0)])),
    "a receive maximum twice": (0x20, b"\0\0" + property_field([(Name.RECEIVE_MAXIMUM, 1)] * 2)),
    "a topic alias in CONNACK": (0x20, b"\0\0" + property_field([(Name.TOPIC_ALIAS, 1)])),
    "QoS 3": (0x36, b"\0\1t\0\1\0"),
    "DUP at QoS 0": (0x38, b"\0\1t\0"),
    "packet identifier 0": (0x32, b"\0\1t\0\0\0"),
    "a topic name with a wildcard": (0x30, b"\0\1#\0"),
    "a topic name that is not UTF-8": (0x30, b"\0\1\xff\0"),
    "neither a topic nor an alias": (0x30, b"\0\0\0"),
    "topic alias 0": (0x30, b"\0\1t" + property_field([(Name.TOPIC_ALIAS, 0)])),
    "a will delay in PUBLISH": (0x30, b"\0\1t" + property_field([(Name.WILL_DELAY, 1)])),
    "an unknown property": (0x30, b"\0\1t\2\x7f\0"),
    "a property length that is too long": (0x30, b"\0\1t\x80\0"),
    "flags of PUBREL": (0x60, b"\0\1"),
    "an undefined code in PUBREL": (0x62, b"\0\1\x91"),
    "an undefined code in PUBACK": (0x40, b"\0\1\x01"),
    "an undefined code in SUBACK": (0x90, b"\0\1\0\3"),
    "a code of clients in DISCONNECT": (0xE0, b"\x04"),
    "a session expiry in DISCONNECT": (0xE0, b"\0" + property_field([(Name.SESSION_EXPIRY, 1)])),
    "bytes after PINGRESP": (0xD0, b"\0"),
    "CONNECT from a server": (0x10, b""),
    "SUBSCRIBE from a server": (0x82, b""),
    "packet type 0": (0x00, b""),
}


@pytest.mark.parametrize(("first", "body"), WRONG.values(), ids=list(WRONG))
def test_what_a_server_may_not_send_is_refused(first: int, body: bytes) -> None:
    with pytest.raises(NotMqttError):
        read(first, body, 5)


OLD_WRONG = {
    "a property length in CONNACK": (0x20, b"\0\0\0"),
    "a code of MQTT 5 in CONNACK": (0x20, b"\0\x87"),
    "a code of MQTT 5 in SUBACK": (0x90, b"\0\1\x87"),
    "a reason in PUBACK": (0x40, b"\0\1\0"),
    "a reason in UNSUBACK": (0xB0, b"\0\1\0"),
    "DISCONNECT from a server": (0xE0, b""),
    "AUTH": (0xF0, b""),
}


@pytest.mark.parametrize(("first", "body"), OLD_WRONG.values(), ids=list(OLD_WRONG))
def test_what_a_server_of_3_1_1_may_not_send_is_refused(first: int, body: bytes) -> None:
    with pytest.raises(NotMqttError):
        read(first, body, 4)


def test_user_properties_and_subscription_identifiers_may_repeat() -> None:
    field = property_field([(Name.USER_PROPERTY, ("a", "b")), (Name.SUBSCRIPTION_IDENTIFIER, 1)] * 2)
    assert len(read(Kind.PUBLISH << 4, b"\0\1t" + field, 5).properties) == 4


def test_every_property_has_a_type() -> None:
    for name in Name:
        value = ("a", "b") if name is Name.USER_PROPERTY else 1
        assert one_property(name, value)[0] == name
