import csv
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry.model import Report, Value
from appliance.telemetry.tables.layout import (
    COLUMNS_LIMIT,
    Form,
    Layout,
    as_json,
    body,
    columns_for,
    ending,
    heading,
)
from tests.appliance.telemetry.reports import NOON, report, reports


@given(st.lists(reports(st.sampled_from("ab")), max_size=6), st.sampled_from(Form), st.booleans(), st.integers(0, 6))
def test_reports_in_pieces_are_written_as_at_once(found: list[Report], form: Form, is_detailed: bool, cut: int) -> None:
    told = found
    layout = Layout(form, columns_for(["pressure"]), is_detailed)
    at_once = heading(layout) + body(layout, told, is_first=True) + ending(layout)
    first, second = told[:cut], told[cut:]
    pieces = body(layout, first, is_first=True) + body(layout, second, is_first=not first)
    assert heading(layout) + pieces + ending(layout) == at_once
    at_once.encode()
    if form is Form.JSON:
        assert len(json.loads(at_once)) == len(told)
    if form is Form.LINES:
        assert [json.loads(line)["device_id"] for line in at_once.splitlines()] == [each.device_id for each in told]


@given(st.lists(reports(st.just("a")), max_size=6))
def test_every_row_has_a_cell_for_every_column(found: list[Report]) -> None:
    for form in (Form.CSV, Form.LONG):
        layout = Layout(form, columns_for(["pressure", "x y"]), is_detailed=True)
        text = heading(layout) + body(layout, found, is_first=True)
        rows = list(csv.reader(io.StringIO(text, newline=""), strict=True))
        assert {len(row) for row in rows} == {len(rows[0])}


def test_a_metric_that_cannot_be_told_from_a_fixed_column_stands_in_more() -> None:
    names = ["flow", "Time", "more", " x", '"a"', "a\nb", "", "value"]
    assert columns_for(names) == ("flow",)
    layout = Layout(Form.CSV, columns_for(names), is_detailed=False)
    text = body(layout, [report("a", NOON, values={"flow": 1, "Time": None})], is_first=True)
    assert text == 'a,2026-01-31T12:00:00.000Z,,1,"{""Time"": null}"\r\n'
    assert len(columns_for(str(number) for number in range(2_000))) == COLUMNS_LIMIT


def test_what_has_no_digits_is_a_word_of_json() -> None:
    values: list[Value] = [float("nan"), float("inf"), -float("inf"), 1.5, 2**60, "a", None, True]
    assert [as_json(value) for value in values] == ["NaN", "Infinity", "-Infinity", 1.5, 2**60, "a", None, True]
