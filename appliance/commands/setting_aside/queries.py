"""What is asked for when commands are gone through one by one: their numbers alone, for a row may not be readable."""

import sqlite3

from appliance.store.database import Select

_WORDS = ("name", "content_type", "reason_code", "reason", "result", "author")
"""Columns of text by which nothing is found."""


def mend(connection: sqlite3.Connection, tenant_id: int, command_number: int) -> None:
    """Make the words of a command's row such that it can be read, whatever stands there; others stay."""
    columns = ", ".join(f"CAST({one} AS BLOB)" for one in _WORDS)
    sql = f"SELECT {columns} FROM command WHERE tenant_id = ? AND command_number = ? AND ended_at IS NULL"
    for row in connection.execute(sql, (tenant_id, command_number)).fetchall():
        for column, words in zip(_WORDS, row, strict=True):
            mended = None if words is None else words.decode(errors="replace")
            if mended is not None and mended.encode() != words:
                sql = f"UPDATE command SET {column} = ? WHERE tenant_id = ? AND command_number = ?"
                connection.execute(sql, (mended, tenant_id, command_number))
    sql = """
        UPDATE command SET
            dialect = CASE WHEN dialect IN ('plain', 'aws', 'jobs') THEN dialect ELSE '' END,
            state = CASE WHEN state IN ('sent', 'acknowledged', 'in_progress') THEN state ELSE 'queued' END,
            ended_by = ''
        WHERE tenant_id = ? AND command_number = ? AND ended_at IS NULL
    """
    connection.execute(sql, (tenant_id, command_number))


def end_row(
    connection: sqlite3.Connection, tenant_id: int, command_number: int, reason_code: str, reason: str, now: int
) -> int:
    """End a command that has not ended, and nothing else; gives whether there was one."""
    sql = """
        UPDATE command SET state = 'cancelled', version = version + 1, ended_at = ?5, ended_by = 'gateway',
            reason_code = ?3, reason = ?4
        WHERE tenant_id = ?1 AND command_number = ?2 AND ended_at IS NULL
    """
    return connection.execute(sql, (tenant_id, command_number, reason_code, reason, now)).rowcount


def select_waiting_numbers(tenant_id: int, device_id: str) -> Select[int]:
    """Commands of a device that were not offered, in the order in which they are."""
    sql = """
        SELECT command_number FROM command
        WHERE tenant_id = ? AND device_id = ? AND offered_at IS NULL AND ended_at IS NULL
        ORDER BY priority DESC, command_number
    """
    return Select(sql, (tenant_id, device_id), int)


def select_open_keys(tenant_id: int, device_id: str) -> Select[tuple[int, int]]:
    """Commands of a device that have not ended: tenant and number."""
    sql = "SELECT tenant_id, command_number FROM command WHERE tenant_id = ? AND device_id = ? AND ended_at IS NULL"
    return Select(sql, (tenant_id, device_id), _key)


def select_due_keys(now: int, behind: tuple[int, int], limit: int) -> Select[tuple[int, tuple[int, int]]]:
    """Commands of every tenant about which something is to be done, the most urgent first, behind one of them.

    Each with the moment at which it is due.
    """
    sql = """
        SELECT due_at, tenant_id, command_number FROM command
        WHERE ended_at IS NULL AND due_at <= ? AND (due_at, command_number) > (?, ?)
        ORDER BY due_at, command_number LIMIT ?
    """
    return Select(sql, (now, *behind, limit), lambda due_at, *key: (due_at, _key(*key)))


def open_of_batch(
    connection: sqlite3.Connection, tenant_id: int, batch_number: int, after: int, limit: int
) -> list[tuple[int, int]]:
    """Commands of a batch that have not ended, by their numbers: tenant and number."""
    sql = """
        SELECT tenant_id, command_number FROM command
        WHERE tenant_id = ? AND batch_number = ? AND ended_at IS NULL AND command_number > ?
        ORDER BY command_number LIMIT ?
    """
    return [_key(*row) for row in connection.execute(sql, (tenant_id, batch_number, after, limit))]


def _key(tenant_id: int, command_number: int) -> tuple[int, int]:
    return tenant_id, command_number
