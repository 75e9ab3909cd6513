import asyncio
from collections import Counter
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from appliance.histogram import Histogram
from appliance.ingestion.stages import Stage, Stages
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.sheaf import Sheaf
from tests.appliance.ingestion.examples import NOW, message, turn
from tests.appliance.ingestion.gateway import ingesting

SHORT = st.integers(0, 10**6)


def report(at: int, source: TimeSource = TimeSource.DEVICE) -> Report:
    return Report(1, "pump", at, NOW, source, "sensors/pump/telemetry", "pump", {"flow": 1})


def counted(*lengths_us: int, like: Histogram) -> Histogram:
    histogram = Histogram(like.bounds)
    for length in lengths_us:
        histogram.observe(length)
    return histogram


@given(st.dictionaries(SHORT, st.integers(1, 9)), SHORT, SHORT)
def test_the_stages_count_the_same_messages_and_add_up_to_the_whole(
    waits: dict[int, int], commit_ms: int, acknowledge_ms: int
) -> None:
    stages = Stages()
    lap = stages.lap({NOW - wait: count for wait, count in waits.items()}, [], NOW, 5.0)
    lap.committed(NOW, 5.0 + commit_ms / 1_000)
    lap.acknowledged(5.0 + (commit_ms + acknowledge_ms) / 1_000)
    message_count = sum(waits.values())
    assert {histogram.count for histogram in (*stages.each.values(), stages.whole, stages.stored)} == {message_count}
    assert stages.whole.sum_us == sum(histogram.sum_us for histogram in stages.each.values())
    assert stages.stored.sum_us == sum(stages.each[stage].sum_us for stage in (Stage.DECIDED, Stage.COMMITTED))
    assert stages.each[Stage.DECIDED].sum_us == sum(wait * count for wait, count in waits.items()) * 1_000
    assert abs(stages.each[Stage.COMMITTED].sum_us - message_count * commit_ms * 1_000) <= message_count


@given(st.lists(st.tuples(SHORT, st.sampled_from(list(TimeSource)))))
def test_only_moments_of_a_clock_that_is_believed_tell_how_old_a_report_was(told: list[tuple[int, TimeSource]]) -> None:
    stages = Stages()
    lap = stages.lap({NOW: 1}, [Sheaf(1, [report(NOW - age, source) for age, source in told])], NOW, 0.0)
    lap.committed(NOW, 0.0)
    lap.acknowledged(0.0)
    believed = [age * 1_000 for age, source in told if source is TimeSource.DEVICE]
    assert stages.age.counts == counted(*believed, like=stages.age).counts
    assert stages.age.sum_us == sum(believed)


def test_a_clock_that_was_set_back_makes_no_length_below_zero() -> None:
    stages = Stages()
    lap = stages.lap({NOW + 60_000: 1}, [Sheaf(1, [report(NOW + 60_000)])], NOW, 1.0)
    lap.committed(NOW, 1.002)
    lap.acknowledged(1.003)
    assert (stages.whole.sum_us, stages.stored.sum_us) == (3_000, 2_000)
    assert (stages.age.sum_us, stages.each[Stage.DECIDED].sum_us) == (0, 0)


def test_what_was_not_acknowledged_counts_nowhere() -> None:
    stages = Stages()
    lap = stages.lap({NOW: 1}, [Sheaf(1, [report(NOW)])], NOW, 0.0)
    lap.committed(NOW, 0.0)
    assert stages.whole.count == stages.stored.count == stages.age.count == 0


@given(st.lists(SHORT, min_size=1), st.lists(SHORT, min_size=1))
def test_what_came_since_a_copy_is_told_apart(before_ms: list[int], after_ms: list[int]) -> None:
    stages = Stages()
    copy = stages.copy()
    for waits_ms in (before_ms, after_ms):
        copy = stages.copy()
        lap = stages.lap(
            Counter(NOW - wait for wait in waits_ms),
            [Sheaf(1, [report(NOW - wait) for wait in waits_ms])],
            NOW,
            0.0,
        )
        lap.committed(NOW, 0.001)
        lap.acknowledged(0.001)
    since = stages.since(copy)
    for histogram in (since.whole, since.stored, since.age, *since.each.values()):
        assert histogram.count == len(after_ms)
    assert since.age.sum_us == sum(after_ms) * 1_000


async def test_what_ingestion_acknowledges_is_counted_in_every_stage(tmp_path: Path) -> None:
    async with ingesting(tmp_path) as gateway:
        late = message({"flow": 1, "timestamp": NOW - 3_000})
        gateway.ingestion.accept(turn([late, message({"flow": 2}), message(b"{")], [1, 2, 3]))
        await asyncio.sleep(0)
        await gateway.broker.until(lambda broker: broker.receipts == [1, 2, 3])
    stages = gateway.ingestion.stages
    assert {histogram.count for histogram in (*stages.each.values(), stages.whole, stages.stored)} == {3}
    assert (stages.age.count, stages.age.sum_us) == (1, 3_000_000)
    assert 0 < stages.each[Stage.COMMITTED].sum_us < 60_000_000
