"""What executions of jobs ask of gateway.db, and what is written of them there."""

import sqlite3
from typing import TypeVar

import msgspec

from appliance.commands.jobs.model import CommandJob, Execution, ExecutionState, JobOutline, JobState
from appliance.commands.jobs.row import EXECUTION, counted, counts_of, execution_of, terms_of
from appliance.store.database import Select

T = TypeVar("T")


# For a transaction.


def select_open(connection: sqlite3.Connection, tenant_id: int, device_id: str) -> list[Execution]:
    """What a device has not ended, oldest first."""
    sql = f"""{EXECUTION}
        WHERE job_execution.tenant_id = ? AND job_execution.device_id = ? AND job_execution.ended_at IS NULL
        ORDER BY job_execution.execution_id
    """
    return [execution_of(*row) for row in connection.execute(sql, (tenant_id, device_id))]


def select_open_count(connection: sqlite3.Connection, tenant_id: int, device_id: str) -> int:
    """How many executions a device has not ended."""
    sql = "SELECT COUNT(*) FROM job_execution WHERE tenant_id = ? AND device_id = ? AND ended_at IS NULL"
    count: int = connection.execute(sql, (tenant_id, device_id)).fetchone()[0]
    return count


def select_try(
    connection: sqlite3.Connection, tenant_id: int, job_id: str, device_id: str, try_number: int | None
) -> Execution | None:
    """One try of a job on a device, the latest where none is named; None when there is none."""
    found = _all(connection, select_execution(tenant_id, job_id, device_id, try_number))
    return found[0] if found else None


def select_numbered(connection: sqlite3.Connection, tenant_id: int, execution_id: int) -> Execution | None:
    """An execution by its number; None when it is gone."""
    sql = f"{EXECUTION} WHERE job_execution.tenant_id = ? AND job_execution.execution_id = ?"
    row = connection.execute(sql, (tenant_id, execution_id)).fetchone()
    return None if row is None else execution_of(*row)


def select_failures(connection: sqlite3.Connection, tried: Execution) -> dict[ExecutionState, int]:
    """How the tries of this job on this device have ended so far."""
    sql = """
        SELECT CAST(state AS BLOB), COUNT(*) FROM job_execution
        WHERE tenant_id = ? AND job_number = ? AND device_id = ? AND ended_at IS NOT NULL GROUP BY state
    """
    rows = connection.execute(sql, (tried.tenant_id, tried.job_number, tried.device_id))
    return counts_of(counted(*row) for row in rows)


def select_outline(connection: sqlite3.Connection, tenant_id: int, job_number: int) -> JobOutline | None:
    """What the executions of a job need of it; None when it is gone."""
    sql = "SELECT job_number, job_id, state, document, terms FROM job WHERE tenant_id = ? AND job_number = ?"
    row = connection.execute(sql, (tenant_id, job_number)).fetchone()
    if row is None:
        return None
    return JobOutline(row[0], row[1], JobState(row[2]), row[3].encode(), terms_of(row[4]))


def select_is_deliverable(connection: sqlite3.Connection, tenant_id: int, job_number: int, device_id: str) -> bool:
    """Whether a device is there that never had the job."""
    sql = """
        SELECT 1 FROM device WHERE tenant_id = ? AND device_id = ? AND state <> 'retired' AND NOT EXISTS (
            SELECT 1 FROM job_execution AS had WHERE had.job_number = ? AND had.device_id = device.device_id
        ) AND NOT EXISTS (
            SELECT 1 FROM job_forgotten AS had WHERE had.job_number = ? AND had.device_id = device.device_id
        )
    """
    return connection.execute(sql, (tenant_id, device_id, job_number, job_number)).fetchone() is not None


def select_is_there(connection: sqlite3.Connection, tenant_id: int, device_id: str) -> bool:
    """Whether there is a device that may have work."""
    sql = "SELECT 1 FROM device WHERE tenant_id = ? AND device_id = ? AND state <> 'retired'"
    return connection.execute(sql, (tenant_id, device_id)).fetchone() is not None


