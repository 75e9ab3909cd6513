"""Fractions that are exchanged byte by byte are those that a division gives, to the last bit."""

import random
from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry import packing
from appliance.telemetry.column import take_packed
from appliance.telemetry.packing import ChunkError, Reader
from appliance.telemetry.tenths import FEW, NUMBERS, take_tenths

scales = st.sampled_from([10.0**places for places in range(10)])
firsts = st.integers(-1_000, 1_000) | st.integers(-(1 << 53), 1 << 53) | st.sampled_from([0, -112, 112, 127, 128])


def packed(wholes: list[int]) -> bytes:
    out = bytearray()
    packing.put_integers(out, wholes)
    return bytes(out)


def checked(wholes: list[int], scale: float) -> bool:
    """Whether they were taken; what was is as it must be."""
    reader = Reader(packed(wholes))
    found = take_tenths(reader, len(wholes), scale)
    if found is None:
        assert reader.position == 0
        return False
    reader.end()
    assert list(map(repr, found)) == [repr(whole / scale) for whole in wholes]
    return True


@given(
    firsts, scales, st.integers(0, 9), st.integers(0, 1 << 30), st.sampled_from([FEW, FEW + 1, 200, 720, 1_440, 5_000])
)
def test_a_walk_is_divided(first: int, scale: float, longest: int, seed: int, count: int) -> None:
    chance = random.Random(seed)  # noqa: S311  no secret
    steps = (chance.randint(-longest, longest) for _ in range(count - 1))
    checked(list(accumulate(steps, initial=first)), scale)


@given(firsts, scales, st.integers(2, 255), st.integers(0, 1 << 30), st.sampled_from([FEW, FEW + 1, 200, 720, 5_000]))
def test_what_varies_around_a_number_is_divided(lowest: int, scale: float, spread: int, seed: int, count: int) -> None:
    chance = random.Random(seed)  # noqa: S311  no secret
    checked([lowest + chance.randint(0, spread) for _ in range(count)], scale)


def test_sensors_are_taken_so() -> None:
    chance = random.Random(3)  # noqa: S311  no secret
    assert checked(list(accumulate((chance.randint(-1, 1) for _ in range(1_439)), initial=500)), 10.0)
    assert checked([200 + chance.randrange(200) for _ in range(1_440)], 10.0)
    assert not checked([500, 501] * (FEW // 2), 10.0)
    assert not checked([500] * 300, 10.0)
    assert not checked(list(range(0, 50_000, 37)), 10.0)


@pytest.mark.parametrize("lowest", [1 << 30, -(1 << 30)])
def test_short_columns_are_taken_so_once_there_are_enough_of_them(lowest: int) -> None:
    for wholes in [lowest + row * 37 % 200 for row in range(200)], [lowest + abs(row % 90 - 45) for row in range(200)]:
        assert [checked(wholes, 1_000.0) for _ in range(4)] == [False, True, True, True]
        assert len(wholes) < NUMBERS


@pytest.mark.parametrize("walk", [[500, 501] * 720, [500 + row % 200 * 7 % 200 for row in range(1_440)]])
def test_a_column_that_ends_too_early_is_damage(walk: list[int]) -> None:
    source = b"\x02\x01" + packed(walk)
    assert list(take_packed(Reader(source), len(walk))) == [whole / 10 for whole in walk]
    for kept in (2, 3, 5, 100, len(source) - 1):
        with pytest.raises(ChunkError):
            take_packed(Reader(source[:kept]), len(walk))
