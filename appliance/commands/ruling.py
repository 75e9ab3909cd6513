"""How far a command has come: decided by evidence alone.

Rules: what has ended stays as it is, but for the device's own word about what only the gateway took for timed out;
nothing goes backwards within an attempt; `sent` needs a write to a connection, `acknowledged` an answer of the device.
A retry is another attempt, under an execution id of its own, and begins anew.
"""

from typing import NamedTuple

from msgspec.structs import replace

from appliance.commands.model import FINAL, By, Command, DialectName, State
from appliance.instant import SECOND_MS

BACKOFF_MS = 5 * SECOND_MS
LONGEST_BACKOFF_MS = 300 * SECOND_MS

EXPIRED = "EXPIRED"
NOT_CONFIRMED = "NOT_CONFIRMED"
NOT_STARTED = "NOT_STARTED"
NOT_FINISHED = "NOT_FINISHED"
CANCELLED = "CANCELLED"
DEVICE_GONE = "DEVICE_GONE"
NOT_ENCODABLE = "NOT_ENCODABLE"
GATEWAY_ERROR = "GATEWAY_ERROR"

INVALID_TRANSITION = "InvalidStateTransition"
TERMINAL = "TerminalStateReached"
NOT_FOUND = "ResourceNotFound"
INVALID = "InvalidRequest"

_RANK = {State.QUEUED: 0, State.SENT: 1, State.ACKNOWLEDGED: 2, State.IN_PROGRESS: 3}
_RETRIED = (State.FAILED, State.TIMED_OUT)


class Report(NamedTuple):
    """What a device says of an execution."""

    state: State
    reason_code: str = ""
    reason: str = ""
    result: str | None = None
    """JSON."""


class Refusal(NamedTuple):
    """Why a report counts for nothing."""

    code: str
    reason: str


class Reason(NamedTuple):
    """Why something ended: a word for programs, a sentence for people."""

    code: str
    text: str


def is_offerable(command: Command, now: int) -> bool:
    """Whether it may be written to a connection."""
    is_open = command.state is State.QUEUED or (command.state is State.SENT and command.is_repeated)
    is_time = command.not_before <= now < command.expires_at
    return is_open and command.offered_at is None and is_time


def offered(command: Command, now: int) -> Command:
    """It is about to be written to a connection."""
    return _timed(replace(command, offered_at=now, not_before=0))


def released(command: Command, attempt: int, not_before: int = 0) -> Command:
    """It was not written to a connection after all; it may be offered again from a moment on."""
    is_meant = attempt == command.attempt and not command.is_over and command.acknowledged_at is None
    if not is_meant or command.offered_at is None or _RANK[command.state] > _RANK[State.SENT]:
        return command
    if command.sent_at is not None and not command.is_repeated:
        return command
    return _timed(replace(command, offered_at=None, not_before=not_before))


def evidenced(command: Command, attempt: int, sent_at: int | None, acknowledged_at: int | None) -> Command:
    """It was written to a connection, and, if that is told, answered for by the device.

    Both are kept of what has ended meanwhile, too: a device may be faster than what is heard of its connection.
    """
    if attempt != command.attempt:
        return command
    after = command
    if sent_at is not None and command.sent_at is None:
        after = replace(after, sent_at=sent_at, state=_further(after.state, State.SENT))
    if acknowledged_at is not None and command.acknowledged_at is None:
        after = replace(after, acknowledged_at=acknowledged_at, state=_further(after.state, State.ACKNOWLEDGED))
    return after if after is command else _timed(after)


def is_same_offer(before: Command | None, after: Command) -> bool:
    """Whether evidence has changed nothing but how far a command has come: it is offered, and due, as it was."""
    return before is not None and _offer(before) == _offer(after)


def unconfirmed(command: Command, attempt: int) -> Command:
    """The connection, or the gateway, ended before the device had answered: nobody knows whether it arrived.

    It is written once more only where that does no harm; else it waits for the device's word, or its time.
    """
    if attempt != command.attempt or command.offered_at is None or command.acknowledged_at is not None:
        return command
    if is_job(command) or not command.may_repeat or command.state not in {State.QUEUED, State.SENT}:
        return command
    return _timed(replace(command, offered_at=None, is_repeated=True))


def told(command: Command, attempt: int, report: Report, now: int) -> Command | Refusal:
    """What a report of the device about an attempt makes of a command."""
    if 0 < attempt == command.attempt - 1 and _waits_for_retry(command) and report.state is State.SUCCEEDED:
        return _ended(command, report, By.DEVICE, now)
    refusal = _refusal(command, attempt, report)
    if refusal is not None:
        return refusal
    if report.state in FINAL:
        return _ended(command, report, By.DEVICE, now)
    return _timed(
        replace(
            command,
            state=State.IN_PROGRESS,
            started_at=now if command.started_at is None else command.started_at,
            reason_code=report.reason_code,
            reason=report.reason,
            result=report.result if report.result is not None else command.result,
        )
    )


