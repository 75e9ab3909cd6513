"""How numbers, lengths of time and readings are put into words. Pure: the moment is an argument."""

import math
from collections.abc import Mapping

from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS, SECOND_MS
from appliance.telemetry.model import Value

NOTHING = "\u2013"
MINUS = "\u2212"
NARROW_SPACE = "\u202f"

UNITS: Mapping[str, str] = {
    "battery": "%",
    "battery_level": "%",
    "battery_percent": "%",
    "batterylevel": "%",
    "humidity": "%",
    "rssi": "dBm",
    "signal": "dBm",
    "signal_strength": "dBm",
    "signalstrength": "dBm",
}
"""Units of metrics whose name leaves no doubt. A pressure may be kPa or bar: it gets none."""

_LARGE = 100_000
_TENS = 100
_UNITS = 10


def number(value: float) -> str:
    """A number in as few digits as a person needs to tell it from its neighbours."""
    if not math.isfinite(value):
        return str(value)
    size = abs(value)
    if value == int(value) and size < _LARGE:
        text = f"{int(value)}"
    elif size >= _LARGE:
        text = f"{value:,.0f}".replace(",", NARROW_SPACE)
    elif size >= _UNITS:
        text = f"{value:.1f}"
    elif size >= 1:
        text = f"{value:.2f}"
    else:
        text = f"{value:.3g}"
    return text.replace("-", MINUS, 1)


def measured(value: float) -> str:
    """A measured number: always with the decimals its size asks for, so that columns of them line up."""
    if math.isfinite(value) and value == int(value) and _UNITS <= abs(value) < _LARGE:
        return f"{value:.1f}".replace("-", MINUS, 1)
    return number(value)


def count(value: float) -> str:
    """A whole number, with its thousands set apart."""
    return f"{value:,.0f}".replace(",", NARROW_SPACE)


def reading(value: Value) -> str:
    """A reading's value, whatever its kind."""
    match value:
        case None:
            return NOTHING
        case bool():
            return "on" if value else "off"
        case str():
            return value
        case int():
            return number(value)
        case float():
            return measured(value)


def place(latitude: float, longitude: float) -> str:
    """A place in degrees, to about a metre: `52.52000° N 13.40500° E`."""
    sides = ("S" if latitude < 0 else "N", "W" if longitude < 0 else "E")
    return f"{abs(latitude):.5f}° {sides[0]} {abs(longitude):.5f}° {sides[1]}"


def unit(metric: str) -> str:
    """The unit of a metric, where its name leaves no doubt; otherwise nothing."""
    return UNITS.get(metric.lower(), "")


def duration(length_ms: int) -> str:
    """A length of time in its one or two largest parts, for example `4 h 31 min`."""
    length_ms = max(length_ms, 0)
    if length_ms < 10 * SECOND_MS:
        return f"{length_ms / SECOND_MS:.1f} s"
    if length_ms < MINUTE_MS:
        return f"{length_ms // SECOND_MS} s"
    if length_ms < HOUR_MS:
        return f"{length_ms // MINUTE_MS} min"
    if length_ms < DAY_MS:
        return f"{length_ms // HOUR_MS} h {length_ms % HOUR_MS // MINUTE_MS} min"
    return f"{length_ms // DAY_MS} d {length_ms % DAY_MS // HOUR_MS} h"


def hold(length_ms: int) -> str:
    """A length of time that somebody has set, exactly: `90 s`, `5 min`."""
    if length_ms % MINUTE_MS == 0 and length_ms:
        return f"{length_ms // MINUTE_MS} min"
    return f"{number(length_ms / SECOND_MS)} s"


def metric_name(metric: str) -> str:
    """A metric as a heading: `flow_rate` and `flowRate` become `Flow rate`."""
    spaced = "".join(f" {letter.lower()}" if letter.isupper() else letter for letter in metric)
    text = spaced.replace("_", " ").replace("-", " ").strip()
    return text[:1].upper() + text[1:] if text else metric
