from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.importing.model import InvalidReadingsError, Refusal, Told
from appliance.ingestion.importing.table import METRICS_LIMIT, Table, moment_of, rows, separator
from appliance.telemetry.model import Report, TimeSource
from appliance.telemetry.tables.layout import Form, Layout, body, columns_for, heading
from tests.appliance.telemetry.reports import NOON, report

letters = st.text(min_size=1, max_size=6)
kept = st.floats() | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.none() | st.text(max_size=8)
reports = st.builds(
    report,
    st.sampled_from(["a", "b-1"]),
    st.integers(0, NOON),
    values=st.dictionaries(letters | st.sampled_from(["flow", "time"]), kept, min_size=1, max_size=4),
    sequence=st.none() | st.integers(0, 2**63 - 1),
    time_source=st.sampled_from(TimeSource),
    arrived_at=st.integers(0, NOON),
    topic=letters,
    client_id=letters,
)


def told_of(text: str) -> list[Told | Refusal]:
    lines = text.splitlines(keepends=True) or [""]
    [(_, heading_), *_] = [*rows(lines, separator(lines[0])), (0, [])]
    table = Table(heading_)
    found = list(filter(None, map(table.told, list(rows(lines, separator(lines[0])))[1:])))
    refusals = [each for each in found if isinstance(each, Refusal)]
    return [*refusals, *table.reports([each for each in found if isinstance(each, Told)])]


def shown(one: Report | Told) -> Any:
    values = sorted((metric, repr(value)) for metric, value in one.values.items())
    return one.device_id, one.at, one.sequence, one.arrived_at, one.time_source, one.topic, one.client_id, values


@given(st.lists(reports, max_size=5), st.sampled_from([Form.CSV, Form.LONG]))
def test_what_was_written_is_read_back(found: list[Report], form: Form) -> None:
    layout = Layout(form, columns_for(["flow"]), is_detailed=True)
    written = heading(layout) + body(layout, found, is_first=True)
    lines = written.split("\n")
    read = list(rows([line + "\n" for line in lines[:-1]], ","))
    table = Table(read[0][1])
    found_rows = [table.told(row) for row in read[1:]]
    told = list(table.reports(each for each in found_rows if isinstance(each, Told)))
    assert [each for each in found_rows if isinstance(each, Refusal)] == []
    merged: list[Any] = []
    for each in found:
        last = merged[-1] if merged else None
        if (
            form is Form.LONG
            and last is not None
            and shown(last)[:7] == shown(each)[:7]
            and last.values.keys().isdisjoint(each.values)
        ):
            merged[-1] = report(
                **{name: getattr(last, name) for name in Report.__struct_fields__ if name != "values"}
                | {"values": {**last.values, **each.values}}
            )
        else:
            merged.append(each)
    assert [shown(each) for each in told] == list(map(shown, merged))


@given(st.lists(st.text("a,b;\"\n\t0.5'", max_size=12), max_size=5))
def test_no_table_raises_anything_else(cells: list[str]) -> None:
    try:
        told_of("device_id,time,x\n" + "\n".join(cells))
    except InvalidReadingsError as error:
        assert str(error)  # noqa: PT017  that nothing else is raised is what is looked at


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("1700000000", 1_700_000_000_000),
        ("1700000000.25", 1_700_000_000_250),
        ("1700000000250", 1_700_000_000_250),
        ("2026-01-31T12:00:00Z", NOON),
        ("2026-01-31 13:00:00+01:00", NOON),
        (" 2026-01-31T12:00 ", NOON),
        ("0", 0),
    ],
)
def test_a_moment_is_read_in_every_form(text: str, at: int) -> None:
    assert moment_of(text) == at


@pytest.mark.parametrize("text", ["", "-1", "soon", "1e9", "9999-12-31", "999999999999999", "nan"])
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        moment_of(text)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (",0,1", "device_id is empty"),
        ("a,,1", "does not say when"),
        ("a,0,1e999", "larger than"),
        (f"a,0,{'x' * 5000}", "5,000 characters"),
        ('a,0,"', "unexpected end"),
    ],
)
def test_a_row_that_cannot_be_taken_says_why(row: str, said: str) -> None:
    try:
        [refusal] = told_of(f"device_id,time,x\n{row}\n")
    except InvalidReadingsError as error:
        assert said in str(error)  # noqa: PT017  a table that breaks off is no row
        return
    assert isinstance(refusal, Refusal)
    assert said in refusal.reason
    assert refusal.line == 2


def test_details_that_make_no_sense_are_refused() -> None:
    for column, cell in (
        ("sequence", "-1"),
        ("sequence", str(2**63)),
        ("time_source", "x"),
        ("arrived_at", "x"),
        ("more", "["),
        ("more", "5"),
    ):
        [refusal] = told_of(f"device_id,time,{column},x\na,0,{cell},1\n")
        assert isinstance(refusal, Refusal), column
    [refusal] = told_of(
        "device_id,time," + ",".join(f"m{n}" for n in range(METRICS_LIMIT + 1)) + "\na,0" + ",1" * (METRICS_LIMIT + 1)
    )
    assert isinstance(refusal, Refusal)


@pytest.mark.parametrize(
    "heading_",
    [
        "",
        "device_id,x",
        "time,x",
        "device_id,time",
        "device_id,time,metric",
        "device_id,time,metric,value,x",
        "device_id,time,at,x",
        "device_id,time,x,x",
        "device_id,time," + ",".join(map(str, range(2_000))),
    ],
)
def test_a_heading_that_does_not_say_what_is_what_is_refused(heading_: str) -> None:
    with pytest.raises(InvalidReadingsError):
        Table(heading_.split(","))


def test_a_device_may_be_said_for_all() -> None:
    told = Table(["\ufeffTime", "Flow"], "a").told((2, ["0", "5"]))
    assert isinstance(told, Told)
    assert (told.device_id, told.values) == ("a", {"Flow": 5})
    assert Table(["time", "x"], "a").told((2, ["0", " "])) is None


def test_readings_of_one_report_are_put_together_again() -> None:
    text = "device_id,time,metric,value\na,0,x,1\na,0,y,2\na,0,x,3\nb,0,x,1\n"
    assert [shown(each)[-1] for each in told_of(text) if isinstance(each, Told)] == [
        [("x", "1"), ("y", "2")],
        [("x", "3")],
        [("x", "1")],
    ]


@pytest.mark.parametrize(
    ("heading", "cells"),
    [
        ("time,x", ["0", '"\\ud800"']),
        ("time,more", ["0", '{"a\\udfff": 1}']),
        ("time,more", ["0", '{"a": "\\ud83d"}']),
        ("time,x,topic", ["0", "1", "t\ud800"]),
    ],
)
def test_halves_of_characters_are_refused(heading: str, cells: list[str]) -> None:
    refusal = Table(heading.split(","), "a").told((2, cells))
    assert isinstance(refusal, Refusal)
    assert "half of a character" in refusal.reason
