"""The newest value of each metric, whatever order reports come in."""

from collections.abc import Mapping
from itertools import pairwise
from math import nan
from operator import itemgetter
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from appliance.config import TelemetryConfig
from appliance.telemetry.growing import Column
from appliance.telemetry.model import Latest, Report, TimeSource
from appliance.telemetry.newest import FEW_METRICS, METRICS_LIMIT, PARTS_LIMIT, RECENT_COUNT, Newest, last_numbers
from appliance.telemetry.open_chunks import OpenChunks
from appliance.telemetry.rows import Rows
from tests.appliance.telemetry.reports import NOON, report

small = st.builds(
    report,
    at=st.integers(NOON, NOON + 5),
    arrived_at=st.integers(NOON, NOON + 50),
    values=st.dictionaries(st.sampled_from("abc"), st.integers(0, 99), max_size=3),
)


def noted(reports: list[Report]) -> Newest:
    newest = Newest()
    for each in reports:
        newest.note(each)
    return newest


@given(st.lists(small, max_size=12))
def test_the_first_report_of_the_newest_moment_is_the_latest(reports: list[Report]) -> None:
    expected = {}
    for metric in "abc":
        holding = [each for each in reports if metric in each.values]
        if holding:
            first = max(holding, key=lambda each: each.at)
            expected[metric] = Latest(first.at, first.values[metric], TimeSource.DEVICE)
    newest = noted(reports)
    assert newest.latest() == expected
    assert newest.metrics() == sorted(expected)
    assert newest.last_seen_at == max((each.arrived_at for each in reports), default=None)


@given(st.lists(small, min_size=1, max_size=12), st.randoms())
def test_what_is_kept_of_it_gives_it_again(reports: list[Report], chance: object) -> None:
    newest = noted(reports)
    kept = newest.as_of_now()
    restored = Newest()
    restored.restore(kept.reports, kept.last_seen_at)
    assert restored.latest() == newest.latest()
    assert restored.last_seen_at == newest.last_seen_at


@given(st.lists(small, max_size=6))
def test_one_report_may_have_all_of_it(reports: list[Report]) -> None:
    newest = noted(reports)
    closed, kept = newest.closed(7), newest.as_of_now().reports
    assert (closed is None) == (len(kept) != 1 or kept[0] not in reports)
    assert closed is None or closed == (kept[0], 7)


@given(st.lists(small, max_size=8), st.lists(st.booleans(), min_size=8, max_size=8))
def test_what_is_told_is_of_now_and_made_once(reports: list[Report], asked: list[bool]) -> None:
    made = []

    def tell(name: str, newest: Mapping[str, Report], last_seen_at: int | None) -> bytes:
        made.append(name)
        return repr((name, {metric: report.values[metric] for metric, report in newest.items()}, last_seen_at)).encode()

    newest = Newest()
    for report_, is_asked in zip(reports, asked, strict=False):
        newest.note(report_)
        if is_asked:
            values = {metric: each.value for metric, each in newest.latest().items()}
            expected = repr(("a", values, newest.last_seen_at)).encode()
            assert newest.told("a", tell) == newest.told("a", tell) == expected
    assert len(made) == sum(asked[: len(reports)])


def test_what_is_told_is_made_anew_for_another_number() -> None:
    newest = noted([report(values={"a": 1})])
    told = iter([b"first", b"second", b"third"])
    found = [newest.told("x", lambda *_: next(told), number) for number in (0, 0, 7, 7, 8)]
    assert found == [b"first", b"first", b"second", b"second", b"third"]


def test_what_is_told_follows_what_is_restored() -> None:
    newest = noted([report(values={"a": 1})])
    assert newest.told("x", lambda name, *_: name.encode()) == b"x"
    newest.restore([], NOON + 99)
    assert newest.told("x", lambda _, __, seen: str(seen).encode()) == str(NOON + 99).encode()


def test_recent_numbers_outlive_their_chunk() -> None:
    reports = [report(at=NOON + second, values={"pressure": second}) for second in range(100)]
    newest = noted(reports)
    rows = Rows.of(reports, 1)
    assert newest.recent("pressure", 3, [rows]) == [(NOON + 97, 97.0), (NOON + 98, 98.0), (NOON + 99, 99.0)]
    newest.remember(last_numbers([rows]))
    assert len(newest.recent("pressure", 1000, [])) == RECENT_COUNT
    more = Rows.of([report(at=NOON + 100, values={"pressure": 100})], 2)
    assert newest.recent("pressure", 2, [more]) == [(NOON + 99, 99.0), (NOON + 100, 100.0)]


numbered = st.lists(st.tuples(st.integers(0, 30), st.sampled_from("ab"), st.integers(0, 9) | st.none()), max_size=30)


