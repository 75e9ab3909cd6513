"""Which days are sealed, thinned and dropped, and when the room is used up."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS
from appliance.telemetry.keeping import plan
from appliance.telemetry.keeping.plan import Cause, DayUse, Drop, Limits, Present, Spent, Thinning
from tests.appliance.telemetry.reports import DAY

NOW = DAY * DAY_MS + DAY_MS // 2
GRACE_MS = 3_600_000
PLENTY = 10**15
TODAY = Present(DAY, DAY)
FRESH = Spent()

day_numbers = st.integers(DAY - 30, DAY)
uses = st.lists(
    st.builds(DayUse, day_numbers, st.integers(0, 10**6), st.integers(0, 10**6), st.just(0)),
    max_size=12,
    unique_by=lambda use: use.day,
)
many_uses = st.sets(st.integers(DAY - 60, DAY), max_size=50).map(lambda days: [DayUse(day, 0, 1) for day in days])
moments = st.one_of(
    st.integers(0, 2 * NOW), st.integers((DAY - 70) * DAY_MS, (DAY + 70) * DAY_MS), st.just(NOW + 400 * DAY_MS)
)
near = st.integers(DAY - 31, DAY + 1).map(lambda day: day * DAY_MS + 7)


def due(days: list[DayUse], limits: Limits, today: Present = TODAY, spent: Spent = FRESH) -> list[Drop]:
    """What is to go when everything is rolled up and nothing lies beside it."""
    return plan.due_for_dropping(days, 0, limits, today, {use.day for use in days}, spent)


def total(days: list[DayUse], numbers: list[int]) -> int:
    return sum(use.total_bytes for use in days if use.day in numbers)


@given(many_uses, st.integers(1, 40), moments, moments)
def test_no_day_goes_before_it_is_too_old_by_what_has_passed_for_sure_whatever_the_clock_shows(
    days: list[DayUse], keep_days: int, wall_at: int, passed_at: int
) -> None:
    today = plan.present(wall_at, passed_at)
    first_kept = min(wall_at, passed_at) // DAY_MS - keep_days
    assert all(drop.day < first_kept for drop in due(days, Limits(keep_days, PLENTY), today))
    thinned = plan.due_for_thinning(days, {(1, "a"): keep_days}, today)
    assert [each.day for each in thinned] == sorted(use.day for use in days if use.day < first_kept)
    assert all(each.by_age | each.by_clock == {(1, "a")} and not each.by_age & each.by_clock for each in thinned)
    assert plan.waiting_for_age(days, keep_days, today) == sum(bool(each.by_clock) for each in thinned)


@given(many_uses, st.integers(1, 40), moments)
def test_a_day_that_goes_for_its_age_has_as_many_later_ones_as_are_kept_and_others_go_by_the_handful(
    days: list[DayUse], keep_days: int, now: int
) -> None:
    today = plan.present(now, now)
    drops = due(days, Limits(keep_days, PLENTY), today)
    causes = [drop.cause for drop in drops]
    by_age = causes.count(Cause.AGE)
    assert causes == [Cause.AGE] * by_age + [Cause.CLOCK] * (len(drops) - by_age)
    over = sorted(use.day for use in days if use.day < today.aged)
    # The oldest first, and as many as there are beyond those that are kept.
    assert [drop.day for drop in drops] == over[: len(drops)]
    old = [day for day in over if day < today.aged - keep_days]
    assert by_age == min(len(old), max(0, len(over) - keep_days))
    assert len(drops) - by_age == min(len(old) - by_age, plan.handful(len(days)))


@given(many_uses, st.integers(1, 40), st.lists(st.tuples(moments, st.integers(0, plan.NIGHT_MS - 1)), max_size=20))
def test_no_leaps_of_the_clock_make_more_than_a_handful_go_in_a_night(
    days: list[DayUse], keep_days: int, leaps: list[tuple[int, int]]
) -> None:
    most, gone, spent = plan.handful(len(days)), 0, FRESH
    for now, uptime_ms in sorted(leaps, key=lambda leap: leap[1]):
        spent = plan.tonight(spent, uptime_ms)
        for drop in due(days, Limits(keep_days, PLENTY), plan.present(now, now), spent):
            spent = plan.spend(spent, drop.cause, 1)
            gone += drop.cause is Cause.CLOCK
            days = [use for use in days if use.day != drop.day]
    assert gone <= most
    assert plan.tonight(spent, plan.NIGHT_MS) == Spent(plan.NIGHT_MS)


@given(
    many_uses,
    st.integers(1, 40),
    st.lists(st.tuples(st.integers(0, plan.NIGHT_MS // 2), st.booleans(), moments), max_size=20),
)
def test_no_starts_and_no_boots_make_more_than_a_handful_go_in_a_night(
    days: list[DayUse], keep_days: int, lives: list[tuple[int, bool, int]]
) -> None:
    """Each life lasts so long, and the machine or only the gateway starts anew after it; a boot's clock begins at 0."""
    most, uptime_ms, passed_ms, written = plan.handful(len(days)), 0, 0, Spent()
    gone: list[int] = []
    for lasts_ms, is_boot, now in lives:
        spent = plan.tonight(written, uptime_ms)
        for drop in due(days, Limits(keep_days, PLENTY), plan.present(now, now), spent):
            spent = plan.spend(spent, drop.cause, 1)
            gone += [passed_ms] * (drop.cause is Cause.CLOCK)
            days = [use for use in days if use.day != drop.day]
        seen_ms = uptime_ms + lasts_ms
        passed_ms += lasts_ms
        uptime_ms = 0 if is_boot else seen_ms
        written = plan.resumed(spent, seen_ms, uptime_ms, is_same_boot=not is_boot)
    assert all(sum(at <= each < at + plan.NIGHT_MS for each in gone) <= 2 * most for at in gone)
    assert sum(at < plan.NIGHT_MS for at in gone) <= most
    # What passed before a boot counts, and so does what passed since.
    assert plan.tonight(
        plan.resumed(Spent(5, 1), 7, plan.NIGHT_MS - 3, is_same_boot=False), plan.NIGHT_MS - 3
    ).day_count
    assert not plan.is_spent(plan.tonight(plan.resumed(Spent(5, 1), 7, 0, is_same_boot=False), plan.NIGHT_MS - 2))
    # A clock that is behind what was seen by it is another one, whatever it calls itself.
    assert plan.resumed(Spent(5, 1), 7, 6, is_same_boot=True) == Spent(-2, 1)


