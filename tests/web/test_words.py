import math

from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from web import words


@given(st.floats())
def test_every_number_has_words(value: float) -> None:
    assert words.number(value)
    assert words.measured(value)


@given(st.floats(min_value=-99_999, max_value=99_999))
def test_a_number_is_not_far_from_its_words(value: float) -> None:
    told = float(words.number(value).replace(words.MINUS, "-"))
    assert math.isclose(told, value, rel_tol=0.006, abs_tol=1e-9)


@given(st.integers(min_value=-(10**15), max_value=10**15))
def test_every_length_of_time_has_words(length_ms: int) -> None:
    assert words.duration(length_ms)[-1] in "snh"


def test_lengths_of_time_are_told_in_their_largest_parts() -> None:
    assert words.duration(-5) == "0.0 s"
    assert words.duration(3_340) == "3.3 s"
    assert words.duration(47 * SECOND_MS) == "47 s"
    assert words.duration(7 * MINUTE_MS + 12 * SECOND_MS) == "7 min"
    assert words.duration(4 * HOUR_MS + 31 * MINUTE_MS) == "4 h 31 min"
    assert words.duration(18 * DAY_MS + 4 * HOUR_MS) == "18 d 4 h"


def test_what_somebody_has_set_is_told_exactly() -> None:
    assert words.hold(5 * MINUTE_MS) == "5 min"
    assert words.hold(90 * SECOND_MS) == "90 s"
    assert words.hold(1_500) == "1.50 s"


def test_numbers_keep_what_tells_them_apart() -> None:
    assert words.number(60.0) == "60"
    assert words.measured(60.0) == "60.0"
    assert words.number(-64) == "\N{MINUS SIGN}64"
    assert words.number(0.01234) == "0.0123"
    assert words.count(1_234_567) == "1\u202f234\u202f567"


def test_each_kind_of_reading_has_words() -> None:
    assert words.reading(None) == words.NOTHING
    assert words.reading(value=True) == "on"
    assert words.reading(value=False) == "off"
    assert words.reading("open") == "open"
    assert words.reading(7) == "7"
    assert words.reading(48.24) == "48.2"


def test_metrics_become_headings() -> None:
    assert words.metric_name("flowRate") == "Flow rate"
    assert words.metric_name("flow_rate") == "Flow rate"
    assert words.metric_name("_") == "_"


def test_only_units_beyond_doubt_are_told() -> None:
    assert words.unit("batteryLevel") == "%"
    assert words.unit("pressure") == ""


def test_a_place_has_its_sides_of_the_world() -> None:
    assert words.place(52.52, 13.405) == "52.52000° N 13.40500° E"
    assert words.place(-33.8568, -70) == "33.85680° S 70.00000° W"