@given(numbered, st.lists(st.integers(0, 30), max_size=4), st.integers(1, 4), st.integers(0, 2))
@example([(0, "a", 1), (2, "a", 2), (9, "a", 3), (5, "a", 4), (6, "a", 5)], [3], 2, 0)
def test_recent_numbers_are_those_that_a_look_at_every_report_finds(
    told: list[tuple[int, str, int | None]], borders: list[int], count: int, sealed_count: int
) -> None:
    """However they are cut into parts, in whatever order they come; within a part they come in order."""
    cuts = [0, *sorted(borders), len(told)]
    parts = [sorted(told[start:end], key=itemgetter(0)) for start, end in pairwise(cuts) if told[start:end]]
    rows = [Rows.of([report(at=NOON + at, values={name: value}) for at, name, value in part], 1) for part in parts]
    newest = noted([one for part in rows for one in part.reports()])
    sealed_count = min(sealed_count, len(rows))
    newest.remember(last_numbers(rows[:sealed_count]))
    for metric in "ab":
        # Of each part as many of the last rows are looked at as numbers are wanted, or stay.
        kept = [
            (NOON + at, value)
            for number, part in enumerate(parts)
            for at, name, value in part[-(RECENT_COUNT if number < sealed_count else count) :]
            if name == metric and value is not None
        ]
        found = newest.recent(metric, count, rows[sealed_count:])
        assert [at for at, _ in found] == sorted(at for at, _ in kept)[-count:]
        assert set(found) <= set(kept)


def test_what_is_sealed_late_does_not_displace_newer_numbers() -> None:
    late, newer = (
        [report(at=start + place, values={"pressure": place}) for place in range(RECENT_COUNT)]
        for start in (NOON - RECENT_COUNT + 1, NOON)
    )
    newest = noted([*newer, *late])
    newest.remember(last_numbers([Rows.of(newer, 1)]))
    newest.remember(last_numbers([Rows.of(late, 2)]))
    assert [at for at, _ in newest.recent("pressure", RECENT_COUNT - 1, [])] == [one.at for one in newer[1:]]


def test_of_thousands_of_parts_only_the_latest_are_looked_at() -> None:
    looked_at = []

    class Watched(dict[str, Column]):
        def get(self, metric: str, default: Any = None) -> Any:
            looked_at.append(metric)
            return super().get(metric, default)

    parts = [Rows.of([report(at=NOON + number)], number) for number in range(PARTS_LIMIT + 100)]
    for part in parts:
        part.columns = Watched(part.columns)
    newest = Newest()
    assert [at - NOON for at, _ in newest.recent("pressure", 3, parts)] == [len(parts) + n for n in (-3, -2, -1)]
    assert len(looked_at) == 3
    assert len(last_numbers(parts)["pressure"].at) == RECENT_COUNT
    assert last_numbers([*parts, Rows.of([report(at=NOON - 1, values={"old": 1})], 0)]).keys() == {
        "pressure",
        "battery",
    }


def test_only_what_can_be_drawn_is_recent() -> None:
    values = [1, nan, "text", True, None, 2.5, 10**400]
    reports = [report(at=NOON + row, values={"x": value}) for row, value in enumerate(values)]
    assert noted(reports).recent("x", 60, [Rows.of(reports, 1)]) == [(NOON, 1.0), (NOON + 5, 2.5)]
    assert noted(reports).recent("unknown", 60, [Rows.of(reports, 1)]) == []


def test_a_device_that_names_ever_new_metrics_stays_small() -> None:
    reports = [report(at=NOON + row, values={f"metric-{row}": row}) for row in range(3 * METRICS_LIMIT)]
    newest = noted(reports)
    newest.remember(last_numbers([Rows.of(reports[:1], 1)]))
    assert newest.recent("metric-0", 60, []) == []
    assert len(newest.metrics()) <= METRICS_LIMIT
    assert f"metric-{3 * METRICS_LIMIT - 1}" in newest.metrics()


def test_looks_at_a_device_with_many_metrics_find_them_however_often() -> None:
    chunks = OpenChunks(TelemetryConfig())
    names = [f"m{number}" for number in range(FEW_METRICS + 40)]
    told = [report(at=NOON + place, values={name: 1.0}) for place, name in enumerate([*names, names[-1]])]
    chunks.absorb(told, 1, NOON)
    newest = chunks.newest(1, "sensor-001")
    assert newest is not None
    assert newest.strip.used
    for _ in range(3 * FEW_METRICS):
        assert newest.latest().keys() == set(names)


def test_of_reports_that_are_kept_for_one_metric_the_rest_is_let_go() -> None:
    newest = Newest()
    for number in range(500):
        values = {**{f"usual-{each}": "x" * 100 for each in range(50)}, f"own-{number}": number}
        newest.note(report(at=NOON + number, values=values))
    held = {id(each): each for each in newest._reports.values()}
    assert len(newest.metrics()) == 550
    assert sum(len(each.values) for each in held.values()) < 550 + FEW_METRICS * 51
    assert {metric: latest.value for metric, latest in newest.latest().items()} == {
        **{f"usual-{each}": "x" * 100 for each in range(50)},
        **{f"own-{number}": number for number in range(500)},
    }
