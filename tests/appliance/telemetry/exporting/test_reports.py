from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.exporting import reports
from appliance.telemetry.exporting.reports import at_moments, only, stretch
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


@given(
    sent,
    st.lists(st.integers(1, 19), max_size=3),
    st.integers(NOON, NOON + 9),
    st.integers(NOON, NOON + 9),
    st.integers(1, 25),
    st.sampled_from([1, 30, 10_000]),
)
def test_reports_come_in_time_order_each_once_however_they_are_kept_and_in_whatever_pieces(
    found: list[Report], cuts: list[int], start: int, end: int, limit: int, text: int
) -> None:
    edges = [0, *sorted(cut for cut in set(cuts) if cut < len(found)), len(found)]
    parts = [Rows.of(found[low:high], number + 1) for number, (low, high) in enumerate(pairwise(edges))]
    told: list[Report] = []
    sizes = []
    place: tuple[int, int] | None = (start, 0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reports, "STRETCH_REPORTS", limit)
        patch.setattr(reports, "STRETCH_CHARACTERS", text)
        while place is not None:
            some = stretch(lambda: None, list(reversed(parts)), *place, end)
            sizes.append(len(some.reports))
            told += some.reports
            assert some.next is None or some.next > place
            place = some.next
    assert max(sizes) <= limit
    assert [each.at for each in told] == sorted(each.at for each in told)
    identities = [identity_of(each) for each in told]
    assert len(identities) == len(set(identities))
    assert set(identities) == {identity_of(each) for each in found if start <= each.at < end}


@given(sent, st.sets(st.integers(NOON, NOON + 9)))
def test_reports_of_moments_are_all_of_those(found: list[Report], moments: set[int]) -> None:
    parts = [Rows.of([each], number) for number, each in enumerate(found)]
    assert at_moments(lambda: None, parts, moments) == [each for each in found if each.at in moments]


def test_reports_of_a_moment_stay_together_if_they_can(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "STRETCH_REPORTS", 3)
    found = [report(at=NOON + second, values={"x": number}) for number, second in enumerate([0, 1, 1, 2, 2, 2, 2, 3])]
    parts = [Rows.of(found, 1)]
    place: tuple[int, int] | None = (NOON, 0)
    places = []
    while place is not None:
        places.append(place)
        place = stretch(lambda: None, parts, *place, NOON + 9).next
    assert places == [(NOON, 0), (NOON + 2, 0), (NOON + 2, 3)]


def test_what_was_erased_of_a_moment_meanwhile_costs_the_next_one_nothing() -> None:
    parts = [Rows.of([report(values={"x": 1}), report(at=NOON + 1)], 1)]
    assert [each.at for each in stretch(lambda: None, parts, NOON, 5, NOON + 9).reports] == [NOON + 1]


def test_chunks_without_a_report_that_is_given_are_not_unpacked() -> None:
    class Sealed(Rows):
        def whole(self) -> Rows:
            raise AssertionError("nobody asked for it")

    parts = [Sealed.of([report(at=NOON + 5)], 1), Rows.of([report()], 2)]
    assert len(stretch(lambda: None, parts, NOON, 0, NOON + 5).reports) == 1
    assert len(at_moments(lambda: None, parts, {NOON})) == 1


def test_only_some_metrics_are_left() -> None:
    found = [report(values={"x": 1, "y": None}), report(values={"z": 1})]
    assert [each.values for each in only(found, {"y"})] == [{"y": None}]
