"""What commands ask of gateway.db, and what they write there."""

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from appliance.commands.model import Batch, Command
from appliance.commands.row import JOINED, READ, READ_BATCH, READ_BYTES, batch_of, command_of, salvaged
from appliance.portions import portions_of
from appliance.store.database import Select

VALUES_LIMIT = 500
"""No more are bound by one statement."""


def insert_commands(
    connection: sqlite3.Connection, batch_number: int | None, key: str | None, digest: str, commands: Sequence[Command]
) -> int:
    """Append commands, under numbers of their own where they have them; gives how many."""
    sql = """
        INSERT INTO command (
            command_number, tenant_id, execution_id, batch_number, device_id, name, payload, content_type, dialect,
            qos, priority, may_repeat, start_timeout_ms, finish_timeout_ms, state, version, attempt, retries_left,
            is_repeated, created_at, expires_at, not_before, due_at, offered_at, ended_at, ended_by, reason_code,
            reason, author, idempotency_key, digest
        ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
    """
    rows = [
        (
            *(one.command_number or None, one.tenant_id, one.execution_id, batch_number, one.device_id, one.name),
            *(one.payload, one.content_type),
            *(one.dialect.value, one.qos, one.priority, one.may_repeat, one.start_timeout_ms, one.finish_timeout_ms),
            *(one.state.value, one.version, one.attempt, one.retries_left, one.is_repeated, one.created_at),
            *(one.expires_at, one.not_before, one.due_at, one.offered_at, one.ended_at, one.ended_by.value),
            *(one.reason_code, one.reason, one.author, key, digest),
        )
        for one in commands
    ]
    return connection.executemany(sql, rows).rowcount


def next_number(connection: sqlite3.Connection) -> int:
    """The number of the next command of any tenant: none was ever given twice."""
    rows = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'command'")
    return 1 + max([int(number) for (number,) in rows], default=0)


def devices_of_batch(
    connection: sqlite3.Connection, tenant_id: int, batch_number: int, device_ids: Collection[str]
) -> set[str]:
    """Those of these devices that have their command of a batch already."""
    found: set[str] = set()
    for some in portions_of(device_ids, VALUES_LIMIT):
        places = ", ".join("?" * len(some))
        sql = f"SELECT device_id FROM command WHERE +tenant_id = ? AND batch_number = ? AND device_id IN ({places})"
        found.update(device_id for (device_id,) in connection.execute(sql, (tenant_id, batch_number, *some)))
    return found


def update_commands(connection: sqlite3.Connection, commands: Iterable[Command]) -> None:
    """Keep how far commands have come."""
    sql = """
        UPDATE command SET dialect = ?, state = ?, version = ?, attempt = ?, retries_left = ?, is_repeated = ?,
            not_before = ?, due_at = ?, offered_at = ?, sent_at = ?, acknowledged_at = ?, started_at = ?, ended_at = ?,
            ended_by = ?, reason_code = ?, reason = ?, result = ?
        WHERE tenant_id = ? AND command_number = ?
    """
    rows = [
        (
            *(one.dialect.value, one.state.value, one.version, one.attempt, one.retries_left, one.is_repeated),
            *(
                one.not_before,
                one.due_at,
                one.offered_at,
                one.sent_at,
                one.acknowledged_at,
                one.started_at,
                one.ended_at,
            ),
            *(one.ended_by.value, one.reason_code, one.reason, one.result, one.tenant_id, one.command_number),
        )
        for one in commands
    ]
    if rows:
        connection.executemany(sql, rows)


def note_evidence(connection: sqlite3.Connection, commands: Iterable[Command]) -> None:
    """Keep of commands what was heard of their writing alone: no index hangs on it, and thousands come at a time."""
    sql = """
        UPDATE command SET state = ?, version = ?, sent_at = ?, acknowledged_at = ?
        WHERE tenant_id = ? AND command_number = ?
    """
    for one in commands:
        heard = (one.state.value, one.version, one.sent_at, one.acknowledged_at)
        connection.execute(sql, (*heard, one.tenant_id, one.command_number))


def by_executions(connection: sqlite3.Connection, tenant_id: int, execution_ids: Collection[str]) -> dict[str, Command]:
    """The commands of execution ids, by these."""
    found: dict[str, Command] = {}
    for some in portions_of(execution_ids, VALUES_LIMIT):
        places = ", ".join("?" * len(some))
        sql = f"SELECT {READ} {JOINED} WHERE command.tenant_id = ? AND execution_id IN ({places})"
        for row in connection.execute(sql, (tenant_id, *some)):
            command = command_of(*row)
            found[command.execution_id] = command
    return found


def by_numbers(connection: sqlite3.Connection, tenant_id: int, numbers: Collection[int]) -> dict[int, Command]:
    """The commands of numbers, by these."""
    found: dict[int, Command] = {}
    for some in portions_of(numbers, VALUES_LIMIT):
        places = ", ".join("?" * len(some))
        sql = f"SELECT {READ} {JOINED} WHERE command.tenant_id = ? AND command_number IN ({places})"
        for row in connection.execute(sql, (tenant_id, *some)):
            command = command_of(*row)
            found[command.command_number] = command
    return found


