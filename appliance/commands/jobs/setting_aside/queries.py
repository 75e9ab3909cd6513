"""What is asked for when executions are gone through one by one: a row may not be readable, or its job's."""

import sqlite3
from typing import NamedTuple

from appliance.commands.jobs.model import ExecutionState
from appliance.commands.jobs.row import JOINED
from appliance.store.database import Select


class Texts(NamedTuple):
    """What of an execution and its job is kept as text, byte by byte as it stands there."""

    tenant_id: int
    execution_id: int
    details: bytes
    terms: bytes
    job_id: bytes
    state: bytes
    reason: bytes
    document: bytes
    """Empty where it was not asked for: it is long, and may be that of thousands."""


_COLUMNS = """
    job_execution.tenant_id, job_execution.execution_id, CAST(job_execution.details AS BLOB), CAST(job.terms AS BLOB),
    CAST(job.job_id AS BLOB), CAST(job_execution.state AS BLOB), CAST(job_execution.reason AS BLOB)
"""
_TEXTS = f"SELECT {_COLUMNS}, X'' {JOINED}"
_TEXTS_AND_DOCUMENT = f"SELECT {_COLUMNS}, CAST(job.document AS BLOB) {JOINED}"


def texts_of(connection: sqlite3.Connection, tenant_id: int, execution_id: int) -> Texts | None:
    """The texts of an execution; None when it is gone."""
    sql = f"{_TEXTS} WHERE job_execution.tenant_id = ? AND job_execution.execution_id = ?"
    row = connection.execute(sql, (tenant_id, execution_id)).fetchone()
    return None if row is None else Texts(*row)


def empty_details(connection: sqlite3.Connection, tenant_id: int, execution_id: int) -> None:
    """Forget what nobody can read of what a device has said."""
    sql = "UPDATE job_execution SET details = '{}' WHERE tenant_id = ? AND execution_id = ?"
    connection.execute(sql, (tenant_id, execution_id))


def empty_terms(connection: sqlite3.Connection, tenant_id: int, execution_id: int) -> None:
    """Forget the terms of the job of an execution, which nobody can read."""
    sql = """
        UPDATE job SET terms = '{}' WHERE tenant_id = ?1 AND job_number = (
            SELECT job_number FROM job_execution WHERE tenant_id = ?1 AND execution_id = ?2
        )
    """
    connection.execute(sql, (tenant_id, execution_id))


def mend_row(connection: sqlite3.Connection, tenant_id: int, execution_id: int) -> None:
    """Forget the state and the reason of an execution that has not ended, which nobody can read."""
    sql = """
        UPDATE job_execution SET reason = '',
            state = CASE WHEN state IN ('queued', 'in_progress') THEN state ELSE 'in_progress' END
        WHERE tenant_id = ? AND execution_id = ? AND ended_at IS NULL
    """
    connection.execute(sql, (tenant_id, execution_id))


def end_row(connection: sqlite3.Connection, tenant_id: int, execution_id: int, reason: str, now: int) -> int:
    """End an execution that has not ended, and nothing else; gives whether there was one."""
    sql = """
        UPDATE job_execution SET state = 'cancelled', version = version + 1, updated_at = ?4, ended_at = ?4,
            limit_ms = NULL, due_ms = NULL, reason = ?3
        WHERE tenant_id = ?1 AND execution_id = ?2 AND ended_at IS NULL
    """
    return connection.execute(sql, (tenant_id, execution_id, reason, now)).rowcount


def select_due_keys(running_ms: int, behind: tuple[int, int], limit: int) -> Select[tuple[int, tuple[int, int]]]:
    """Executions of every tenant whose time is over, behind one of them: when it was, tenant and number."""
    sql = """
        SELECT due_ms, tenant_id, execution_id FROM job_execution
        WHERE due_ms <= ? AND (due_ms, execution_id) > (?, ?) ORDER BY due_ms, execution_id LIMIT ?
    """
    return Select(sql, (running_ms, *behind, limit), lambda due_ms, *key: (due_ms, _key(*key)))


def select_open_keys(tenant_id: int, device_id: str) -> Select[tuple[int, int]]:
    """What a device has not ended: tenant and number."""
    sql = "SELECT tenant_id, execution_id FROM job_execution WHERE tenant_id = ? AND device_id = ? AND ended_at IS NULL"
    return Select(sql, (tenant_id, device_id), _key)


def select_texts(tenant_id: int) -> Select[Texts]:
    """The texts of whatever has not ended."""
    sql = f"{_TEXTS} WHERE job_execution.tenant_id = ? AND job_execution.ended_at IS NULL"
    return Select(sql, (tenant_id,), Texts)


def select_texts_of_unknown(tenant_id: int, job_number: int) -> Select[Texts]:
    """The texts of what of a job has not ended and is in a state that nobody knows."""
    # By the index that the job is counted by: of an execution in any other state nothing is read.
    sql = f"""{_TEXTS}
        WHERE job_execution.tenant_id = ? AND job_execution.job_number = ? AND job_execution.is_retried = 0
            AND job_execution.state NOT IN ({", ".join("?" * len(ExecutionState))}) AND job_execution.ended_at IS NULL
    """
    return Select(sql, (tenant_id, job_number, *(one.value for one in ExecutionState)), Texts)


def select_texts_of_device(tenant_id: int, device_id: str) -> Select[Texts]:
    """The texts of what a device has not ended, with the documents of its jobs."""
    sql = f"""{_TEXTS_AND_DOCUMENT}
        WHERE job_execution.tenant_id = ? AND job_execution.device_id = ? AND job_execution.ended_at IS NULL
    """
    return Select(sql, (tenant_id, device_id), Texts)


def select_texts_for_command(tenant_id: int, command_number: int) -> Select[Texts]:
    """The same of the device of a command."""
    sql = f"""{_TEXTS_AND_DOCUMENT}
        WHERE job_execution.tenant_id = ?1 AND job_execution.ended_at IS NULL AND job_execution.device_id = (
            SELECT device_id FROM command WHERE tenant_id = ?1 AND command_number = ?2
        )
    """
    return Select(sql, (tenant_id, command_number), Texts)


def _key(tenant_id: int, execution_id: int) -> tuple[int, int]:
    return tenant_id, execution_id
