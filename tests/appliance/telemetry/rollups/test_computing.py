"""A roll-up says what the readings of its hour say."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS, HOUR_MS
from appliance.telemetry import rollup_record
from appliance.telemetry.bins import bin_of, combined, number_of
from appliance.telemetry.merge import Readings
from appliance.telemetry.model import Report
from appliance.telemetry.rollups import computing
from appliance.telemetry.rollups.model import HourRow
from appliance.telemetry.rollups.stale import HOURS_PER_DAY
from appliance.telemetry.rows import Rows
from tests.appliance.telemetry.reports import DAY, NOON, report, reports

FIRST = DAY * HOURS_PER_DAY
days_reports = st.lists(
    reports(st.just("a"), st.integers(DAY * DAY_MS, DAY * DAY_MS + 5 * HOUR_MS - 1)), min_size=1, max_size=12
)


@given(days_reports, st.sets(st.integers(FIRST, FIRST + 5)))
def test_every_reading_of_the_hours_counts_once(found: list[Report], hours: set[int]) -> None:
    parts = [Rows.of(found, 1), Rows.of(found, 2)]
    rollups = computing.rolled_up(parts, hours)
    kept = {(each.at, each.sequence, repr(sorted(each.values.items()))): each for each in reversed(found)}
    for hour in hours:
        values = [
            (metric, value)
            for each in kept.values()
            if each.at // HOUR_MS == hour
            for metric, value in each.values.items()
        ]
        numbers = [metric for metric, value in values if number_of(value) is not None]
        rollup = rollups.get(hour)
        if not values:
            assert rollup is None
            continue
        assert rollup is not None
        assert rollup.reading_count == len(values)
        assert {metric: each.count for metric, each in rollup.bins.items()} == {
            metric: numbers.count(metric) for metric in numbers
        }


def test_nothing_gives_no_roll_up() -> None:
    assert computing.rolled_up([], [FIRST]) == {}
    assert computing.rolled_up([Rows.of([report()], 1)], []) == {}


def test_each_hour_that_is_asked_for_has_a_row_and_one_without_readings_no_record() -> None:
    parts = [Rows.of([report(at=NOON), report(at=NOON + HOUR_MS)], 1)]
    noon = NOON // HOUR_MS
    rollup = computing.rolled_up(parts, [noon])[noon]
    record = rollup_record.encode(rollup)
    assert computing.hour_rows((3, "a"), parts, {noon, noon + 2}, is_certain=True) == [
        HourRow(3, "a", noon, rollup.reading_count, record, is_certain=True),
        HourRow(3, "a", noon + 2, 0, b"", is_certain=True),
    ]
    # Where chunks could not be read, what is not found may be in these.
    assert computing.hour_rows((3, "a"), parts, {noon, noon + 2}, is_certain=False) == [
        HourRow(3, "a", noon, rollup.reading_count, record, is_certain=False)
    ]


def test_rows_stand_by_their_device() -> None:
    rows = [HourRow(tenant_id, name, FIRST, 1, b"x", is_certain=True) for tenant_id in (1, 2) for name in "aba"]
    found = computing.by_device(rows)
    assert found == {
        (1, "a"): [rows[0], rows[2]],
        (1, "b"): [rows[1]],
        (2, "a"): [rows[3], rows[5]],
        (2, "b"): [rows[4]],
    }


def test_a_day_is_what_its_hours_combine_into() -> None:
    parts = [Rows.of([report(at=NOON + hour * HOUR_MS, values={"a": hour, "s": "x"}) for hour in range(3)], 1)]
    hours = computing.rolled_up(parts, range(FIRST, FIRST + 24))
    day = computing.of_day(hours[hour] for hour in sorted(hours))
    assert day.bins == {"a": combined(hours[hour].bins["a"] for hour in sorted(hours))}
    assert day.others == {"s": 3}


def test_readings_are_split_at_the_hour() -> None:
    at = [NOON - 1, NOON, NOON + HOUR_MS - 1, NOON + HOUR_MS]
    readings = {"a": Readings(at, [1, 2, 3, "x"])}
    noon = NOON // HOUR_MS
    assert computing.binned(readings, [noon + 1, noon, noon - 1, noon + 2]) == {
        "a": {NOON - HOUR_MS: bin_of(at[:1], [1]), NOON: bin_of(at[1:3], [2, 3])}
    }


def test_hours_are_grouped_into_what_they_lie_in() -> None:
    hours = {at: bin_of([at], [1.0]) for at in (NOON + HOUR_MS, NOON, NOON + DAY_MS)}
    found = computing.grouped({at: each for at, each in hours.items() if each is not None}, lambda at: at - at % DAY_MS)
    assert [(at, each.count, each.first_at) for at, each in found.items()] == [
        (DAY * DAY_MS, 2, NOON),
        ((DAY + 1) * DAY_MS, 1, NOON + DAY_MS),
    ]
