"""What the audit log asks of gateway.db, and what it appends there. Nothing here changes or removes an entry."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from appliance.audit import chain
from appliance.audit.model import GATEWAY, Actor, Entry, Head, RecordedEntry
from appliance.store.database import Select

T = TypeVar("T")

_COLUMNS = "position, recorded_at, actor, address, action, subject, result, details, hash"


Told = tuple[int, Sequence[Entry], int, Actor]
"""The tenant, what is to be told, when, and who did it."""


def with_entries(connection: sqlite3.Connection, told: Told, function: Callable[..., T], *arguments: Any) -> T:
    """Run `function(connection, *arguments)` and append what is told of it, all in one transaction."""
    result = function(connection, *arguments)
    insert_entries(connection, *told)
    return result


def insert_entry(
    connection: sqlite3.Connection, tenant_id: int, entry: Entry, now: int, by: Actor | None = None
) -> None:
    """Append an entry to the tenant's chain, in the transaction of what it tells of.

    `by` is who did it; without it, the gateway: the writer's thread does not know its caller.
    """
    insert_entries(connection, tenant_id, [entry], now, by)


def insert_entries(
    connection: sqlite3.Connection, tenant_id: int, entries: Sequence[Entry], now: int, by: Actor | None = None
) -> None:
    """Append entries to the tenant's chain, in their order."""
    head = _head(connection, tenant_id)
    done_by = by or GATEWAY
    rows = []
    for entry in entries:
        recorded = chain.appended(head, entry, done_by, now)
        head = Head(recorded.position, recorded.hash)
        rows.append(_row(tenant_id, recorded))
    connection.executemany(
        f"INSERT INTO audit_entry (tenant_id, {_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows
    )
    connection.execute(
        """
        INSERT INTO audit_head (tenant_id, position, hash) VALUES (?, ?, ?)
        ON CONFLICT (tenant_id) DO UPDATE SET position = excluded.position, hash = excluded.hash
        """,
        (tenant_id, head.position, head.hash),
    )


def select_entries(tenant_id: int, before: int, limit: int) -> Select[RecordedEntry]:
    """Entries with a position below `before`, newest first."""
    sql = f"SELECT {_COLUMNS} FROM audit_entry WHERE tenant_id = ? AND position < ? ORDER BY position DESC LIMIT ?"
    return Select(sql, (tenant_id, before, limit), RecordedEntry)


def select_whole(connection: sqlite3.Connection, tenant_id: int) -> tuple[list[RecordedEntry], Head]:
    """The whole chain of a tenant from its first entry, and where it ends, as of one moment."""
    sql = f"SELECT {_COLUMNS} FROM audit_entry WHERE tenant_id = ? ORDER BY position"
    entries = [RecordedEntry(*row) for row in connection.execute(sql, (tenant_id,))]
    return entries, _head(connection, tenant_id)


def select_tenants() -> Select[int]:
    """Every tenant."""
    return Select("SELECT tenant_id FROM tenant ORDER BY tenant_id", (), int)


def _head(connection: sqlite3.Connection, tenant_id: int) -> Head:
    rows = connection.execute("SELECT position, hash FROM audit_head WHERE tenant_id = ?", (tenant_id,)).fetchall()
    return Head(*rows[0]) if rows else chain.START


def _row(tenant_id: int, entry: RecordedEntry) -> tuple[int | str, ...]:
    return (
        tenant_id,
        entry.position,
        entry.recorded_at,
        entry.actor,
        entry.address,
        entry.action,
        entry.subject,
        entry.result,
        entry.details,
        entry.hash,
    )
