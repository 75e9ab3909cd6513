"""Where something is: told as one value, kept as a metric for each coordinate.

A location under the name `gps` becomes the metrics `gps.latitude` and `gps.longitude`, in degrees, and
`gps.altitude`, in metres, where it is told: see docs/decisions/0022-locations-and-units.md.
"""

from collections.abc import Mapping
from typing import Any, TypeGuard

LATITUDE, LONGITUDE, ALTITUDE = "latitude", "longitude", "altitude"
PARTS = (LATITUDE, LONGITUDE, ALTITUDE)

_KEYS: Mapping[str, str] = {
    "lat": LATITUDE,
    "latitude": LATITUDE,
    "lon": LONGITUDE,
    "lng": LONGITUDE,
    "long": LONGITUDE,
    "longitude": LONGITUDE,
    "alt": ALTITUDE,
    "altitude": ALTITUDE,
}
_LATITUDE_END = 90
_LONGITUDE_END = 180
_POINT_SIZES = (2, 3)

SENML_UNITS: Mapping[str, str] = {"lat": LATITUDE, "lon": LONGITUDE}
"""The units of SenML that make a number a coordinate, and which (RFC 8428 §12.1)."""


def parts(value: Mapping[str, Any]) -> dict[str, Any] | None:
    """The coordinates of a location, and whatever else is told with it; None when it is no location.

    Known are a point of GeoJSON (RFC 7946 §3.1.2), and latitude and longitude under their usual names.
    """
    if value.get("type") == "Point":
        return _of_point(value)
    found: dict[str, Any] = {}
    for key, inner in value.items():
        name = _KEYS.get(key, key)
        if name in found:
            return None
        found[name] = inner
    return found if _is_place(found.get(LATITUDE), found.get(LONGITUDE), found.get(ALTITUDE)) else None


def owner(metric: str) -> str:
    """The location that a metric is a coordinate of; empty when it is none."""
    name, _, part = metric.rpartition(".")
    return name if part in PARTS else ""


def _of_point(value: Mapping[str, Any]) -> dict[str, Any] | None:
    place = value.get("coordinates")
    if not isinstance(place, list) or len(place) not in _POINT_SIZES or not value.keys() <= {"type", "coordinates"}:
        return None
    longitude, latitude, *more = place
    if not _is_place(latitude, longitude, more[0] if more else None):
        return None
    found = {LATITUDE: latitude, LONGITUDE: longitude}
    return found | {ALTITUDE: more[0]} if more else found


def _is_place(latitude: object, longitude: object, altitude: object) -> bool:
    return (
        _is_number(latitude)
        and _is_number(longitude)
        and -_LATITUDE_END <= latitude <= _LATITUDE_END
        and -_LONGITUDE_END <= longitude <= _LONGITUDE_END
        and (altitude is None or _is_number(altitude))
    )


def _is_number(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
