"""The laws of how far a command has come."""

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from appliance.commands import ruling
from appliance.commands.model import FINAL, By, Command, DialectName, State
from appliance.commands.ruling import Reason, Refusal, Report
from tests.appliance.commands.examples import NOW, command

RANK = {state: place for place, state in enumerate(State)}
Step = Callable[[Command, int], Command]


def reported(state: State, lag: int = 0) -> Step:
    def step(before: Command, now: int) -> Command:
        after = ruling.told(before, before.attempt - lag, Report(state, "CODE", "why", '{"n":1}'), now)
        return before if isinstance(after, Refusal) else after

    return step


def offered(before: Command, now: int) -> Command:
    return ruling.offered(before, now) if ruling.is_offerable(before, now) else before


def cancelled(by: By) -> Step:
    return lambda before, now: ruling.cancelled(before, Reason("CANCELLED", "by maria"), by, now) or before


STEPS: dict[str, Step] = {
    "offered": offered,
    "released": lambda before, now: ruling.released(before, before.attempt, now + 5_000),
    "written": lambda before, now: (
        ruling.evidenced(before, before.attempt, now, None) if before.offered_at is not None else before
    ),
    "acknowledged": lambda before, now: (
        ruling.evidenced(before, before.attempt, now, now) if before.offered_at is not None else before
    ),
    "unconfirmed": lambda before, _now: ruling.unconfirmed(before, before.attempt),
    "due": ruling.due,
    "taken back": cancelled(By.OPERATOR),
    "device gone": cancelled(By.GATEWAY),
    **{f"told {state}": reported(state) for state in (State.IN_PROGRESS, *sorted(FINAL - {State.CANCELLED}))},
    "told late": reported(State.SUCCEEDED, 1),
}
histories = st.lists(st.tuples(st.sampled_from(sorted(STEPS)), st.sampled_from([0, 1_000, 70_000, 4_000_000])))


def each(history: list[tuple[str, int]], first: Command) -> list[tuple[str, Command, Command]]:
    """Every step of a history with the command before and after it."""
    steps, now, before = [], NOW, first
    for name, passed in history:
        now += passed
        after = STEPS[name](before, now)
        steps.append((name, before, after))
        before = after
    return steps


@given(histories, st.booleans(), st.integers(0, 3))
def test_nothing_goes_backwards_within_an_attempt_and_an_end_is_an_end(
    history: list[tuple[str, int]], may_repeat: bool, retries: int
) -> None:
    for name, before, after in each(history, command(may_repeat=may_repeat, retries_left=retries)):
        assert (after.version > before.version) is (after != before), name
        if before.is_over and before.state is not after.state:
            assert (before.state, before.ended_by, after.ended_by) == (State.TIMED_OUT, By.GATEWAY, By.DEVICE)
            assert after.is_over
        elif before.attempt == after.attempt:
            assert RANK[after.state] >= RANK[before.state] or before.is_over, name
        else:
            assert (after.state, after.attempt) == (State.QUEUED, before.attempt + 1)
            assert after.retries_left == before.retries_left - 1 >= 0


@given(histories, st.integers(0, 2))
def test_nothing_is_offered_twice_under_one_execution_id_unless_it_may_be_repeated(
    history: list[tuple[str, int]], retries: int
) -> None:
    written: list[int] = []
    for name, before, after in each(history, command(may_repeat=False, retries_left=retries)):
        assert not after.is_repeated
        if name in {"written", "acknowledged"} and before.sent_at is None and after.sent_at is not None:
            written.append(after.attempt)
        if after.sent_at is not None:
            assert not ruling.is_offerable(after, NOW)
    assert len(written) == len(set(written))


@given(histories, st.booleans())
def test_sent_and_acknowledged_are_said_on_evidence_alone(history: list[tuple[str, int]], may_repeat: bool) -> None:
    for _, _, after in each(history, command(may_repeat=may_repeat)):
        if after.state is State.SENT:
            assert after.sent_at is not None
        if after.state is State.ACKNOWLEDGED:
            assert after.acknowledged_at is not None
        if after.state in {State.SUCCEEDED, State.FAILED, State.REJECTED, State.IN_PROGRESS}:
            assert after.offered_at is not None or after.is_repeated or after.sent_at is not None
        assert (after.ended_at is not None) is after.is_over


def test_what_was_acknowledged_is_never_offered_again() -> None:
    sent = ruling.evidenced(ruling.offered(command(may_repeat=True), NOW), 1, NOW, NOW)
    assert sent.state is State.ACKNOWLEDGED
    assert ruling.unconfirmed(sent, 1) is sent
    assert ruling.released(sent, 1) is sent