def insert_command_job(connection: sqlite3.Connection, tenant_id: int, job: CommandJob, now: int) -> int | None:
    """Keep a job that is made for a command; gives its number, None where another job has its id."""
    sql = """
        INSERT INTO job (tenant_id, job_id, state, document, description, is_command, terms, author, created_at,
            updated_at)
        VALUES (?, ?, 'in_progress', ?, ?, 1, ?, ?, ?, ?) ON CONFLICT (tenant_id, job_id) DO NOTHING
    """
    terms = msgspec.json.encode(job.terms).decode()
    values = (tenant_id, job.job_id, job.document, job.description, terms, job.author, now, now)
    cursor = connection.execute(sql, values)
    return cursor.lastrowid if cursor.rowcount else None


def end_command_job(connection: sqlite3.Connection, tenant_id: int, job_number: int, state: JobState, now: int) -> None:
    """End a job that was made for a command."""
    sql = "UPDATE job SET state = ?, updated_at = ?, ended_at = ? WHERE tenant_id = ? AND job_number = ?"
    connection.execute(sql, (state.value, now, now, tenant_id, job_number))


def insert_execution(
    connection: sqlite3.Connection, tenant_id: int, job_number: int, device_id: str, try_number: int, now: int
) -> None:
    """Queue a try of a job on a device."""
    sql = """
        INSERT INTO job_execution (tenant_id, job_number, device_id, try_number, state, queued_at, updated_at)
        VALUES (?, ?, ?, ?, 'queued', ?, ?)
    """
    connection.execute(sql, (tenant_id, job_number, device_id, try_number, now, now))


def update_execution(connection: sqlite3.Connection, changed: Execution) -> None:
    """Keep what has become of an execution."""
    sql = """
        UPDATE job_execution SET state = ?, details = ?, version = ?, updated_at = ?, started_at = ?, ended_at = ?,
            limit_ms = ?, due_ms = ?, reason = ?, is_retried = ?
        WHERE tenant_id = ? AND execution_id = ?
    """
    values = (
        *(changed.state.value, msgspec.json.encode(changed.details).decode(), changed.version, changed.updated_at),
        *(changed.started_at, changed.ended_at, changed.limit_ms, changed.due_ms, changed.reason),
        *(changed.is_retried, changed.tenant_id, changed.execution_id),
    )
    connection.execute(sql, values)


def select_queued_of_job(
    connection: sqlite3.Connection, tenant_id: int, job_number: int, after_id: int, limit: int
) -> list[Execution]:
    """Executions of a job that nobody has begun, after one of them."""
    sql = f"""{EXECUTION}
        WHERE job_execution.tenant_id = ? AND job_execution.job_number = ? AND job_execution.is_retried = 0
            AND job_execution.state = 'queued' AND job_execution.execution_id > ?
        ORDER BY job_execution.execution_id LIMIT ?
    """
    return [execution_of(*row) for row in connection.execute(sql, (tenant_id, job_number, after_id, limit))]


def select_begun_of_job(connection: sqlite3.Connection, tenant_id: int, job_number: int, limit: int) -> list[Execution]:
    """Executions of a job that are in progress."""
    sql = f"""{EXECUTION}
        WHERE job_execution.tenant_id = ? AND job_execution.job_number = ? AND job_execution.is_retried = 0
            AND job_execution.state = 'in_progress'
        ORDER BY job_execution.execution_id LIMIT ?
    """
    return [execution_of(*row) for row in connection.execute(sql, (tenant_id, job_number, limit))]


def select_any_of_job(connection: sqlite3.Connection, tenant_id: int, job_number: int, limit: int) -> list[Execution]:
    """Executions of a job, whatever became of them."""
    sql = f"""{EXECUTION}
        WHERE job_execution.tenant_id = ? AND job_execution.job_number = ? LIMIT ?
    """
    return [execution_of(*row) for row in connection.execute(sql, (tenant_id, job_number, limit))]


def delete_execution(connection: sqlite3.Connection, tenant_id: int, execution_id: int) -> None:
    """Forget an execution."""
    sql = "DELETE FROM job_execution WHERE tenant_id = ? AND execution_id = ?"
    connection.execute(sql, (tenant_id, execution_id))


def insert_forgotten(connection: sqlite3.Connection, tenant_id: int, job_number: int, device_id: str) -> None:
    """Keep that a device has had a job, though nothing of it may be left."""
    sql = "INSERT OR IGNORE INTO job_forgotten (job_number, device_id, tenant_id) VALUES (?, ?, ?)"
    connection.execute(sql, (job_number, device_id, tenant_id))


