"""Nothing is lost between two pieces."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.pieces import pieces


@given(st.integers(1, 9), st.integers(0, 40))
def test_bytes_are_cut_into_pieces_of_one_size(size: int, count: int) -> None:
    joined = bytes(number % 251 for number in range(size * count))
    assert list(pieces(joined, size)) == [joined[at : at + size] for at in range(0, size * count, size)]


def test_numbers_are_cut_as_they_lie_in_memory() -> None:
    assert list(pieces(array("q", range(40)), 16)) == [array("q", (one, one + 1)).tobytes() for one in range(0, 40, 2)]
