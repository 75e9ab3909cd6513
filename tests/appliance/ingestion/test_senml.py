import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion import senml
from appliance.ingestion.fault import PayloadError
from appliance.ingestion.senml import Relative, is_pack, metric_of
from tests.appliance.ingestion.examples import NOW

SECONDS = NOW / 1_000

fields = st.fixed_dictionaries(
    {},
    optional={
        "bn": st.sampled_from(["", "pump:", "urn:dev:mac:0024befffe804ff1:"]) | st.integers(),
        "bt": st.sampled_from([0, SECONDS, -5]) | st.floats() | st.text(max_size=2),
        "bu": st.sampled_from(["", "Cel", "lat"]),
        "bv": st.integers(-5, 5) | st.floats(),
        "bver": st.sampled_from([5, 10, 11, "x"]),
        "n": st.sampled_from(["", "a", "b", "gps"]) | st.none(),
        "u": st.sampled_from(["Cel", "lon", "%"]),
        "v": st.integers() | st.floats() | st.booleans() | st.text(max_size=3),
        "vs": st.text(max_size=3) | st.integers(),
        "vb": st.booleans() | st.none(),
        "vd": st.text(max_size=5) | st.binary(max_size=5),
        "s": st.floats() | st.integers(),
        "t": st.floats(-10, 10) | st.just(SECONDS),
        "ut": st.integers(),
        "x_": st.integers(),
        -2: st.text(max_size=3),
        0: st.text(max_size=3),
        2: st.integers(),
        99: st.integers(),
    },
)


def objects(*records: dict[Any, Any], device_id: str = "pump") -> list[dict[str, Any]]:
    found, faults = senml.objects(list(records), device_id, NOW)
    assert faults == []
    return found


def readings(*records: dict[Any, Any]) -> dict[str, Any]:
    [one] = objects(*records)
    found: dict[str, Any] = one["readings"]
    return found


@given(st.lists(fields, max_size=5) | st.lists(st.integers()) | st.integers())
def test_no_pack_raises_anything_but_what_is_wrong_with_it(decoded: object) -> None:
    is_pack(decoded)
    with contextlib.suppress(PayloadError):
        found, faults = senml.objects(decoded, "pump", NOW)
        assert all(one["readings"] for one in found)
        assert all(fault.reason for fault in faults)


times = st.integers(0, 3_600)
names = st.sampled_from(["flow", "pressure", "level"])
measured = st.lists(st.tuples(names, times, st.integers(-100, 100)), min_size=1, max_size=6)


@given(measured, st.integers(0, 100))
def test_base_fields_mean_what_the_resolved_records_mean(told: list[tuple[str, int, int]], base: int) -> None:
    first = SECONDS - 10_000
    resolved = [{"n": f"pump:{name}", "u": "bar", "t": first + at, "v": value} for name, at, value in told]
    based: list[dict[str, Any]] = [{"n": name, "t": at, "v": value - base} for name, at, value in told]
    based[0] = {"bn": "pump:", "bt": first, "bu": "bar", "bv": base, "bver": 10, **based[0]}
    assert objects(*based) == objects(*resolved)
    labels = {"bn": -2, "bt": -3, "bu": -4, "bv": -5, "bver": -1, "n": 0, "u": 1, "v": 2, "t": 6}
    assert objects(*({labels[key]: value for key, value in record.items()} for record in based)) == objects(*based)


def test_the_examples_of_the_specification_are_read() -> None:
    """RFC 8428 §5.1.1 to §5.1.3, the times moved to where they are moments of today."""
    assert readings({"n": "urn:dev:ow:10e2073a01080063", "u": "Cel", "v": 23.1}) == {
        "value": {"value": 23.1, "unit": "Cel"}
    }
    text = """[
        {"bn":"urn:dev:ow:10e2073a0108006:","bt":1.799967464e+09,"bu":"A","bver":5,"n":"voltage","u":"V","v":120.1},
        {"n":"current","t":-5,"v":1.2},
        {"n":"current","t":-4,"v":1.3},
        {"n":"current","v":1.7}
    ]"""
    at = 1_799_967_464_000
    assert objects(*json.loads(text)) == [
        {
            "timestamp": at,
            "readings": {"voltage": {"value": 120.1, "unit": "V"}, "current": {"value": 1.7, "unit": "A"}},
        },
        {"timestamp": at - 5_000, "readings": {"current": {"value": 1.2, "unit": "A"}}},
        {"timestamp": at - 4_000, "readings": {"current": {"value": 1.3, "unit": "A"}}},
    ]
    assert readings(
        {"bn": "urn:dev:ow:10e2073a01080063:", "n": "label", "vs": "Machine Room"},
        {"n": "open", "vb": False},
        {"n": "nfc-reader", "vd": "aGkgCg"},
    ) == {"label": "Machine Room", "open": False, "nfc-reader": "aGkgCg"}


