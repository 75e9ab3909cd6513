"""What the clock is worth, and what follows for certificates."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS, from_text
from appliance.registry.clock.trust import FURTHEST_AHEAD_MS, ClockState, Reading, is_flagged, is_over

FLOOR = from_text("2026-11-21T06:00:00")
MOMENTS = st.integers(0, from_text("2199-01-01T00:00:00"))


@given(wall_at=MOMENTS, floor_at=MOMENTS, is_synchronised=st.booleans())
def test_a_clock_before_what_has_passed_is_wrong_whoever_stands_behind_it(
    wall_at: int, floor_at: int, is_synchronised: bool
) -> None:
    reading = Reading(wall_at, floor_at, is_synchronised)
    if wall_at < floor_at:
        assert reading.state is ClockState.UNTRUSTED
    elif is_synchronised:
        assert reading.state is ClockState.SYNCHRONISED
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


@given(wall_at=MOMENTS, floor_at=MOMENTS, is_synchronised=st.booleans(), length_ms=st.integers(1, 400 * DAY_MS))
def test_what_is_issued_is_not_over_when_it_is_issued(
    wall_at: int, floor_at: int, is_synchronised: bool, length_ms: int
) -> None:
    reading = Reading(wall_at, floor_at, is_synchronised)
    assert reading.issuing_at >= floor_at
    assert not is_over(reading.issuing_at + length_ms, reading)


@given(wall_at=MOMENTS, is_synchronised=st.booleans())
def test_what_is_said_of_the_clock_names_what_it_shows(wall_at: int, is_synchronised: bool) -> None:
    said = Reading(wall_at, FLOOR, is_synchronised).told()
    assert said.startswith(("19", "20", "21"))
    assert ("Certificates are accepted" in said) == (Reading(wall_at, FLOOR, is_synchronised).surely_at is None)


def test_each_state_is_said_in_its_own_words() -> None:
    assert "has passed already" in Reading(0, FLOOR, True).told()
    assert "far ahead" in Reading(from_text("2100-01-01T00:00:00"), FLOOR, False).told()
    assert "set by a time server" in Reading(FLOOR, FLOOR, True).told()
    assert "not proven" in Reading(FLOOR, FLOOR, False).told()
