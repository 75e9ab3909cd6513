"""What a start takes up by runs is in memory exactly as if it had been taken up report by report."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.config import TelemetryConfig
from appliance.instant import DAY_MS
from appliance.telemetry import log_record
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.open_chunk import OpenChunk
from appliance.telemetry.open_chunks import OpenChunks
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.recovering.gathered import Gathered
from appliance.telemetry.run import LoggedReport, Run
from tests.appliance.telemetry.reports import NOON, exact, report, reports, values

devices = st.sampled_from(["a", "b", "c"])
whatever = reports(devices=devices, moments=st.integers(NOON, NOON + 9) | st.just(NOON + DAY_MS))
shapes = st.sampled_from([("pressure",), ("pressure", "state"), ("state", "pressure"), (), tuple(map(str, range(11)))])


tenths = st.integers(190, 230).map(lambda whole: whole / 10)


@st.composite
def alike(draw: st.DrawFn) -> list[list[Report]]:
    """Records of devices that send in the order of time, with few exceptions: as nearly all do."""
    records = []
    kinds = draw(st.dictionaries(devices, shapes, min_size=3))
    usual = draw(st.sampled_from([tenths, tenths | st.sampled_from([0.25, 9_000.5, 1e300]), st.floats(-9, 9), values]))
    lags = st.sampled_from(draw(st.sampled_from([[20], [20, 20, 0, -6, 40], [20, 20, 20, 20, 40_000]])))
    for number in range(draw(st.integers(1, 8))):
        at = NOON + 5 * number + draw(st.sampled_from([0, 0, 0, 0, 1, -6]))
        records.append(
            [
                report(
                    name,
                    at,
                    arrived_at=at + draw(lags),
                    values={metric: draw(usual) for metric in kinds[name]},
                    sequence=number,
                )
                for name in draw(st.lists(devices, max_size=4))
            ]
        )
    return records


@st.composite
def varied(draw: st.DrawFn) -> list[list[Report]]:
    """Records of devices that name other metrics from time to time: few or many reports of each shape."""
    records = []
    kinds = st.lists(st.tuples(devices, shapes), max_size=4)
    for number in range(draw(st.integers(1, 4))):
        together = draw(kinds) * draw(st.sampled_from([1, 4, 5]))
        records.append(
            [
                report(
                    name,
                    NOON + 40 * number + place,
                    topic=f"of {ord(name)}",
                    client_id=f"client {ord(name)}",
                    time_source=list(TimeSource)[ord(name) % 2],
                    values=dict.fromkeys(metrics, float(place)),
                    sequence=place,
                )
                for place, (name, metrics) in enumerate(together)
            ]
        )
    return records


def of_chunk(chunk: OpenChunk) -> tuple[Any, ...]:
    parts = [
        (
            [exact(each) for each in part.reports()],
            (part.first_log_id, part.last_log_id, part.has_texts, part.topics.starts, part.time_sources.starts),
            {name: column.kind for name, column in part.columns.items()},
        )
        for part in chunk.parts
    ]
    moments = {at for part in chunk.parts for at in part.at}
    places = {at: [(id(part), row) for part, row in chunk.moments.rows_at(at, 99)] for at in moments}
    numbers = {id(part): number for number, part in enumerate(chunk.parts)}
    found = {at: [(numbers[part], row) for part, row in there] for at, there in places.items()}
    return parts, found, chunk.opened_at, chunk.due_at, chunk.extra_cells, chunk.surcharge


def memory(chunks: OpenChunks) -> Any:
    """Everything that is remembered, as what can be compared exactly."""
    return {
        device.device_id: (
            {day: of_chunk(chunk) for day, chunk in device.open.items()},
            {metric: (at, repr(value), source) for metric, (at, value, source) in newest_of(device.newest).items()},
            (device.newest.at, device.newest.last_seen_at),
        )
        for device in chunks._devices.values()
    } | {"": (chunks.report_count, chunks._pressing_cells)}


def newest_of(newest: Any) -> dict[str, tuple[int, Any, TimeSource]]:
    return {metric: (each.at, each.value, each.time_source) for metric, each in newest.latest().items()}


def taken_up(records: list[list[Report]], config: TelemetryConfig, at_once: int) -> OpenChunks:
    chunks = OpenChunks(config)
    for first in range(0, len(records), at_once):
        gathered = Gathered(1)
        for log_id, each in enumerate(records[first : first + at_once], first + 1):
            gathered.add(log_id, log_record.encode(each))
        for device_id, found in gathered.devices():
            assert {each.report.device_id for each in one_by_one(found)} == {device_id}
            for piece in found:
                if not isinstance(piece, Run) or not chunks.absorb_run(piece, NOON + piece.log_ids[0]):
                    for log_id, each_report in one_by_one([piece]):
                        chunks.absorb([each_report], log_id, NOON + log_id)
    return chunks


def one_by_one(found: Sequence[Run | LoggedReport]) -> list[LoggedReport]:
    return [each for piece in found for each in (piece.logged() if isinstance(piece, Run) else [piece])]


@settings(max_examples=80, deadline=None)
@given(alike() | varied() | st.lists(st.lists(whatever, max_size=5), max_size=6), st.integers(2, 6), st.integers(1, 8))
def test_runs_leave_the_same_in_memory_as_reports(
    records: list[list[Report]], seal_after_reports: int, at_once: int
) -> None:
    config = TelemetryConfig(seal_after_reports=seal_after_reports)
    plainly = OpenChunks(config)
    for log_id, each in enumerate(records, 1):
        plainly.absorb(each, log_id, NOON + log_id)
    assert memory(taken_up(records, config, at_once)) == memory(plainly)


def gathered_of(*records: list[Report]) -> Gathered:
    gathered = Gathered(1)
    for log_id, each in enumerate(records, 1):
        gathered.add(log_id, log_record.encode(each))
    return gathered


def test_what_differs_in_moments_and_values_only_is_one_run() -> None:
    first, second = report("a", NOON), report("a", NOON + 1, values={"pressure": 1.5, "battery": 84})
    [(device_id, [run])] = gathered_of([first], [second]).devices()
    assert isinstance(run, Run)
    assert (device_id, list(run.log_ids)) == ("a", [1, 2])
    assert [exact(each.report) for each in run.logged()] == [exact(first), exact(second)]


@pytest.mark.parametrize("lags", [[20, 20, 20], [0, 0, 0], [-5, -5, -5], [20, 90, 3], [1, -7, 2]])
def test_a_run_knows_when_each_arrived_and_which_was_the_last(lags: list[int]) -> None:
    sent = [report("a", NOON + 10 * row, arrived_at=NOON + 10 * row + lag) for row, lag in enumerate(lags)]
    [(_, [run])] = gathered_of(*([each] for each in sent)).devices()
    assert isinstance(run, Run)
    assert [exact(each) for _, each in run.logged()] == list(map(exact, sent))
    assert run.last_seen_at == max(each.arrived_at for each in sent)
    assert [run.cut(row, row + 1).last_seen_at for row in range(3)] == [each.arrived_at for each in sent]


@pytest.mark.parametrize(
    "second",
    [
        report("a", NOON - 1),
        report("a", NOON + 1, topic="other"),
        report("a", NOON + 1, client_id="other"),
        report("a", NOON + 1, time_source=TimeSource.ARRIVAL_NO_CLOCK),
        report("a", NOON + 1, values={"pressure": 1.5}),
    ],
)
def test_what_differs_in_more_comes_report_by_report(second: Report) -> None:
    found = dict(gathered_of([report("a"), report("b")], [second]).devices())
    assert kinds_of(found["b"]) == [Run]
    assert kinds_of(found["a"]) == [LoggedReport, LoggedReport]
    assert [(log_id, exact(each)) for log_id, each in one_by_one(found["a"])] == [
        (1, exact(report("a"))),
        (2, exact(second)),
    ]


WIDE = 40_000
"""A lag that 16 bits do not hold."""


@pytest.mark.parametrize(
    ("told", "lags"),
    [
        ([20.5, 20.6, 20.7], [20, WIDE, 20]),
        ([20.5, 9_000.5, 20.7], [20, 20, 20]),
        ([20.5, 20.25, 20.5], [20, 20, 20]),
        ([20.5, 1e300, 20.5], [20, 20, 20]),
        ([20.5, 20.5, 1 / 3], [20, 20, WIDE]),
    ],
)
def test_what_needs_more_bits_later_is_one_run_with_what_came_before(told: list[float], lags: list[int]) -> None:
    sent = [
        report(name, NOON + 9 * row, arrived_at=NOON + 9 * row + lag, values={"v": value, "w": row / 10})
        for row, (value, lag) in enumerate(zip(told, lags, strict=True))
        for name in "ab"
    ]
    for name, found in gathered_of(sent[:2], sent[2:4], sent[4:]).devices():
        [run] = found
        assert isinstance(run, Run)
        assert list(run.log_ids) == [1, 2, 3]
        assert [exact(each) for _, each in run.logged()] == [exact(each) for each in sent if each.device_id == name]


def test_rows_stay_wide_after_a_lag_that_needs_more_bits() -> None:
    lags = [20, WIDE, 20, WIDE, 20]
    gathered = gathered_of(*[[report("a", NOON + row, arrived_at=NOON + row + lag)] for row, lag in enumerate(lags)])
    assert [len(pile._rows[b"a"]) for pile in gathered._piles.values()] == [1, 4]


def test_what_needs_more_bits_now_and_then_comes_in_its_order() -> None:
    sent = [
        report("ab"[row % 2], NOON + 9 * row, values={"v": row / 2 if row % 3 else row}, sequence=row)
        for row in range(24)
    ]
    for name, found in gathered_of(*([each] for each in sent)).devices():
        assert [exact(each.report) for each in one_by_one(found)] == [
            exact(each) for each in sent if each.device_id == name
        ]


def test_each_day_is_a_run_of_its_own() -> None:
    sent = [report("a", NOON + days * DAY_MS + place) for days in (0, 1, 3) for place in range(2)]
    [(_, found)] = gathered_of(sent[:3], sent[3:]).devices()
    assert [list(each.at) for each in found if isinstance(each, Run)] == [
        [each.at for each in sent[first : first + 2]] for first in (0, 2, 4)
    ]
    assert [exact(each) for _, each in one_by_one(found)] == list(map(exact, sent))


def test_values_of_several_kinds_are_one_run() -> None:
    kinds: list[list[Any]] = [[1.5, 2.5], [1, 2], [3.5, 4], [7.5, 8.5], [3, 4], [None, "x"], [2**70, 1]]
    records = [
        [report("ab"[place % 2], NOON + 9 * number + place, values={"v": each[place % 2]}) for place in range(4)]
        for number, each in enumerate(kinds)
    ]
    for _, found in gathered_of(*records).devices():
        assert kinds_of(found) == [Run]
        [device_id] = {each.device_id for _, each in one_by_one(found)}
        sent = [(log_id, each) for log_id, record in enumerate(records, 1) for each in record]
        assert [(log_id, exact(each)) for log_id, each in one_by_one(found)] == [
            (log_id, exact(each)) for log_id, each in sent if each.device_id == device_id
        ]


def kinds_of(found: Sequence[Run | LoggedReport]) -> list[type]:
    return list(map(type, found))


def test_a_moment_that_memory_cannot_hold_is_damage_and_nothing_of_its_record_is_taken() -> None:
    gathered = gathered_of([report("a")])
    with pytest.raises(ChunkError, match="64 bits"):
        gathered.add(2, log_record.encode([report("b"), report("c", 1 << 70)]))
    assert [device_id for device_id, _ in gathered.devices()] == ["a"]


def test_values_are_counted_so_that_memory_is_bounded() -> None:
    narrow, wide = report("a"), report("a", values=dict.fromkeys("abcdefgh", 1.0))
    first = gathered_of([narrow]).cell_count
    more = gathered_of([narrow], [narrow]).cell_count - first
    assert 0 < more <= first
    assert gathered_of([narrow], [report("b")]).cell_count == first + more
    assert gathered_of([narrow], [narrow, narrow]).cell_count == first + 2 * more
    assert gathered_of([narrow], [wide]).cell_count == first + more + 6
    assert gathered_of([report("a", values={"state": "x" * 800})]).cell_count > first + 90
    assert gathered_of([narrow], [report("a", topic="other")]).cell_count > first + more


def test_values_of_a_record_with_several_shapes_are_counted_once() -> None:
    narrow = [report("a", NOON + number) for number in range(5)]
    wide = [report("b", NOON + number, values=dict.fromkeys("abcdefgh", 1.0)) for number in range(5)]
    assert gathered_of(narrow, narrow + wide).cell_count == gathered_of(narrow, narrow, wide).cell_count


@pytest.mark.parametrize("reports_per_shape", [1, 8])
def test_reports_of_many_shapes_come_in_their_order(reports_per_shape: int) -> None:
    sent = [
        report("a", NOON + number * reports_per_shape + again, values={f"metric-{number}": 1.0})
        for number in range(30)
        for again in range(reports_per_shape)
    ]
    [(_, found)] = gathered_of(sent).devices()
    assert kinds_of(found) == [LoggedReport] * len(sent)
    assert [exact(each) for _, each in one_by_one(found)] == list(map(exact, sent))


def test_devices_with_metrics_of_their_own_are_runs_where_a_record_holds_enough_of_each() -> None:
    sent = [report(name, NOON + number, values={name: number}) for number in range(4) for name in "ab"]
    assert [kinds_of(found) for _, found in gathered_of(sent).devices()] == [[Run], [Run]]
    assert [kinds_of(found) for _, found in gathered_of(sent[:4]).devices()] == [[LoggedReport] * 2] * 2
