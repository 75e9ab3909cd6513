"""Chunks are due one after the other, and the oldest go first, in the order of before."""

from typing import NamedTuple

from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.day_file import RANK_BITS
from appliance.telemetry.sealing_order import AGE_MS, oldest, turn_at

INTERVAL = 600_000

ranks = st.integers(0, (1 << RANK_BITS) - 1)
moments = st.integers(INTERVAL, 10**13)


class Chunk(NamedTuple):
    age: tuple[int, int]
    weight: int


@given(ranks, moments, st.integers(1, 10**6))
def test_a_device_is_due_at_its_place_in_the_interval_and_never_later_than_that(
    rank: int, now: int, interval: int
) -> None:
    due_at, _ = turn_at(rank, 0, now, interval)
    assert now < due_at <= now + interval
    assert due_at % interval == rank * interval >> RANK_BITS


@given(st.tuples(ranks, ranks))
def test_they_are_due_in_the_order_of_their_ranks(pair: tuple[int, int]) -> None:
    first, second = sorted(pair)
    assert turn_at(first, 0, 0, INTERVAL).due_at % INTERVAL <= turn_at(second, 0, 0, INTERVAL).due_at % INTERVAL


@given(ranks, moments, st.integers(0, 2 * INTERVAL))
def test_what_follows_one_that_was_let_go_early_is_not_short(rank: int, now: int, ago: int) -> None:
    sealed_at = now - ago
    due_at, age = turn_at(rank, sealed_at, now, INTERVAL)
    if ago < INTERVAL and sealed_at:
        assert INTERVAL // 2 <= due_at - now < INTERVAL * 3 // 2
        assert age == (sealed_at, rank)
    else:
        assert due_at <= now + INTERVAL
        assert age == (now - now % AGE_MS, rank)
    assert due_at % INTERVAL == rank * INTERVAL >> RANK_BITS


def test_a_clock_that_was_set_back_makes_nothing_wait_for_longer() -> None:
    assert turn_at(5, INTERVAL * 3, INTERVAL, INTERVAL).due_at <= 2 * INTERVAL


@given(
    st.lists(st.builds(Chunk, st.tuples(st.integers(0, 9), st.integers(0, 9)), st.integers(1, 5))), st.integers(-5, 40)
)
def test_the_oldest_are_taken_until_they_are_heavy_enough(chunks: list[Chunk], weight: int) -> None:
    but = chunks[::3]
    taken = list(oldest(chunks, but, weight))
    left = [chunk for chunk in chunks if all(chunk is not each for each in (*but, *taken))]
    assert [chunk.age for chunk in taken] == sorted(chunk.age for chunk in taken)
    assert all(chunk.age >= taken[-1].age for chunk in left if taken)
    assert sum(chunk.weight for chunk in taken[:-1]) < max(weight, 1)
    assert not left or sum(chunk.weight for chunk in taken) >= weight
