import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.units import UNIT_NAMES, convert, is_same

numbers = st.floats(-1e12, 1e12)
pairs = st.sampled_from(sorted(UNIT_NAMES)).flatmap(
    lambda unit: st.tuples(
        st.just(unit), st.sampled_from(sorted(name for name in UNIT_NAMES if UNIT_NAMES[name] == UNIT_NAMES[unit]))
    )
)


@given(numbers, pairs)
def test_there_and_back_is_the_same_number(value: float, pair: tuple[str, str]) -> None:
    one, other = pair
    there = convert(value, one, other)
    assert there is not None
    back = convert(there, other, one)
    assert back is not None
    assert math.isclose(back, value, rel_tol=1e-12, abs_tol=1e-9)


@given(st.integers(-(10**9), 10**9), pairs)
def test_a_larger_number_stays_the_larger_one(value: int, pair: tuple[str, str]) -> None:
    smaller, larger = (convert(float(number), *pair) for number in (value, value + 1))
    assert smaller is not None
    assert larger is not None
    assert smaller < larger


@given(st.text(max_size=8), st.text(max_size=8), st.floats())
def test_no_unit_and_no_number_raises(one: str, other: str, value: float) -> None:
    assert convert(value, one, other) is None or one in UNIT_NAMES
    assert is_same(one, one)


@pytest.mark.parametrize(
    ("value", "unit", "into", "expected"),
    [
        (1.013, "bar", "Pa", 101_300.0),
        (45.2, "psi", "kPa", 311.64302965120993),
        (68, "°F", "Cel", 20),
        (23.1, "Cel", "K", 296.25),
        (0, "K", "°C", -273.15),
        (-40.0, "degF", "°C", -40.0),
        (1500, "mm", "m", 1.5),
        (2, "kg", "g", 2_000),
        (1, "m3/h", "l/min", 1_000 / 60),
        (1.5, "kWh", "MJ", 5.4),
        (2, "hp", "W", 1491.39974316454),
        (0.55, "/", "%", 55.0),
        (55.0, "%RH", "%", 55.0),
        (36, "km/h", "m/s", 10),
        (5, "V", "V", 5),
        (math.inf, "bar", "Pa", math.inf),
    ],
)
def test_numbers_become_what_the_books_say(value: float, unit: str, into: str, expected: float) -> None:
    found = convert(value, unit, into)
    assert found is not None
    assert found == expected or math.isclose(found, expected, rel_tol=1e-12)


@given(st.decimals(-1_000, 1_000, places=4))
def test_a_decimal_is_converted_as_it_was_written_and_rounded_once(value: Decimal) -> None:
    assert convert(float(value), "bar", "Pa") == float(value * 100_000)
    assert convert(float(value), "°C", "K") == float(value + Decimal("273.15"))


def test_a_whole_number_stays_whole_where_nothing_is_lost() -> None:
    assert [type(convert(value, "km", "m")) for value in (2, 2.0)] == [int, float]
    assert type(convert(1, "mm", "m")) is float


def test_there_is_no_way_between_different_quantities() -> None:
    assert convert(1.0, "bar", "m") is None
    assert convert(1.0, "bar", "smoots") is None
    assert convert(1e308, "km", "um") is None
    assert not is_same("bar", "mbar")
    assert is_same("°C", "Cel")