def select_counts_now(connection: sqlite3.Connection, tenant_id: int, job_number: int) -> dict[ExecutionState, int]:
    """Devices by what became of their latest try."""
    return counts_of(_all(connection, select_counts(tenant_id, job_number)))


def select_due(connection: sqlite3.Connection, running_ms: int, limit: int) -> list[Execution]:
    """Executions whose time is over, of every tenant."""
    sql = f"{EXECUTION} WHERE job_execution.due_ms <= ? ORDER BY job_execution.due_ms LIMIT ?"
    return [execution_of(*row) for row in connection.execute(sql, (running_ms, limit))]


def save_running_time(connection: sqlite3.Connection, tenant_id: int, running_ms: int) -> None:
    """Keep for how long the gateway has run."""
    sql = """
        INSERT INTO job_running_time (tenant_id, running_ms) VALUES (?, ?)
        ON CONFLICT (tenant_id) DO UPDATE SET running_ms = excluded.running_ms
    """
    connection.execute(sql, (tenant_id, running_ms))


def erase_details(connection: sqlite3.Connection, tenant_id: int, device_id: str, through_at: int, limit: int) -> int:
    """Forget what a device said of a piece of its executions up to a moment; gives of how many."""
    sql = """
        UPDATE job_execution SET details = '{}' WHERE execution_id IN (
            SELECT execution_id FROM job_execution
            WHERE tenant_id = ? AND device_id = ? AND updated_at <= ? AND details <> '{}' LIMIT ?
        )
    """
    return connection.execute(sql, (tenant_id, device_id, through_at, limit)).rowcount


def delete_ended(connection: sqlite3.Connection, before: int, limit: int) -> int:
    """Forget a piece of what ended before a moment, of jobs that have ended themselves; gives how many."""
    sql = """
        DELETE FROM job_execution WHERE execution_id IN (
            SELECT job_execution.execution_id FROM job
            JOIN job_execution ON job_execution.job_number = job.job_number
            WHERE job.ended_at IS NOT NULL AND job.ended_at < ? AND job_execution.ended_at < ? LIMIT ?
        )
    """
    return connection.execute(sql, (before, before, limit)).rowcount


def delete_emptied(connection: sqlite3.Connection, before: int, limit: int) -> int:
    """Forget a piece of the jobs that ended before a moment and have no execution left; gives how many."""
    sql = """
        DELETE FROM job WHERE job_number IN (
            SELECT job_number FROM job WHERE ended_at IS NOT NULL AND ended_at < ? AND NOT EXISTS (
                SELECT 1 FROM job_execution WHERE job_execution.job_number = job.job_number
            ) LIMIT ?
        )
    """
    return connection.execute(sql, (before, limit)).rowcount


# For readers.


def select_counts(tenant_id: int, job_number: int) -> Select[tuple[ExecutionState | None, int]]:
    """Devices by what became of their latest try; None where that is damaged."""
    sql = """
        SELECT CAST(state AS BLOB), COUNT(*) FROM job_execution
        WHERE tenant_id = ? AND job_number = ? AND is_retried = 0 GROUP BY state
    """
    return Select(sql, (tenant_id, job_number), counted)


def select_execution(tenant_id: int, job_id: str, device_id: str, try_number: int | None) -> Select[Execution]:
    """One try of a job on a device, the latest where none is named."""
    sql = f"""{EXECUTION}
        WHERE job.tenant_id = ? AND job.job_id = ? AND job_execution.device_id = ?
            AND (? IS NULL OR job_execution.try_number = ?)
        ORDER BY job_execution.try_number DESC LIMIT 1
    """
    return Select(sql, (tenant_id, job_id, device_id, try_number, try_number), execution_of)


def select_next_due() -> Select[int]:
    """When the next timer of any tenant ends, in running time; nothing while none runs."""
    sql = "SELECT due_ms FROM job_execution WHERE due_ms IS NOT NULL ORDER BY due_ms LIMIT 1"
    return Select(sql, (), int)


def select_running_time(tenant_id: int) -> Select[int]:
    """For how long the gateway has run, as far as it was kept."""
    return Select("SELECT running_ms FROM job_running_time WHERE tenant_id = ?", (tenant_id,), int)


def _all(connection: sqlite3.Connection, select: Select[T]) -> list[T]:
    return [select.into(*row) for row in connection.execute(select.sql, select.parameters)]
