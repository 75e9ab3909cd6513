"""Rows of metrics say together what the hours of the day say, and no damage to one of them stays unseen."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.telemetry import rollup_record
from appliance.telemetry.bins import Bin
from appliance.telemetry.rollup_record import NO_OTHERS, Pieces, RollUp, decode, encode, pieces_of, record_of
from appliance.telemetry.rollups import hour_groups, metric_days
from appliance.telemetry.rollups.stale import HOURS_PER_DAY
from tests.appliance.telemetry.test_rollup_record import rollups

FIRST = 7 << 58 | 3 << metric_days.NUMBER_BITS
SAME_NUMBER = ("level-flow-flow-power", "state-speed-speed-level")
"""Two names of which the numbers are the same."""

some_rollups = st.dictionaries(st.integers(0, HOURS_PER_DAY - 1), rollups)


def pieces(*metrics: str, others: dict[str, int] | None = None) -> Pieces:
    each = Bin(1, 1.0, 2.0, 3.0, 4.0, 5, 6.0, 7, 8.0)
    return pieces_of(encode(RollUp(dict.fromkeys(metrics, each), others or {})))


def names(row: bytes) -> set[str]:
    """The metrics of which a row says anything."""
    hours = metric_days.unpack([(metric_days._HEAD.unpack_from(row)[2], row)])
    assert hours is not None
    found = [decode(record_of(each)) for _, each in hours]
    return {metric for rollup in found for metric in (*rollup.bins, *rollup.others)}


@given(some_rollups, st.lists(rollups, min_size=1, max_size=2), st.sets(st.integers(0, HOURS_PER_DAY - 1)))
def test_all_rows_say_what_the_hours_said(some: dict[int, RollUp], usual: list[RollUp], hours: set[int]) -> None:
    found = {hour: usual[hour % len(usual)] for hour in hours} | some
    rows = metric_days.rows_of(FIRST, {hour: pieces_of(encode(each)) for hour, each in found.items()})
    metrics = {metric for each in found.values() for metric in (*each.bins, *each.others)}
    assert [place - FIRST for place, _ in rows] == sorted(set(map(metric_days.number_of, metrics)))
    if not rows:
        assert not metrics
        return
    assert metric_days.is_every(rows)
    unpacked = metric_days.unpack(rows)
    assert unpacked is not None
    assert [hour for hour, _ in unpacked] == sorted(found)
    for hour, each in unpacked:
        rollup = decode(record_of(each))
        assert repr(sorted(rollup.bins.items())) == repr(sorted(found[hour].bins.items()))
        assert rollup.others == found[hour].others
    # What came out of rows goes into the same ones.
    assert metric_days.rows_of(FIRST, dict(unpacked)) == rows


@given(some_rollups)
def test_a_row_says_all_of_its_metrics_and_nothing_of_others(found: dict[int, RollUp]) -> None:
    for place, row in metric_days.rows_of(FIRST, {hour: pieces_of(encode(each)) for hour, each in found.items()}):
        assert metric_days.hours_known(row) == hour_groups.bits_of(found)
        assert set(map(metric_days.number_of, names(row))) == {place - FIRST}
        unpacked = metric_days.unpack([(place, row)])
        assert unpacked is not None
        for hour, each in unpacked:
            rollup = decode(record_of(each))
            number = place - FIRST
            expected = {name: each for name, each in found[hour].bins.items() if metric_days.number_of(name) == number}
            assert repr(rollup.bins) == repr(expected)
        plain = metric_days.plain(place, row)
        assert plain is None or plain == hour_groups.plain(row, metric_days._HEAD.size)


def test_metrics_of_one_number_share_a_row() -> None:
    one, other = SAME_NUMBER
    assert metric_days.number_of(one) == metric_days.number_of(other) != metric_days.number_of("level")
    hours = {0: pieces(one, "level"), 1: pieces("level", other, others={one: 2}), 2: pieces(one, other)}
    rows = metric_days.rows_of(FIRST, hours)
    assert len(rows) == 2
    assert {frozenset(names(row)) for _, row in rows} == {frozenset(SAME_NUMBER), frozenset({"level"})}
    unpacked = metric_days.unpack(rows)
    assert unpacked is not None
    for hour, each in unpacked:
        assert decode(record_of(each)) == decode(record_of(hours[hour]))


def test_an_hour_of_which_only_other_metrics_are_known_is_known_all_the_same() -> None:
    rows = metric_days.rows_of(FIRST, {4: pieces("level"), 9: pieces("state")})
    for place, row in rows:
        unpacked = metric_days.unpack([(place, row)])
        assert unpacked is not None
        assert [hour for hour, _ in unpacked] == [4, 9]
        assert Pieces(b"", b"", NO_OTHERS) in dict(unpacked).values()


def test_what_is_no_number_is_passed_over_where_all_hours_have_numbers() -> None:
    [(place, row)] = metric_days.rows_of(FIRST, {4: pieces("level", others={"level": 3}), 5: pieces("level")})
    plain = metric_days.plain(place, row)
    assert plain is not None
    assert len(plain[2]) == 2 * rollup_record.BIN_BYTES
    [(place, row)] = metric_days.rows_of(FIRST, {4: pieces(others={"level": 3}), 5: pieces("level")})
    assert metric_days.plain(place, row) is None


def test_every_changed_byte_every_missing_end_and_every_other_place_is_told() -> None:
    rows = metric_days.rows_of(FIRST, {4: pieces("level", "state"), 9: pieces("level", others={"state": 2})})
    assert [metric_days.is_one(row) for _, row in rows] == [True, True]
    for place, row in rows:
        changed = [row[:at] + bytes([row[at] ^ 1 << at % 8]) + row[at + 1 :] for at in range(len(row))]
        for damaged in (*changed, *(row[:at] for at in range(len(row))), metric_days.LOST):
            assert metric_days.unpack([(place, damaged)]) is None
            assert metric_days.plain(place, damaged) is None
            assert metric_days.unpack([each if each[0] != place else (place, damaged) for each in rows]) is None
        for bit in range(63):
            assert metric_days.unpack([(place ^ 1 << bit, row)]) is None
            assert metric_days.plain(place ^ 1 << bit, row) is None


def test_rows_of_which_one_is_lost_are_not_every_one() -> None:
    rows = metric_days.rows_of(FIRST, {4: pieces("level", "state", "pressure")})
    assert metric_days.is_every(rows)
    for left in (rows[1:], rows[:2], [rows[0], rows[2]]):
        assert not metric_days.is_every(left)
    assert not metric_days.is_every([*rows[1:], (rows[0][0], b"")])


@pytest.mark.parametrize("change", [{4: pieces("level")}, {4: pieces("level", "state"), 5: pieces("level")}])
def test_rows_of_two_states_of_a_day_are_not_believed(change: dict[int, Pieces]) -> None:
    before = metric_days.rows_of(FIRST, {4: pieces("level", "state")})
    after = dict(metric_days.rows_of(FIRST, change))
    assert metric_days.unpack([(place, after.get(place, row)) for place, row in before[:1]]) is not None
    mixed = [(before[0][0], after.get(before[0][0], before[0][1])), before[1]]
    if mixed == before:
        mixed = [before[0], (before[1][0], after[before[1][0]])]
    assert metric_days.unpack(mixed) is None


def many(
    *metrics: str, hours: tuple[int, ...] = (4, 9), others: dict[str, int] | None = None
) -> list[tuple[int, bytes]]:
    """The first row of each of some devices that have the same metrics."""
    found = []
    for number in range(5):
        first = FIRST + (number << metric_days.NUMBER_BITS)
        found.append(metric_days.rows_of(first, {hour: pieces(*metrics, others=others) for hour in hours})[0])
    return found


def test_rows_that_are_alike_are_taken_together_as_each_is_alone() -> None:
    rows = many("level")
    found = metric_days.alike(rows)
    assert found is not None
    bits, names, bins = found
    assert [(bits, names, each) for each in bins] == [metric_days.plain(*row) for row in rows]
    with_others = many("level", others={"level": 3})
    assert metric_days.alike(with_others) is not None


@pytest.mark.parametrize("at", [0, 2, 4])
def test_a_row_that_differs_in_anything_keeps_all_from_being_taken_together(at: int) -> None:
    rows = many("level")
    place, row = rows[at]
    others = [
        *(row[:byte] + bytes([row[byte] ^ 1 << byte % 8]) + row[byte + 1 :] for byte in range(len(row))),
        *(row[:byte] for byte in (0, 1, 20, 50, len(row) - 1)),
        metric_days.LOST,
        many("state")[at][1],
        many("level", hours=(4, 8))[at][1],
        many("level", hours=(4, 8, 9))[at][1],
        many("level", others={"level": 3})[at][1],
        rows[at - 1][1],
    ]
    for other in others:
        assert metric_days.alike([*rows[:at], (place, other), *rows[at + 1 :]]) is None
    for none in (many(others={"level": 3}), [(place, b"")], [(place, row[:-1])]):
        assert metric_days.alike(none) is None