def due(command: Command, now: int) -> Command:
    """What has become of it because time has passed."""
    if command.is_over or now < command.due_at:
        return command
    if command.offered_at is None:
        if now < command.expires_at:
            return _timed(replace(command, not_before=0))
        told_of = "it had expired before the device could be told" if command.sent_at is None else _NOT_KNOWN
        code = EXPIRED if command.sent_at is None else NOT_CONFIRMED
        return _over(command, Report(State.TIMED_OUT, code, told_of), By.GATEWAY, now)
    if is_job(command) and command.state is State.QUEUED:
        return _over(command, Report(State.TIMED_OUT, EXPIRED, "it had expired before the device began"), _BY, now)
    return _ended(command, _silence(command), _BY, now)


def is_job(command: Command) -> bool:
    """Whether its device is told of it as a job."""
    return command.dialect is DialectName.JOBS


def is_ordered(command: Command) -> bool:
    """Whether this attempt is in the ledger of jobs."""
    return is_job(command) and command.offered_at is not None


def may_be_called_back(command: Command) -> bool:
    """Whether a person may cancel it: nothing of it was written, or it is a job that was not begun.

    What a device does with a job begins with its telling so, and that is refused once the job is called back.
    """
    if command.is_over:
        return False
    return command.state is State.QUEUED if is_job(command) else not _was_offered(command)


def ended(command: Command, report: Report, by: By, now: int) -> Command:
    """It has come to an end, or begins anew where it may be tried again; what is over stays as it is."""
    return command if command.is_over else _ended(command, report, by, now)


def cancelled(command: Command, reason: Reason, by: By, now: int) -> Command | None:
    """It is not wanted any more. A person cannot call back what may have been written: then None."""
    if command.is_over or (by is By.OPERATOR and not may_be_called_back(command)):
        return None
    return _over(command, Report(State.CANCELLED, reason.code, reason.text), by, now)


def backoff_ms(attempt: int) -> int:
    """How long to wait after an attempt has failed."""
    return int(min(BACKOFF_MS * 2 ** min(attempt - 1, 16), LONGEST_BACKOFF_MS))


def _silence(command: Command) -> Report:
    """What it is that the device has not said."""
    if command.state is State.IN_PROGRESS:
        return Report(State.TIMED_OUT, NOT_FINISHED, "the device began, and came to no end")
    if command.acknowledged_at is not None:
        return Report(State.TIMED_OUT, NOT_STARTED, "the device has it, and said nothing")
    return Report(State.TIMED_OUT, NOT_CONFIRMED, _NOT_KNOWN)


_NOT_KNOWN = "the device never answered for it: it may have arrived, or not"
_BY = By.GATEWAY


def _offer(command: Command) -> tuple[object, ...]:
    return command.attempt, command.offered_at, command.not_before, command.due_at, command.is_repeated


def _further(state: State, reached: State) -> State:
    return reached if _RANK.get(state, 9) < _RANK[reached] else state


def _was_offered(command: Command) -> bool:
    return command.offered_at is not None or command.sent_at is not None or command.is_repeated


def _refusal(command: Command, attempt: int, report: Report) -> Refusal | None:
    """Why a report counts for nothing; None where it counts."""
    if not 0 < attempt <= command.attempt or not (attempt < command.attempt or _was_offered(command)):
        return Refusal(NOT_FOUND, "this execution was not sent")
    if attempt < command.attempt:
        return Refusal(TERMINAL, "another attempt took the place of this one")
    if command.is_over and not _is_late(command, report):
        return Refusal(TERMINAL, f"it has ended as {command.state}")
    if report.state not in FINAL and report.state is not State.IN_PROGRESS:
        return Refusal(INVALID_TRANSITION, f"a device cannot tell that a command is {report.state}")
    return None


def _waits_for_retry(command: Command) -> bool:
    return command.state is State.QUEUED and not _was_offered(command)


def _is_late(command: Command, report: Report) -> bool:
    return command.state is State.TIMED_OUT and command.ended_by is By.GATEWAY and report.state in FINAL


def _ended(command: Command, report: Report, by: By, now: int) -> Command:
    """It has ended, or begins anew where it may be tried again."""
    is_late = command.is_over
    if report.state in _RETRIED and command.retries_left > 0 and not is_late:
        not_before = now + backoff_ms(command.attempt)
        if not_before < command.expires_at:
            return _timed(
                replace(
                    command,
                    state=State.QUEUED,
                    attempt=command.attempt + 1,
                    retries_left=command.retries_left - 1,
                    is_repeated=False,
                    not_before=not_before,
                    offered_at=None,
                    sent_at=None,
                    acknowledged_at=None,
                    started_at=None,
                    reason_code=report.reason_code,
                    reason=f"attempt {command.attempt} {report.state}: {report.reason}"[:1_100],
                    result=report.result,
                )
            )
    return _over(command, report, by, now)


def _over(command: Command, report: Report, by: By, now: int) -> Command:
    return replace(
        command,
        state=report.state,
        version=command.version + 1,
        ended_at=now,
        ended_by=by,
        reason_code=report.reason_code,
        reason=report.reason,
        result=report.result if report.result is not None else command.result,
    )


def _timed(command: Command) -> Command:
    """The next version, with the moment at which something is to be done about it."""
    if command.offered_at is None:
        due_at = command.not_before or command.expires_at
    elif command.state is State.IN_PROGRESS and command.started_at is not None:
        due_at = command.started_at + command.finish_timeout_ms
    elif is_job(command) and command.state is State.QUEUED:
        due_at = command.expires_at
    else:
        due_at = command.offered_at + command.start_timeout_ms
    return replace(command, version=command.version + 1, due_at=due_at)
