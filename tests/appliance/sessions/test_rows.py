from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.sessions import rows
from appliance.sessions.rows import Damaged, DeliveryRow
from broker.changes import SessionKept
from broker.message import Message
from broker.packets import NO_PROPERTIES, Properties, Subscription
from tests.appliance.sessions.examples import messages, properties, session, subscriptions

OF_ITS_PACKET = ("packet_identifier", "is_redelivery")
"""Fields of a message that tell how it came, which nobody asks once it waits."""


@given(properties)
def test_properties_are_unpacked_as_they_were_packed(given_properties: Properties) -> None:
    assert rows.unpack_properties(rows.pack_properties(given_properties)) == given_properties


def test_every_property_that_there_is_survives() -> None:
    fields: dict[str, Any] = {}
    for field in msgspec.structs.fields(Properties):
        if field.type == tuple[int, ...]:
            fields[field.name] = (1, 268_435_455)
        elif field.type == tuple[tuple[str, str], ...]:
            fields[field.name] = (("a", "1"), ("a", "2"), ("", "€"))
        else:
            kinds = {"int": 4_294_967_295, "str": "text/plain", "bytes": b"\x00\xff"}
            fields[field.name] = next(value for kind, value in kinds.items() if kind in str(field.type))
    full = Properties(**fields)
    assert all(getattr(full, name) != getattr(NO_PROPERTIES, name) for name in fields)
    assert rows.unpack_properties(rows.pack_properties(full)) == full


def test_no_properties_take_no_room_and_are_the_one_value() -> None:
    assert rows.pack_properties(NO_PROPERTIES) == rows.pack_properties(Properties()) == b""
    assert rows.unpack_properties(b"") is NO_PROPERTIES


@given(st.lists(st.integers(1, 268_435_455), max_size=5).map(tuple))
def test_subscription_identifiers_come_back_in_order(identifiers: tuple[int, ...]) -> None:
    packed = rows.pack_identifiers(identifiers).encode()
    assert rows.read_delivery(3, 1, 2, 2, 1, packed, 7, 0) == DeliveryRow(3, 1, 2, 2, True, identifiers, 7, False)


@given(messages)
def test_a_message_is_read_as_it_was(message: Message) -> None:
    columns = msgspec.structs.astuple(message)[: -len(OF_ITS_PACKET)]
    row: list[Any] = [text.encode() if isinstance(text, str) else text for text in columns]
    row[8] = rows.pack_properties(message.properties)
    assert rows.read_message(*row) == message


@given(subscriptions)
def test_a_subscription_is_read_as_it_was(subscription: Subscription) -> None:
    topic_filter, *rest = msgspec.structs.astuple(subscription)
    assert rows.read_subscription(topic_filter.encode(), *map(int, rest)) == subscription


def test_a_session_is_read_as_it_was() -> None:
    kept = session(4, left_at=None)
    assert rows.read_session(4, 1, b"pump", b"pump", kept.expiry_s, None, kept.is_operator) == kept
    assert isinstance(rows.read_session(4, 1, b"pump", b"pump", -1, None, 0), Damaged)


@pytest.mark.parametrize("packed", [b"\xc1", b"\x80\x80", b"\x81\xa0", b"\x01", b"\x81\xaccontent_type\x05"])
def test_properties_that_are_none_are_damage(packed: bytes) -> None:
    assert isinstance(rows.read_message(1, b"", b"", b"a", b"", 1, 0, 0, packed, None, 0), Damaged)


@given(st.binary(max_size=40), st.binary(max_size=6), st.integers(-1, 4), st.integers(-1, 3))
def test_no_columns_of_a_message_raise(packed: bytes, text: bytes, qos: int, retain: int) -> None:
    found = rows.read_message(1, text, text, text, b"", qos, retain, 0, packed, None, retain)
    assert isinstance(found, Message | Damaged)
    if isinstance(found, Message):
        assert found.topic.encode() == text
        assert found.qos in (0, 1, 2)


@given(st.binary(max_size=6), st.tuples(*[st.integers(-1, 3) | st.integers(-1, 70_000)] * 5))
def test_no_columns_of_the_others_raise(text: bytes, columns: tuple[int, ...]) -> None:
    one, two, three, four, five = columns
    assert isinstance(rows.read_subscription(text, one, two, three, four, five), Subscription | Damaged)
    assert isinstance(rows.read_session(1, 1, text, text, one, two, three), SessionKept | Damaged)
    assert isinstance(rows.read_delivery(1, 1, 1, one, two, text, three, four), DeliveryRow | Damaged)
    assert rows.read_identifier(one) == one or not 0 < one < 65_536
