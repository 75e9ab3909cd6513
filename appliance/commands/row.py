"""The rows of commands and of batches, and what is made of them.

Rules: whoever acts on a command reads its row as it has to be, and fails with one that is damaged. Whoever only shows
it is told what can be read of it: one damaged row hides no other.
"""

from typing import Any, NamedTuple

from msgspec.structs import replace

from appliance.commands.jobs.row import DAMAGED
from appliance.commands.model import Batch, By, Command, DialectName, State
from appliance.commands.ruling import GATEWAY_ERROR

_COLUMNS = (
    *("command_number", "command.tenant_id", "execution_id", "batch_id", "device_id", "command.name", "payload"),
    *("content_type", "dialect", "qos", "priority", "may_repeat", "start_timeout_ms", "finish_timeout_ms", "state"),
    *("version", "attempt", "retries_left", "is_repeated", "command.created_at", "expires_at", "not_before", "due_at"),
    *("offered_at", "sent_at", "acknowledged_at", "started_at", "ended_at", "ended_by", "reason_code", "reason"),
    *("result", "command.author"),
)
_TEXTS = frozenset(
    (
        *("execution_id", "batch_id", "device_id", "command.name", "content_type", "dialect", "state"),
        *("ended_by", "reason_code", "reason", "result", "command.author"),
    )
)
_TEXT_PLACES = [place for place, column in enumerate(_COLUMNS) if column in _TEXTS]
_DIALECT, _STATE, _ENDED_BY = (_COLUMNS.index(one) for one in ("dialect", "state", "ended_by"))
_MAY_REPEAT, _IS_REPEATED = (_COLUMNS.index(one) for one in ("may_repeat", "is_repeated"))

READ = ", ".join(_COLUMNS)
READ_BYTES = ", ".join(f"CAST({one} AS BLOB)" if one in _TEXTS else one for one in _COLUMNS)
"""The same, of texts the bytes: of those that are no text Python would make an error."""
JOINED = "FROM command LEFT JOIN command_batch USING (batch_number)"
READ_BATCH = """
    batch_number, CAST(batch_id AS BLOB), CAST(name AS BLOB), CAST(selection AS BLOB), device_count,
    CAST(author AS BLOB), created_at, completed_at
"""

_DIALECTS = {one.value: one for one in DialectName}
_STATES = {one.value: one for one in State}
_ENDERS = {one.value: one for one in By}


class Salvaged(NamedTuple):
    """What can be read of a command's row."""

    command: Command
    is_damaged: bool


def command_of(*row: Any) -> Command:
    """A row as the ledger's noun. Raises `KeyError` where it is damaged."""
    values = list(row)
    # Looked up, for there are thousands of rows at a time, and to call the enumeration takes five times as long.
    values[_DIALECT], values[_STATE] = _DIALECTS[row[_DIALECT]], _STATES[row[_STATE]]
    values[_MAY_REPEAT], values[_IS_REPEATED] = row[_MAY_REPEAT] != 0, row[_IS_REPEATED] != 0
    values[_ENDED_BY] = _ENDERS[row[_ENDED_BY]]
    return Command(*values)


def salvaged(*row: Any) -> Salvaged:
    """What can be read of a row of which the texts are bytes; what cannot is told as U+FFFD, or as its end."""
    values = list(row)
    for place in _TEXT_PLACES:
        values[place] = None if row[place] is None else row[place].decode(errors="replace")
    is_whole = all(row[place] is None or values[place].encode() == row[place] for place in _TEXT_PLACES)
    values[_MAY_REPEAT], values[_IS_REPEATED] = row[_MAY_REPEAT] != 0, row[_IS_REPEATED] != 0
    told = (_DIALECTS.get(values[_DIALECT]), _STATES.get(values[_STATE]), _ENDERS.get(values[_ENDED_BY]))
    is_known = None not in told
    # What nobody can tell the end of has none that is good: the gateway cancels such a command when it is due.
    values[_DIALECT], values[_STATE] = told[0] or DialectName.ANY, told[1] or State.CANCELLED
    values[_ENDED_BY] = told[2] or (By.NOBODY if told[1] else By.GATEWAY)
    command = Command(*values)
    if not is_known or not (is_whole or command.reason):
        command = replace(command, reason_code=GATEWAY_ERROR, reason=DAMAGED)
    return Salvaged(command, not (is_whole and is_known))


def counted_state(state: str) -> State:
    """The state of rows that are counted; as those are told that are shown one by one."""
    return _STATES.get(state, State.CANCELLED)


def batch_of(
    batch_number: int,
    batch_id: bytes,
    name: bytes,
    selection: bytes,
    device_count: int,
    author: bytes,
    created_at: int,
    completed_at: int | None,
) -> Batch:
    """The row of a batch, as far as it can be read."""
    identifier, called, selected, by = (one.decode(errors="replace") for one in (batch_id, name, selection, author))
    return Batch(batch_number, identifier, called, selected, device_count, by, created_at, completed_at)
