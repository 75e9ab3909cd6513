from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from broker import fields
from broker.errors import ProtocolError
from broker.reason_codes import ReasonCode
from tests.broker.strategies import clean_texts, texts

Read = Callable[[bytes, int, int], tuple[object, int]]
Write = Callable[[Any], bytes]

FIELDS: dict[str, tuple[Read, Write, st.SearchStrategy[object]]] = {
    "a byte": (fields.read_byte, fields.write_byte, st.integers(0, 255)),
    "two bytes": (fields.read_two_bytes, fields.write_two_bytes, st.integers(0, 65_535)),
    "four bytes": (fields.read_four_bytes, fields.write_four_bytes, st.integers(0, 2**32 - 1)),
    "a variable byte integer": (fields.read_variable, fields.write_variable, st.integers(0, 128**4 - 1)),
    "binary data": (fields.read_binary, fields.write_binary, st.binary(max_size=40)),
    "a text": (fields.read_text, fields.write_text, texts),
    "a name": (fields.read_name, fields.write_text, clean_texts),
    "a pair": (fields.read_pair, fields.write_pair, st.tuples(texts, texts)),
}


@pytest.mark.parametrize("kind", FIELDS)
@given(draw=st.data(), before=st.binary(max_size=4), behind=st.binary(max_size=4))
def test_what_was_written_is_read_and_no_more(kind: str, draw: st.DataObject, before: bytes, behind: bytes) -> None:
    read, write, values = FIELDS[kind]
    value = draw.draw(values)
    written = write(value)
    end = len(before) + len(written)
    assert read(before + written + behind, len(before), end) == (value, end)
    # Past the end of the packet, bytes of the next one lie.
    with pytest.raises(ProtocolError) as caught:
        read(before + written + behind, len(before), end - 1)
    assert caught.value.code is ReasonCode.MALFORMED_PACKET


@given(st.integers(0, 128**4 - 1))
def test_a_variable_byte_integer_may_not_be_longer_than_it_needs(number: int) -> None:
    written = fields.write_variable(number)
    longer = written[:-1] + bytes((written[-1] | 0x80, 0))
    with pytest.raises(ProtocolError, match="variable byte integer"):
        fields.read_variable(longer, 0, len(longer))


@given(st.characters(categories=["Cc"]), clean_texts)
def test_a_name_has_no_control_character_and_a_text_only_no_null(character: str, text: str) -> None:
    field = (text + character).encode()
    with pytest.raises(ProtocolError, match="control character"):
        fields.name_of(field)
    if character == "\0":
        with pytest.raises(ProtocolError, match="null"):
            fields.text_of(field)
    else:
        assert fields.text_of(field) == text + character


@pytest.mark.parametrize("field", [b"\xff", b"\xed\xa0\x80", b"\xc0\xaf", b"a\xe2\x82"])
def test_what_is_not_utf_8_is_malformed(field: bytes) -> None:
    for read in (fields.text_of, fields.name_of):
        with pytest.raises(ProtocolError, match="UTF-8"):
            read(field)


@pytest.mark.parametrize(
    ("write", "number"),
    [
        (fields.write_byte, 256),
        (fields.write_two_bytes, 65_536),
        (fields.write_four_bytes, 2**32),
        (fields.write_variable, 128**4),
        (fields.write_variable, -1),
    ],
)
def test_a_number_that_does_not_fit_is_not_written(write: Write, number: int) -> None:
    with pytest.raises(ValueError, match=r".+"):
        write(number)


def test_a_text_that_does_not_fit_is_not_written() -> None:
    with pytest.raises(ValueError, match="65536"):
        fields.write_text("x" * 65_536)
