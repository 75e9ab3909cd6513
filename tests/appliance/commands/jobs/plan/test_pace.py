"""How many devices may have the work of a job offered now."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from appliance.commands.jobs.plan.model import Growth, JobConfig, Progress, Starts
from appliance.commands.jobs.plan.pace import allowed, noted, per_minute, resumed, wait_ms
from appliance.instant import MINUTE_MS

RATES = st.integers(1, 1_000)


STEPS = st.lists(st.tuples(st.integers(0, 90_000), st.booleans(), st.booleans()), max_size=40)


@given(RATES, STEPS, st.data())
def test_no_minute_has_more_starts_than_the_pace_allows(
    rate: int, steps: list[tuple[int, bool, bool]], data: st.DataObject
) -> None:
    starts, boot, uptime_ms, true_ms = Starts(), 0, 1_000, 0
    made: list[tuple[int, int]] = []
    for later_ms, is_restarted, is_rebooted in steps:
        true_ms += later_ms
        uptime_ms += later_ms
        if is_rebooted:
            boot, uptime_ms = boot + 1, data.draw(st.integers(0, 10**9))
        if is_rebooted or is_restarted:
            starts = resumed(starts, str(boot), uptime_ms)
        count = data.draw(st.integers(0, allowed(rate, starts, uptime_ms)))
        starts = noted(resumed(starts, str(boot), uptime_ms), count, uptime_ms)
        made.append((true_ms, count))
    for begun, _ in made:
        assert sum(count for at, count in made if begun <= at < begun + MINUTE_MS) <= rate


def test_after_a_minute_the_whole_pace_is_there_again() -> None:
    starts = noted(Starts("a"), 10, 5_000)
    assert allowed(10, starts, 5_000 + MINUTE_MS - 1) == 0
    assert allowed(10, starts, 5_000 + MINUTE_MS) == 10


@given(RATES, st.lists(st.tuples(st.integers(0, 20_000), st.integers(1, 200)), max_size=20))
def test_after_the_wait_one_more_may_start_and_not_before(rate: int, steps: list[tuple[int, int]]) -> None:
    starts, at = Starts("a"), 0
    for later_ms, count in steps:
        at += later_ms
        starts = noted(starts, min(count, allowed(rate, starts, at)), at)
    wait = wait_ms(rate, starts, at)
    assert allowed(rate, starts, at + wait) > 0
    assert wait == 0 or allowed(rate, starts, at + wait - 1) == 0


def test_without_the_name_of_a_boot_every_start_counts_as_just_made() -> None:
    assert resumed(noted(Starts(), 3, 10), "", 90_000).recent == ((90_000, 3),)
    assert resumed(noted(Starts("a"), 3, 10), "a", 90_000).recent == ((10, 3),)
    assert resumed(noted(Starts("a"), 3, 95_000), "a", 90_000).recent == ((90_000, 3),)


def test_a_constant_pace_does_not_grow() -> None:
    assert per_minute(JobConfig(per_minute=50), Progress(succeeded=9_000)) == 50


def test_the_pace_grows_each_time_the_count_is_reached_again() -> None:
    told = JobConfig(growth=Growth(10, 2.0, notified_count=5))
    assert [per_minute(told, Progress(queued=count)) for count in (0, 4, 5, 9, 10, 15)] == [10, 10, 20, 20, 40, 80]
    done = JobConfig(growth=Growth(10, 1.5, succeeded_count=5))
    assert [per_minute(done, Progress(queued=99, succeeded=count)) for count in (0, 5, 10)] == [10, 15, 22]


@given(st.integers(1, 1_000), st.integers(11, 50), st.integers(1, 50))
def test_a_growing_pace_never_falls_and_never_passes_its_most(base: int, tenths: int, every: int) -> None:
    config = JobConfig(per_minute=1_000, growth=Growth(base, tenths / 10, notified_count=every))
    paces = [per_minute(config, Progress(queued=count)) for count in range(0, 10_000, 37)]
    assert all(one <= other for one, other in pairwise(paces))
    assert base <= paces[0] <= paces[-1] <= 1_000
    assert per_minute(config, Progress(queued=10**9)) == 1_000
