import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.stream.replay.model import Interval, Span, TooMuchError
from appliance.stream.replay.ordering import Place
from appliance.stream.wanted import EVERYTHING, Wanted
from tests.appliance.telemetry.reports import report

moments = st.integers(0, 20)


@given(moments, st.integers(1, 20), st.lists(moments, min_size=1))
def test_a_span_that_has_any_of_some_reports_touches_their_arrivals(
    start: int, length: int, arrivals: list[int]
) -> None:
    span = Span(1, start, start + length, EVERYTHING, 9)
    touched = [at for at in arrivals if span.has(report(arrived_at=at))]
    assert touched == [at for at in arrivals if start <= at < start + length]
    assert span.touches(min(arrivals), max(arrivals)) or not touched
    assert not span.touches(start + length, start + length + 1)
    assert not span.touches(start - 1, start - 1)


def test_a_span_has_only_what_is_wanted() -> None:
    assert not Span(1, 0, 9, Wanted(frozenset({"other"})), 9).has(report(arrived_at=5))


def test_too_much_is_too_much_but_in_a_single_moment() -> None:
    Span(1, 0, 2, EVERYTHING, 9).require_room(9)
    Span(1, 0, 1, EVERYTHING, 9).require_room(10)
    with pytest.raises(TooMuchError):
        Span(1, 0, 2, EVERYTHING, 9).require_room(10)


def test_an_interval_begins_where_its_reader_has_come() -> None:
    assert Interval(1, 5, 9).begins_at == 5
    assert Interval(1, 5, 9, EVERYTHING, Place(7, 2)).begins_at == 7
