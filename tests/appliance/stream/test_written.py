import json

from hypothesis import given

from appliance.stream.model import Gap, Position
from appliance.stream.written import as_json, gap_out, report_out
from appliance.telemetry.model import Report
from tests.appliance.telemetry.reports import NOON, report, reports


@given(reports())
def test_any_report_is_one_line_of_json(each: Report) -> None:
    line = as_json(report_out(each))
    assert b"\n" not in line
    told = json.loads(line)
    assert set(told["values"]) == set(each.values)
    assert told["sequence"] == each.sequence


def test_a_report_is_told_with_its_values_as_they_came() -> None:
    told = json.loads(as_json(report_out(report(values={"n": 2**80, "on": True, "text": "a", "none": None}))))
    assert told["values"] == {"n": 2**80, "on": True, "text": "a", "none": None}
    assert told["at"] == "2026-01-31T12:00:00.000Z"
    assert told["time_source"] == "device"


def test_text_that_is_no_unicode_ends_no_stream() -> None:
    told = json.loads(as_json({"values": {"\ud800": ["a\udfff", 1]}}))
    assert told == {"values": {"?": ["a?", 1]}}


def test_a_gap_says_from_where_to_where() -> None:
    told = json.loads(as_json(gap_out(Gap(Position(3, 2), 9, 41, NOON, "because"))))
    assert told == {
        "from": "3.2",
        "through": "9",
        "report_count": 41,
        "until_at": "2026-01-31T12:00:00.000Z",
        "why": "because",
    }
