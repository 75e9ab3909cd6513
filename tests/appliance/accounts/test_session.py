"""How long a session lasts."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.accounts.model import Role, Session, User
from appliance.accounts.session import Lifetime

USER = User(1, 1, "ada@example.org", Role.OWNER)
LIFETIME = Lifetime(idle_ms=30 * 60_000, length_ms=12 * 3_600_000)
lifetimes = st.builds(Lifetime, st.integers(1, 10**8), st.integers(1, 10**9))


@given(lifetime=lifetimes, created_at=st.integers(0, 10**12), used=st.integers(0, 10**9), later=st.integers(0, 10**9))
def test_a_session_lasts_until_it_is_idle_or_old(lifetime: Lifetime, created_at: int, used: int, later: int) -> None:
    session = Session(USER, created_at, created_at + used)
    now = session.seen_at + later
    assert lifetime.has_ended(session, now) == (later >= lifetime.idle_ms or used + later >= lifetime.length_ms)


@given(lifetime=lifetimes, later=st.integers(0, 10**9))
def test_a_session_that_has_ended_never_comes_back(lifetime: Lifetime, later: int) -> None:
    session = Session(USER, 0, 0)
    if lifetime.has_ended(session, later):
        assert lifetime.has_ended(session, later + 1)


@given(lifetime=lifetimes, created_at=st.integers(0, 10**12), used=st.integers(0, 10**9))
def test_a_session_ends_at_the_moment_it_is_said_to(lifetime: Lifetime, created_at: int, used: int) -> None:
    session = Session(USER, created_at, created_at + used)
    assert lifetime.has_ended(session, lifetime.ends_at(session))
    assert not lifetime.has_ended(session, lifetime.ends_at(session) - 1)


@given(lifetime=lifetimes)
def test_use_is_noted_well_before_the_session_would_end(lifetime: Lifetime) -> None:
    session = Session(USER, 0, 0)
    assert lifetime.is_worth_noting(session, lifetime.idle_ms // 10)


def test_use_is_noted_once_a_minute_and_not_at_each_request() -> None:
    session = Session(USER, 0, 0)
    assert not LIFETIME.is_worth_noting(session, 59_999)
    assert LIFETIME.is_worth_noting(session, 60_000)
