"""A moment is found among many reports as a look at each of them finds it, and that costs little."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS
from appliance.telemetry.moments import Keys, Moments
from appliance.telemetry.rows import Rows
from tests.appliance.telemetry.reports import DAY, report

FIRST = DAY * DAY_MS

whole_numbers = st.integers(-40, 40) | st.integers(-(2**63), 2**63 - 1)
moments = st.lists(st.integers(0, 12) | st.sampled_from([DAY_MS - 2, DAY_MS - 1]), max_size=40)


def filled(told: list[int], part_reports: int) -> tuple[Moments, list[Rows]]:
    """The moments of a day in parts of so many reports."""
    parts = [Rows(1, "sensor-001", DAY)]
    found = Moments(parts)
    for at in told:
        if parts[-1].count == part_reports:
            parts.append(Rows(1, "sensor-001", DAY))
            found.begin_part()
        parts[-1].append(report(at=FIRST + at), 1)
        found.note(FIRST + at)
    return found, parts


@given(st.lists(whole_numbers, unique=True, max_size=80), st.integers(2, 6), whole_numbers, whole_numbers)
def test_keys_lie_in_order_whatever_order_they_came_in(told: list[int], leaf_keys: int, first: int, last: int) -> None:
    keys = Keys(leaf_keys)
    for key in told:
        keys.add(key)
    assert keys.count == len(told)
    assert list(keys.between(first, last)) == sorted(key for key in told if first <= key <= last)
    assert list(keys.between(-(2**63), 2**63 - 1)) == sorted(told)


@given(moments, st.integers(1, 7), st.integers(1, 5))
def test_a_moment_is_found_where_a_look_at_every_report_finds_it(
    told: list[int], part_reports: int, limit: int
) -> None:
    found, parts = filled(told, part_reports)
    for at in {0, 5, 13, DAY_MS - 1, *told}:
        expected = [divmod(place, part_reports) for place, one in enumerate(told) if one == at]
        for most in (limit, len(told) + 1):
            rows = found.rows_at(FIRST + at, most)
            assert [([part is one for one in parts].index(True), row) for part, row in rows] == expected[:most]


@given(moments, st.integers(1, 7))
def test_reports_that_come_in_order_need_no_keys_and_others_one_each(told: list[int], part_reports: int) -> None:
    assert filled(sorted(told), part_reports)[0].key_count == 0
    in_order = 0
    while in_order < len(told) and told[in_order] == max(told[: in_order + 1]):
        in_order += 1
    assert filled(told, part_reports)[0].key_count == len(told) - in_order


@given(st.permutations(range(60)))
def test_leaves_stay_small(told: list[int]) -> None:
    keys = Keys(8)
    for key in told:
        keys.add(key)
    sizes = [len(leaf) for leaf in keys._leaves]
    assert sum(sizes) == 60
    assert max(sizes) <= 8
    assert sizes.count(1) <= 1


def test_moments_go_on_in_order_until_one_is_older() -> None:
    found, parts = filled([3, 5], 9)
    assert [found.continues(FIRST + at) for at in (4, 5, 6)] == [False, True, True]
    parts[-1].append(report(at=FIRST + 4), 1)
    found.note(FIRST + 4)
    assert not found.continues(FIRST + 6)
