"""Which days are sealed and dropped, and when the room is used up."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS
from appliance.telemetry.keeping import plan
from appliance.telemetry.keeping.plan import Cause, DayUse, Limits
from tests.appliance.telemetry.reports import DAY

NOW = DAY * DAY_MS + DAY_MS // 2
GRACE_MS = 3_600_000
PLENTY = Limits(0, 10**15)

uses = st.lists(
    st.builds(DayUse, st.integers(DAY - 30, DAY), st.integers(0, 10**6), st.integers(0, 10**6), st.just(0)),
    max_size=12,
    unique_by=lambda use: use.day,
)


@given(uses, st.integers(0, 10**7), st.integers(0, 40), st.integers(0, 10**7), st.sets(st.integers(DAY - 30, DAY)))
def test_no_more_goes_than_must_the_oldest_first_and_never_today_or_what_is_not_rolled_up(
    days: list[DayUse], beside: int, keep_days: int, budget: int, rolled_up: set[int]
) -> None:
    drops = plan.due_for_dropping(days, beside, Limits(keep_days, budget), NOW, rolled_up)
    dropped = [drop.day for drop in drops]
    assert dropped == sorted(set(dropped))
    assert set(dropped) <= rolled_up - {DAY}
    kept = [use for use in days if use.day not in dropped]
    movable = [use for use in kept if use.day in rolled_up and use.day != DAY]
    assert all(use.day >= DAY - keep_days for use in movable) or not keep_days
    used = beside + sum(use.total_bytes for use in kept)
    assert used <= budget or not movable
    by_budget = [drop.day for drop in drops if drop.cause is Cause.BUDGET]
    if by_budget:
        newest = next(use for use in days if use.day == by_budget[-1])
        assert used + newest.total_bytes > budget
        assert all(use.day > by_budget[-1] for use in movable)


@given(uses)
def test_a_day_is_sealed_once_it_is_over_and_its_grace_is(days: list[DayUse]) -> None:
    due = plan.due_for_sealing(days, NOW, GRACE_MS)
    assert due == sorted(use.day for use in days if use.open_bytes and use.day < DAY)
    assert plan.due_for_sealing([DayUse(DAY, 1, 0)], (DAY + 1) * DAY_MS + GRACE_MS - 1, GRACE_MS) == []
    assert plan.due_for_sealing([DayUse(DAY, 1, 0)], (DAY + 1) * DAY_MS + GRACE_MS, GRACE_MS) == [DAY]


def test_a_large_day_is_not_written_anew_for_every_late_reading() -> None:
    large = 10**9
    quiet = DayUse(DAY - 9, large // 100, large, NOW - 8 * DAY_MS)
    assert plan.due_for_sealing([quiet._replace(changed_at=NOW - DAY_MS)], NOW, 0) == []
    assert plan.due_for_sealing([quiet], NOW, 0) == [DAY - 9]
    assert plan.due_for_sealing([quiet._replace(changed_at=NOW, open_bytes=large // 10)], NOW, 0) == [DAY - 9]


def test_the_budget_leaves_a_part_of_the_disk_free_unless_it_is_said() -> None:
    assert plan.budget(5, 10, 20, 100) == 5
    assert plan.budget(0, 50, 40, 100) == 75
    assert plan.budget(0, 1, 2, 100) == 0


def test_the_forecast_goes_on_as_the_last_days_did() -> None:
    days = [DayUse(DAY - age, 0, 100) for age in range(1, 11)] + [DayUse(DAY, 50, 0)]
    assert plan.forecast(days, 0, Limits(0, 2_050), NOW) == (100, 10)
    assert plan.forecast(days, 2_000, Limits(0, 2_050), NOW) == (100, 0)
    # Two weeks of 100 bytes are less than the budget: it is never used up.
    assert plan.forecast(days, 0, Limits(14, 2_050), NOW) == (100, None)
    assert plan.forecast([], 0, PLENTY, NOW) == (0, None)
    assert plan.forecast([DayUse(DAY, 50, 0)], 0, PLENTY, NOW) == (0, None)
    # A young gateway has no seven days.
    assert plan.forecast([DayUse(DAY - 1, 0, 70), DayUse(DAY, 1, 0)], 0, Limits(0, 141), NOW) == (70, 1)


def test_devices_are_kept_by_themselves_then_by_type() -> None:
    devices = [(1, "a", "camera"), (1, "b", "camera"), (1, "c", "pump")]
    kept = plan.keep_days_of(devices, {"camera": 7}, {"b": 2})
    assert kept == {(1, "a"): 7, (1, "b"): 2}
    assert plan.too_old(DAY - 7, kept, NOW) == {(1, "b")}
    assert plan.too_old(DAY - 8, kept, NOW) == {(1, "a"), (1, "b")}
    assert plan.too_old(DAY, kept, NOW) == frozenset()
