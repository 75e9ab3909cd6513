"""Which readings an answer needs one by one, and which of them a roll-up knows of."""

from typing import Any

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS
from appliance.telemetry.asking.columns import columns_of
from appliance.telemetry.asking.edges import width_of, zone_of
from appliance.telemetry.asking.model import Answer, Order, Place, Row
from appliance.telemetry.bins import Bin
from appliance.telemetry.coarse.model import Needed
from appliance.telemetry.coarse.needed import extent, is_lacking, needed, needed_between, needed_on
from appliance.telemetry.paging import model as cursors
from appliance.telemetry.paging.cursor import beginning
from appliance.telemetry.paging.model import Cursor, Going
from appliance.telemetry.rollup_record import RollUp
from appliance.telemetry.wanted import is_wanted
from tests.appliance.telemetry.asking.source import question

ALL = Answer((), None)


def spans(select: str, width: str = "", answer: Answer = ALL, **changes: Any) -> dict[str, list[tuple[int, int]]]:
    """What is needed of each metric."""
    columns, wide = columns_of([select]), width_of(width) if width else None
    found = needed(is_wanted, question(columns=columns, width=wide, **changes), answer)
    return {",".join(each.metrics): list(each.spans) for each in found}


def rows(*at: int) -> tuple[Row, ...]:
    return tuple(Row(Place(each, "a", 0), (1.0,)) for each in at)


def test_bins_of_whole_hours_need_no_readings() -> None:
    assert spans("avg(p)", "1h") == spans("avg(p)", "6h") == spans("avg(p)", "1d") == {}


def test_percentiles_need_all_readings_and_other_bins_what_fills_no_hour() -> None:
    start = 20 * MINUTE_MS
    assert spans("p50(p),max(p),max(q)", "1h", start=start) == {"p": [(start, DAY_MS)], "q": [(start, HOUR_MS)]}
    assert spans("max(q)", "10m") == {"q": [(0, DAY_MS)]}
    assert spans("max(q)", "1d", zone=zone_of("Asia/Kolkata")) == {
        "q": [(18 * HOUR_MS, 19 * HOUR_MS)],
    }


def test_of_bins_only_those_of_the_page_count() -> None:
    first = Answer(rows(0, HOUR_MS), Place(HOUR_MS, "a", 0))
    assert spans("p50(p)", "1h", first) == {"p": [(0, 2 * HOUR_MS)]}
    assert spans("p50(p)", "1h", after=first.next) == {"p": [(HOUR_MS, DAY_MS)]}
    assert spans("p50(p)", "1h", first, order=Order.NEWEST) == {"p": [(HOUR_MS, DAY_MS)]}
    assert spans("p50(p)", "1h", after=first.next, order=Order.NEWEST) == {"p": [(0, 2 * HOUR_MS)]}
    assert spans("p50(p)", "1h", start=5, end=5) == {}
    assert spans("max(p)", "7m", first) == {"p": [(0, HOUR_MS + 3 * MINUTE_MS)]}


def test_bins_within_hours_are_not_counted_one_by_one() -> None:
    """There would be more of them than memory holds."""
    assert spans("max(p),p50(q)", "1s", end=10**14) == {"p,q": [(0, 10**14)]}


def test_of_rows_only_those_of_the_page_count_and_what_their_windows_reach() -> None:
    page = Answer(rows(40, 50), Place(50, "a", 0))
    assert spans("p", answer=page) == {"p": [(0, 51)]}
    assert spans("p", answer=page, after=Place(30, "a", 0)) == {"p": [(30, 51)]}
    assert spans("p", answer=Answer(rows(50, 40), Place(40, "a", 0)), order=Order.NEWEST) == {"p": [(40, DAY_MS)]}
    assert spans("rolling_avg(p,1m)", answer=page) == {"p": [(40 - MINUTE_MS, 51)]}
    assert spans("rolling_avg(p,1m)") == {"p": [(0, DAY_MS)]}


def test_bins_between_bounds_need_what_fills_no_hour() -> None:
    bounds = [0, HOUR_MS, HOUR_MS + 5, HOUR_MS + 9, 2 * HOUR_MS, 3 * HOUR_MS]
    assert needed_between(["p"], bounds, [(0, 2), (1, 2)]).spans == [(HOUR_MS, HOUR_MS + 5)]
    assert needed_between(["p"], bounds, [(0, 1), (4, 5)]).spans == []
    assert needed_between(["p"], bounds, [(2, 3), (3, 5)]).spans == [(HOUR_MS + 5, 2 * HOUR_MS)]


def test_a_page_of_a_device_needs_what_lies_between_its_places() -> None:
    first = beginning(0, 100)
    assert needed_on(["p", "q"], first, None) == [Needed(("p", "q"), ((0, 100),), is_of_numbers=False)]
    places = (Going(cursors.Place(40, 0), ("p",)), Going(cursors.Place(60, 2), ("q",)))
    second = Cursor(0, 100, places)
    assert [(each.metrics, each.spans) for each in needed_on(["p", "q", "r"], first, second)] == [
        (("p",), ((40, 100),)),
        (("q",), ((60, 100),)),
        (("r",), ((0, 100),)),
    ]
    # What is not going on has had its last page.
    assert [(each.metrics, each.spans) for each in needed_on(["p", "q", "r"], second, None)] == [
        (("p",), ((0, 40),)),
        (("q",), ((0, 61),)),
    ]


def test_the_extent_of_what_is_needed_is_from_the_first_moment_to_the_last() -> None:
    assert extent([]) == extent([Needed(["p"], [], is_of_numbers=True)]) == (0, 0)
    some = [Needed(["p"], [(5, 6), (8, 9)], is_of_numbers=True), Needed(["q"], [(7, 8)], is_of_numbers=True)]
    assert (extent(some), extent(some[1:])) == ((5, 9), (7, 8))


def test_a_roll_up_knows_of_readings_within_a_span_if_its_first_and_last_reach_into_it() -> None:
    rollup = RollUp({"p": Bin(2, 1.0, 2.0, 3.0, 0.5, 10, 1.0, 20, 2.0)}, {"q": 1})
    for span, expected in (((0, 10), False), ((0, 11), True), ((20, 30), True), ((21, 30), False)):
        assert is_lacking(rollup, Needed(["p"], [span], is_of_numbers=True), span) is expected
    assert is_lacking(rollup, Needed(["q"], [(0, 5)], is_of_numbers=False), (0, 5))
    assert not is_lacking(rollup, Needed(["q"], [(0, 5)], is_of_numbers=True), (0, 5))
    # Without names of all metrics.
    assert is_lacking(rollup, Needed((), [(0, 5)], is_of_numbers=False), (0, 5))
    assert not is_lacking(rollup, Needed((), [(0, 5)], is_of_numbers=True), (0, 5))
