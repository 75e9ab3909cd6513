from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from bench.telemetry_walk import INTERVAL_MS, METRICS, Walk

devices = st.integers(0, 100_000)


@given(devices, st.booleans(), st.integers(0, 2**40))
def test_a_walk_is_the_same_each_time_and_its_moments_stay_in_their_interval(
    device: int, is_full: bool, start: int
) -> None:
    due = [start + number * INTERVAL_MS for number in range(20)]
    one, other = Walk(device, is_full=is_full), Walk(device, is_full=is_full)
    seen = [one.step(at) for at in due]
    assert seen == [other.step(at) for at in due]
    assert all(at <= moment < at + INTERVAL_MS for at, (moment, _) in zip(due, seen, strict=True))
    assert {len(values) for _, values in seen} == {len(METRICS)}


@given(devices)
def test_sensors_go_by_one_step_at_most_and_say_no_more_than_tenths(device: int) -> None:
    walk = Walk(device, is_full=False)
    rows = [walk.step(number * INTERVAL_MS)[1] for number in range(50)]
    assert all(value == round(value, 1) for row in rows for value in row)
    for before, after in pairwise(rows):
        steps = [round(abs(a - b), 6) for a, b in zip(before, after, strict=True)]
        assert max(steps) <= 1
        assert sum(step > 0.1 for step in steps) <= 1  # only humidity goes by whole numbers
    assert len(set(rows)) > 1