def test_times_before_2_to_the_28_are_relative_to_the_arrival() -> None:
    assert objects({"n": "a", "v": 1, "t": -5})[0]["timestamp"] == Relative(NOW - 5_000)
    assert objects({"n": "a", "v": 1})[0]["timestamp"] is None
    assert objects({"n": "a", "v": 1, "bt": 2**28 - 1})[0]["timestamp"] == Relative(NOW + (2**28 - 1) * 1_000)
    assert objects({"n": "a", "v": 1, "bt": 2**28})[0]["timestamp"] == 2**28 * 1_000


def test_sums_data_and_places_are_readings() -> None:
    assert readings({"n": "energy", "u": "J", "s": 100, "bs": 11}) == {"energy.sum": 111}
    assert readings({"n": "flow", "v": 1, "s": 5}) == {"flow": 1, "flow.sum": 5}
    assert readings({0: "raw", 8: b"hi \n"}) == {"raw": "aGkgCg"}
    assert readings({"n": "gps", "u": "lat", "v": 52.5}, {"n": "gps", "u": "lon", "v": 13.4}) == {
        "gps.latitude": 52.5,
        "gps.longitude": 13.4,
    }
    assert readings({"u": "lat", "v": 52.5}) == {"location.latitude": 52.5}


def test_a_record_without_a_name_is_the_value_of_the_device() -> None:
    assert readings({"v": 1}) == {"value": 1}
    assert readings({"bn": "pump", "v": 1}) == {"value": 1}


def test_one_name_twice_at_one_moment_is_two_objects() -> None:
    assert [one["readings"] for one in objects({"n": "a", "v": 1}, {"n": "b", "v": 2}, {"n": "a", "v": 3})] == [
        {"a": 1, "b": 2},
        {"a": 3},
    ]


def test_a_pack_has_as_many_records_as_the_limit_says() -> None:
    records = [{"n": f"a{number}", "v": number} for number in range(senml.RECORDS_LIMIT)]
    assert len(readings(*records)) == senml.RECORDS_LIMIT


def test_records_that_cannot_be_taken_do_not_stop_the_others() -> None:
    found, faults = senml.objects([{"n": "a", "v": 1}, {"n": "b", "v": "x"}, {"n": "c"}, {"bn": "pump:"}], "pump", NOW)
    assert [one["readings"] for one in found] == [{"a": 1}]
    assert [fault.reason for fault in faults] == [
        "v of a record is no number",
        "a record has one of v, vs, vb, vd or a sum s; 'c' has none",
    ]


@pytest.mark.parametrize(
    ("decoded", "words"),
    [
        ({"n": "a", "v": 1}, "an array of records"),
        ([1], "an array of records"),
        ([{"n": "a", "v": 1, "x_": 1}], "'x_' must be understood"),
        ([{"n": "a", "v": 1, "bver": 11}], "version 11, at most 10"),
        ([{"n": "a", 0: "b"}], "'n' of a record is there twice"),
        ([{"n": "a", "v": 1}] * (senml.RECORDS_LIMIT + 1), "1,501 records in one pack, at most 1,500"),
    ],
)
def test_a_pack_that_must_not_be_taken_is_refused_whole(decoded: object, words: str) -> None:
    with pytest.raises(PayloadError, match=words):
        senml.objects(decoded, "pump", NOW)


@pytest.mark.parametrize(
    ("name", "metric"),
    [
        ("flow", "flow"),
        ("pump:flow", "flow"),
        ("pump/flow", "flow"),
        ("pump", ""),
        ("pumpkin", "pumpkin"),
        ("pump_speed", "pump_speed"),
        ("urn:dev:mac:0024befffe804ff1:flow", "flow"),
        ("urn:dev:ops:32473-Pump-1_flow", "flow"),
        ("urn:dev:mac:0024befffe804ff1", ""),
        ("valve:flow", "valve:flow"),
    ],
)
def test_the_metric_is_what_follows_the_device(name: str, metric: str) -> None:
    assert metric_of(name, "pump") == metric


@pytest.mark.parametrize(
    ("decoded", "expected"),
    [
        ([{"n": "a", "v": 1}], True),
        ([{"bn": "a", "bt": 1}, {"v": 1}], True),
        ([{-2: "a"}], True),
        ([{"n": "a", "v": 1, "deviceId": "pump"}], False),
        ([{"t": 21.5, "v": 3.3}], False),
        ([{"n": 5, "v": 3.3}], False),
        ([{"n": "a"}], False),
        ({"n": "a", "v": 1}, False),
        ([], False),
        ([{"n": "a", "v": 1}, 7], False),
    ],
)
def test_a_pack_is_known_by_its_labels(decoded: object, *, expected: bool) -> None:
    assert is_pack(decoded) is expected
