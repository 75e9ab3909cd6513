from appliance.telemetry.asking.columns import columns_of
from appliance.telemetry.asking.units import UNITS_LIMIT, UNKNOWN, units_of


def test_a_column_is_in_the_units_of_its_metric() -> None:
    columns = columns_of(["avg(a),max(a),p95(a),stddev(a),count(a),sum(b),last(c),min(d)"])
    found = {"a": {"bar"}, "b": {"Pa", UNKNOWN, "bar"}, "c": {UNKNOWN}}
    told = [list(each) for each in units_of(columns, found)]
    assert told == [["bar"], ["bar"], ["bar"], ["bar"], [], ["Pa", "bar", None], [], []]


def test_counts_and_scores_have_no_unit() -> None:
    columns = columns_of(["a,rolling_avg(a, 1h),rolling_count(a, 1h),zscore(a, 1h)"])
    assert [list(each) for each in units_of(columns, {"a": {"bar"}})] == [["bar"], ["bar"], [], []]


def test_of_very_many_units_some_are_told() -> None:
    [told] = units_of(columns_of(["a"]), {"a": {f"u{number:02d}" for number in range(99)} | {UNKNOWN}})
    assert told == (*(f"u{number:02d}" for number in range(UNITS_LIMIT)), None)
