import pytest

from appliance.telemetry.merge import Readings
from appliance.telemetry.paging import cut as cuts
from appliance.telemetry.paging.cut import cut, paged, split_moment, up_to, with_moment
from appliance.telemetry.paging.model import Cut, Going, Place
from appliance.telemetry.wanted import is_wanted


def readings(*at: int) -> Readings:
    """Each with a value that tells its moment, and which of that moment it is."""
    values = [f"{moment}.{at[:number].count(moment)}" for number, moment in enumerate(at)]
    return Readings(at, values, bytes(moment % 4 for moment in at))


def test_a_cut_between_two_moments_goes_on_before_the_later_one() -> None:
    found = cut(is_wanted, {"x": readings(1, 2, 3), "y": readings(3)}, 2)
    assert found["x"] == Cut("x", (2, 3), ["2.0", "3.0"], Place(2, 0), b"\2\3")
    assert found["y"] == Cut("y", (3,), ["3.0"], None, b"\3")


def test_a_cut_within_a_moment_says_how_many_of_it_are_left() -> None:
    assert cut(is_wanted, {"x": readings(1, 2, 2, 2, 3)}, 2)["x"].next == Place(2, 2)


@pytest.mark.parametrize(("at", "limit", "found"), [((1, 2, 2), 1, 2), ((1, 2, 2), 2, None), ((2, 2), 2, None)])
def test_a_moment_that_would_be_split_is_noticed(at: tuple[int, ...], limit: int, found: int | None) -> None:
    assert split_moment(readings(*at), limit) == found


def test_a_moment_of_which_some_were_found_is_put_in_whole() -> None:
    whole = with_moment(is_wanted, {"x": readings(2, 2, 3)}, {"x": readings(2, 2, 2)}, 2)
    assert whole == {"x": Readings([2, 2, 2, 3], ["2.0", "2.1", "2.2", "3.0"], b"\2\2\2\3")}


def test_of_the_moment_of_a_place_what_was_given_is_left_out() -> None:
    found = up_to(is_wanted, {"x": readings(1)}, {"x": readings(2, 2, 2)}, 2)
    assert found == {"x": Readings([1, 2, 2], ["1.0", "2.0", "2.1"], b"\1\2\2")}


def test_each_metric_goes_on_where_it_ended() -> None:
    found = [Cut("x", [2], ["a"], Place(2, 0)), Cut("y", [5], ["b"], None), Cut("z", [2], ["c"], Place(2, 0))]
    page = paged(is_wanted, found, 0, 9)
    assert page.next is not None
    assert page.next.going == (Going(Place(2, 0), ("x", "z")),)
    assert [series.truncated for series in page.series] == [True, False, True]


def test_too_many_places_become_the_newest_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuts, "PLACES_LIMIT", 1)
    found = [
        Cut("x", [4, 4, 5], ["4.1", "4.2", "5.0"], Place(4, 1)),
        Cut("y", [3, 4, 4], ["3.0", "4.0", "4.1"], Place(3, 0), b"\1\2\3"),
        Cut("z", [2, 4], ["2.0", "4.0"], None),
    ]
    page = paged(is_wanted, found, 0, 9)
    assert [list(series.values) for series in page.series] == [["4.1", "4.2", "5.0"], ["4.1"], []]
    assert [series.sources for series in page.series] == [None, b"\3", None]
    assert all(series.truncated for series in page.series)
    assert page.next is not None
    assert page.next.going == (Going(Place(4, 1), ()),)
