"""Answers say the same as JSON and as CSV."""

import csv
import io
import json

from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import to_text
from appliance.telemetry.asking.model import Place, Row
from appliance.telemetry.wanted import is_wanted
from web.answers import ROWS_AT_ONCE, After, MomentTexts, as_csv, as_json

ROWS = [Row(Place(0, "pump", 0), (1.5, None, "on")), Row(Place(1_000, "=1+1", 0), (True, float("inf"), 10**30))]


def test_json_has_the_columns_the_rows_and_where_to_go_on() -> None:
    assert json.loads(
        as_json(
            is_wanted,
            ["at", "device_id", "a", "b", "c"],
            ROWS,
            After("more", ["1970-01-01"], ["1970-01-02"], [(), (), ["bar", None], (), ()]),
            is_keyed=True,
        )
    ) == {
        "columns": ["at", "device_id", "a", "b", "c"],
        "rows": [
            ["1970-01-01T00:00:00.000Z", "pump", 1.5, None, "on"],
            ["1970-01-01T00:00:01.000Z", "=1+1", True, None, 10**30],
        ],
        "next_cursor": "more",
        "damaged_days": ["1970-01-01"],
        "coarse_days": ["1970-01-02"],
        "units": [[], [], ["bar", None], [], []],
    }


def test_csv_has_a_heading_and_no_formulas() -> None:
    text = as_csv(is_wanted, ["at", "device_id", "a", "b", "c"], ROWS, is_keyed=True).decode()
    assert list(csv.reader(io.StringIO(text))) == [
        ["at", "device_id", "a", "b", "c"],
        ["1970-01-01T00:00:00.000Z", "pump", "1.5", "", "on"],
        ["1970-01-01T00:00:01.000Z", "'=1+1", "true", "inf", str(10**30)],
    ]
    assert text.count("\r\n") == 3


def test_rows_of_everything_have_no_key() -> None:
    assert json.loads(as_json(is_wanted, ["at", "a"], ROWS[:1], After(), is_keyed=False))["rows"][0][1] == 1.5
    assert as_csv(is_wanted, ["at"], [], is_keyed=False) == b"at\r\n"


def test_half_a_character_is_no_error() -> None:
    assert b"?" in as_csv(is_wanted, ["at", "a"], [Row(Place(0, "x", 0), ("\ud800",))], is_keyed=False)


@given(st.lists(st.integers(-(10**13), 10**14), max_size=5))
def test_a_moment_is_printed_as_anywhere_else(moments: list[int]) -> None:
    texts = MomentTexts()
    for at in [*moments, *moments]:
        assert texts.text(at) == to_text(at)


def test_long_answers_are_written_in_steps_between_which_it_is_asked_whether_they_are_wanted() -> None:
    calls: list[int] = []
    many = [Row(Place(at, "pump", 0), (at,)) for at in range(2 * ROWS_AT_ONCE + 1)]
    found = json.loads(as_json(lambda: calls.append(1), ["at", "device_id", "a"], many, After(), is_keyed=True))
    assert [row[2] for row in found["rows"]] == list(range(len(many)))
    assert len(calls) == 3
    assert as_csv(lambda: calls.append(1), ["at"], many, is_keyed=True).count(b"\r\n") == len(many) + 1
    assert len(calls) == 6
