"""How long a person waits before the next attempt."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.accounts.throttle import (
    ATTEMPTS_A_MINUTE,
    FORGET_MS,
    FREE_FAILURES,
    LONGEST_WAIT_MS,
    Failures,
    Minute,
    after_attempt,
    after_failure,
    minute_wait_ms,
    wait_ms,
)

moments = st.integers(0, 10**13)
pauses = st.lists(st.integers(0, 2 * FORGET_MS), max_size=60)


def failed(count: int, at: int = 0) -> Failures:
    failures = Failures()
    for _ in range(count):
        failures = after_failure(failures, at)
    return failures


@given(count=st.integers(0, 10_000), last_at=moments, now=moments)
def test_no_wait_is_longer_than_the_longest_whatever_the_clock_does(count: int, last_at: int, now: int) -> None:
    assert 0 <= wait_ms(Failures(count, last_at), now) <= LONGEST_WAIT_MS


@given(count=st.integers(0, 100), now=moments)
def test_one_more_failure_never_shortens_the_wait(count: int, now: int) -> None:
    assert wait_ms(failed(count + 1, now), now) >= wait_ms(failed(count, now), now)


@given(count=st.integers(0, 100), now=moments, later=st.integers(0, LONGEST_WAIT_MS))
def test_waiting_as_long_as_was_said_is_enough(count: int, now: int, later: int) -> None:
    failures = failed(count, now)
    wait = wait_ms(failures, now)
    assert wait_ms(failures, now + wait) == 0
    assert wait_ms(failures, now + later) == max(0, wait - later)


@given(pauses=pauses)
def test_a_guesser_who_waits_as_told_gets_few_guesses(pauses: list[int]) -> None:
    now, failures, guesses, began = 10**12, Failures(), 0, 10**12
    for pause in pauses:
        now += pause
        if wait_ms(failures, now) == 0:
            failures = after_failure(failures, now)
            guesses += 1
    hours = (now - began) / FORGET_MS
    # Sixteen free or short waits, then one each fifteen minutes; all of it anew after an hour of rest.
    assert guesses <= 16 + hours * 16


@given(attempts=st.lists(st.integers(0, 5_000), max_size=200), start=moments)
def test_an_address_is_heard_at_most_so_often_in_its_minute(attempts: list[int], start: int) -> None:
    now, minute, heard = start, Minute(), []
    for pause in attempts:
        now += pause
        if minute_wait_ms(minute, now) == 0:
            minute = after_attempt(minute, now)
            heard.append(now)
    for at in heard:
        assert sum(at <= other < at + 60_000 for other in heard) <= 2 * ATTEMPTS_A_MINUTE
    assert sum(minute.began_at <= at for at in heard) <= ATTEMPTS_A_MINUTE


@given(minute=st.builds(Minute, moments, st.integers(0, 100)), now=moments)
def test_an_address_never_waits_longer_than_a_minute(minute: Minute, now: int) -> None:
    wait = minute_wait_ms(minute, now)
    assert 0 <= wait <= 60_000
    assert minute_wait_ms(minute, now + wait) == 0


def test_five_mistakes_are_free_and_then_each_doubles_the_wait() -> None:
    assert [wait_ms(failed(count), 0) for count in range(9)] == [0, 0, 0, 0, 0, 1_000, 2_000, 4_000, 8_000]
    assert wait_ms(failed(40), 0) == LONGEST_WAIT_MS


def test_failures_are_forgotten_after_a_rest() -> None:
    assert after_failure(failed(30), FORGET_MS - 1).count == 31
    assert after_failure(failed(30), FORGET_MS).count == 1
    assert wait_ms(failed(FREE_FAILURES + 3), FORGET_MS) == 0
