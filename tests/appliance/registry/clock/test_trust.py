"""What the clock is worth, and what follows for certificates."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS, HOUR_MS, from_text
from appliance.registry.clock.trust import (
    FURTHEST_AHEAD_MS,
    FURTHEST_JUMP_MS,
    HOLD_MS,
    SLACK_MS,
    STEADY_MS,
    ClockState,
    Doubt,
    Reading,
    is_flagged,
    is_over,
    weigh,
)

FLOOR = from_text("2026-11-21T06:00:00")
FAR = FLOOR + FURTHEST_JUMP_MS + 1
MOMENTS = st.integers(0, from_text("2199-01-01T00:00:00"))
LIFTS = st.integers(0, 800 * DAY_MS)


@given(wall_at=MOMENTS, begun_at=MOMENTS, lifted_ms=LIFTS, is_synchronised=st.booleans())
def test_a_clock_before_what_has_passed_is_wrong_and_one_far_ahead_is_doubted_whoever_stands_behind_it(
    wall_at: int, begun_at: int, lifted_ms: int, is_synchronised: bool
) -> None:
    floor_at = begun_at + lifted_ms
    reading = Reading(wall_at, floor_at, is_synchronised, begun_at=begun_at)
    if wall_at < floor_at:
        assert reading.state is ClockState.UNTRUSTED
    elif is_synchronised:
        is_near = wall_at - begun_at <= FURTHEST_JUMP_MS
        assert reading.state is (ClockState.SYNCHRONISED if is_near else ClockState.UNTRUSTED)
        assert reading.is_doubted == (not is_near)
    else:
        is_near = wall_at - floor_at <= FURTHEST_AHEAD_MS
        assert reading.state is (ClockState.FLOOR if is_near else ClockState.UNTRUSTED)


@given(wall_at=MOMENTS, floor_at=MOMENTS, is_synchronised=st.booleans(), expires_at=MOMENTS)
def test_a_certificate_is_refused_only_by_a_moment_that_has_passed_for_sure(
    wall_at: int, floor_at: int, is_synchronised: bool, expires_at: int
) -> None:
    reading = Reading(wall_at, floor_at, is_synchronised)
    if is_over(expires_at, reading):
        assert reading.state.is_trusted
        assert expires_at <= (wall_at if is_synchronised else floor_at)
    # Whoever seems to be over and gets in all the same is shown.
    seems_over = expires_at <= wall_at
    assert (seems_over and not is_over(expires_at, reading)) == is_flagged(expires_at, reading)


@given(wall_at=MOMENTS, begun_at=MOMENTS, lifted_ms=LIFTS, is_synchronised=st.booleans(), was_said=st.booleans())
def test_what_has_passed_for_sure_is_never_ahead_of_the_floor_unless_a_time_server_is_believed(
    wall_at: int, begun_at: int, lifted_ms: int, is_synchronised: bool, was_said: bool
) -> None:
    floor_at = begun_at + lifted_ms
    reading = Reading(wall_at, floor_at, is_synchronised, begun_at=begun_at, was_said=was_said)
    assert reading.passed_at >= floor_at
    if reading.passed_at > floor_at:
        assert is_synchronised
        assert reading.passed_at == wall_at <= begun_at + FURTHEST_JUMP_MS
    assert reading.surely_at in (None, reading.passed_at)


@given(wall_at=MOMENTS, floor_at=MOMENTS, is_synchronised=st.booleans(), length_ms=st.integers(1, 400 * DAY_MS))
def test_what_is_issued_is_not_over_when_it_is_issued(
    wall_at: int, floor_at: int, is_synchronised: bool, length_ms: int
) -> None:
    reading = Reading(wall_at, floor_at, is_synchronised)
    assert reading.issuing_at >= floor_at
    assert not is_over(reading.issuing_at + length_ms, reading)
    # Nor is it when a time server that is doubted turns out to be right.
    if is_synchronised and wall_at >= floor_at:
        assert not is_over(reading.issuing_at + length_ms, Reading(wall_at, wall_at, is_synchronised=True))


STEPS = st.lists(
    st.tuples(
        st.sampled_from([FAR, FAR + STEADY_MS, FAR + 300 * DAY_MS, FLOOR]) | MOMENTS,
        st.booleans(),
        st.booleans(),
        st.integers(1, 9 * HOUR_MS),
    ),
    max_size=30,
)
"""By how much it was wrong when it was set, whether by a time server, whether after a restart, after how long."""


@given(steps=STEPS)
def test_no_time_server_lifts_the_floor_beyond_a_bound_unless_it_stands_by_it_for_a_day(
    steps: list[tuple[int, bool, bool, int]],
) -> None:
    floor_at, doubt, uptime_ms, said_ms = FLOOR, None, 0, 0
    for zero_at, is_synchronised, is_restarted, passed_ms in steps:
        if is_restarted:
            floor_at, uptime_ms = floor_at + uptime_ms, 0
            doubt = None if doubt is None else Doubt(doubt.said_at, doubt.held_ms)
        else:
            uptime_ms += passed_ms
        wall_at = zero_at + uptime_ms
        reading = Reading(wall_at, floor_at + uptime_ms, is_synchronised, FLOOR + uptime_ms, doubt is not None)
        weighed = weigh(reading, uptime_ms, doubt)
        # No more counts as held than has passed while a time server has spoken.
        said_ms = said_ms + passed_ms if is_synchronised else said_ms
        assert weighed.doubt is None or weighed.doubt.held_ms <= min(said_ms, HOLD_MS)
        if weighed.zero_at is not None:
            assert is_synchronised
            assert weighed.zero_at >= floor_at
            if weighed.zero_at - FLOOR > FURTHEST_JUMP_MS:
                assert said_ms >= HOLD_MS
                break
            floor_at = weighed.zero_at
        if not is_synchronised:
            # Who says nothing neither ends a doubt nor begins one.
            assert (weighed.doubt is None) == (doubt is None)
        doubt = weighed.doubt


def said(doubt: Doubt | None, ahead_ms: int, uptime_ms: int, floor_at: int = FLOOR) -> tuple[Doubt | None, int | None]:
    """What a time server brings about that says this much more than `FAR` after that uptime."""
    reading = Reading(FAR + ahead_ms, floor_at + uptime_ms, is_synchronised=True, begun_at=FLOOR)
    weighed = weigh(reading, uptime_ms, doubt)
    return weighed.doubt, weighed.zero_at


def test_a_time_server_that_holds_for_a_day_is_believed_and_one_that_changes_its_mind_is_not() -> None:
    first, zero_at = said(None, 0, 0)
    assert (first, zero_at) == (Doubt(FAR, 0, 0), None)
    assert said(first, HOLD_MS, HOLD_MS) == (None, FAR - SLACK_MS)
    assert said(first, HOLD_MS - 1, HOLD_MS - 1) == (Doubt(FAR + HOLD_MS - 1, HOLD_MS - 1, HOLD_MS - 1), None)
    other = HOLD_MS + STEADY_MS + 1
    assert said(first, other, HOLD_MS) == (Doubt(FAR + other, 0, HOLD_MS), None)
    assert weigh(Reading(FLOOR, FLOOR, is_synchronised=True), HOLD_MS, first).doubt is None


def test_small_corrections_do_not_add_up_to_another_moment() -> None:
    doubt, _ = said(None, 0, 0)
    doubt, _ = said(doubt, HOUR_MS + STEADY_MS, HOUR_MS)
    assert doubt == Doubt(FAR + HOUR_MS, HOUR_MS, HOUR_MS)
    doubt, _ = said(doubt, 2 * HOUR_MS + STEADY_MS + 1, 2 * HOUR_MS)
    assert doubt is not None
    assert doubt.held_ms == 0


@given(silent_ms=st.integers(-HOUR_MS, 3 * DAY_MS), held_ms=st.integers(0, HOLD_MS - 1))
def test_a_doubt_goes_on_after_a_silence_of_up_to_a_day_where_it_was(silent_ms: int, held_ms: int) -> None:
    doubt, zero_at = said(Doubt(FAR + DAY_MS, held_ms), DAY_MS + silent_ms, 0)
    is_same = -STEADY_MS <= silent_ms <= HOLD_MS
    assert (doubt, zero_at) == (Doubt(FAR + DAY_MS + silent_ms, held_ms if is_same else 0, 0), None)


def test_a_clock_that_was_doubted_is_not_plausible_because_the_time_server_is_silent() -> None:
    silent = Reading(FAR, FLOOR, is_synchronised=False, was_said=True)
    assert (silent.state, silent.is_doubted) == (ClockState.UNTRUSTED, True)
    assert Reading(FAR, FLOOR, is_synchronised=False).state is ClockState.FLOOR
    assert Reading(FLOOR, FLOOR, is_synchronised=False, was_said=True).state is ClockState.FLOOR


@given(ahead_ms=st.integers(0, FURTHEST_JUMP_MS), back_ms=st.integers(0, SLACK_MS), uptime_ms=st.integers(0, DAY_MS))
def test_a_small_correction_does_not_make_a_clock_wrong_that_was_believed(
    ahead_ms: int, back_ms: int, uptime_ms: int
) -> None:
    wall_at = FLOOR + ahead_ms
    zero_at = weigh(Reading(wall_at, FLOOR, is_synchronised=True), uptime_ms, None).zero_at
    assert zero_at is not None
    corrected = Reading(max(FLOOR, wall_at - back_ms), zero_at + uptime_ms, is_synchronised=True)
    assert corrected.state.is_trusted


@given(wall_at=MOMENTS, is_synchronised=st.booleans())
def test_what_is_said_of_the_clock_names_what_it_shows(wall_at: int, is_synchronised: bool) -> None:
    said = Reading(wall_at, FLOOR, is_synchronised).told()
    assert said.startswith(("19", "20", "21"))
    assert ("tokens are accepted" in said) == (Reading(wall_at, FLOOR, is_synchronised).surely_at is None)


def test_each_state_is_said_in_its_own_words() -> None:
    assert "has passed already" in Reading(0, FLOOR, True).told()
    assert "no time server says so" in Reading(from_text("2100-01-01T00:00:00"), FLOOR, False).told()
    assert "says a time server" in Reading(from_text("2100-01-01T00:00:00"), FLOOR, True).told()
    assert "set by a time server" in Reading(FLOOR, FLOOR, True).told()
    assert "not proven" in Reading(FLOOR, FLOOR, False).told()


@given(wall_at=MOMENTS, is_synchronised=st.booleans(), before_ms=st.integers(0, STEADY_MS))
def test_what_a_clock_says_that_is_wrong_was_when_the_floor_is(
    wall_at: int, is_synchronised: bool, before_ms: int
) -> None:
    reading = Reading(wall_at, FLOOR, is_synchronised)
    shown_at = wall_at - before_ms
    is_wrong = not reading.state.is_trusted and not reading.is_doubted
    assert reading.surmised(shown_at) == (FLOOR if is_wrong else shown_at)


@given(wall_at=MOMENTS, shown_at=MOMENTS, is_synchronised=st.booleans())
def test_what_a_clock_showed_before_it_was_set_is_no_moment(wall_at: int, shown_at: int, is_synchronised: bool) -> None:
    reading = Reading(wall_at, FLOOR, is_synchronised)
    if reading.state.is_trusted:
        assert abs(reading.surmised(shown_at) - wall_at) <= STEADY_MS
