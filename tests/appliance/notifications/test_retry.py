from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import HOUR_MS
from appliance.notifications.retry import ATTEMPT_LIMIT, LADDER_MS, after_failure, after_success
from tests.appliance.notifications.examples import NOTICE, START, notice


@given(st.integers(0, ATTEMPT_LIMIT - 1), st.booleans())
def test_after_an_attempt_a_notice_is_sent_due_or_given_up_and_only_one_of_them(count: int, permanent: bool) -> None:
    tried = notice(attempt_count=count)
    for after in (after_success(tried, START), after_failure(tried, "busy", START, permanent=permanent)):
        assert [after.sent_at, after.given_up_at, after.due_at].count(None) == 2
        assert after.attempt_count == count + 1


def test_the_waits_grow_to_a_day_and_then_it_is_given_up() -> None:
    after, now, waits = NOTICE, START, []
    while after.due_at is not None:
        now = after.due_at
        after = after_failure(after, "busy", now, permanent=False)
        if after.due_at is not None:
            waits.append(after.due_at - now)
    assert waits == sorted(waits) == list(LADDER_MS)
    assert after.attempt_count == ATTEMPT_LIMIT == 10
    assert after.given_up_at == now
    assert now - START > 40 * HOUR_MS
    assert after.last_error == "busy"


def test_what_can_never_succeed_is_given_up_at_once() -> None:
    after = after_failure(NOTICE, "no such mailbox", START, permanent=True)
    assert (after.given_up_at, after.due_at, after.last_error) == (START, None, "no such mailbox")


def test_what_was_sent_has_no_error_any_more() -> None:
    after = after_success(after_failure(NOTICE, "busy", START, permanent=False), START + 5_000)
    assert (after.sent_at, after.last_error, after.attempt_count) == (START + 5_000, None, 2)
