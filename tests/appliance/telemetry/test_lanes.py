"""Numbers that are added at once come to what they come to one by one."""

import random
from array import array
from itertools import accumulate
from typing import Literal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.telemetry.lanes import (
    LANES_LIMIT,
    SMALL_STEPS,
    WALK_FEW,
    WALK_LIMIT,
    added,
    array_of,
    beyond,
    climbed,
    lifted,
    lowest_near,
    moved,
    near,
    raised,
    signed_steps,
    walked,
)

GREATEST = (1 << 63) - 1
numbers = st.integers(-(1 << 62), 1 << 62) | st.integers(0, 300) | st.sampled_from([0, 1, GREATEST, -GREATEST - 1])
steps = st.integers(-(1 << 40), 1 << 40) | st.integers(-3, 3)


def plainly(sums: list[int]) -> "array[int] | None":
    """None when one of them has more than 64 bits."""
    return array("q", sums) if all(-GREATEST - 1 <= each <= GREATEST for each in sums) else None


@given(st.lists(numbers, max_size=40) | st.lists(st.integers(0, 1 << 61), max_size=40), numbers, steps)
def test_a_line_is_added_to_each(values: list[int], first: int, step: int) -> None:
    expected = plainly([value + first + place * step for place, value in enumerate(values)])
    if expected is None:
        with pytest.raises(OverflowError):
            raised(array("q", values), first, step)
    else:
        assert raised(array("q", values), first, step) == expected


def check_sums(pairs: list[tuple[int, int]]) -> None:
    """Each is added to the other, or refused where a sum has more than 64 bits."""
    one, other = (array("q", [pair[side] for pair in pairs]) for side in range(2))
    expected = plainly(list(map(sum, pairs)))
    if expected is None:
        with pytest.raises(OverflowError):
            added(one, other)
    else:
        assert added(one, other) == expected


@given(st.lists(st.tuples(numbers, numbers), max_size=40) | st.lists(st.tuples(*[st.integers(0, 1 << 62)] * 2)))
def test_each_is_added_to_the_other_in_its_place(pairs: list[tuple[int, int]]) -> None:
    check_sums(pairs)


@pytest.mark.parametrize("count", [LANES_LIMIT, LANES_LIMIT + 1, 3 * LANES_LIMIT + 5])
def test_very_many_are_added_as_well(count: int) -> None:
    values = array("q", range(0, 7 * count, 7))
    assert list(raised(values, 5, 2)) == [5 + 9 * place for place in range(count)]
    assert list(added(values, values)) == [14 * place for place in range(count)]
    assert list(added(values, array("q", [-5] * count))) == [7 * place - 5 for place in range(count)]


edges = st.integers(61, 63).flatmap(
    lambda bits: st.sampled_from([(1 << bits) - 2, (1 << bits) - 1, 1 - (1 << bits), -(1 << bits)])
)


@example([(0, -1), (3, GREATEST)])
@example([(3, GREATEST), (0, -1)])
@example([(0, -1), ((1 << 62) - 1, 1 << 62)])
@given(st.lists(st.tuples(*[st.integers(-3, 3) | edges | st.integers(0, 1 << 41)] * 2), min_size=1, max_size=5))
def test_sums_are_right_at_the_edges_of_64_bits(pairs: list[tuple[int, int]]) -> None:
    check_sums(pairs)


@given(st.binary(max_size=300), numbers | st.integers(0, 1 << 17) | st.integers(-(1 << 63), (1 << 63) - 1))
def test_bytes_are_added_to_a_number(beyond: bytes, lowest: int) -> None:
    found = lifted(beyond, lowest)
    if found is None:
        assert lowest >> 8 & 255 == 255
    else:
        assert list(found) == [lowest + each for each in beyond]


@pytest.mark.parametrize("lowest", [1 << 63, -(1 << 63) - 1])
def test_bytes_are_added_to_no_number_of_more_than_64_bits(lowest: int) -> None:
    with pytest.raises(OverflowError):
        lifted(b"\1", lowest & ~0xFF00)


def walk_of(first: int, least: int, steps: list[int]) -> list[int]:
    return list(accumulate((least + step for step in steps), initial=first))


def planes(steps: list[int], width: int) -> bytes:
    raw = b"".join(step.to_bytes(width, "little") for step in steps)
    return b"".join(raw[plane::width] for plane in range(width))


firsts = (
    st.sampled_from([0, 5, -5, (1 << 32) - 1, (1 << 32) - 70_000, (1 << 31) - 90, 1_700_000_000_000, -1_000, GREATEST])
    | st.integers(-GREATEST - 1, GREATEST)
    | st.integers(0, 1 << 33)
)
counts = st.integers(0, 150) | st.sampled_from([511, 512, 513, WALK_LIMIT - 1, WALK_LIMIT])


@given(st.data(), firsts, st.integers(-70_000, 70_000) | st.integers(-9, 9), st.sampled_from([1, 2]), counts)
def test_a_walk_is_what_it_is_step_by_step_or_nothing(
    data: st.DataObject, first: int, least: int, width: int, count: int
) -> None:
    chance = random.Random(data.draw(st.integers(0, 1 << 30)))  # noqa: S311  no secret
    highest = data.draw(st.sampled_from([0, 1, 200, 256**width - 1]))
    steps = [chance.randint(0, min(highest, 256**width - 1)) for _ in range(count)]
    expected = walk_of(first, least, steps)
    try:
        found = walked(planes(steps, width), width, first, least)
    except OverflowError:
        assert min(expected) < -GREATEST - 1 or max(expected) > GREATEST
        return
    assert found is None or list(found) == expected


