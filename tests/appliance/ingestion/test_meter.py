import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.ingestion.meter import BATCHES_REMEMBERED, RATE_WINDOW_S, Meter

START = 1_800_000_000_000


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 3_000), st.integers(1, 50)), max_size=40), st.integers(0, 20_000))
def test_the_rate_is_what_came_in_the_last_ten_whole_seconds(arrivals: list[tuple[int, int]], later_ms: int) -> None:
    meter, at, counted = Meter(), START, []
    for gap_ms, messages in arrivals:
        at += gap_ms
        meter.count(messages, at)
        counted.append((at // 1_000, messages))
    now = at + later_ms
    second = now // 1_000
    expected = sum(messages for each, messages in counted if second - RATE_WINDOW_S <= each < second)
    assert meter.per_second(now) == expected / RATE_WINDOW_S


@settings(deadline=None, max_examples=50)
@given(st.lists(st.integers(-5, 1_000), min_size=1, max_size=700))
def test_at_most_five_of_a_hundred_recent_batches_waited_longer(waits_ms: list[int]) -> None:
    meter = Meter()
    for wait_ms in waits_ms:
        meter.committed(3, wait_ms, 1.0)
    recent = [max(0, wait_ms) for wait_ms in waits_ms[-BATCHES_REMEMBERED:]]
    limit = meter.wait_p95_ms()
    assert limit in recent
    assert sum(1 for wait_ms in recent if wait_ms > limit) <= len(recent) * 5 / 100
    assert sum(1 for wait_ms in recent if wait_ms < limit) <= len(recent) * 95 / 100
    assert meter.committed_count == 3 * len(waits_ms)


def test_a_new_meter_says_nothing_has_come() -> None:
    assert (Meter().per_second(START), Meter().wait_p95_ms(), Meter().committed_count) == (0.0, 0, 0)


@given(st.lists(st.floats(0, 10_000), max_size=40), st.floats(0, 1_000))
def test_the_expected_work_lies_among_those_seen_and_is_half_of_the_interval_at_most(
    works: list[float], interval_ms: float
) -> None:
    meter = Meter()
    for work_ms in works:
        meter.committed(1, 1, work_ms)
    expected = meter.expected_work_ms(interval_ms)
    assert 0 <= expected <= interval_ms / 2
    recent = works[-15:]
    assert expected == interval_ms / 2 or min(recent, default=0) <= expected <= max(recent, default=0)
    assert works or expected == 0


@given(st.floats(0, 200), st.integers(-3_600_000, 1_000), st.floats(0, 1_000))
def test_a_batch_waits_so_long_that_its_oldest_message_is_on_disk_when_the_interval_is_over(
    work_ms: float, waited_ms: int, interval_ms: float
) -> None:
    meter = Meter()
    meter.committed(1, 1, work_ms)
    left_ms = meter.left_ms(waited_ms, interval_ms)
    assert left_ms <= interval_ms  # Whatever the clock says.
    if waited_ms >= 0:
        assert waited_ms + left_ms + meter.expected_work_ms(interval_ms) == pytest.approx(interval_ms)


def test_one_slow_write_does_not_change_what_is_expected() -> None:
    meter = Meter()
    for work_ms in (5.0, 6.0, 500.0, 7.0, 5.0):
        meter.committed(1, 1, work_ms)
    assert meter.expected_work_ms(100) == 6.0
