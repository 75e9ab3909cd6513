"""What people write is read as they mean it, and what cannot be meant is refused with what could be."""

import contextlib
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.errors import InvalidInputError
from appliance.instant import DAY_MS, HOUR_MS, MINUTE_MS
from appliance.telemetry.asking.columns import column_of, columns_of, length_of
from appliance.telemetry.asking.model import COLUMNS_LIMIT, Aggregate, Binned, Percentile, Plain, Rolling, ZScore


def test_every_kind_of_column_is_read() -> None:
    assert columns_of(
        ["pressure, avg( flowRate ),p95(flowRate)", "rolling_avg(pressure,1h),zscore(pressure, 90m)"]
    ) == (
        Plain("pressure", "pressure"),
        Binned("avg(flowRate)", "flowRate", Aggregate.AVG),
        Percentile("p95(flowRate)", "flowRate", 19, 20),
        Rolling("rolling_avg(pressure, 1h)", "pressure", Aggregate.AVG, HOUR_MS),
        ZScore("zscore(pressure, 90m)", "pressure", 90 * MINUTE_MS),
    )


def test_a_column_is_told_once_and_metrics_may_hold_parentheses_and_commas_in_a_function() -> None:
    assert columns_of(["max(a)", "max(a),max( a )"]) == (Binned("max(a)", "a", Aggregate.MAX),)
    assert column_of("avg(flow (l/s), left)").metric == "flow (l/s), left"
    assert column_of("rolling_max(a, b, 1h)").metric == "a, b"


@given(st.integers(0, 100_000))
def test_percentiles_are_read_to_a_thousandth(share: int) -> None:
    column = column_of(f"p{share // 1000}.{share % 1000:03}(a)")
    assert isinstance(column, Percentile)
    assert column.numerator * 100_000 == share * column.denominator


def test_the_median_is_the_percentile_in_the_middle() -> None:
    column = column_of("median(a)")
    assert isinstance(column, Percentile)
    assert statistics.median([1, 2]) == 1 + column.numerator / column.denominator


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("average(a)", "no function"),
        ("p101(a)", "no function"),
        ("p100.001(a)", "no function"),
        ("avg()", "names no metric"),
        ("rolling_avg(a)", "needs a metric and a length"),
        ("zscore(, 1h)", "needs a metric and a length"),
        ("rolling_p95(a, 1h)", "no function"),
        ("rolling_first(a, 1h)", "no function"),
        ("rolling_avg(a, 1 hour)", "no length of time"),
        ("rolling_avg(a, 32d)", "longer than 31 days"),
    ],
)
def test_what_is_no_column_is_refused(text: str, word: str) -> None:
    with pytest.raises(InvalidInputError, match=word):
        column_of(text)


def test_no_columns_and_too_many_are_refused() -> None:
    with pytest.raises(InvalidInputError, match="select is missing"):
        columns_of([" , "])
    columns_of([",".join(f"m{number}" for number in range(COLUMNS_LIMIT))])
    with pytest.raises(InvalidInputError, match="33 columns"):
        columns_of([",".join(f"m{number}" for number in range(COLUMNS_LIMIT + 1))])


@given(st.text(max_size=40))
def test_any_text_is_a_column_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidInputError):
        assert column_of(text).metric or text == ""


def test_lengths_are_read() -> None:
    assert [length_of(text) for text in ("90s", "10m", "1h", "7d")] == [90_000, 600_000, HOUR_MS, 7 * DAY_MS]
    for text in ("", "0s", "1", "h", "-1h", "1.5h", "1w"):
        with pytest.raises(InvalidInputError):
            length_of(text)
