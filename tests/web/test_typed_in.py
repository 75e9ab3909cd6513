"""What is typed into fields, and what is wrong with it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.asking.edges import zone_of
from web.typed_in import Reading, outside

CHOICES = {"a": "first", "b": "second"}


@given(st.text(), st.sampled_from(["whole", "number", "choice", "moment", "zone", "several"]))
def test_whatever_is_typed_is_read_or_complained_of_and_never_raises(text: str, way: str) -> None:
    reading = Reading({"it": text})
    if way == "choice":
        assert reading.choice("it", CHOICES) in CHOICES
    elif way == "moment":
        value = reading.moment("it", zone_of("UTC"))
        assert (value is None) == (not text.strip() or "it" in reading.complaints)
    elif way in ("whole", "number"):
        value = getattr(reading, way)("it")
        assert (value is None) == (not text.strip() or "it" in reading.complaints)
    else:
        getattr(reading, way)("it")


@pytest.mark.parametrize(
    ("text", "value", "why"),
    [
        ("12", 12, ""),
        (" 1 200 ", 1_200, ""),
        ("-3", -3, ""),
        ("", None, ""),
        ("1.5", None, "'1.5' is no whole number"),
        ("9" * 30, None, "is no whole number"),
        ("5000", None, "5000 is not within -10 and 2000"),
    ],
)
def test_whole_numbers(text: str, value: int | None, why: str) -> None:
    reading = Reading({"it": text})
    assert reading.whole("it", -10, 2_000) == value
    assert why in reading.complaints.get("it", "")
    assert bool(why) == bool(reading.complaints)


@pytest.mark.parametrize("text", ["nan", "inf", "-inf", "1e999", "one"])
def test_what_is_no_number_is_none(text: str) -> None:
    reading = Reading({"it": text})
    assert reading.number("it") is None
    assert "is no number" in reading.complaints["it"]


def test_a_comma_is_a_point() -> None:
    assert Reading({"it": "1,5"}).number("it") == 1.5


def test_bounds_are_told_as_far_as_there_are_any() -> None:
    assert outside(5, 1, 3) == "5 is not within 1 and 3"
    assert outside(5, float("-inf"), 3) == "5 is more than 3"
    assert outside(0.5, 1, float("inf")) == "0.5 is less than 1"


def test_a_moment_is_by_the_clocks_of_a_zone_unless_it_says_otherwise() -> None:
    reading = Reading({"plain": "2026-07-01T12:00", "told": "2026-07-01T12:00Z", "bad": "noon"})
    berlin = zone_of("Europe/Berlin")
    assert reading.moment("told", berlin) - reading.moment("plain", berlin) == 2 * 3_600_000  # type: ignore[operator]
    assert reading.moment("bad", berlin) is None
    assert set(reading.complaints) == {"bad"}


def test_a_zone_that_nobody_knows_is_complained_of() -> None:
    reading = Reading({"zone": "Moon/Crater"})
    assert reading.zone("zone") is zone_of("UTC")
    assert "Moon/Crater" in reading.complaints["zone"]


def test_a_choice_is_the_first_where_nothing_was_chosen() -> None:
    reading = Reading({"wrong": "c"})
    assert reading.choice("it", CHOICES) == "a"
    assert reading.complaints == {}
    assert reading.choice("wrong", CHOICES) == "a"
    assert "wrong" in reading.complaints


def test_several_words_are_apart_by_commas_and_lines_and_once_each() -> None:
    assert Reading({"it": " hall 2, hall 3\n,hall 2\r\n"}).several("it") == ("hall 2", "hall 3")


def test_what_was_found_first_stays() -> None:
    reading = Reading({})
    reading.complain("it", "first")
    reading.complain("it", "second")
    assert reading.complaints == {"it": "first"}