def by_execution(connection: sqlite3.Connection, tenant_id: int, execution_id: str) -> Command | None:
    """The command of an execution id."""
    sql = f"SELECT {READ} {JOINED} WHERE command.tenant_id = ? AND execution_id = ?"
    return _one(connection, sql, (tenant_id, execution_id))


def by_key(connection: sqlite3.Connection, tenant_id: int, key: str) -> tuple[Command, str] | None:
    """The command that was sent with an idempotency key, and the digest of what was asked for."""
    # Only told: as far as it can be read.
    sql = f"SELECT {READ_BYTES}, command.digest {JOINED} WHERE command.tenant_id = ? AND command.idempotency_key = ?"
    row = connection.execute(sql, (tenant_id, key)).fetchone()
    return None if row is None else (salvaged(*row[:-1]).command, row[-1])


def next_commands(connection: sqlite3.Connection, tenant_id: int, device_id: str, now: int) -> Iterator[Command]:
    """What may be offered to a device: the highest priority first, and among equals the oldest."""
    sql = f"""
        SELECT {READ} {JOINED} WHERE command.tenant_id = ? AND device_id = ? AND offered_at IS NULL
            AND ended_at IS NULL AND not_before <= ? AND expires_at > ?
        ORDER BY priority DESC, command_number
    """
    return (command_of(*row) for row in connection.execute(sql, (tenant_id, device_id, now, now)))


def open_counts(connection: sqlite3.Connection, tenant_id: int, device_ids: Collection[str]) -> dict[str, int]:
    """How many commands of devices have not ended; devices without one are left out."""
    found: dict[str, int] = {}
    for some in portions_of(device_ids, VALUES_LIMIT):
        places = ", ".join("?" * len(some))
        sql = f"""
            SELECT device_id, COUNT(*) FROM command
            WHERE tenant_id = ? AND device_id IN ({places}) AND ended_at IS NULL GROUP BY device_id
        """
        found.update(connection.execute(sql, (tenant_id, *some)).fetchall())
    return found


def open_of_device(connection: sqlite3.Connection, tenant_id: int, device_id: str) -> list[Command]:
    """Every command of a device that has not ended."""
    sql = f"SELECT {READ} {JOINED} WHERE command.tenant_id = ? AND device_id = ? AND ended_at IS NULL"
    return [command_of(*row) for row in connection.execute(sql, (tenant_id, device_id))]


def due(connection: sqlite3.Connection, now: int, limit: int) -> list[Command]:
    """Commands of every tenant about which something is to be done, the most urgent first."""
    sql = f"SELECT {READ} {JOINED} WHERE ended_at IS NULL AND due_at <= ? ORDER BY due_at LIMIT ?"
    return [command_of(*row) for row in connection.execute(sql, (now, limit))]


def shift(connection: sqlite3.Connection, by_ms: int) -> None:
    """Move what is to come of every tenant's open commands: the clock was set."""
    sql = """
        UPDATE command SET due_at = due_at + ?1, expires_at = expires_at + ?1,
            not_before = CASE not_before WHEN 0 THEN 0 ELSE not_before + ?1 END,
            offered_at = offered_at + ?1, started_at = started_at + ?1
        WHERE ended_at IS NULL
    """
    connection.execute(sql, (by_ms,))


def open_of_batch(
    connection: sqlite3.Connection, tenant_id: int, batch_number: int, after: int, limit: int
) -> list[Command]:
    """Commands of a batch that have not ended, by their numbers."""
    sql = f"""
        SELECT {READ} {JOINED} WHERE command.tenant_id = ? AND batch_number = ? AND ended_at IS NULL
            AND command_number > ? ORDER BY command_number LIMIT ?
    """
    values = (tenant_id, batch_number, after, limit)
    return [command_of(*row) for row in connection.execute(sql, values)]


def delete_ended(connection: sqlite3.Connection, before: int, limit: int) -> int:
    """Forget commands of every tenant that ended before a moment, so many at most; gives how many."""
    sql = """
        DELETE FROM command WHERE command_number IN (
            SELECT command_number FROM command WHERE ended_at IS NOT NULL AND ended_at < ? LIMIT ?
        )
    """
    return connection.execute(sql, (before, limit)).rowcount


def erase_ended(connection: sqlite3.Connection, tenant_id: int, device_id: str, through_at: int, limit: int) -> int:
    """Forget commands of a device that were made up to a moment and have ended, so many at most; gives how many."""
    sql = """
        DELETE FROM command WHERE command_number IN (
            SELECT command_number FROM command
            WHERE tenant_id = ? AND device_id = ? AND ended_at IS NOT NULL AND created_at <= ? LIMIT ?
        )
    """
    return connection.execute(sql, (tenant_id, device_id, through_at, limit)).rowcount


