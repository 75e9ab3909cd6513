"""What plans of jobs ask of gateway.db, and what is written of them there."""

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from appliance.commands.jobs.model import JobState
from appliance.commands.jobs.plan.model import Job, JobConfig, NewJob, Starts, Sweep, Targets
from appliance.commands.jobs.plan.terms import terms_of
from appliance.store.database import Select

_COLUMNS = """
    job.job_number, job.tenant_id, job.job_id, job.state, job.document, job.description, job.is_continuous,
        job.config, job.targets, job.author, job.created_at, job.updated_at, job.ended_at, job.reason,
        job_plan.comment, job_plan.targeted_count, job_plan.starts, job_plan.sweep, job_plan.is_rollout_over
"""
_JOB = f"SELECT {_COLUMNS} FROM job JOIN job_plan ON job_plan.job_number = job.job_number"
_WORDS = (("job", "description"), ("job", "author"), ("job", "reason"), ("job_plan", "comment"))
"""Columns of text by which nothing is found."""
_CONFIG = msgspec.json.Decoder(JobConfig)
_TARGETS = msgspec.json.Decoder(Targets)
_STARTS = msgspec.json.Decoder(Starts)
_DEVICES = msgspec.json.Decoder(list[str])
_DOCUMENT: msgspec.json.Decoder[Any] = msgspec.json.Decoder()

# For a transaction.


def insert_job(
    connection: sqlite3.Connection, tenant_id: int, new: NewJob, targeted: Sequence[str], author: str, now: int
) -> Job | None:
    """Keep a new job, for the devices that it is for now; gives it as it is kept, None where its id is taken."""
    state = JobState.IN_PROGRESS if new.config.schedule.start_at is None else JobState.SCHEDULED
    sql = """
        INSERT INTO job (tenant_id, job_id, state, document, description, is_continuous, terms, config, targets,
            author, created_at, updated_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (tenant_id, job_id) DO NOTHING
    """
    kept = (terms_of(new.config), new.config, new.targets)
    values = (
        *(tenant_id, new.job_id, state.value, new.document, new.description, new.is_continuous),
        *(_text(one) for one in kept),
        *(author, now, now),
    )
    cursor = connection.execute(sql, values)
    if not cursor.rowcount:
        return None
    job_number = cursor.lastrowid
    sql = "INSERT INTO job_plan (job_number, tenant_id, targeted_count) VALUES (?, ?, ?)"
    connection.execute(sql, (job_number, tenant_id, len(targeted)))
    sql = "INSERT INTO job_target (job_number, tenant_id, device_ids) VALUES (?, ?, ?)"
    connection.execute(sql, (job_number, tenant_id, _text(targeted)))
    select = select_job(tenant_id, new.job_id)
    return select.into(*connection.execute(select.sql, select.parameters).fetchone())


def select_now(connection: sqlite3.Connection, tenant_id: int, job_id: str) -> Job | None:
    """One job; None when there is none of that id."""
    select = select_job(tenant_id, job_id)
    row = connection.execute(select.sql, select.parameters).fetchone()
    return None if row is None else select.into(*row)


def select_numbered(connection: sqlite3.Connection, tenant_id: int, job_number: int) -> Job | None:
    """One job, by its number; None when there is none."""
    row = connection.execute(
        f"{_JOB} WHERE job.tenant_id = ? AND job.job_number = ?", (tenant_id, job_number)
    ).fetchone()
    return None if row is None else _job(*row)


