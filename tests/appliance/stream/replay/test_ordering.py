import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.stream.model import BadPositionError
from appliance.stream.replay.ordering import Ordering, Place, due_s, parsed, printed
from tests.appliance.telemetry.reports import NOON, report

START = Place(0, 0)


@given(st.integers(0, 10**15), st.integers(0, 10**9))
def test_a_place_is_read_as_it_was_written(at: int, number: int) -> None:
    assert parsed(printed(Place(at, number))) == Place(at, number)


@pytest.mark.parametrize("text", ["", "5", "a.b", "1.-1", "01.1", "end"])
def test_what_is_no_place_is_refused(text: str) -> None:
    with pytest.raises(BadPositionError):
        parsed(text)


@given(st.lists(st.tuples(st.integers(0, 5), st.sampled_from("ab"), st.integers(0, 2)), max_size=20), st.data())
def test_any_way_of_handing_over_gives_the_same_places_and_one_can_go_on_after_each(
    given_: list[tuple[int, str, int]], data: st.DataObject
) -> None:
    reports = [report(name, NOON + n, arrived_at=at, values={"n": n}) for at, name, n in sorted(given_)]
    at_once = Ordering(START)
    expected = [*at_once.take(reports), *at_once.rest()]
    in_pieces = Ordering(START)
    found = [placed for each in reports for placed in in_pieces.take([each])]
    assert [*found, *in_pieces.rest()] == expected
    assert [each.place for each in expected] == sorted({each.place for each in expected})
    if expected:
        after = data.draw(st.sampled_from(expected)).place
        later = Ordering(after)
        assert [*later.take(reports), *later.rest()] == [each for each in expected if each.place > after]


def test_a_report_that_is_there_twice_is_given_once_and_bursts_keep_the_order_of_the_log() -> None:
    ordering = Ordering(START)
    first, second = (report(arrived_at=NOON, values={"n": n}) for n in (9, 1))
    assert [each.report for each in (*ordering.take([first, second, first]), *ordering.rest())] == [first, second]


def test_speed_is_how_many_times_faster_than_it_came() -> None:
    assert due_s(NOON + 10_000, NOON, 1) == 10
    assert due_s(NOON + 10_000, NOON, 100) == 0.1
    assert due_s(NOON + 10_000, NOON, 0) == 0