def erase_told(connection: sqlite3.Connection, tenant_id: int, device_id: str, through_at: int) -> None:
    """Forget what a device has said of commands that were made up to a moment and go on."""
    sql = """
        UPDATE command SET result = NULL, reason = '', reason_code = ''
        WHERE tenant_id = ? AND device_id = ? AND ended_at IS NULL AND created_at <= ?
    """
    connection.execute(sql, (tenant_id, device_id, through_at))


def delete_batches(connection: sqlite3.Connection, before: int, limit: int) -> int:
    """Forget batches of every tenant of whose commands none is left, so many at most; gives how many."""
    sql = """
        DELETE FROM command_batch WHERE batch_number IN (
            SELECT batch_number FROM command_batch WHERE created_at < ? AND NOT EXISTS (
                SELECT 1 FROM command WHERE command.batch_number = command_batch.batch_number
            ) LIMIT ?
        )
    """
    return connection.execute(sql, (before, limit)).rowcount


def insert_batch(connection: sqlite3.Connection, tenant_id: int, batch: Batch, key: str | None, digest: str) -> int:
    """Append a batch; gives its number."""
    sql = """
        INSERT INTO command_batch (
            tenant_id, batch_id, name, selection, device_count, author, created_at, idempotency_key, digest
        ) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    """
    told = (batch.batch_id, batch.name, batch.selection, batch.device_count, batch.author, batch.created_at)
    number = connection.execute(sql, (tenant_id, *told, key, digest)).lastrowid
    assert number is not None  # noqa: S101  a row was inserted
    return number


def batch_by_key(connection: sqlite3.Connection, tenant_id: int, key: str) -> tuple[Batch, str] | None:
    """The batch that was sent with an idempotency key, and the digest of what was asked for."""
    sql = f"SELECT {READ_BATCH}, digest FROM command_batch WHERE tenant_id = ? AND idempotency_key = ?"
    row = connection.execute(sql, (tenant_id, key)).fetchone()
    return None if row is None else (batch_of(*row[:-1]), row[-1])


def complete_batch(
    connection: sqlite3.Connection, tenant_id: int, batch_number: int, device_count: int, now: int
) -> None:
    """Every command of a batch is written down."""
    sql = "UPDATE command_batch SET completed_at = ?, device_count = ? WHERE tenant_id = ? AND batch_number = ?"
    connection.execute(sql, (now, device_count, tenant_id, batch_number))


def count_of_batch(connection: sqlite3.Connection, tenant_id: int, batch_number: int) -> int:
    """How many commands of a batch are written down."""
    sql = "SELECT COUNT(*) FROM command WHERE tenant_id = ? AND batch_number = ?"
    count: int = connection.execute(sql, (tenant_id, batch_number)).fetchone()[0]
    return count


def select_waiting() -> Select[tuple[int, str]]:
    """Whose commands wait, of every tenant."""
    sql = """
        SELECT DISTINCT tenant_id, CAST(device_id AS BLOB) FROM command WHERE offered_at IS NULL AND ended_at IS NULL
    """
    return Select(sql, (), _place)


def select_unconfirmed() -> Select[tuple[int, str, int, int, str]]:
    """What was being offered and may be repeated, or is brought to its end by a session, of every tenant.

    Gives tenant, device, number, attempt and execution id.
    """
    sql = """
        SELECT tenant_id, CAST(device_id AS BLOB), command_number, attempt, CAST(execution_id AS BLOB) FROM command
        WHERE ended_at IS NULL AND offered_at IS NOT NULL AND acknowledged_at IS NULL AND (may_repeat OR qos = 2)
    """

    def attempt(tenant_id: int, device_id: bytes, number: int, attempt: int, execution_id: bytes) -> tuple[Any, ...]:
        return (*_place(tenant_id, device_id), number, attempt, execution_id.decode(errors="replace"))

    return Select(sql, (), attempt)


def select_open_devices() -> Select[tuple[int, str]]:
    """Whose commands have not ended, of every tenant."""
    sql = "SELECT DISTINCT tenant_id, CAST(device_id AS BLOB) FROM command WHERE ended_at IS NULL"
    return Select(sql, (), _place)


def select_next_due() -> Select[int | None]:
    """When something is to be done about a command of any tenant."""
    return Select("SELECT MIN(due_at) FROM command WHERE ended_at IS NULL", (), lambda due_at: due_at)


def _place(tenant_id: int, device_id: bytes) -> tuple[int, str]:
    # A start reads it: bytes that are no text are those of no device, and must not keep the gateway from it.
    return tenant_id, device_id.decode(errors="replace")


def _one(connection: sqlite3.Connection, sql: str, values: tuple[Any, ...]) -> Command | None:
    row = connection.execute(sql, values).fetchone()
    return None if row is None else command_of(*row)
