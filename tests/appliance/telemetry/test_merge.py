"""Whatever chunks readings lie in, they come out in time order, each once."""

from itertools import accumulate, pairwise

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.merge import Readings, merge, newest
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.rows import Rows
from tests.appliance.telemetry.reports import NOON, report

small = st.builds(
    report,
    at=st.integers(NOON, NOON + 12),
    sequence=st.none() | st.integers(0, 2),
    values=st.dictionaries(st.sampled_from("ab"), st.sampled_from([1, 1.0, None, "x", float("nan")]), max_size=2),
    time_source=st.sampled_from([TimeSource.DEVICE, *TimeSource]),
)


def naive(reports: list[Report], metric: str, start: int, end: int) -> list[tuple[int, str, int]]:
    seen = set()
    found = []
    for each in reports:
        identity = (each.at, each.sequence, repr(sorted((name, repr(value)) for name, value in each.values.items())))
        if identity not in seen and start <= each.at < end and metric in each.values:
            found.append((each.at, repr(each.values[metric]), each.time_source.value))
        seen.add(identity)
    return sorted(found, key=lambda pair: pair[0])


@given(st.lists(small, max_size=14), st.lists(st.integers(1, 5), max_size=8), st.integers(0, 6), st.integers(6, 13))
def test_any_split_into_chunks_gives_the_same_readings(
    reports: list[Report], lengths: list[int], first: int, last: int
) -> None:
    cuts = [0, *(cut for cut in accumulate(lengths) if cut < len(reports)), len(reports)]
    parts = [Rows.of(reports[start:end], log_id) for log_id, (start, end) in enumerate(pairwise(cuts)) if start < end]
    start, end = NOON + first, NOON + last
    merged = merge(parts, ["a", "b", "unknown"], start, end)
    for metric, readings in merged.items():
        sources = bytes(len(readings.at)) if readings.sources is None else readings.sources
        found = list(zip(readings.at, map(repr, readings.values), sources, strict=True))
        assert found == naive(reports, metric, start, end)


@given(st.lists(small, max_size=14))
def test_where_moments_come_from_is_told_only_where_it_is_not_the_device(reports: list[Report]) -> None:
    owned = [msgspec.structs.replace(each, time_source=TimeSource.DEVICE) for each in reports]
    merged = merge([Rows.of(owned, 1)] if owned else [], ["a", "b"], 0, NOON * 2)
    assert [each.sources for each in merged.values()] == [None, None]


class Partly(Rows):
    """Rows that tell when they are asked for as a whole."""

    asked: list[int]

    def whole(self) -> Rows:
        self.asked.append(self.first_log_id)
        return self


def test_only_those_are_asked_for_as_a_whole_in_which_moments_are_equal() -> None:
    asked: list[int] = []
    moments = [[NOON + 5], [NOON], [NOON + 7, NOON + 9], [NOON + 9], [NOON + 8]]
    parts = [Partly.of([report(at=at) for at in some], log_id) for log_id, some in enumerate(moments, 1)]
    for part in parts:
        part.asked = asked
    assert list(merge(parts[:3], ["pressure"], 0, NOON * 2)["pressure"].at) == [NOON, NOON + 5, NOON + 7, NOON + 9]
    assert asked == []
    found = merge(parts, ["pressure"], 0, NOON * 2)["pressure"].at
    assert list(found) == [NOON, NOON + 5, NOON + 7, NOON + 8, NOON + 9]
    assert sorted(asked) == [3, 4]


def test_work_on_many_reports_asks_whether_it_is_wanted() -> None:
    parts = [Rows.of([report(at=NOON + 2 * tick + turn) for tick in range(3_000)], 1) for turn in range(2)]
    calls: list[int] = []
    merge(parts, ["pressure"], 0, NOON * 2, lambda: calls.append(1))
    assert len(calls) > 4


def test_the_limit_keeps_the_newest_and_says_so() -> None:
    days = [Readings([1, 2], [10, 20]), Readings([3], [30], b"\2")]
    cut = newest("pressure", days, 2)
    assert (list(cut.at), list(cut.values), cut.truncated, cut.sources) == ([2, 3], [20, 30], True, b"\0\2")
    whole = newest("pressure", days, 3)
    assert (list(whole.at), list(whole.values), whole.truncated) == ([1, 2, 3], [10, 20, 30], False)
    assert list(newest("pressure", days, 0).at) == []


def test_what_nobody_measured_is_nothing() -> None:
    assert (list(newest("pressure", [], 3).at), list(newest("pressure", [], 3).values)) == ([], [])
