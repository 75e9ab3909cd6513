"""Larger chunks hold the same reports in the same order."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry import chunk
from appliance.telemetry.keeping.joining import joined
from appliance.telemetry.model import Report
from appliance.telemetry.open_chunk import METRICS_LIMIT
from appliance.telemetry.rows import Rows
from tests.appliance.telemetry.reports import NOON, exact, report, reports

parts = st.lists(st.lists(reports(st.just("a")), min_size=1, max_size=5), min_size=1, max_size=6)


@given(parts, st.integers(1, 12))
def test_joining_changes_no_report_and_no_order(groups: list[list[Report]], limit: int) -> None:
    decoded = [chunk.decode(chunk.encode(Rows.of(group, number))) for number, group in enumerate(groups, 1)]
    whole = list(joined(decoded, limit))
    again = [chunk.decode(chunk.encode(rows)) for rows in whole]
    found = [exact(each) for rows in again for each in rows.reports()]
    assert found == [exact(each) for rows in decoded for each in rows.reports()]
    assert [rows.last_log_id for rows in again] == sorted(rows.last_log_id for rows in again)
    assert again[-1].last_log_id == len(groups)
    assert all(rows.count <= max(limit, 5) for rows in again)


def test_small_parts_become_one() -> None:
    small = [Rows.of([report(at=NOON + tick)], tick + 1) for tick in range(6)]
    assert [rows.count for rows in joined(small, 4)] == [4, 2]
    [whole] = joined(small, 100)
    assert (whole.topics.starts, whole.client_ids.starts, whole.time_sources.starts) == ([0], [0], [0])


def test_parts_whose_metrics_keep_changing_stay_apart() -> None:
    def named(first: int) -> Rows:
        return Rows.of([report(values={f"m{first + number}": 1 for number in range(METRICS_LIMIT // 2)})], 1)

    assert len(list(joined([named(0), named(1), named(2000), named(2001)], 100))) == 2


def test_nothing_becomes_nothing() -> None:
    assert list(joined([], 5)) == []
