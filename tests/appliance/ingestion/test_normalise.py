from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.normalise import FLAGGED, REJECTED, Normalised, normalise
from appliance.ingestion.payload import Parsed
from appliance.registry.catalogue.model import DeviceType, MetricKind, MetricRule, Violation
from appliance.telemetry.model import Report, TimeSource, Value
from tests.appliance.ingestion.examples import NOW

PLAIN = DeviceType("px")

values = st.none() | st.booleans() | st.integers(-200, 200) | st.floats() | st.text(max_size=3)
names = st.sampled_from(["p", "gps", "gps.latitude", "gps.longitude", "x"])
unit_names = st.sampled_from(["bar", "Pa", "m", "smoots"])
bounds = st.none() | st.integers(-100, 100).map(float)
rules = st.builds(MetricRule, st.sampled_from(MetricKind), bounds, bounds, st.sampled_from(Violation))
types = st.builds(
    DeviceType,
    name=st.just("px"),
    units=st.dictionaries(names, unit_names, max_size=2),
    metrics=st.dictionaries(names, rules, max_size=3),
    unknown_metrics=st.sampled_from(Violation),
)


def parsed(readings: dict[str, Any], units: dict[str, str] | None = None) -> Parsed:
    return Parsed(Report(1, "pump", NOW, NOW, TimeSource.DEVICE, "t", "pump", readings, None), units or {}, None)


def normalised(kind: DeviceType, units: dict[str, str] | None = None, **readings: Value) -> Normalised:
    return normalise(parsed(readings, units), kind)


@given(st.dictionaries(names, values, min_size=1), st.dictionaries(names, unit_names), types)
def test_every_reading_is_kept_or_counted_and_said(
    readings: dict[str, Any], units: dict[str, str], kind: DeviceType
) -> None:
    found = normalise(parsed(readings, units), kind)
    kept = found.report.values
    assert kept.keys() <= readings.keys()
    assert len(kept) + found.rejected_count == len(readings)
    assert found.flagged_count <= len(kept)
    assert {remark.kind for remark in found.remarks} == {
        name for name, count in ((REJECTED, found.rejected_count), (FLAGGED, found.flagged_count)) if count
    }
    assert found.units.items() <= units.items()


@given(st.dictionaries(names, values, min_size=1), st.dictionaries(names, unit_names), types)
def test_what_is_normal_stays_as_it_is(readings: dict[str, Any], units: dict[str, str], kind: DeviceType) -> None:
    once = normalise(parsed(readings, units), kind)
    again = normalise(parsed(dict(once.report.values), dict(once.units)), kind)
    assert again.rejected_count == 0
    assert repr(again.report) == repr(once.report)


def test_a_declared_unit_becomes_that_of_the_type() -> None:
    kind = DeviceType("px", units={"p": "kPa", "t": "°C"})
    found = normalised(kind, {"p": "bar", "t": "Cel", "q": "l/s"}, p=1.013, t=21, q=5)
    assert found.report.values == {"p": 101.3, "t": 21, "q": 5}
    assert found.units == {"q": "l/s"}
    assert found.remarks == ()


def test_a_unit_that_cannot_be_converted_is_a_violation() -> None:
    kind = DeviceType("px", units={"p": "kPa"})
    found = normalised(kind, {"p": "l/s"}, p=1)
    assert (found.report.values, found.flagged_count) == ({"p": 1}, 1)
    assert found.remarks[0].reason == "p is in l/s, which cannot be made kPa"
    rejecting = DeviceType("px", units={"p": "kPa"}, metrics={"p": MetricRule(violation=Violation.REJECT)})
    assert normalised(rejecting, {"p": "l/s"}, p=1).report.values == {}


def test_bounds_hold_in_the_unit_of_the_type_and_both_are_inside() -> None:
    rule = MetricRule(MetricKind.NUMBER, 0, 60, Violation.REJECT)
    kind = DeviceType("px", units={"p": "kPa"}, metrics={"p": rule})
    assert normalised(kind, {"p": "bar"}, p=0.6).report.values == {"p": 60.0}
    found = normalised(kind, {"p": "bar"}, p=1.0)
    assert [remark.reason for remark in found.remarks] == ["p is 100.0 kPa, above 60"]
    assert normalised(kind, p=-1).remarks[0].reason == "p is -1 kPa, below 0"
    assert normalised(kind, p=None).report.values == {"p": None}


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (MetricKind.NUMBER, [1, 1.5, float("inf")], ["1", True, float("nan")]),
        (MetricKind.WHOLE, [1, 2.0], [1.5, "1", True, float("nan"), float("inf")]),
        (MetricKind.TEXT, ["", "1"], [1, False]),
        (MetricKind.BOOLEAN, [True, False], [0, "true"]),
        (MetricKind.LOCATION, [], [1, "here", True]),
        (MetricKind.ANY, [1, "x", True], []),
    ],
)
def test_kinds_are_told_apart(kind: MetricKind, good: list[Value], bad: list[Value]) -> None:
    told = DeviceType("px", metrics={"a": MetricRule(kind, violation=Violation.REJECT)})
    assert all(normalised(told, a=value).rejected_count == 0 for value in [*good, None])
    assert all(normalised(told, a=value).rejected_count == 1 for value in bad)


def test_a_location_is_known_by_its_coordinates() -> None:
    kind = DeviceType("px", metrics={"gps": MetricRule(MetricKind.LOCATION)}, unknown_metrics=Violation.REJECT)
    found = normalise(parsed({"gps.latitude": 1.0, "gps.longitude": 2.0, "gps.speed": 3.0}), kind)
    assert found.report.values == {"gps.latitude": 1.0, "gps.longitude": 2.0}
    assert found.remarks[0].reason == "gps.speed is no metric of the type px"


def test_unknown_metrics_are_kept_flagged_or_left_out_as_the_type_says() -> None:
    for violation, counts in ((Violation.KEEP, (0, 0)), (Violation.FLAG, (0, 1)), (Violation.REJECT, (1, 0))):
        found = normalised(DeviceType("px", units={"p": "bar"}, unknown_metrics=violation), p=1, q=1)
        assert (found.rejected_count, found.flagged_count) == counts


def test_many_violations_are_one_remark() -> None:
    found = normalised(DeviceType("px", unknown_metrics=Violation.FLAG), a=1, b=2, c=3)
    assert [remark.reason for remark in found.remarks] == ["a is no metric of the type px, and 2 more"]
