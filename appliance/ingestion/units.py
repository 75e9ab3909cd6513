"""Units of measurement: which there are, and how a number in one becomes a number in another.

Units go by their SenML names (RFC 8428 §12.1, RFC 8798), by those of UCUM, and by what people write. Numbers are
taken as the decimals they were written as, so 1.013 bar is 101300 Pa and not 101299.99999999999.
"""

from collections.abc import Mapping
from fractions import Fraction
from math import isfinite
from typing import NamedTuple


class _Unit(NamedTuple):
    """What one of it is in the unit that its quantity is counted in: `number * factor + shift`."""

    quantity: str
    factor: Fraction
    shift: Fraction


_POUND = Fraction("0.45359237")
_FOOT = Fraction("0.3048")
_GALLON = Fraction("0.003785411784")
_PSI = _POUND * Fraction("9.80665") / Fraction("0.0254") ** 2

_LINEAR: Mapping[str, Mapping[str, str | Fraction]] = {
    "pressure": {
        "Pa": "1",
        "hPa": "100",
        "kPa": "1000",
        "MPa": "1e6",
        "bar": "1e5",
        "mbar": "100",
        "psi [psi] PSI": _PSI,
        "atm": "101325",
        "mmHg mm[Hg]": "133.322387415",
        "inHg [in_i'Hg]": "3386.389",
    },
    "length": {
        "m": "1",
        "km": "1000",
        "dm": "0.1",
        "cm": "0.01",
        "mm": "0.001",
        "um µm": "1e-6",
        "in [in_i]": "0.0254",
        "ft [ft_i]": _FOOT,
        "yd [yd_i]": 3 * _FOOT,
        "mi [mi_i]": 5280 * _FOOT,
        "NM [nmi_i]": "1852",
    },
    "mass": {
        "kg": "1",
        "g": "0.001",
        "mg": "1e-6",
        "t": "1000",
        "lb [lb_av]": _POUND,
        "oz [oz_av]": _POUND / 16,
    },
    "volume": {
        "m3 m³": "1",
        "l L": "0.001",
        "ml mL": "1e-6",
        "hl hL": "0.1",
        "gal [gal_us]": _GALLON,
        "ft3 ft³": _FOOT**3,
    },
    "flow": {
        "m3/s m³/s": "1",
        "m3/h m³/h": Fraction(1, 3600),
        "m3/min m³/min": Fraction(1, 60),
        "l/s L/s": "0.001",
        "l/min L/min": Fraction(1, 60_000),
        "l/h L/h": Fraction(1, 3_600_000),
        "ml/min mL/min": Fraction(1, 60_000_000),
        "gal/min gpm [gal_us]/min": _GALLON / 60,
        "ft3/min cfm": _FOOT**3 / 60,
    },
    "mass flow": {"kg/s": "1", "kg/h": Fraction(1, 3600), "kg/min": Fraction(1, 60), "g/s": "0.001"},
    "energy": {
        "J": "1",
        "kJ": "1000",
        "MJ": "1e6",
        "GJ": "1e9",
        "Wh": "3600",
        "kWh": "3.6e6",
        "MWh": "3.6e9",
        "cal": "4.184",
        "kcal": "4184",
    },
    "power": {"W": "1", "mW": "0.001", "kW": "1000", "MW": "1e6", "GW": "1e9", "hp [HP]": "745.69987158227022"},
    "apparent power": {"VA": "1", "kVA": "1000"},
    "reactive power": {"var": "1", "kvar": "1000"},
    "ratio": {"/ 1": "1", "% %EL %RH %rH": "0.01", "‰": "0.001", "ppm": "1e-6", "ppb": "1e-9"},
    "speed": {
        "m/s": "1",
        "km/h kmh": Fraction(5, 18),
        "mph": 5280 * _FOOT / 3600,
        "kn": Fraction(1852, 3600),
        "ft/s": _FOOT,
        "mm/s": "0.001",
        "mm/h": Fraction(1, 3_600_000),
    },
    "voltage": {"V": "1", "mV": "0.001", "uV µV": "1e-6", "kV": "1000"},
    "current": {"A": "1", "mA": "0.001", "uA µA": "1e-6", "kA": "1000"},
    "charge": {"C": "1", "Ah": "3600", "mAh": "3.6"},
    "resistance": {"Ohm Ω": "1", "kOhm kΩ": "1000", "MOhm MΩ": "1e6"},
    "frequency": {"Hz": "1", "kHz": "1000", "MHz": "1e6", "GHz": "1e9"},
    "rotation": {"rpm 1/min": "1", "rps 1/s": "60"},
    "time": {"s": "1", "ms": "0.001", "us µs": "1e-6", "min": "60", "h": "3600", "d": "86400"},
    "concentration": {"kg/m3 g/l": "1", "g/m3 mg/l": "0.001", "ug/m3 µg/m³ µg/m3": "1e-9"},
    "conductivity": {"S/m": "1", "mS/cm": "0.1", "uS/cm µS/cm": "1e-4"},
    "data": {"B": "1", "kB": "1000", "KiB": "1024", "MB": "1e6", "MiB": "1048576", "GB": "1e9", "bit": "0.125"},
    "angle": {"rad": "1", "deg °": Fraction("0.017453292519943295")},
    "level": {"dBm": "1"},
    "illuminance": {"lx": "1", "klx": "1000"},
}
"""By quantity: the names of each unit, with a blank in between, and how many of the first one it is."""

_TEMPERATURES: Mapping[str, tuple[Fraction, Fraction]] = {
    "K": (Fraction(1), Fraction(0)),
    "Cel °C degC ℃ celsius": (Fraction(1), Fraction("273.15")),
    "°F degF [degF] ℉ fahrenheit": (Fraction(5, 9), Fraction("459.67") * 5 / 9),
}


def _table() -> dict[str, _Unit]:
    units = {
        name: _Unit(quantity, Fraction(factor), Fraction(0))
        for quantity, factors in _LINEAR.items()
        for names, factor in factors.items()
        for name in names.split(" ")
    }
    for names, (factor, shift) in _TEMPERATURES.items():
        units |= {name: _Unit("temperature", factor, shift) for name in names.split(" ")}
    return units


_UNITS = _table()

UNIT_NAMES: Mapping[str, str] = {name: unit.quantity for name, unit in _UNITS.items()}
"""Every name of a unit that is known, and what it measures."""


def is_same(one: str, other: str) -> bool:
    """Whether two names mean the same unit; names that are not known are the same when they are equal."""
    return one == other or (one in _UNITS and _UNITS[one] == _UNITS.get(other))


def convert(value: float, unit: str, into: str) -> float | None:
    """A number in one unit as a number in another; None when there is no way between them.

    A whole number stays whole where nothing is lost. What is not finite stays what it is.
    """
    before, after = _UNITS.get(unit), _UNITS.get(into)
    if before is None or after is None or before.quantity != after.quantity:
        return None
    if before == after or not isfinite(value):
        return value
    exact = (Fraction(repr(value)) * before.factor + before.shift - after.shift) / after.factor
    if isinstance(value, int) and exact.denominator == 1:
        return int(exact)
    try:
        return float(exact)
    except OverflowError:
        return None