def test_what_may_be_repeated_is_offered_again_and_says_so() -> None:
    lost = ruling.unconfirmed(ruling.evidenced(ruling.offered(command(may_repeat=True), NOW), 1, NOW, None), 1)
    assert (lost.state, lost.is_repeated) == (State.SENT, True)
    assert ruling.is_offerable(lost, NOW)
    # Its time runs on: it is over when it expires.
    ended = ruling.due(lost, lost.expires_at)
    assert (ended.state, ended.reason_code) == (State.TIMED_OUT, ruling.NOT_CONFIRMED)


def test_what_was_not_written_may_be_offered_again() -> None:
    first = ruling.offered(command(), NOW)
    assert not ruling.is_offerable(first, NOW)
    again = ruling.released(first, 1, NOW + 5_000)
    assert not ruling.is_offerable(again, NOW)
    assert ruling.is_offerable(again, NOW + 5_000)
    assert again.due_at == NOW + 5_000
    assert ruling.due(again, NOW + 5_000).due_at == again.expires_at
    assert ruling.released(again, 1) is again
    assert ruling.released(first, 2) is first


def test_each_silence_has_its_own_reason() -> None:
    expired = ruling.due(command(), command().expires_at)
    assert (expired.state, expired.reason_code, expired.ended_by) == (State.TIMED_OUT, ruling.EXPIRED, By.GATEWAY)
    written = ruling.evidenced(ruling.offered(command(), NOW), 1, NOW, None)
    assert ruling.due(written, NOW + 59_999) is written
    assert ruling.due(written, NOW + 60_000).reason_code == ruling.NOT_CONFIRMED
    heard = ruling.evidenced(written, 1, None, NOW)
    assert ruling.due(heard, NOW + 60_000).reason_code == ruling.NOT_STARTED
    begun = ruling.told(heard, 1, Report(State.IN_PROGRESS), NOW + 10)
    assert isinstance(begun, Command)
    assert ruling.due(begun, NOW + 3_600_009) is begun
    assert ruling.due(begun, NOW + 3_600_010).reason_code == ruling.NOT_FINISHED


def test_a_late_word_of_the_device_counts_more_than_the_gateway_s_impatience() -> None:
    silent = ruling.due(ruling.evidenced(ruling.offered(command(), NOW), 1, NOW, NOW), NOW + 60_000)
    late = ruling.told(silent, 1, Report(State.SUCCEEDED), NOW + 90_000)
    assert isinstance(late, Command)
    assert (late.state, late.ended_by) == (State.SUCCEEDED, By.DEVICE)
    refused = ruling.told(silent, 1, Report(State.IN_PROGRESS), NOW + 90_000)
    assert isinstance(refused, Refusal)
    own = ruling.told(ruling.offered(command(), NOW), 1, Report(State.TIMED_OUT), NOW)
    assert isinstance(own, Command)
    assert ruling.told(own, 1, Report(State.SUCCEEDED), NOW) == Refusal(ruling.TERMINAL, "it has ended as timed_out")


def test_a_device_cannot_tell_of_what_it_was_never_sent() -> None:
    assert ruling.told(command(), 1, Report(State.SUCCEEDED), NOW) == Refusal(
        ruling.NOT_FOUND, "this execution was not sent"
    )
    sent = ruling.offered(command(), NOW)
    for attempt in (0, 2):
        refused = ruling.told(sent, attempt, Report(State.SUCCEEDED), NOW)
        assert isinstance(refused, Refusal)
    odd = ruling.told(sent, 1, Report(State.ACKNOWLEDGED), NOW)
    assert isinstance(odd, Refusal)
    assert odd.code == ruling.INVALID_TRANSITION


def test_a_retry_waits_longer_each_time_and_an_earlier_success_spares_it() -> None:
    sent = ruling.offered(command(retries_left=2), NOW)
    again = ruling.told(sent, 1, Report(State.FAILED, "JAM", "jammed"), NOW)
    assert isinstance(again, Command)
    assert (again.state, again.attempt, again.not_before) == (State.QUEUED, 2, NOW + 5_000)
    assert again.reason == "attempt 1 failed: jammed"
    assert again.wire_id == f"{again.execution_id}-2"
    done = ruling.told(again, 1, Report(State.SUCCEEDED), NOW)
    assert isinstance(done, Command)
    assert done.state is State.SUCCEEDED
    second = ruling.offered(again, NOW + 5_000)
    stale = ruling.told(second, 1, Report(State.SUCCEEDED), NOW)
    assert isinstance(stale, Refusal)
    assert stale.code == ruling.TERMINAL
    assert [ruling.backoff_ms(attempt) for attempt in (1, 2, 7, 99)] == [5_000, 10_000, 300_000, 300_000]


