"""Whole numbers and pieces survive packing, and damaged bytes say so."""

import contextlib
from array import array
from itertools import accumulate

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.telemetry import packing
from appliance.telemetry.packing import INTEGER_LIMIT, ChunkError, Reader

packable = st.integers(-INTEGER_LIMIT + 1, INTEGER_LIMIT - 1)


@given(st.lists(packable) | st.lists(st.integers(-300, 300)) | st.lists(st.integers(0, 2**40)))
def test_integers_come_back(values: list[int]) -> None:
    out = bytearray()
    packing.put_integers(out, values)
    reader = Reader(bytes(out))
    assert packing.take_integers(reader, len(values)) == values
    reader.end()
    reader.position = 0
    assert list(packing.take_integer_sequence(reader, len(values))) == values
    reader.position = 0
    assert packing.take_integer_array(reader, len(values)) == array("q", values)
    reader.end()


@given(
    st.lists(st.integers(-300, 300), min_size=1)
    | st.lists(st.integers(-(2**51) + 1, 2**51 - 1), min_size=1)
    | st.lists(st.integers(2**40, 2**40 + 2**17), min_size=1)
    | st.lists(st.integers(-5, 5).map(lambda number: number * 2**31 + number), min_size=1)
)
def test_whole_numbers_are_the_same_bytes_as_floating_point_ones(values: list[int]) -> None:
    out, floating = bytearray(), bytearray()
    packing.put_integers(out, values)
    floats = list(map(float, values))
    packing.put_wholes(floating, packing.Wholes(floats, min(floats), max(floats)))
    assert floating == out


@given(st.integers(-(2**40), 2**40), st.lists(st.integers(-130, 130), min_size=1), st.integers(0, 130))
def test_numbers_that_go_up_and_down_by_small_steps_come_back(first: int, steps: list[int], most: int) -> None:
    values = list(accumulate((max(min(step, most), -most) for step in steps), initial=first))
    out = bytearray()
    packing.put_integers(out, values)
    reader = Reader(bytes(out))
    assert packing.take_integers(reader, len(values)) == values
    reader.end()


@given(st.integers(0, 2**63), st.integers(-(2**62), 2**62))
def test_numbers_come_back(unsigned: int, signed: int) -> None:
    out = bytearray()
    packing.put_varint(out, unsigned)
    packing.put_signed(out, signed)
    reader = Reader(bytes(out))
    assert (reader.varint(), reader.signed()) == (unsigned, signed)
    reader.end()


@given(st.text(), st.binary())
def test_texts_and_pieces_come_back(text: str, piece: bytes) -> None:
    out = bytearray()
    packing.put_text(out, text)
    packing.put_piece(out, piece)
    reader = Reader(bytes(out))
    assert (reader.text(), reader.piece()) == (text, piece)
    reader.end()


@given(st.lists(st.floats()))
def test_doubles_come_back(values: list[float]) -> None:
    out = bytearray()
    packing.put_doubles(out, values)
    assert list(map(repr, packing.take_doubles(Reader(bytes(out)), len(values)))) == list(map(repr, values))


@given(st.binary(), st.integers(0, 1000))
def test_no_bytes_raise_anything_but_a_chunk_error(source: bytes, count: int) -> None:
    for take in (packing.take_integers, packing.take_integer_array, packing.take_doubles):
        with contextlib.suppress(ChunkError):
            take(Reader(source), count)
    for read in (packing.take_pieces, Reader.varint, Reader.signed, Reader.count, Reader.piece, Reader.text):
        with contextlib.suppress(ChunkError):
            read(Reader(source))


@given(st.lists(st.binary(max_size=3)) | st.integers(0, 5).flatmap(lambda size: st.lists(st.binary(min_size=size))))
@example([b""] * 3)
@example([b"abc"] * 40)
def test_many_pieces_come_back(each: list[bytes]) -> None:
    out = bytearray()
    packing.put_varint(out, len(each))
    packing.put_integers(out, list(map(len, each)))
    out += b"".join(each)
    reader = Reader(bytes(out))
    assert packing.take_pieces(reader) == (each, b"".join(each))
    reader.end()


def test_a_piece_of_negative_length_is_damage() -> None:
    out = bytearray()
    packing.put_varint(out, 2)
    packing.put_integers(out, [-1, 3])
    with pytest.raises(ChunkError, match="negative"):
        packing.take_pieces(Reader(bytes(out) + b"xx"))


def test_numbers_are_taken_whose_differences_add_up_to_more_than_64_bits() -> None:
    values = [(100 - abs(100 - row)) << 54 for row in range(200)]
    values[1::7] = [each + (1 << 50) for each in values[1::7]]
    out = bytearray()
    packing.put_integers(out, values)
    assert out[0] & 0x10
    assert packing.take_integer_array(Reader(bytes(out)), len(values)) == array("q", values)


def test_an_array_holds_no_more_than_64_bits() -> None:
    # Constant, and rising evenly: the greatest that a varint can say is more than an array holds.
    greatest = b"\xff" * 9 + b"\x7f"
    for source, count in ((b"\0" + greatest, 1), (b"\x10" + greatest + b"\2", 3), (b"\1" + greatest + b"\0\1", 2)):
        with pytest.raises(ChunkError, match="64 bits"):
            packing.take_integer_array(Reader(source), count)


@given(st.binary())
def test_compression_loses_nothing(raw: bytes) -> None:
    assert packing.inflate(packing.deflate(raw)) == raw


@given(st.binary(min_size=20), st.integers(0, 10))
def test_cut_compressed_bytes_are_damage(raw: bytes, kept: int) -> None:
    with pytest.raises(ChunkError):
        packing.inflate(packing.deflate(raw)[:kept])


def test_regular_steps_need_no_bytes_each() -> None:
    out = bytearray()
    packing.put_integers(out, range(0, 5_000_000, 5_000))
    assert len(out) < 8


def test_small_steps_need_one_byte_each() -> None:
    out = bytearray()
    packing.put_integers(out, [10**12 + step * 7 + step % 3 for step in range(1000)])
    assert len(out) < 1020


def test_numbers_of_more_than_64_bits_are_damage() -> None:
    with pytest.raises(ChunkError, match="64 bits"):
        Reader(b"\xff" * 12).varint()


def test_what_is_left_over_is_damage() -> None:
    with pytest.raises(ChunkError, match="not expected"):
        Reader(b"x").end()


def test_an_unknown_form_of_integers_is_damage() -> None:
    with pytest.raises(ChunkError, match="form 3"):
        packing.take_integers(Reader(b"\x03\x00\x00"), 2)


def test_a_count_that_cannot_fit_memory_is_damage() -> None:
    out = bytearray()
    packing.put_varint(out, 2**40)
    with pytest.raises(ChunkError, match="count"):
        Reader(bytes(out)).count()


def test_bytes_are_taken_only_where_they_come_next() -> None:
    reader = Reader(b"abc")
    assert not reader.skip(b"b")
    assert not reader.skip(b"abcd")
    assert reader.skip(b"ab")
    assert not reader.skip(b"ab")
    assert reader.take(1) == b"c"
    assert not reader.skip(b"c")
