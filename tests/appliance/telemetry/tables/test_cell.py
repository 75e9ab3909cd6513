import csv
import io
from math import copysign, isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.registry.catalogue.table import escaped
from appliance.telemetry.model import Value
from appliance.telemetry.tables import cell

texts = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    ["", "null", "NaN", "-1", "5", "5.0", "1e400", "true", '"', '"a"', "'=x", "=1+1", "\ud800", " 5", "\r\n", "007"]
)
values = st.floats() | st.integers(-(2**70), 2**70) | st.booleans() | st.none() | texts


def is_same(one: Value, other: Value) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return (isnan(one) and isnan(other)) or (one == other and copysign(1, one) == copysign(1, other))
    return type(one) is type(other) and one == other


@given(values)
def test_every_value_is_read_back_as_it_was_out_of_a_cell_of_a_file(value: Value) -> None:
    written = io.StringIO(newline="")
    csv.writer(written).writerow([cell.written(value), "end"])
    [[read, _]] = csv.reader(io.StringIO(written.getvalue(), newline=""), strict=True)
    assert read != ""
    assert is_same(cell.read(read), value)


@given(texts)
def test_no_text_is_a_formula(text: str) -> None:
    written = cell.written(text)
    assert escaped(written) == written or written.startswith("'")
    assert not written.startswith(("=", "+", "-", "@", "\t", "\r"))


@given(texts)
def test_what_was_escaped_is_unescaped(text: str) -> None:
    assert cell.unescaped(escaped(text)) == text


def test_text_that_begins_with_a_quote_is_json_whatever_follows() -> None:
    assert [cell.written(text) for text in ('"', '"a"', '"a')] == ['"\\""', '"\\"a\\""', '"\\"a"']


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("5", 5),
        ("+5", 5),
        ("-0.0", -0.0),
        ("5.", 5.0),
        (".5", 0.5),
        ("1E3", 1000.0),
        (" 5.5 ", 5.5),
        ("TRUE", True),
        ("Null", None),
        ("-inf", float("-inf")),
        ("007", "007"),
        ("1,5", "1,5"),
        ('"not closed', '"not closed'),
        ('"5"', "5"),
        ("9223372036854775808", 2**63),
        ("'=1+1", "=1+1"),
        ("'quoted'", "'quoted'"),
    ],
)
def test_what_others_write_is_read_as_they_mean_it(written: str, value: Value) -> None:
    assert is_same(cell.read(written), value)


@pytest.mark.parametrize("written", ["1e400", "-1e999", "9" * 5000])
def test_a_number_that_is_too_large_is_refused(written: str) -> None:
    with pytest.raises(ValueError, match=r"larger than|4300 digits"):
        cell.read(written)
