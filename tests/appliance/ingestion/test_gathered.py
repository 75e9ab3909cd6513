from typing import Any

import pytest

from appliance.ingestion.fault import PayloadError
from appliance.ingestion.gathered import UNIT_LIMIT, Gathered


def gathered(*objects: dict[str, Any]) -> Gathered:
    found = Gathered()
    for readings in objects:
        found.take(readings)
    return found


def test_the_first_of_a_name_is_kept_with_its_own_unit() -> None:
    found = gathered({"p": {"value": 1.5, "unit": "bar"}}, {"p": {"value": 2.5, "unit": "Pa"}, "q": 3})
    assert (found.values, found.units) == ({"p": 1.5, "q": 3}, {"p": "bar"})
    assert gathered({"p": 1}, {"p": {"value": 2, "unit": "Pa"}}).units == {}


def test_names_can_be_left_out() -> None:
    found = Gathered()
    found.take({"a": 1.0, "timestamp": 2}, {"timestamp"})
    assert found.values == {"a": 1.0}


def test_a_location_becomes_its_coordinates() -> None:
    found = gathered({"gps": {"lat": 52.5, "lon": 13.4, "fix": "3D"}, "gps.latitude": 1})
    assert found.values == {"gps.latitude": 52.5, "gps.longitude": 13.4, "gps.fix": "3D"}


@pytest.mark.parametrize(
    "value",
    [
        {"value": 1},
        {"value": 1, "unit": 5},
        {"value": 1, "unit": ""},
        {"value": 1, "unit": "x" * (UNIT_LIMIT + 1)},
        {"value": [1], "unit": "bar"},
        {"value": 1, "unit": "bar", "more": 2},
    ],
)
def test_what_only_looks_like_a_value_with_its_unit_is_kept_as_text(value: dict[str, Any]) -> None:
    found = gathered({"p": value})
    assert found.units == {}
    assert isinstance(found.values["p"], str)


@pytest.mark.parametrize("name", ["", "x" * 129, "x" * 120])
def test_a_name_must_fit_with_all_that_is_put_to_it(name: str) -> None:
    with pytest.raises(PayloadError, match="metric name"):
        gathered({name: {"lat": 1, "lon": 2}})
