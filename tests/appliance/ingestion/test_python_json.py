import json
import math

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion import python_json

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**40), 10**40) | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
pieces = st.lists(st.sampled_from([*'{}[]:,"\\ 019.-e', '"a"', "NaN", "Infinity", "null", "\\ud83d", "\\ude00", "ü"]))


@given(values, st.booleans())
def test_what_python_writes_comes_back(value: object, is_ascii: bool) -> None:
    assert repr(python_json.decode(json.dumps(value, ensure_ascii=is_ascii).encode())) == repr(value)
    assert repr(python_json.decode(python_json.encode(value).encode())) == repr(value)


@given(pieces.map("".join).map(str.encode) | st.binary(max_size=20))
def test_without_the_words_it_says_what_the_usual_decoder_says(payload: bytes) -> None:
    if python_json.may_be(payload):
        return
    try:
        expected = msgspec.json.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError):
        with pytest.raises(ValueError):  # noqa: PT011  of every kind
            python_json.decode(payload)
    else:
        assert repr(python_json.decode(payload)) == repr(expected)


def test_the_words_are_numbers_and_others_are_none() -> None:
    number, *others = python_json.decode(b"[NaN, Infinity, -Infinity]")
    assert math.isnan(number)
    assert others == [math.inf, -math.inf]
    for word in (b"nan", b"-NaN", b"+Infinity", b"inf", b"1e400", b'"\\ud800"'):
        with pytest.raises(ValueError):  # noqa: PT011  of every kind
            python_json.decode(b"[" + word + b"]")


@pytest.mark.parametrize(("payload", "may"), [(b"[NaN]", True), (b"-Infinity", True), (b"[null]", False), (b"", False)])
def test_a_word_is_looked_for_in_bytes(payload: bytes, may: bool) -> None:
    assert python_json.may_be(payload) is may
