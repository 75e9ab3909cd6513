"""What is taken of packed days is the same however they are packed, and damage is told of whole days."""

import pytest

from appliance.instant import HOUR_MS
from appliance.telemetry import rollup_record
from appliance.telemetry.rollup_record import RollUp, pieces_of
from appliance.telemetry.rollups import metric_days, months, packed_hours, taking
from appliance.telemetry.rollups.model import PackedRow
from appliance.telemetry.rollups.stale import HOURS_PER_DAY
from tests.appliance.telemetry.rollups.test_packed_hours import ALL_DAMAGED, record

START = 7 * HOURS_PER_DAY
END = 10 * HOURS_PER_DAY


def in_one(device_id: str, day: int, records: dict[int, bytes]) -> list[PackedRow]:
    """A day as earlier releases packed it."""
    return [(device_id, day, day << months.DEVICE_SHIFT, packed_hours.pack(records))]


def split(device_id: str, day: int, records: dict[int, bytes]) -> list[PackedRow]:
    """A day as a row for each metric."""
    first = months.metric_day_key(day % 28 << months.DEVICE_SHIFT | ord(device_id))
    rows = metric_days.rows_of(first, {hour: pieces_of(each) for hour, each in records.items()})
    return [(device_id, day, place, row) for place, row in rows]


def of_metric(rows: list[PackedRow], metric: str) -> list[PackedRow]:
    number = metric_days.number_of(metric)
    return [row for row in rows if row[2] & months.NUMBER_MASK == number or not metric_days.is_one(row[3])]


def told(taker: rollup_record.Taker) -> list[str]:
    return sorted(repr((device, metric, *each)) for device, metric, bins in taker.taken() for each in bins.items())


@pytest.mark.parametrize("first", [START, START + 1, START + 23, START + 30])
@pytest.mark.parametrize("end", [END, END - 1, END - 24, END - 30])
def test_days_are_taken_whole_as_their_hours_are_one_by_one(first: int, end: int) -> None:
    alike = {hour: record(hour + 1, "tu") for hour in range(HOURS_PER_DAY)}
    rows = [
        *in_one("a", 7, alike),
        *split("b", 7, {3: record(1)}),
        *split("a", 8, {5: record(2, "tu"), 6: record(3, "tu")}),
        *split("b", 8, alike),
        *in_one("b", 9, alike),
        *split("a", 9, alike | {4: record(7, "tu", others=2), 23: record(4, "ut")}),
    ]
    whole, single = (rollup_record.Taker(["u"]) for _ in range(2))
    assert taking.take(whole, of_metric(rows, "u"), first, end) == set()
    assert single.take(sorted(taking.unpacked(rows, first, end), key=lambda each: each[1]), HOUR_MS) == []
    taken = told(whole)
    assert taken == told(single)
    assert taken


def test_days_with_anything_unusual_are_left_to_be_looked_at_hour_by_hour() -> None:
    packed = in_one("a", 5, {4: record()})[0]
    [row] = split("a", 7, {4: record()})
    no_numbers = rollup_record.encode(RollUp({}, {"t": 1}))
    days = [
        in_one("a", 1, {0: record(), 1: record(metrics="tu")}),
        in_one("a", 3, {0: record(), 1: packed_hours.DAMAGED}),
        in_one("a", 4, {0: no_numbers}),
        split("a", 2, {0: record(), 1: no_numbers}),
        *([(*packed[:3], packed[3][:at] + bytes([packed[3][at] ^ 4]) + packed[3][at + 1 :])] for at in range(90)),
        *([(*packed[:3], packed[3][:at])] for at in range(90)),
        *([(*row[:3], row[3][:at] + bytes([row[3][at] ^ 4]) + row[3][at + 1 :])] for at in range(90)),
        *([(*row[:3], row[3][:at])] for at in range(90)),
        [(*row[:3], metric_days.LOST)],
        [(*row[:2], row[2] + 1, row[3])],
    ]
    for rows in days:
        taker = rollup_record.Taker(["t"])
        assert taking.take(taker, rows, 0, END) == {("a", rows[0][1])}
        assert list(taker.taken()) == []