@given(many_uses, st.integers(1, 40), st.integers(0, 40), moments, st.integers(0, 90 * DAY_MS))
def test_more_time_and_a_shorter_time_to_keep_never_save_a_day(
    days: list[DayUse], keep_days: int, less: int, now: int, later_ms: int
) -> None:
    drops = {drop.day for drop in due(days, Limits(keep_days, PLENTY), plan.present(now, now))}
    later = plan.present(now + later_ms, now + later_ms)
    assert drops <= {drop.day for drop in due(days, Limits(keep_days, PLENTY), later)}
    shorter = Limits(max(1, keep_days - less), PLENTY)
    assert drops <= {drop.day for drop in due(days, shorter, plan.present(now, now))}


@given(uses, st.integers(0, 10**7), st.integers(0, 10**7), near, near, st.sets(day_numbers))
def test_a_budget_that_was_set_is_kept_to_with_the_oldest_days_or_not_at_all(
    days: list[DayUse], beside: int, budget: int, wall_at: int, passed_at: int, rolled_up: set[int]
) -> None:
    today = plan.present(wall_at, passed_at)
    drops = plan.due_for_dropping(days, beside, Limits(0, budget), today, rolled_up, FRESH)
    dropped = [drop.day for drop in drops]
    assert all(drop.cause is Cause.BUDGET for drop in drops)
    assert today.shown not in dropped
    movable = sorted(day for day in rolled_up & {use.day for use in days} if today.is_over(day))
    assert dropped == movable[: len(dropped)]
    used = beside + total(days, [use.day for use in days])
    if used - total(days, movable) > budget:
        assert dropped == []
    else:
        assert used - total(days, dropped) <= budget
        assert not dropped or used - total(days, dropped[:-1]) > budget


@given(uses, st.integers(0, 10**7), st.integers(0, 10**6), st.integers(0, 10**6))
def test_a_budget_that_nobody_set_takes_no_more_than_about_a_usual_day_in_a_night(
    days: list[DayUse], budget: int, nightly: int, spent: int
) -> None:
    limits = Limits(0, budget, nightly)
    asked = [drop.day for drop in due(days, Limits(0, budget))]
    dropped = [drop.day for drop in due(days, limits, spent=Spent(0, 0, spent))]
    assert dropped == asked[: len(dropped)]
    assert not dropped or spent + total(days, dropped[:-1]) < nightly
    if len(dropped) < len(asked):
        assert spent + total(days, dropped) >= nightly


@given(uses, st.integers(0, 10**7), st.integers(0, 10**7), moments)
def test_more_than_may_be_used_is_told_and_gets_less_each_night_whatever_the_clock_shows_and_whoever_is_silent(
    days: list[DayUse], beside: int, budget: int, now: int
) -> None:
    today, used = plan.present(now, now), beside + sum(use.total_bytes for use in days)
    limits = Limits(0, budget, plan.nightly(days, now))
    assert (plan.forecast(days, beside, limits, now).days_left == 0) >= (used > budget)
    movable = [use.day for use in days if today.is_over(use.day)]
    is_due = budget < used <= budget + total(days, movable)
    drops = plan.due_for_dropping(days, beside, limits, today, {use.day for use in days}, FRESH)
    assert bool(total(days, [drop.day for drop in drops])) is is_due


