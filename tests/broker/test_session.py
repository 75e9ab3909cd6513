"""What the broker knows of one client while its session lasts."""

from hypothesis import given
from hypothesis import strategies as st

from broker.changes import SessionKept
from tests.broker.parts import CONNECTED, session


@given(st.integers(0, 2**32 - 1))
def test_a_session_outlives_its_connection_if_it_has_time_to(expiry_s: int) -> None:
    assert session(expiry_s=expiry_s).is_stored == (expiry_s > 0)


def test_a_session_is_kept_with_the_time_when_its_client_left() -> None:
    made = session("sensor", 7, expiry_s=60)
    made.left_at = 5_000
    assert made.kept() == SessionKept(7, 1, "sensor", "sensor", 60, 5_000)
    made.client = CONNECTED
    assert made.kept() == SessionKept(7, 1, "sensor", "sensor", 60, None)


def test_a_session_that_was_just_made_waits_for_nothing() -> None:
    made = session()
    assert not made.is_stored
    assert (made.client, made.will, made.held, made.decisions, made.taken_identifiers) == (None,) * 5
    assert (len(made.deliveries), len(made.subscriptions), made.dropped_count) == (0, 0, 0)
