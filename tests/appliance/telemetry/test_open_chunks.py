"""Open chunks are sealed in time, stay readable while they are, and cost bounded memory."""

import gc
import weakref
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.config import TelemetryConfig
from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.open_chunk import CELLS_PER_REPORT, KEYS_PER_REPORT, METRICS_LIMIT, TEXT_CELL
from appliance.telemetry.open_chunks import IDENTITIES_LIMIT, PRESSING_CELLS, OpenChunks
from appliance.telemetry.rows import identity_of
from tests.appliance.telemetry.reports import NOON, report


def found(chunks: OpenChunks, device_id: str = "sensor-001") -> list[int]:
    return sorted(at for part in chunks.copied_parts(1, device_id, 0, 1 << 45) for at in part.at)


def seal(chunks: OpenChunks, now: int) -> int:
    chunks.begin_sealing(now)
    sealed = list(chunks.sealing)
    chunks.finish_sealing(sealed)
    return len(sealed)


@given(st.text(max_size=5), st.integers(0, 10**13), st.integers(1, 10**6))
def test_every_chunk_is_sealed_within_its_time_and_not_at_once(name: str, now: int, seal_after_ms: int) -> None:
    chunks = OpenChunks(TelemetryConfig(seal_after_ms=seal_after_ms))
    chunks.absorb([report(name)], 1, now)
    assert seal(chunks, now) == 0
    assert seal(chunks, now + seal_after_ms) == 1


def test_devices_are_sealed_one_after_the_other() -> None:
    chunks = OpenChunks(TelemetryConfig())
    chunks.absorb([report(f"sensor-{number:03}") for number in range(200)], 1, NOON)
    counts = [seal(chunks, NOON + minute * MINUTE_MS) for minute in range(11)]
    assert sum(counts) == 200
    assert max(counts) < 40


def test_a_chunk_that_is_being_sealed_stays_readable() -> None:
    chunks = OpenChunks(TelemetryConfig())
    chunks.absorb([report(at=NOON)], 1, NOON)
    chunks.begin_sealing_all()
    chunks.absorb([report(at=NOON + 1)], 2, NOON)
    assert found(chunks) == [NOON, NOON + 1]
    assert chunks.oldest_needed() == 1
    chunks.finish_sealing(list(chunks.sealing))
    assert found(chunks) == [NOON + 1]
    assert chunks.oldest_needed() == 2
    assert chunks.report_count == 1


def test_no_part_holds_more_reports_than_it_may_and_the_full_chunk_is_due() -> None:
    chunks = OpenChunks(TelemetryConfig(seal_after_reports=3))
    chunks.absorb([report(at=NOON + row) for row in range(8)], 1, NOON)
    chunks.begin_sealing(NOON)
    (sealed,) = chunks.sealing
    assert [part.count for part in sealed.parts] == [3, 3, 2]