@given(uses, st.integers(-(10**7), 10**7), near, near)
def test_a_full_disk_drops_the_oldest_day_if_all_of_them_would_help_and_never_todays(
    days: list[DayUse], missing: int, wall_at: int, passed_at: int
) -> None:
    today = plan.present(wall_at, passed_at)
    day = plan.due_on_full_disk(days, missing, today)
    movable = sorted(use.day for use in days if use.day != today.shown and use.day < max(today))
    if day is None:
        assert not movable or total(days, movable) < missing
    else:
        assert day == movable[0]
        assert total(days, movable) >= missing


@given(uses, st.integers(1, 40), st.integers(0, 10**7))
def test_today_stays_and_so_does_what_is_not_rolled_up(days: list[DayUse], keep_days: int, budget: int) -> None:
    assert plan.due_for_dropping(days, 0, Limits(keep_days, budget), TODAY, set(), FRESH) == []
    assert DAY not in [drop.day for drop in due(days, Limits(keep_days, budget))]


def test_what_is_received_by_a_clock_that_is_behind_stays() -> None:
    behind = plan.present((DAY - 9) * DAY_MS, NOW)
    days = [DayUse(DAY - age, 0, 1) for age in range(10)]
    assert [drop.day for drop in due(days, Limits(0, 1))] == list(range(DAY - 9, DAY))
    assert [drop.day for drop in due(days, Limits(0, 2), behind)] == list(range(DAY - 8, DAY))
    assert plan.due_on_full_disk(days, 1, behind) == DAY - 8
    assert plan.due_on_full_disk(days, 9, behind) is None


def test_a_shorter_time_to_keep_takes_at_once_what_days_prove_and_a_leap_of_the_clock_a_handful() -> None:
    year = [DayUse(DAY - age, 0, 1) for age in range(366)]
    shortened = due(year, Limits(30, PLENTY))
    assert [drop.day for drop in shortened] == list(range(DAY - 365, DAY - 30))
    assert {drop.cause for drop in shortened} == {Cause.AGE}
    # The same days, and a clock that is believed and 400 days ahead.
    leapt = due(year, Limits(366, PLENTY), Present(DAY + 400, DAY + 400))
    assert [drop.day for drop in leapt] == list(range(DAY - 365, DAY - 365 + plan.HANDFUL))
    assert {drop.cause for drop in leapt} == {Cause.CLOCK}
    # And one that nobody vouches for.
    assert due(year, Limits(366, PLENTY), Present(DAY + 400, DAY)) == []
    assert [plan.handful(count) for count in (0, 1, 7, 8, 28, 365)] == [1, 1, 1, 2, 7, 7]


@given(uses)
def test_a_day_is_sealed_once_it_is_over_and_its_grace_is(days: list[DayUse]) -> None:
    sealed = plan.due_for_sealing(days, NOW, GRACE_MS)
    assert sealed == sorted(use.day for use in days if use.open_bytes and use.day < DAY)
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
    # Nobody sends any more, or the clock runs ahead: what is too much already is too much all the same.
    later = NOW + 9 * DAY_MS
    assert plan.forecast(days, 1_001, Limits(0, 2_050), later) == (0, 0)
    assert plan.forecast(days, 1_000, Limits(0, 2_050), later) == (0, None)
    assert plan.forecast(days, 1_001, Limits(1, 2_050), NOW) == (100, 0)
    assert plan.nightly(days, later) == 96
    assert plan.nightly(days, NOW) == 100
    assert plan.nightly([], NOW) == 0
    # Two weeks of 100 bytes are less than the budget: it is never used up.
    assert plan.forecast(days, 0, Limits(14, 2_050), NOW) == (100, None)
    assert plan.forecast([], 0, Limits(0, PLENTY), NOW) == (0, None)
    assert plan.forecast([DayUse(DAY, 50, 0)], 0, Limits(0, PLENTY), NOW) == (0, None)
    # A young gateway has no seven days.
    assert plan.forecast([DayUse(DAY - 1, 0, 70), DayUse(DAY, 1, 0)], 0, Limits(0, 141), NOW) == (70, 1)


def test_devices_are_kept_by_themselves_then_by_type() -> None:
    devices = [(1, "a", "camera"), (1, "b", "camera"), (1, "c", "pump"), (2, "b", "pump"), (3, "a", "camera")]
    kept = plan.keep_days_of(devices, {"camera": 7}, {(1, "b"): 2})
    assert kept == {(1, "a"): 7, (1, "b"): 2, (3, "a"): 7}
    del kept[3, "a"]
    days = [DayUse(DAY - age, 0, 1) for age in range(9)]
    a, b = (1, "a"), (1, "b")
    nobody = frozenset[tuple[int, str]]()
    assert plan.due_for_thinning(days, kept, TODAY) == [
        Thinning(DAY - 8, frozenset({a, b}), nobody),
        *[Thinning(DAY - age, frozenset({b}), nobody) for age in range(7, 2, -1)],
    ]
    assert plan.due_for_thinning(days[-1:], kept, TODAY) == [Thinning(DAY - 8, nobody, frozenset({a, b}))]