def mend(connection: sqlite3.Connection, tenant_id: int, job_number: int) -> None:
    """Forget what nobody can read of a job, so that the rest of it can be read."""
    key = tenant_id, job_number
    sql = """
        SELECT CAST(job.config AS BLOB), CAST(job.targets AS BLOB), CAST(job_plan.starts AS BLOB),
            CAST(job.document AS BLOB) FROM job
        JOIN job_plan ON job_plan.job_number = job.job_number WHERE job.tenant_id = ? AND job.job_number = ?
    """
    for config, targets, starts, document in connection.execute(sql, key).fetchall():
        if not _is_readable(config, _CONFIG):
            connection.execute("UPDATE job SET config = '{}' WHERE tenant_id = ? AND job_number = ?", key)
        if not _is_readable(targets, _TARGETS):
            connection.execute("UPDATE job SET targets = '{}' WHERE tenant_id = ? AND job_number = ?", key)
        if not _is_readable(starts, _STARTS):
            connection.execute("UPDATE job_plan SET starts = '{}' WHERE tenant_id = ? AND job_number = ?", key)
        if not _is_readable(document, _DOCUMENT):
            connection.execute("UPDATE job SET document = '{}' WHERE tenant_id = ? AND job_number = ?", key)
    _mend_words(connection, tenant_id, job_number)


def _mend_words(connection: sqlite3.Connection, tenant_id: int, job_number: int) -> None:
    key = tenant_id, job_number
    for table, column in _WORDS:
        sql = f"SELECT CAST({column} AS BLOB) FROM {table} WHERE tenant_id = ? AND job_number = ?"
        for (words,) in connection.execute(sql, key).fetchall():
            mended = words.decode(errors="replace")
            if mended.encode() != words:
                sql = f"UPDATE {table} SET {column} = ? WHERE tenant_id = ? AND job_number = ?"
                connection.execute(sql, (mended, *key))
    sql = """
        UPDATE job SET state = CASE WHEN ended_at IS NULL THEN 'in_progress' ELSE 'cancelled' END
        WHERE tenant_id = ? AND job_number = ?
            AND state NOT IN ('scheduled', 'in_progress', 'completed', 'cancelled', 'deletion_in_progress')
    """
    connection.execute(sql, key)
    places = ", ".join("?" * len(Sweep))
    # What is queued is called back: of a job of which nobody knows how it was ended, that does no harm.
    sql = f"UPDATE job_plan SET sweep = ? WHERE tenant_id = ? AND job_number = ? AND sweep NOT IN ({places})"
    connection.execute(sql, (Sweep.QUEUED.value, *key, *(one.value for one in Sweep)))


def select_live_count(connection: sqlite3.Connection, tenant_id: int) -> int:
    """How many plans of a tenant are not at their end."""
    sql = "SELECT COUNT(*) FROM job WHERE tenant_id = ? AND ended_at IS NULL AND is_command = 0"
    count: int = connection.execute(sql, (tenant_id,)).fetchone()[0]
    return count


def update_job(connection: sqlite3.Connection, changed: Job) -> None:
    """Keep how far a job has come."""
    sql = "UPDATE job SET state = ?, reason = ?, updated_at = ?, ended_at = ? WHERE tenant_id = ? AND job_number = ?"
    values = (changed.state.value, changed.reason, changed.updated_at, changed.ended_at)
    connection.execute(sql, (*values, changed.tenant_id, changed.job_number))
    sql = """
        UPDATE job_plan SET starts = ?, sweep = ?, is_rollout_over = ?, comment = ?
        WHERE tenant_id = ? AND job_number = ?
    """
    planned = (_text(changed.starts), changed.sweep.value, changed.is_rollout_over, changed.comment)
    connection.execute(sql, (*planned, changed.tenant_id, changed.job_number))


def delete_job(connection: sqlite3.Connection, tenant_id: int, job_number: int) -> None:
    """Forget a job that has no executions left."""
    connection.execute("DELETE FROM job WHERE tenant_id = ? AND job_number = ?", (tenant_id, job_number))


# For readers.


def select_job(tenant_id: int, job_id: str) -> Select[Job]:
    """One job."""
    return Select(f"{_JOB} WHERE job.tenant_id = ? AND job.job_id = ?", (tenant_id, job_id), _job)


def select_jobs(tenant_id: int, state: JobState | None, before: int, limit: int) -> Select[Job]:
    """Jobs, newest first, before one of them: in the order of plans, for commands have many more jobs than people."""
    word = None if state is None else state.value
    sql = f"""{_JOB}
        WHERE +job.tenant_id = ? AND (? IS NULL OR job.state = ?) AND job_plan.job_number < ?
        ORDER BY job_plan.job_number DESC LIMIT ?
    """
    return Select(sql, (tenant_id, word, word, before, limit), _job)