def test_a_chunk_never_spans_days() -> None:
    chunks = OpenChunks(TelemetryConfig())
    midnight = (NOON // DAY_MS + 1) * DAY_MS
    chunks.absorb([report(at=midnight - 1), report(at=midnight), report(at=midnight - 2)], 1, NOON)
    chunks.begin_sealing_all()
    assert [[list(part.at) for part in chunk.parts] for chunk in chunks.sealing] == [
        [[midnight - 1, midnight - 2]],
        [[midnight]],
    ]


def test_beyond_the_memory_limit_the_oldest_chunks_go_first() -> None:
    chunks = OpenChunks(TelemetryConfig(memory_limit_reports=10, seal_after_ms=10**9))
    for row, device in enumerate("abcd"):
        chunks.absorb([report(device, NOON + tick) for tick in range(4)], row + 1, NOON + row * MINUTE_MS)
    assert seal(chunks, NOON + 10 * MINUTE_MS) == 2
    assert found(chunks, "a") == found(chunks, "b") == []
    assert len(found(chunks, "c")) == 4
    assert chunks.report_count == 8


def test_a_chunk_after_one_that_was_let_go_early_is_not_cut_short() -> None:
    chunks = OpenChunks(TelemetryConfig(memory_limit_reports=1, seal_after_ms=10 * MINUTE_MS))
    names = [f"sensor-{number:03}" for number in range(100)]
    chunks.absorb([report(name) for name in names], 1, NOON)
    early = seal(chunks, NOON + 1)
    assert early == 99
    chunks.absorb([report(name) for name in names], 2, NOON + 1)
    opened = {device.open[NOON // DAY_MS] for device in chunks._devices.values()}
    again = [chunk for chunk in opened if chunk.age[0] == NOON + 1]
    assert len(again) == early
    assert all(5 * MINUTE_MS <= chunk.due_at - NOON <= 15 * MINUTE_MS for chunk in again)
    assert {chunk.device.rank * 10 * MINUTE_MS >> 32 == chunk.due_at % (10 * MINUTE_MS) for chunk in again} == {True}


def test_what_was_sealed_together_is_sealed_together_again_in_the_same_order() -> None:
    chunks = OpenChunks(TelemetryConfig(memory_limit_reports=100, seal_after_ms=DAY_MS))
    names = [f"sensor-{number:03}" for number in range(100)]
    orders = []
    for turn in range(4):
        order: list[str] = []
        for step in range(10):
            now = NOON + (turn * 10 + step) * MINUTE_MS
            # Each time they come in another order.
            chunks.absorb([report(name, now) for name in names[turn::3] + names[:turn] + names], turn + 1, now)
            chunks.begin_sealing(now)
            order += [chunk.device.device_id for chunk in chunks.sealing]
            chunks.finish_sealing(list(chunks.sealing))
        orders.append(order)
    turns = [order for each in orders for order in each]
    positions = {name: [place for place, each in enumerate(turns) if each == name] for name in names}
    laps = [[name for name in names if len(positions[name]) > lap] for lap in (1, 2)]
    for lap, there in zip((1, 2), laps, strict=True):
        assert sorted(there, key=lambda name: positions[name][lap]) == sorted(
            there, key=lambda name: positions[name][lap - 1]
        )


def test_what_is_due_counts_towards_the_memory_limit_once() -> None:
    chunks = OpenChunks(TelemetryConfig(memory_limit_reports=1, seal_after_ms=MINUTE_MS))
    chunks.absorb([report("a", NOON + tick) for tick in range(4)], 1, NOON)
    chunks.absorb([report("b", NOON + tick) for tick in range(4)], 2, NOON + MINUTE_MS)
    assert seal(chunks, NOON + MINUTE_MS) == 2
    assert chunks.device(1, "a") is chunks.device(1, "a")


def test_a_clock_that_was_set_back_does_not_keep_a_chunk_open() -> None:
    chunks = OpenChunks(TelemetryConfig())
    chunks.absorb([report()], 1, NOON)
    assert seal(chunks, NOON - 10 * DAY_MS) == 1


def test_a_device_that_names_ever_new_metrics_costs_no_more_than_others() -> None:
    chunks = OpenChunks(TelemetryConfig())
    for row in range(10 * METRICS_LIMIT):
        chunks.absorb([report(at=NOON + row, values={f"metric-{row}": 1.5})], row + 1, NOON)
    parts = chunks.copied_parts(1, "sensor-001", 0, 1 << 45)
    assert max(len(part.columns) for part in parts) == METRICS_LIMIT + 1
    assert len(found(chunks)) == 10 * METRICS_LIMIT


def test_what_is_asked_of_an_unknown_device_is_empty() -> None:
    chunks = OpenChunks(TelemetryConfig())
    assert chunks.newest(1, "unknown") is None
    assert chunks.recent(1, "unknown", "pressure", 60) == []
    assert found(chunks, "unknown") == []
    assert chunks.oldest_needed() == 1


def test_tenants_do_not_see_each_other() -> None:
    chunks = OpenChunks(TelemetryConfig())
    chunks.absorb([report(), report(tenant_id=2, values={"pressure": 9})], 1, NOON)
    assert {device: latest["pressure"].value for device, latest in chunks.latest_of_all(2).items()} == {"sensor-001": 9}
    assert chunks.tenants == {1, 2}
    assert chunks.open_count == 2


@given(st.lists(st.integers(-30 * HOUR_MS, 30 * HOUR_MS), max_size=12))
def test_the_hours_that_memory_holds_reports_of_are_known_exactly(delays: list[int]) -> None:
    chunks = OpenChunks(TelemetryConfig(seal_after_reports=4))
    for place, delay in enumerate(delays):
        chunks.absorb([report(at=NOON + delay)], place + 1, NOON)
        if place == 5:
            chunks.begin_sealing_all()
    assert chunks.hours(1, "sensor-001") == {(NOON + delay) // HOUR_MS for delay in delays}
    assert chunks.hours(1, "unknown") == set()


def test_what_each_day_needs_of_the_log_is_known() -> None:
    chunks = OpenChunks(TelemetryConfig())
    assert chunks.oldest_needed_by_day() == {}
    chunks.absorb([report("a", NOON)], 3, NOON)
    chunks.begin_sealing_all()
    chunks.absorb([report("b", NOON), report("b", NOON + DAY_MS)], 4, NOON)
    assert chunks.oldest_needed_by_day() == {NOON // DAY_MS: 3, NOON // DAY_MS + 1: 4}
    chunks.finish_sealing(list(chunks.sealing))
    assert chunks.oldest_needed_by_day() == {NOON // DAY_MS: 4, NOON // DAY_MS + 1: 4}


def test_what_came_at_a_moment_is_known_until_its_chunk_is_sealed() -> None:
    chunks = OpenChunks(TelemetryConfig())
    chunks.absorb([report(at=NOON, sequence=1), report(at=NOON + 1, sequence=2)], 1, NOON)
    assert [sequence for _, sequence, _ in chunks.identities_at(1, "sensor-001", NOON)] == [1]
    assert chunks.identities_at(1, "sensor-001", NOON + 2) == []
    assert chunks.identities_at(2, "sensor-001", NOON) == []
    chunks.begin_sealing_all()
    assert len(chunks.identities_at(1, "sensor-001", NOON)) == 1
    chunks.finish_sealing(list(chunks.sealing))
    assert chunks.identities_at(1, "sensor-001", NOON) == []


steps = st.tuples(
    st.sampled_from(["absorb", "seal", "finish"]),
    # A day earlier at the same time is another moment.
    st.lists(st.integers(-2, 20) | st.integers(-DAY_MS, 4 - DAY_MS), max_size=8),
)


@given(st.lists(steps, max_size=12), st.integers(1, 5), st.booleans())
def test_what_came_at_a_moment_is_what_a_look_at_every_report_finds(
    told: list[tuple[str, list[int]]], part_reports: int, spans_midnight: bool
) -> None:
    """Whatever came in whatever order, in parts of any size, sealed at any point."""
    start = (NOON // DAY_MS + 1) * DAY_MS if spans_midnight else NOON
    chunks = OpenChunks(TelemetryConfig(seal_after_reports=part_reports))
    held: list[Report] = []
    sealing: list[Report] = []
    for log_id, (step, moments) in enumerate(told, 1):
        if step == "absorb":
            brought = [report(at=start + at, sequence=log_id * 100 + place) for place, at in enumerate(moments)]
            chunks.absorb(brought, log_id, NOON)
            held += brought
        elif step == "seal":
            chunks.begin_sealing_all()
            sealing, held = [*sealing, *held], []
        else:
            chunks.finish_sealing(list(chunks.sealing))
            sealing = []
    for at in (*range(start - 3, start + 22), *range(start - DAY_MS, start - DAY_MS + 6)):
        expected = [identity_of(one) for one in (*sealing, *held) if one.at == at]
        assert chunks.identities_at(1, "sensor-001", at) == expected[:IDENTITIES_LIMIT]


def test_the_newest_reports_without_a_moment_of_their_own_are_known() -> None:
    chunks = OpenChunks(TelemetryConfig(seal_after_reports=4))
    for place in range(9):
        source = TimeSource.DEVICE if place == 7 else TimeSource.ARRIVAL_NO_CLOCK
        chunks.absorb([report(at=NOON + place, arrived_at=NOON + place, time_source=source)], place + 1, NOON)
    found = chunks.newest_unstamped(1, "sensor-001", NOON + 1, NOON + 8, 3)
    assert [at - NOON for at, _, _ in found] == [6, 5, 4]
    assert [at - NOON for at, _, _ in chunks.newest_unstamped(1, "sensor-001", NOON + 1, NOON + 3, 9)] == [2, 1]
    assert chunks.newest_unstamped(1, "nobody", 0, NOON, 3) == []


def test_what_was_sealed_and_let_go_is_not_held_by_who_sent_it() -> None:
    chunks = OpenChunks(TelemetryConfig())
    chunks.absorb([report(at=NOON + place) for place in range(3)], 1, NOON)
    chunk = weakref.ref(chunks.device(1, "sensor-001").open[NOON // DAY_MS].rows.columns["pressure"].cells)
    chunks.begin_sealing_all()
    chunks.finish_sealing(list(chunks.sealing))
    gc.collect()
    assert chunk() is None


def test_of_very_many_reports_of_one_moment_the_first_are_looked_at() -> None:
    chunks = OpenChunks(TelemetryConfig(seal_after_reports=4))
    chunks.absorb([report(sequence=number) for number in range(10)], 1, NOON)
    chunks.begin_sealing_all()
    chunks.absorb([report(sequence=number) for number in range(10, IDENTITIES_LIMIT + 5)], 2, NOON)
    found_at = chunks.identities_at(1, "sensor-001", NOON)
    assert [sequence for _, sequence, _ in found_at] == list(range(IDENTITIES_LIMIT))


def test_what_finds_reports_counts_towards_the_memory_limit() -> None:
    in_order, backwards = (
        OpenChunks(TelemetryConfig(memory_limit_reports=2 * KEYS_PER_REPORT, seal_after_ms=DAY_MS)) for _ in range(2)
    )
    moments = range(NOON, NOON + 2 * KEYS_PER_REPORT)
    in_order.absorb([report(at=at) for at in moments], 1, NOON)
    backwards.absorb([report(at=at) for at in reversed(moments)], 1, NOON)
    assert (seal(in_order, NOON), seal(backwards, NOON)) == (0, 1)


def wide(set_number: int, at: int = NOON) -> Report:
    """A report of more metrics than fit into one part with those of another set."""
    return report(at=at, values={f"m{set_number}-{number}": 1 for number in range(METRICS_LIMIT + 8)})


def test_wide_reports_long_texts_and_parts_of_their_own_count_towards_the_memory_limit() -> None:
    """Each would take much more memory than as many usual reports."""
    usual = [report(at=NOON + place) for place in range(8)]
    same_wide = [wide(0, NOON + place) for place in range(8)]
    alternating = [wide(place % 2, NOON + place) for place in range(8)]
    texts = [report(at=NOON + place, values={"t": "x" * 64 * CELLS_PER_REPORT * TEXT_CELL}) for place in range(8)]
    weights = []
    for reports in (usual, same_wide, alternating, texts):
        chunks = OpenChunks(TelemetryConfig())
        chunks.absorb(reports, 1, NOON)
        chunks.begin_sealing_all()
        [chunk] = chunks.sealing
        weights.append(chunk.report_count + chunk.surcharge)
    assert weights[0] == 8
    assert weights[1] == 8 * (METRICS_LIMIT + 8) // CELLS_PER_REPORT
    assert weights[2] > 16 * weights[1]
    assert weights[3] == 8 * (1 + 64)


def test_memory_that_few_heavy_reports_fill_is_let_go() -> None:
    heavy, light = report("a", values={"text": "x" * 1_000_000}), report("b", NOON)
    chunks = OpenChunks(TelemetryConfig(memory_limit_reports=10_000, seal_after_ms=DAY_MS))
    chunks.absorb([heavy], 1, NOON)
    chunks.absorb([light], 2, NOON + MINUTE_MS)
    assert seal(chunks, NOON + MINUTE_MS) == 1
    assert (found(chunks, "a"), found(chunks, "b")) == ([], [NOON])


def test_what_heavy_reports_keep_in_memory_for_a_held_day_makes_it_crowded() -> None:
    chunks = OpenChunks(TelemetryConfig(memory_limit_reports=10_000))
    chunks.absorb([report(values={"text": "x" * 1_000_000})], 1, NOON)
    chunks.held.add(NOON // DAY_MS)
    chunks.begin_sealing(NOON)
    assert chunks.is_crowded


def test_what_another_thread_reads_stays_as_it_is_and_only_what_grows_is_copied() -> None:
    chunks = OpenChunks(TelemetryConfig(seal_after_reports=2))
    chunks.absorb([report(at=NOON + place) for place in range(5)], 1, NOON)
    first, second, growing = chunks.copied_parts(1, "sensor-001", 0, 1 << 45)
    chunks.absorb([report(at=NOON + 5, values={"pressure": "text", "new": 1})], 2, NOON)
    assert [list(part.at) for part in (first, second, growing)] == [[NOON, NOON + 1], [NOON + 2, NOON + 3], [NOON + 4]]
    assert growing.columns.keys() == {"pressure", "battery"}
    assert chunks.copied_parts(1, "sensor-001", 0, 1 << 45)[:2] == [first, second]
    chunks.begin_sealing_all()
    sealing = chunks.copied_parts(1, "sensor-001", 0, 1 << 45)
    chunks.absorb([report(at=NOON + 6)], 3, NOON)
    assert chunks.copied_parts(1, "sensor-001", 0, 1 << 45)[:3] == sealing
    assert [part.count for part in sealing] == [2, 2, 2]


def test_the_last_numbers_of_a_chunk_are_made_once() -> None:
    chunks = OpenChunks(TelemetryConfig())
    chunks.absorb([report(values={"pressure": 1})], 1, NOON)
    chunks.begin_sealing_all()
    [chunk] = chunks.sealing
    assert chunk.last_numbers() == {"pressure": (array("q", [NOON]), array("d", [1.0]))}
    assert chunk.last_numbers() is chunk.last_numbers()


def test_very_much_in_little_time_is_pressing_until_sealing_begins() -> None:
    chunks = OpenChunks(TelemetryConfig())
    chunks.absorb([report(values={"text": "x" * (PRESSING_CELLS * TEXT_CELL - TEXT_CELL)})], 1, NOON)
    assert not chunks.is_pressing
    chunks.absorb([report(values={"text": "x" * TEXT_CELL})], 2, NOON)
    assert chunks.is_pressing
    chunks.begin_sealing(NOON)
    assert not chunks.is_pressing


@pytest.mark.parametrize(("after_ms", "interval_ms"), [(600_000, 30_000), (7_200_000, 30_000), (20_000, 1_000), (1, 1)])
def test_what_is_due_is_looked_for_often_while_it_is_open(after_ms: int, interval_ms: int) -> None:
    assert OpenChunks(TelemetryConfig(seal_after_ms=after_ms)).look_interval_ms == interval_ms


def test_who_asks_for_all_devices_sees_those_that_came_and_not_those_that_went() -> None:
    chunks = OpenChunks(TelemetryConfig())

    def names(tenant_id: int = 1) -> list[str]:
        return [name for name, _ in chunks.newest_of_all(tenant_id)]

    assert names() == []
    chunks.absorb([report("b"), report("a")], 1, NOON)
    assert names() == ["a", "b"]
    chunks.device(2, "c")
    chunks.absorb([report("a", at=NOON + 1)], 2, NOON)
    assert (names(), names(2)) == (["a", "b"], ["c"])
    assert dict(chunks.newest_of_all(1))["a"].at == NOON + 1
    chunks.forget(1, "a")
    chunks.absorb([report("0")], 3, NOON)
    assert names() == ["0", "b"]
    chunks.absorb([report("a", at=5)], 4, NOON)
    assert names() == ["0", "a", "b"]
    assert dict(chunks.newest_of_all(1))["a"].at == 5
