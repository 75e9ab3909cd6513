"""Hours that are packed in groups come out as they went in."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS, HOUR_MS
from appliance.telemetry.rollup_record import NO_OTHERS, Pieces, encode, pieces_of
from appliance.telemetry.rollups import hour_groups
from appliance.telemetry.rollups.stale import HOURS_PER_DAY
from tests.appliance.telemetry.test_rollup_record import rollups

some_hours = st.dictionaries(st.integers(0, HOURS_PER_DAY - 1), rollups.map(encode).map(pieces_of))
LEVEL = Pieces(b"\x05level", b"x" * 68, NO_OTHERS)


@given(some_hours, st.binary(max_size=3))
def test_groups_give_back_the_hours_that_rise(hours: dict[int, Pieces], before: bytes) -> None:
    packed = before + hour_groups.grouped(hours)
    assert hour_groups.ungrouped(packed, len(before)) == sorted(hours.items())


@given(some_hours)
def test_what_is_taken_easily_is_what_the_hours_have(hours: dict[int, Pieces]) -> None:
    plain = hour_groups.plain(hour_groups.grouped(hours), 0)
    alike = {each.names for each in hours.values()}
    if len(alike) != 1 or alike == {b""}:
        assert plain is None
    else:
        assert plain is not None
        bins = b"".join(hours[hour].bins for hour in sorted(hours))
        assert plain == (hour_groups.bits_of(hours), *alike, bins)


def test_a_group_that_ends_too_early_or_late_is_not_taken() -> None:
    packed = hour_groups.grouped({3: LEVEL, 4: LEVEL})
    assert hour_groups.plain(packed, 0) is not None
    for wrong in (b"", packed[:-1], packed + b"x", packed[:10]):
        assert hour_groups.plain(wrong, 0) is None


def test_a_part_of_the_hours_is_taken() -> None:
    each = {hour: LEVEL._replace(bins=bytes([hour]) * 68) for hour in (2, 3, 5, 23)}
    plain = hour_groups.plain(hour_groups.grouped(each), 0)
    assert plain is not None
    assert hour_groups.within(plain, (1 << HOURS_PER_DAY) - 1) == plain
    for hours in (range(3), range(3, 6), range(6, 24), range(8, 12), range(4, 24)):
        bits, _, bins = hour_groups.within(plain, hour_groups.bits_of(hours))
        there = [hour for hour in each if hour in hours]
        assert hour_groups.hours_of(bits) == tuple(there)
        assert bins == b"".join(each[hour].bins for hour in there)


def test_the_moments_of_hours_are_where_they_begin() -> None:
    assert hour_groups.moments_of(2, 0b1010) == [2 * DAY_MS + HOUR_MS, 2 * DAY_MS + 3 * HOUR_MS]
