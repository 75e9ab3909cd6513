"""A run is its reports, and any part of it is those of that part."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.run import Run
from tests.appliance.telemetry.reports import NOON, exact, report

written = [report(at=NOON + row, sequence=row, values={"pressure": row / 2, "state": str(row)}) for row in range(6)]
run = Run(
    first=written[0],
    log_ids=list(range(10, 16)),
    at=array("q", [each.at for each in written]),
    arrived_at=array("q", [each.arrived_at for each in written]),
    last_seen_at=max(each.arrived_at for each in written),
    sequences=[each.sequence for each in written],
    columns={metric: [each.values[metric] for each in written] for metric in written[0].values},
)


def test_a_run_is_its_reports() -> None:
    assert [(log_id, exact(each)) for log_id, each in run.logged()] == list(
        zip(range(10, 16), map(exact, written), strict=True)
    )


@given(st.integers(0, 5), st.integers(1, 6))
def test_a_part_of_a_run_is_the_reports_of_that_part(start: int, count: int) -> None:
    end = min(start + count, len(written))
    part = run.cut(start, end)
    assert exact(part.first) == exact(written[start])
    assert list(part.logged()) == list(run.logged())[start:end]
