from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import MINUTE_MS
from appliance.simulator.model import Scenario
from appliance.simulator.pace import due_s, pause_ms, storm_count

choices = st.floats(0, 1)
failures = st.integers(0, 10_000)


@given(failures, choices)
def test_a_pause_is_a_quarter_of_a_second_to_half_a_minute(failure_count: int, choice: float) -> None:
    assert 250 <= pause_ms(failure_count, choice) <= 30_000


@given(failures, choices)
def test_more_failures_never_shorten_the_pause(failure_count: int, choice: float) -> None:
    assert pause_ms(failure_count, choice) <= pause_ms(failure_count + 1, choice)


@given(failures)
def test_chance_takes_at_most_half(failure_count: int) -> None:
    assert pause_ms(failure_count, 1.0) * 2 == pause_ms(failure_count, 0.0)


@given(st.integers(1, 1_000), st.integers(1, 100), st.integers(0, 100))
def test_every_device_publishes_once_an_interval_and_none_at_the_same_moment(
    device_count: int, rate: int, interval: int
) -> None:
    first = interval * device_count
    due = [due_s(message, device_count, rate) for message in range(first, first + device_count)]
    assert len(set(due)) == device_count
    assert interval / rate - 1e-6 <= due[0]
    assert due[-1] < (interval + 1) / rate


def test_storms_come_every_minute_but_only_in_their_scenario() -> None:
    assert [storm_count(Scenario.STORM, minutes * MINUTE_MS) for minutes in (0, 1, 2)] == [0, 1, 2]
    assert storm_count(Scenario.STORM, MINUTE_MS - 1) == 0
    assert storm_count(Scenario.STEADY, 10 * MINUTE_MS) == 0
