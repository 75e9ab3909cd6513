"""Changed inputs keep the form that their target reads."""

from hypothesis import given
from hypothesis import strategies as st

from tests.fuzz import corpus
from tests.fuzz.mutation import (
    body_of,
    dice_of,
    framed,
    of_bytes,
    of_packets,
    of_scripts,
    packet_end,
    split,
    step,
    steps_of,
)

DATA = st.binary(max_size=300)


@given(DATA)
def test_a_stream_is_split_without_a_loss(data: bytes) -> None:
    assert b"".join(split(data)) == data


@given(st.integers(0, 255), st.binary(max_size=40_000))
def test_a_framed_packet_ends_where_its_length_says(first: int, body: bytes) -> None:
    packet = framed(first, body)
    assert packet_end(packet, 0) == len(packet)
    assert split(packet * 2) == [packet, packet]
    assert body_of(packet) == body


@given(st.lists(st.tuples(st.integers(0, 255), DATA), max_size=5))
def test_a_script_is_read_as_it_was_written(steps: list[tuple[int, bytes]]) -> None:
    assert steps_of(b"".join(step(*one) for one in steps)) == steps


@given(DATA, st.integers(), st.lists(DATA, min_size=1, max_size=3))
def test_anything_can_be_changed(data: bytes, seed: int, others: list[bytes]) -> None:
    for mutate in (of_bytes, of_packets, of_scripts):
        assert mutate(data, dice_of(seed), others) == mutate(data, dice_of(seed), others)


@given(DATA)
def test_what_is_kept_of_an_input_is_that_input(data: bytes) -> None:
    assert bytes.fromhex(corpus.write_bytes(data)) == data