def select_live() -> Select[Job]:
    """Every job of every tenant that something is left to do for."""
    sql = f"""{_JOB}
        WHERE job.job_number IN (
            SELECT job_number FROM job WHERE ended_at IS NULL AND is_command = 0
            UNION SELECT job_number FROM job_plan WHERE sweep <> ''
        ) ORDER BY job.job_number
    """
    return Select(sql, (), _job)


def select_by_number(tenant_id: int, job_number: int) -> Select[Job]:
    """One job, by its number."""
    return Select(f"{_JOB} WHERE job.tenant_id = ? AND job.job_number = ?", (tenant_id, job_number), _job)


def keys_of(select: Select[Job]) -> Select[tuple[int, int]]:
    """Of the jobs that are asked for, tenant and number alone, for a row may not be readable."""
    sql = select.sql.replace(_COLUMNS, "job.tenant_id, job.job_number")
    return Select(sql, select.parameters, lambda tenant_id, job_number: (tenant_id, job_number))


def select_offered(tenant_id: int, job_number: int) -> Select[str]:
    """The devices that have had the work of a job offered."""
    sql = """
        SELECT device_id FROM job_execution WHERE tenant_id = ? AND job_number = ?
        UNION SELECT device_id FROM job_forgotten WHERE tenant_id = ? AND job_number = ?
    """
    return Select(sql, (tenant_id, job_number, tenant_id, job_number), str)


def select_queued(tenant_id: int, job_number: int) -> Select[str]:
    """The devices that have not begun a job."""
    sql = """
        SELECT device_id FROM job_execution
        WHERE tenant_id = ? AND job_number = ? AND is_retried = 0 AND state = 'queued'
    """
    return Select(sql, (tenant_id, job_number), str)


def select_waiting(tenant_id: int, job_number: int) -> Select[str]:
    """The devices that a job was for when it was made and that have not had its work offered."""
    sql = """
        SELECT wanted.value FROM job_target, json_each(job_target.device_ids) AS wanted
        WHERE job_target.tenant_id = ? AND job_target.job_number = ? AND NOT EXISTS (
            SELECT 1 FROM job_execution
            WHERE job_execution.job_number = job_target.job_number AND job_execution.device_id = wanted.value
        ) AND NOT EXISTS (
            SELECT 1 FROM job_forgotten
            WHERE job_forgotten.job_number = job_target.job_number AND job_forgotten.device_id = wanted.value
        )
    """
    return Select(sql, (tenant_id, job_number), str)


def select_has_targets(tenant_id: int, job_number: int) -> Select[bool]:
    """Whether it can be read for which devices a job was when it was made."""
    sql = "SELECT CAST(device_ids AS BLOB) FROM job_target WHERE tenant_id = ? AND job_number = ?"
    return Select(sql, (tenant_id, job_number), lambda text: _is_readable(text, _DEVICES))


def select_busy() -> Select[tuple[int, str]]:
    """The devices of every tenant that have not ended something, each with its `tenant_id`."""
    sql = "SELECT DISTINCT tenant_id, device_id FROM job_execution WHERE ended_at IS NULL"
    return Select(sql, (), _pair)


def _text(kept: object) -> str:
    return msgspec.json.encode(kept).decode()


def _is_readable(text: bytes, decoder: "msgspec.json.Decoder[Any]") -> bool:
    try:
        decoder.decode(text.decode())
    except (msgspec.DecodeError, UnicodeError):
        return False
    return True


def _pair(tenant_id: int, device_id: str) -> tuple[int, str]:
    return tenant_id, device_id


def _job(*row: Any) -> Job:
    values = [*row]
    values[3] = JobState(row[3])
    values[6], values[18] = bool(row[6]), bool(row[18])
    values[7], values[8] = _CONFIG.decode(row[7]), _TARGETS.decode(row[8])
    values[16], values[17] = _STARTS.decode(row[16]), Sweep(row[17])
    return Job(*values)