@pytest.mark.parametrize("first", [1_700_000_000_000, (1 << 32) - 7_300_000, 0])
def test_moments_of_two_hours_are_added_up_at_once(first: int) -> None:
    chance = random.Random(1)  # noqa: S311  no secret
    steps = [chance.randrange(400) for _ in range(1_439)]
    found = walked(planes(steps, 2), 2, first, 4_800)
    assert found is not None
    assert list(found) == walk_of(first, 4_800, steps)


def test_moments_of_which_more_than_32_bits_change_are_left_to_others() -> None:
    for first, count in (((1 << 32) - 1_000, 100), ((1 << 32) - 1, 1_000), ((1 << 33) - 65_535 * 60, 100)):
        assert walked(planes([65_535] * count, 2), 2, first, 0) is None
    for first, least in (((1 << 32) - 1_000, 100), (1 << 32, -1), (1_000, -(1 << 31)), ((1 << 32) - 1, 1 << 32)):
        assert walked(bytes(99), 1, first, least) is None


@given(st.data(), firsts, st.integers(-9, 9), counts)
def test_numbers_near_each_other_are_what_they_are_step_by_step_or_nothing(
    data: st.DataObject, first: int, least: int, count: int
) -> None:
    chance = random.Random(data.draw(st.integers(0, 1 << 30)))  # noqa: S311  no secret
    highest = data.draw(st.sampled_from([0, 1, -2 * least, SMALL_STEPS - 1, 255]))
    steps = [chance.randint(0, max(min(highest, 255), 0)) for _ in range(count)]
    expected = walk_of(first, least, steps)
    found = near(planes(steps, 1), first, least)
    if found is not None:
        assert [lowest_near(first) + each for each in found] == expected
    elif (WALK_FEW <= count < WALK_LIMIT and max(steps) < SMALL_STEPS and abs(least) < SMALL_STEPS) or (
        least <= 0 and max(steps, default=0) < 128
    ):
        assert max(expected) - first > 100 or first - min(expected) > 100


@given(st.integers(0, 1 << 30), st.sampled_from([0, 1, 2, 7, 8, 50, 127, 128, 255]), st.integers(-260, 20), counts)
@example(1, 255, -128, 256)
@example(1, 255, -128, 257)
def test_numbers_of_16_bits_are_what_they_are_step_by_step_or_nothing(
    seed: int, highest: int, least: int, count: int
) -> None:
    chance = random.Random(seed)  # noqa: S311  no secret
    steps = [highest if seed % 3 else chance.randint(0, highest) for _ in range(count)]
    lowest, most = min(walk_of(0, least, steps)), max(walk_of(0, least, steps))
    for first in (-lowest, -lowest - 1, 65_535 - most, 65_536 - most, -1, 65_536, 32_768):
        expected = walk_of(first, least, steps)
        found = climbed(bytes(steps), first, least)
        if found is not None:
            assert list(found) == expected
        elif 0 >= least >= -128 and max(steps, default=0) < 128:
            assert min(expected) < 0 or max(expected) > 65_535


@given(st.binary(max_size=300), st.integers(-3, 65_540) | st.sampled_from([255, 256, 65_279, 65_280, 65_281]))
def test_bytes_beyond_a_number_are_of_16_bits(numbers: bytes, lowest: int) -> None:
    found = beyond(numbers, lowest)
    if found is None:
        assert not 0 <= lowest < 65_535 - 255
    else:
        assert list(found) == [lowest + each for each in numbers]


@given(st.lists(st.integers(-32_770, 65_537) | st.just(1 << 70), max_size=4))
def test_numbers_come_into_an_array_that_can_hold_them(numbers: list[int]) -> None:
    kinds: list[tuple[Literal["H", "h", "q"], int, int]] = [
        ("H", 0, 65_535),
        ("h", -32_768, 32_767),
        ("q", -GREATEST - 1, GREATEST),
    ]
    for code, lowest, highest in kinds:
        if all(lowest <= number <= highest for number in numbers):
            assert array_of(code, numbers) == array(code, numbers)
        else:
            with pytest.raises(OverflowError, match="more bits"):
                array_of(code, numbers)


@given(st.lists(st.integers(0, 65_535), max_size=40), st.integers(-65_536, 65_536) | st.integers(-3, 3))
def test_numbers_of_16_bits_are_moved_if_they_stay_so(numbers: list[int], by: int) -> None:
    for each in (by, -min(numbers, default=0), 65_535 - max(numbers, default=0), 65_536 - max(numbers, default=0)):
        expected = [number + each for number in numbers]
        found = moved(array("H", numbers), each)
        if found is None:
            assert min(expected) < 0 or max(expected) > 65_535
        else:
            assert list(found) == expected


@given(st.binary(max_size=200), st.integers(-130, 2))
def test_steps_of_either_sign_are_what_they_come_to(steps: bytes, least: int) -> None:
    found = signed_steps(steps, least)
    if found is not None:
        assert list(found) == [step + least for step in steps]
    else:
        assert least not in range(-128, 1) or max(steps) > 127


def test_what_jumps_within_256_numbers_is_near() -> None:
    steps = [99, 0, 110, 0, 40] * 30
    found = near(bytes(steps), 700, -50)
    assert found is not None
    assert [lowest_near(700) + each for each in found] == walk_of(700, -50, steps)
    assert near(bytes([127] * 5), 700, -50) is None
    assert near(bytes([255, 0]), 700, -100) is None


@pytest.mark.parametrize(("least", "step"), [(-7, 0), (-7, 7), (0, 7), (7, 7), (-1, 0)])
def test_numbers_that_go_too_far_are_left_to_others(least: int, step: int) -> None:
    for count in (WALK_LIMIT - 1, 500):
        found = near(bytes((step,)) * count, 40, least)
        assert (found is None) == (least + step != 0)