def test_there_is_no_retry_after_the_expiry_nor_of_what_was_rejected() -> None:
    short = ruling.offered(command(retries_left=1, expires_at=NOW + 1_000), NOW)
    ended = ruling.told(short, 1, Report(State.FAILED), NOW)
    assert isinstance(ended, Command)
    assert ended.state is State.FAILED
    sent = ruling.offered(command(retries_left=1), NOW)
    rejected = ruling.told(sent, 1, Report(State.REJECTED), NOW)
    assert isinstance(rejected, Command)
    assert rejected.state is State.REJECTED


def test_what_may_have_been_written_is_not_called_back_by_a_person() -> None:
    sent = ruling.offered(command(), NOW)
    assert ruling.cancelled(sent, Reason("CANCELLED", ""), By.OPERATOR, NOW) is None
    gone = ruling.cancelled(sent, Reason(ruling.DEVICE_GONE, "retired"), By.GATEWAY, NOW)
    assert gone is not None
    assert (gone.state, gone.reason_code) == (State.CANCELLED, ruling.DEVICE_GONE)
    assert ruling.cancelled(gone, Reason("CANCELLED", ""), By.GATEWAY, NOW) is None


def test_what_is_heard_of_a_connection_after_the_end_is_kept_as_moments() -> None:
    done = ruling.told(ruling.offered(command(), NOW), 1, Report(State.SUCCEEDED), NOW + 5)
    assert isinstance(done, Command)
    after = ruling.evidenced(done, 1, NOW + 1, NOW + 2)
    assert (after.state, after.sent_at, after.acknowledged_at) == (State.SUCCEEDED, NOW + 1, NOW + 2)
    assert ruling.evidenced(after, 1, NOW + 9, NOW + 9) is after
    assert ruling.evidenced(after, 2, NOW, NOW) is after


def job(**fields: object) -> Command:
    return ruling.offered(command(dialect=DialectName.JOBS, **fields), NOW)


@given(st.integers(0, 10**10), st.booleans())
def test_a_job_that_nobody_has_begun_ends_when_it_expires_and_not_before(passed: int, may_repeat: bool) -> None:
    queued = job(may_repeat=may_repeat)
    assert queued.due_at == queued.expires_at
    after = ruling.due(queued, NOW + passed)
    if NOW + passed < queued.expires_at:
        assert after is queued
    else:
        assert (after.state, after.reason_code, after.attempt) == (State.TIMED_OUT, ruling.EXPIRED, 1)


def test_a_job_is_in_its_ledger_from_when_it_is_offered_on() -> None:
    assert [ruling.is_ordered(one) for one in (command(dialect=DialectName.JOBS), job())] == [False, True]
    assert not ruling.is_ordered(ruling.offered(command(), NOW))
    assert not ruling.is_offerable(job(), NOW)
    # The end of a connection, or of the gateway, takes nothing back: it was written to none.
    assert ruling.unconfirmed(job(may_repeat=True), 1) == job(may_repeat=True)


def test_a_job_may_be_called_back_until_it_is_begun() -> None:
    taken_back = ruling.cancelled(job(), Reason("CANCELLED", "by maria"), By.OPERATOR, NOW)
    assert taken_back is not None
    assert taken_back.state is State.CANCELLED
    begun = ruling.told(job(), 1, Report(State.IN_PROGRESS), NOW)
    assert isinstance(begun, Command)
    assert begun.due_at == NOW + begun.finish_timeout_ms
    assert ruling.cancelled(begun, Reason("CANCELLED", "by maria"), By.OPERATOR, NOW) is None
    assert not ruling.may_be_called_back(begun)
    assert not ruling.may_be_called_back(taken_back)


def test_what_is_over_is_ended_no_further() -> None:
    over = ruling.ended(job(), Report(State.CANCELLED, "JOB_CANCELLED"), By.OPERATOR, NOW)
    assert (over.state, over.ended_by) == (State.CANCELLED, By.OPERATOR)
    assert ruling.ended(over, Report(State.TIMED_OUT), By.GATEWAY, NOW) is over
