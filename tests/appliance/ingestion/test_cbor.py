"""CBOR: what is written is read, and nothing that is read can do harm."""

import contextlib
import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion import cbor

values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
    | st.binary(max_size=300),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=5), inner, max_size=5),
    max_leaves=25,
)


@given(values)
def test_what_is_written_is_read(value: cbor.Value) -> None:
    assert cbor.decode(cbor.encode(value)) == value


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    with contextlib.suppress(cbor.InvalidCborError):
        assert cbor.decode(cbor.encode(value := cbor.decode(data))) == value or value != value  # noqa: PLR0124  NaN


@given(values, st.data())
def test_a_value_that_breaks_off_is_refused(value: cbor.Value, data: st.DataObject) -> None:
    whole = cbor.encode(value)
    with pytest.raises(cbor.InvalidCborError):
        cbor.decode(whole[: data.draw(st.integers(0, len(whole) - 1))])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        # RFC 8949, appendix A.
        ("00", 0),
        ("1903e8", 1000),
        ("1bffffffffffffffff", 2**64 - 1),
        ("3903e7", -1000),
        ("f93c00", 1.0),
        ("fa47c35000", 100000.0),
        ("fb3ff199999999999a", 1.1),
        ("f97c00", math.inf),
        ("f4", False),
        ("f6", None),
        ("f7", None),
        ("c074323031332d30332d32315432303a30343a30305a", "2013-03-21T20:04:00Z"),
        ("4401020304", b"\1\2\3\4"),
        ("62c3bc", "ü"),
        ("8301820203820405", [1, [2, 3], [4, 5]]),
        ("a26161016162820203", {"a": 1, "b": [2, 3]}),
        ("5f42010243030405ff", b"\1\2\3\4\5"),
        ("7f657374726561646d696e67ff", "streaming"),
        ("9f018202039f0405ffff", [1, [2, 3], [4, 5]]),
        ("bf61610161629f0203ffff", {"a": 1, "b": [2, 3]}),
        ("9fff", []),
        ("c249010000000000000000", 2**64),
        ("c349010000000000000000", -1 - 2**64),
        ("c48221196ab3", 273.15),
        ("c4820203", 300),
    ],
)
def test_examples_of_the_specification(text: str, value: cbor.Value) -> None:
    assert cbor.decode(bytes.fromhex(text)) == value


def test_labels_are_numbers_only_where_they_are_asked_for() -> None:
    data = bytes.fromhex("81a20066746573742d310201")
    assert cbor.decode_labelled(data, 10) == [{0: "test-1", 2: 1}]
    with pytest.raises(cbor.InvalidCborError, match="no text"):
        cbor.decode(data)
    with pytest.raises(cbor.InvalidCborError, match="more than 4 values"):
        cbor.decode_labelled(data, 4)


@given(st.binary(max_size=200))
def test_no_bytes_raise_anything_else_with_labels(data: bytes) -> None:
    with contextlib.suppress(cbor.InvalidCborError):
        cbor.decode_labelled(data, 1_000)


@pytest.mark.parametrize("text", ["c25881" + "ff" * 129, "c4821901910" + "1", "c48239019001"])
def test_a_number_beyond_every_double_is_refused_before_it_is_made(text: str) -> None:
    with pytest.raises(cbor.InvalidCborError, match="any number that can be kept"):
        cbor.decode(bytes.fromhex(text))


def test_what_is_not_a_number_is_read_and_written() -> None:
    [number] = struct.unpack(">d", cbor.encode(math.nan)[1:])
    assert math.isnan(number)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "breaks off"),
        (b"\x9b" + b"\xff" * 8, "breaks off"),
        (b"\x5b" + b"\x7f" * 8, "breaks off"),
        (b"\x81" * 40 + b"\x00", "nested deeper"),
        (b"\xc1" * 40 + b"\x00", "nested deeper"),
        (b"\x99\xff\xff" + b"\x00" * 65_535, "more than 4096 values"),
        (b"\x9f" + b"\x00" * 65_535 + b"\xff", "more than 4096 values"),
        (b"\x5f" + b"\x40" * 65_535 + b"\xff", "more than 4096 values"),
        (b"\xa2\x61a\x01\x61a\x02", "there twice"),
        (b"\xa1\x01\x02", "no text"),
        (b"\x61\xff", "not UTF-8"),
        (b"\x7f\x41a\xff", "another kind"),
        (b"\x7f\x7f\xff\xff", "another kind"),
        (b"\x1c", "kind 28"),
        (b"\x1f", "kind 31"),
        (b"\xe0", "kind 0"),
        (b"\xff", "kind 31"),
        (b"\x00\x00", "after the end"),
        (b"\x9f\x00", "breaks off"),
    ],
)
def test_what_cannot_be_read_is_refused_with_a_reason(data: bytes, why: str) -> None:
    with pytest.raises(cbor.InvalidCborError, match=why):
        cbor.decode(data)


def test_an_integer_that_is_too_large_is_refused() -> None:
    with pytest.raises(cbor.InvalidCborError, match="does not fit"):
        cbor.encode(2**64)
