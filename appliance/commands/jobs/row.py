"""The rows of executions, and what is made of them.

Rules: whoever acts on an execution reads its row as it has to be, and fails with one that is damaged. Whoever only
shows it is told what can be read of it: one damaged row hides no other.
"""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec

from appliance.commands.jobs.model import Execution, ExecutionState, Terms

_COLUMNS = (
    *("job_execution.execution_id", "job_execution.tenant_id", "job_execution.job_number", "job.job_id"),
    *("job_execution.device_id", "job_execution.try_number", "job_execution.state", "job_execution.details"),
    *("job_execution.version", "job_execution.queued_at", "job_execution.updated_at", "job_execution.started_at"),
    *("job_execution.ended_at", "job_execution.limit_ms", "job_execution.due_ms", "job_execution.reason"),
    *("job_execution.is_retried", "job.terms", "job.is_command"),
)
_TEXTS = ("job.job_id", "job_execution.device_id", "job_execution.state", "job_execution.reason")
_JSON = ("job_execution.details", "job.terms")
_BYTES = frozenset((*_TEXTS, *_JSON))
_TEXT_PLACES = [_COLUMNS.index(one) for one in _TEXTS]
_STATE, _REASON = _COLUMNS.index("job_execution.state"), _COLUMNS.index("job_execution.reason")
_DETAILS, _TERMS = (_COLUMNS.index(one) for one in _JSON)
_IS_RETRIED, _IS_COMMAND = _COLUMNS.index("job_execution.is_retried"), _COLUMNS.index("job.is_command")

JOINED = "FROM job_execution JOIN job ON job.job_number = job_execution.job_number"
EXECUTION = f"SELECT {', '.join(_COLUMNS)} {JOINED}"
EXECUTION_BYTES = f"SELECT {', '.join(f'CAST({one} AS BLOB)' if one in _BYTES else one for one in _COLUMNS)} {JOINED}"
"""The same, of texts the bytes: of those that are no text Python would make an error."""

DAMAGED = "its row is damaged: not all that is told of it is what it was"

_SAID = msgspec.json.Decoder(dict[str, str])
_STATES = {one.value: one for one in ExecutionState}


class Salvaged(NamedTuple):
    """What can be read of an execution's row."""

    execution: Execution
    is_damaged: bool


def execution_of(*row: Any) -> Execution:
    """A row as the ledger's noun. Raises what comes of one that is damaged."""
    values = list(row)
    values[_STATE], values[_DETAILS] = ExecutionState(row[_STATE]), _SAID.decode(row[_DETAILS])
    values[_IS_RETRIED], values[_IS_COMMAND] = bool(row[_IS_RETRIED]), bool(row[_IS_COMMAND])
    values[_TERMS] = terms_of(row[_TERMS])
    return Execution(*values)


@lru_cache(256)
def terms_of(text: str) -> Terms:
    """The terms of a job."""
    return msgspec.json.decode(text, type=Terms)


def salvaged(*row: Any) -> Salvaged:
    """What can be read of a row of which the texts are bytes; what cannot is told as U+FFFD, or as nothing."""
    values = list(row)
    for place in _TEXT_PLACES:
        values[place] = row[place].decode(errors="replace")
    is_whole = all(values[place].encode() == row[place] for place in _TEXT_PLACES)
    state = _STATES.get(values[_STATE])
    details, terms = _read(row[_DETAILS], dict[str, str]), _read(row[_TERMS], Terms)
    is_damaged = not is_whole or state is None or details is None or terms is None
    values[_STATE], values[_DETAILS], values[_TERMS] = (
        state or ExecutionState.CANCELLED,
        details or {},
        terms or Terms(),
    )
    values[_REASON] = (values[_REASON] or DAMAGED) if is_damaged else values[_REASON]
    values[_IS_RETRIED], values[_IS_COMMAND] = bool(row[_IS_RETRIED]), bool(row[_IS_COMMAND])
    return Salvaged(Execution(*values), is_damaged)


def counted(state: bytes, count: int) -> tuple[ExecutionState | None, int]:
    """The state of rows that are counted; None where it is damaged."""
    return _STATES.get(state.decode(errors="replace")), count


def counts_of(rows: Iterable[tuple[ExecutionState | None, int]]) -> dict[ExecutionState, int]:
    """Rows that are counted, by state; what is damaged has ended, as it is told where it is shown."""
    counts: dict[ExecutionState, int] = {}
    for state, count in rows:
        known = state or ExecutionState.CANCELLED
        counts[known] = counts.get(known, 0) + count
    return counts


def _read(text: bytes, kind: Any) -> Any:
    """What JSON says; None where it cannot be read."""
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