def test_a_day_of_which_one_row_is_damaged_is_left_with_all_of_them() -> None:
    rows = split("a", 7, {4: record(1, "tu")})
    other = split("b", 7, {4: record(1, "tu")})
    damaged = [rows[0], (*rows[1][:3], rows[1][3][:-1])]
    taker = rollup_record.Taker(["t", "u"])
    assert taking.take(taker, [*damaged, *other], START, END) == {("a", 7)}
    assert {device for device, _, _ in taker.taken()} == {"b"}
    assert taking.unpacked(damaged, START, START + 2) == [("a", START, b""), ("a", START + 1, b"")]


def test_a_part_of_the_hours_is_asked_for() -> None:
    rows = [*split("b", 7, {0: record(1), 23: record(2)}), *in_one("a", 8, {0: record(3)})]
    every = [("b", START, record(1)), ("b", START + 23, record(2)), ("a", START + 24, record(3))]
    assert taking.unpacked(rows, START, START + 48) == every
    assert taking.unpacked(rows, START + 1, START + 25) == every[1:]
    assert taking.unpacked([], START, START + 3) == []


def test_all_rows_of_a_day_give_its_hours_and_too_few_give_none() -> None:
    records = {4: record(1, "tu"), 9: record(2, "t", others=1)}
    rows = [(place, row) for _, _, place, row in split("a", 7, records)]
    found = taking.unpack_all(rows)
    assert [(hour, rollup_record.decode(each)) for hour, each in found] == [
        (hour, rollup_record.decode(each)) for hour, each in records.items()
    ]
    for some in (rows[:1], rows[1:], [rows[0], rows[2]]):
        assert taking.unpack_all(some) == ALL_DAMAGED
        assert taking.unpack(some) != ALL_DAMAGED
    assert taking.unpack_all([]) == []
    [(_, _, place, whole)] = in_one("a", 7, records)
    assert taking.unpack_all([(place, whole)]) == list(records.items())
    # One of each cannot be.
    assert taking.unpack_all([(place, whole), *rows]) == ALL_DAMAGED


@pytest.mark.parametrize("as_rows", [in_one, split])
def test_which_hours_are_known_is_told_without_unpacking_them(as_rows: object) -> None:
    assert callable(as_rows)
    rows = [row[2:] for row in as_rows("a", 7, {4: record(), 9: record()})]
    assert taking.hours_known(7, rows) == [START + 4, START + 9]


def a_day_of_many(count: int) -> list[PackedRow]:
    """A day of devices, most of which have the same metrics in the same hours."""
    usual = {hour: record(hour + 1, "tu") for hour in range(HOURS_PER_DAY)}
    unusual = {3: {4: record(3, "t")}, 5: usual | {7: record(9, "ut")}, 7: usual | {8: record(1, "t")}}
    return [row for number in range(count) for row in split(chr(97 + number), 7, unusual.get(number, usual))]


@pytest.mark.parametrize("count", [4, 20])
@pytest.mark.parametrize(
    ("first", "end"), [(START, START + 24), (START - 5, END), (START + 1, END), (START, START + 23)]
)
def test_a_day_of_many_devices_is_taken_as_that_of_each(count: int, first: int, end: int) -> None:
    rows = a_day_of_many(count)
    together, alone = (rollup_record.Taker(["t", "u"]) for _ in range(2))
    assert taking.take(together, rows, first, end) == set()
    for row in rows:
        assert taking.take(alone, [row], first, end) == set()
    taken = told(together)
    assert taken == told(alone)
    assert len(taken) > count


@pytest.mark.parametrize("place", range(40))
def test_of_many_devices_the_one_that_is_damaged_is_left_with_all_of_its_rows(place: int) -> None:
    rows = a_day_of_many(20)
    rows = [row for row in rows if ord(row[0]) - 97 not in {3, 7}]
    place %= len(rows)
    broken = rows[place]
    damaged = [*rows[:place], (*broken[:3], broken[3][:-1] + b"?"), *rows[place + 1 :]]
    taker, others = (rollup_record.Taker(["t", "u"]) for _ in range(2))
    assert taking.take(taker, damaged, START, START + 24) == {(broken[0], 7)}
    assert taking.take(others, [row for row in rows if row[0] != broken[0]], START, START + 24) == set()
    assert told(taker) == told(others)
