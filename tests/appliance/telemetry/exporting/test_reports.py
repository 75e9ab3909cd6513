from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.exporting.reports import in_order, only
from appliance.telemetry.model import Report
from appliance.telemetry.rows import Rows, identity_of
from tests.appliance.telemetry.reports import NOON, report

sent = st.lists(
    st.builds(
        report,
        at=st.integers(NOON, NOON + 8),
        values=st.dictionaries(st.sampled_from("xy"), st.integers(0, 2), min_size=1),
        sequence=st.none() | st.integers(0, 2),
    ),
    min_size=1,
    max_size=20,
)


@given(sent, st.lists(st.integers(1, 19), max_size=3), st.integers(NOON, NOON + 9), st.integers(NOON, NOON + 9))
def test_reports_come_in_time_order_each_once_however_they_are_kept(
    found: list[Report], cuts: list[int], start: int, end: int
) -> None:
    edges = [0, *sorted(cut for cut in set(cuts) if cut < len(found)), len(found)]
    parts = [Rows.of(found[low:high], number + 1) for number, (low, high) in enumerate(pairwise(edges))]
    told = in_order(lambda: None, list(reversed(parts)), start, end)
    assert [each.at for each in told] == sorted(each.at for each in told)
    identities = [identity_of(each) for each in told]
    assert len(identities) == len(set(identities))
    assert set(identities) == {identity_of(each) for each in found if start <= each.at < end}


def test_only_some_metrics_are_left() -> None:
    found = [report(values={"x": 1, "y": None}), report(values={"z": 1})]
    assert [each.values for each in only(found, {"y"})] == [{"y": None}]
