from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.location import owner, parts

latitudes = st.floats(-90, 90) | st.integers(-90, 90)
longitudes = st.floats(-180, 180) | st.integers(-180, 180)


@given(latitudes, longitudes, st.floats(-500, 9_000))
def test_a_place_is_the_same_in_every_way_of_telling_it(latitude: float, longitude: float, altitude: float) -> None:
    expected = {"latitude": latitude, "longitude": longitude}
    assert parts({"lat": latitude, "lon": longitude}) == expected
    assert parts({"longitude": longitude, "latitude": latitude}) == expected
    assert parts({"type": "Point", "coordinates": [longitude, latitude]}) == expected
    expected["altitude"] = altitude
    assert parts({"lat": latitude, "lng": longitude, "alt": altitude}) == expected
    assert parts({"type": "Point", "coordinates": [longitude, latitude, altitude]}) == expected


def test_what_is_told_besides_is_kept() -> None:
    assert parts({"lat": 1, "lon": 2, "accuracy": 5}) == {"latitude": 1, "longitude": 2, "accuracy": 5}


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"lat": 1},
        {"lat": 91, "lon": 0},
        {"lat": 0, "lon": -181},
        {"lat": True, "lon": 0},
        {"lat": "1", "lon": 0},
        {"lat": float("nan"), "lon": 0},
        {"lat": 1, "latitude": 1, "lon": 2},
        {"lat": 1, "lon": 2, "alt": "high"},
        {"type": "Point"},
        {"type": "Point", "coordinates": [1]},
        {"type": "Point", "coordinates": [0, 91]},
        {"type": "Point", "coordinates": [0, 0], "name": "here"},
        {"type": "LineString", "coordinates": [[0, 0], [1, 1]]},
    ],
)
def test_what_is_no_place_stays_what_it_is(value: dict[str, Any]) -> None:
    assert parts(value) is None


@pytest.mark.parametrize(
    ("metric", "name"), [("gps.latitude", "gps"), ("a.b.altitude", "a.b"), ("latitude", ""), ("gps.x", "")]
)
def test_a_coordinate_knows_its_location(metric: str, name: str) -> None:
    assert owner(metric) == name
