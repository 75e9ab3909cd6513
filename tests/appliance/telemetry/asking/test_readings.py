"""Readings stand in rows, with their windows beside them."""

import pytest

from appliance.instant import HOUR_MS
from appliance.telemetry.asking.columns import columns_of
from appliance.telemetry.asking.model import Row
from appliance.telemetry.asking.readings import longest_window_ms, rows_of
from appliance.telemetry.merge import Readings
from appliance.telemetry.wanted import is_wanted


def told(rows: list[Row]) -> list[tuple[object, ...]]:
    return [(row.place.at, row.place.occurrence, *row.values) for row in rows]


def test_readings_of_one_moment_stand_in_one_row_and_of_several_at_once_each_in_its_own() -> None:
    readings = {"a": Readings([1, 2, 2], [10, 20, 21]), "b": Readings([2, 3], ["on", None])}
    rows = rows_of(is_wanted, "pump", readings, columns_of(["a,b"]), 0)
    assert told(rows) == [(1, 0, 10, None), (2, 0, 20, "on"), (2, 1, 21, None), (3, 0, None, None)]
    assert {row.place.key for row in rows} == {"pump"}


def test_windows_look_at_what_lies_before_and_rows_do_not() -> None:
    columns = columns_of(["a, rolling_avg(a, 1h), rolling_count(a, 1h), zscore(a, 1h)"])
    readings = {"a": Readings([0, HOUR_MS // 2, HOUR_MS, HOUR_MS + 1], [5, 1, 3, "off"])}
    assert told(rows_of(is_wanted, "pump", readings, columns, HOUR_MS)) == [
        (HOUR_MS, 0, 3, 2.0, 2, 1.0),
        (HOUR_MS + 1, 0, "off", 2.0, 2, None),
    ]


def test_the_longest_window_is_how_far_back_is_looked() -> None:
    assert longest_window_ms(columns_of(["a, rolling_avg(a, 1h), zscore(a, 2h)"])) == 2 * HOUR_MS
    assert longest_window_ms(columns_of(["a"])) == 0


def test_a_column_of_bins_has_no_readings() -> None:
    with pytest.raises(TypeError):
        rows_of(is_wanted, "pump", {"a": Readings([1], [1])}, columns_of(["avg(a)"]), 0)
