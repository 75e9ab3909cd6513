import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.asking.model import Place, Row
from appliance.telemetry.model import Report
from appliance.telemetry.tables import handed
from appliance.telemetry.tables.handed import END, MORE, NO_TENANT, Bin, Heading, InUnits, OfBins, OfReadings
from tests.appliance.telemetry.reports import exact, reports, texts, values


@given(st.lists(reports(), max_size=6), st.booleans())
def test_reports_come_out_as_they_went_in(found: list[Report], is_detailed: bool) -> None:
    lines = handed.reports(found, {}, is_detailed=is_detailed).encode().splitlines(keepends=True)
    told = [handed.read(line) for line in lines]
    others = {"tenant_id": NO_TENANT} | ({} if is_detailed else {"topic": "", "client_id": ""})
    expected = [msgspec.structs.replace(each, **others) for each in found]
    assert [exact(each) for each in told if isinstance(each, Report)] == list(map(exact, expected))
    assert len(told) == len(found)


@given(st.lists(reports(st.sampled_from("ab")), max_size=6))
def test_units_of_a_device_stand_before_its_reports(found: list[Report]) -> None:
    found.sort(key=lambda each: each.device_id)
    units = {"b": {"flow": "l/min", "x": "°C"}, "c": {"flow": "l"}}
    lines = handed.reports(found, units, is_detailed=True).encode().splitlines(keepends=True)
    told = [handed.read(line) for line in lines]
    places = [place for place, each in enumerate(told) if isinstance(each, InUnits)]
    expected = [sum(each.device_id == "a" for each in found)] if any(each.device_id == "b" for each in found) else []
    assert places == expected
    assert [told[place] for place in places] == [InUnits("b", units["b"]) for _ in expected]
    assert len(told) == len(found) + len(expected)


@given(st.lists(st.tuples(st.integers(0, 2**42), texts, st.lists(values, max_size=3)), max_size=6))
def test_rows_come_out_as_they_went_in(found: list[tuple[int, str, list[None]]]) -> None:
    rows = [Row(Place(at, key, 0), tuple(numbers)) for at, key, numbers in found]
    told = [handed.read(line) for line in handed.rows(rows).encode().splitlines(keepends=True)]
    assert all(isinstance(each, Bin) for each in told)
    assert [repr(each) for each in told] == [repr(Bin(at, key, numbers)) for at, key, numbers in found]


@given(
    st.booleans().map(OfReadings)
    | st.builds(OfBins, texts, st.lists(texts).map(tuple), st.lists(st.none() | texts).map(tuple))
)
def test_headings_come_out_as_they_went_in(of: Heading) -> None:
    assert handed.read(handed.heading(of).encode()) == of


def test_the_end_is_told_from_an_end_that_came_too_early() -> None:
    assert [handed.read(word.encode()) for word in (END, MORE)] == ["end", "more"]
    for broken in (END[:-1], "[1,", '{"is_deta'):
        with pytest.raises(json.JSONDecodeError):
            handed.read(broken.encode())
