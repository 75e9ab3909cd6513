"""Devices as CSV, in and out."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.registry.catalogue import table
from appliance.registry.catalogue.model import Fate, InvalidTableError
from appliance.registry.model import Device, DeviceState
from tests.appliance.registry.catalogue.examples import device, fleets, texts

KNOWN = {
    one.device_id: one
    for one in (
        device("a", zone="north", groups=("x", "y"), attributes={"floor": "1"}),
        device("r", state=DeviceState.RETIRED),
    )
}


def planned(content: str, **mapping: str) -> list[tuple[int, str, str]]:
    read = table.read(content.encode())
    plan = table.plan(read, mapping or table.guessed(read.columns), KNOWN)
    return [(row.line, row.fate.value, row.reason) for row in plan.rows]


@given(fleets)
def test_what_was_exported_changes_nothing_when_it_is_imported(fleet: list[Device]) -> None:
    content = table.written(fleet, table.attribute_keys(fleet)).encode()
    read = table.read(content)
    plan = table.plan(read, table.guessed(read.columns), {one.device_id: one for one in fleet})
    assert [(row.device_id, row.fate, row.reason) for row in plan.rows] == [
        (one.device_id, Fate.UNCHANGED, "") for one in fleet
    ]


@given(fleets)
def test_an_export_builds_the_same_fleet_elsewhere(fleet: list[Device]) -> None:
    fleet = [one for one in fleet if one.state is not DeviceState.RETIRED]
    read = table.read(table.written(fleet, table.attribute_keys(fleet)).encode())
    plan = table.plan(read, table.guessed(read.columns), {})
    assert plan.wanted(Fate.NEW) == [table.as_new(one) for one in fleet]


@given(texts, texts)
def test_no_cell_begins_as_a_formula_and_different_texts_stay_different(one: str, other: str) -> None:
    assert table.escaped(one)[:1] not in tuple("=+-@\t\n")
    assert (table.escaped(one) == table.escaped(other)) == (one == other)


def test_a_formula_is_disarmed_for_spreadsheets() -> None:
    text = table.written([device("a", name="=cmd|' /C calc'!A0", notes="@SUM(1)")], [])
    [_, row] = csv.reader(io.StringIO(text))
    assert row[1] == "'=cmd|' /C calc'!A0"
    assert row[-1] == "'@SUM(1)"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_tables_of_others_are_read(mark: bytes, separator: str, end: str) -> None:
    lines = [["Device ID", "Name", "Zöne"], ["s-1", f'"x{separator}""y"""', "Ü"], ["", "", ""], ["s-2", "n", ""]]
    content = mark + end.join(separator.join(cells) for cells in lines).encode()
    read = table.read(content)
    assert read.columns == ("Device ID", "Name", "Zöne")
    assert read.rows == ((2, ("s-1", f'x{separator}"y"', "Ü")), (4, ("s-2", "n", "")))


def test_columns_are_guessed_by_their_names() -> None:
    columns = ("Device ID", "id", "Serial No.", "Location", "attribute.floor", "Colour", "Tags", "Name")
    assert list(table.guessed(columns).values()) == [
        "device_id",
        "",
        "serial_number",
        "zone",
        "attribute.floor",
        "",
        "groups",
        "name",
    ]


def test_each_row_is_told_what_would_happen_to_it() -> None:
    content = (
        "device_id,zone,groups,attribute.floor,state\n"
        "a,north,y|x,1,\n"
        "a,south,,1,\n"
        "b,north,,,pending\n"
        "b b,,,,\n"
        "r,,,,active\n"
        "c,,,,retired\n"
        "d,,,,on\n"
    )
    lines = planned(content)
    assert lines[0] == (2, "unchanged", "")
    assert lines[1] == (3, "refused", "a stands on line 2 already")
    assert lines[2] == (4, "new", "")
    assert [fate for _, fate, _ in lines[3:]] == ["refused"] * 4
    assert "cannot be a device id" in lines[3][2]
    assert "is retired and cannot become active" in lines[4][2]
    assert "cannot begin its life retired" in lines[5][2]
    assert "'on' is no state" in lines[6][2]


def test_a_change_names_its_fields_and_columns_that_are_not_there_change_nothing() -> None:
    assert planned("id,groups,attribute.floor,attribute.x\na,y,,2\n") == [
        (2, "changed", "groups, attribute.floor, attribute.x")
    ]
    assert planned("id\na\n") == [(2, "unchanged", "")]
    assert planned("id,zone\na\n") == [(2, "changed", "zone")]


def test_a_table_does_not_retire() -> None:
    [(_, fate, reason)] = planned("id,state\na,retired\n")
    assert fate == "refused"
    assert "on its own page" in reason


def test_columns_are_taken_for_what_they_are_said_to_be() -> None:
    assert planned("who,where\na,south\n", who="device_id", where="zone") == [(2, "changed", "zone")]
    assert planned("who,where\na,south\n", who="device_id", where="") == [(2, "unchanged", "")]


@pytest.mark.parametrize(
    ("mapping", "sentence"),
    [
        ({"where": "zone"}, "no column is taken for device_id"),
        ({"who": "device_id", "where": "device_id"}, "two columns are taken for device_id"),
        ({"who": "device_id", "what": "zone"}, "no column 'what'"),
        ({"who": "device_id", "where": "colour"}, "cannot be 'colour'"),
        ({"who": "device_id", "where": "attribute."}, "cannot be 'attribute.'"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(mapping: dict[str, str], sentence: str) -> None:
    with pytest.raises(InvalidTableError) as error:
        planned("who,where\na,south\n", **mapping)
    assert sentence in str(error.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "names no columns"),
        (b"\n\n", "names no columns"),
        ("id\nü".encode("latin-1"), "line 2 is not UTF-8"),
        ("id\nx".encode("utf-16"), "UTF-16"),
        (b"id\nx\0", "not CSV"),
        (b"id,id\nx,y", "two columns are named 'id'"),
        (b'id\n"open', "cannot be read"),
        (b",".join(b"c%d" % number for number in range(201)), "201 columns"),
        (b"id\n" + b"x\n" * (table.ROWS_LIMIT + 1), "more than 100,000 rows"),
        (b"id,name\nx," + b"y" * 200_000, "line 2 cannot be read"),
    ],
    ids=range(10),
)
def test_what_is_no_table_is_told(content: bytes, sentence: str) -> None:
    with pytest.raises(InvalidTableError) as error:
        table.read(content)
    assert sentence in str(error.value)


@given(st.binary(max_size=60))
def test_any_file_is_read_or_refused(content: bytes) -> None:
    try:
        read = table.read(content)
    except InvalidTableError:
        return
    assert any(read.columns)
