from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.sequence import JUMP_LIMIT, LOOK_BACK, Sequence

MOMENT = 1_800_000_000_000


def taken(numbers: list[int], *, has_clock: bool = True, at: list[int] | None = None) -> Sequence:
    """What is known after these; each number is its own moment unless there are others."""
    moments = at or [MOMENT + number for number in numbers]
    found = Sequence(numbers[0], moments[0])
    for number, moment in zip(numbers[1:], moments[1:], strict=True):
        found.take(number, moment, moment, has_clock=has_clock)
    return found


@given(st.lists(st.integers(0, LOOK_BACK - 1), min_size=1, max_size=80))
def test_counts_are_those_of_whoever_remembers_every_number(steps: list[int]) -> None:
    numbers = [0, *steps]
    known = {0}
    late = duplicates = gaps = 0
    for number in steps:
        if number in known:
            duplicates += 1
        elif number < max(known):
            late += 1
        else:
            gaps += number > max(known) + 1
        known.add(number)
    found = taken(numbers)
    assert (found.late, found.duplicates, found.gaps, found.restarts) == (late, duplicates, gaps, 0)
    assert found.missing == max(known) + 1 - len(known)
    assert found.highest == max(known)


some = st.lists(st.tuples(st.integers(0, 40), st.integers(MOMENT, MOMENT + 9)), max_size=5)
in_order = st.builds(
    lambda first, count: [(n, MOMENT + n) for n in range(first, first + count)], *[st.integers(0, 40)] * 2
)


@given(st.lists(some | in_order, max_size=6))
def test_several_at_once_are_taken_as_one_after_the_other(told: list[list[tuple[int, int]]]) -> None:
    at_once, one_by_one = Sequence(3, MOMENT), Sequence(3, MOMENT)
    for pairs in told:
        numbers, moments = [number for number, _ in pairs], [moment for _, moment in pairs]
        at_once.take_all(numbers, moments, moments)
        for number, moment in pairs:
            one_by_one.take(number, moment, moment, has_clock=True)
        assert at_once == one_by_one


@given(st.integers(0, 1_000), st.integers(1, 2_000))
def test_numbers_in_order_are_all_there(first: int, count: int) -> None:
    found = taken(list(range(first, first + count)))
    assert (found.missing, found.late, found.duplicates, found.restarts) == (0, 0, 0, 0)


@given(st.integers(22, 500), st.integers(0, 20))
def test_a_counter_that_begins_anew_is_a_restart_and_no_duplicate(length: int, first: int) -> None:
    numbers = [*range(length), *range(first, first + 5)]
    found = taken(numbers, at=[MOMENT + place for place in range(len(numbers))])
    expected = (1, first + 4)
    assert (found.restarts, found.highest) == expected
    assert (found.duplicates, found.late) == (0, 0)


def test_without_a_clock_a_counter_begins_anew_at_0_or_far_below() -> None:
    moments = [MOMENT + place for place in range(30)]
    assert taken([*range(20), 0, 1], has_clock=False, at=moments[:22]).restarts == 1
    assert taken([*range(20), 18], has_clock=False, at=moments[:21]).duplicates == 1
    assert taken([1_000, 1_000 - LOOK_BACK, 1_001 - LOOK_BACK], has_clock=False, at=moments[:3]).restarts == 1
    # The first messages of a young device may come twice.
    assert taken([0, 1, 2, 0], has_clock=False, at=moments[:4]).duplicates == 1


def test_one_number_for_the_reports_of_one_message_says_nothing() -> None:
    found = taken([5, 5, 5, 6, 6], at=[MOMENT, MOMENT + 1, MOMENT + 2, MOMENT + 3, MOMENT + 4])
    assert (found.duplicates, found.restarts, found.missing, found.highest) == (0, 0, 0, 6)


def test_a_long_gap_is_counted_and_a_leap_is_a_counter_that_was_set_anew() -> None:
    gap = taken([0, 1_000])
    assert (gap.gaps, gap.missing, gap.last_gap_at) == (1, 999, MOMENT + 1_000)
    leap = taken([0, JUMP_LIMIT + 1])
    assert (leap.gaps, leap.missing, leap.restarts, leap.highest) == (0, 0, 1, JUMP_LIMIT + 1)


def test_one_that_is_late_beyond_what_is_known_is_late_and_no_duplicate() -> None:
    found = taken([0, 1_000, 3])
    assert (found.late, found.duplicates, found.restarts) == (1, 0, 0)
