"""The newest value of each metric, whatever order reports come in."""

from collections.abc import Mapping
from math import nan

from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.model import Latest, Report, TimeSource
from appliance.telemetry.newest import METRICS_LIMIT, RECENT_COUNT, Newest
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
    newest.remember([rows])
    assert len(newest.recent("pressure", 1000, [])) == RECENT_COUNT
    more = Rows.of([report(at=NOON + 100, values={"pressure": 100})], 2)
    assert newest.recent("pressure", 2, [more]) == [(NOON + 99, 99.0), (NOON + 100, 100.0)]


def test_only_what_can_be_drawn_is_recent() -> None:
    values = [1, nan, "text", True, None, 2.5, 10**400]
    reports = [report(at=NOON + row, values={"x": value}) for row, value in enumerate(values)]
    assert noted(reports).recent("x", 60, [Rows.of(reports, 1)]) == [(NOON, 1.0), (NOON + 5, 2.5)]
    assert noted(reports).recent("unknown", 60, [Rows.of(reports, 1)]) == []


def test_a_device_that_names_ever_new_metrics_stays_small() -> None:
    reports = [report(at=NOON + row, values={f"metric-{row}": row}) for row in range(3 * METRICS_LIMIT)]
    newest = noted(reports)
    newest.remember([Rows.of(reports[:1], 1)])
    assert newest.recent("metric-0", 60, []) == []
    assert len(newest.metrics()) <= METRICS_LIMIT
    assert f"metric-{3 * METRICS_LIMIT - 1}" in newest.metrics()
