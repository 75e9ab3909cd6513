"""What the audit log asks of gateway.db, and what it appends there. Nothing here changes or removes an entry."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import msgspec

from appliance.audit import chain
from appliance.audit.model import GATEWAY, Actor, End, Entry, Head, RecordedEntry, Wanted
from appliance.store.database import Select

T = TypeVar("T")

_COLUMNS = "position, recorded_at, actor, address, action, subject, result, details, hash"
_BYTES = ", ".join(f"CAST({name} AS BLOB)" for name in _COLUMNS.split(", ")[2:])


Telling = Callable[[Any], Sequence[Entry]]
"""What is to be told of the result of a transaction."""
Told = tuple[int, Telling, int, Actor]
"""The tenant, what is to be told, when, and who did it."""


def with_entries(connection: sqlite3.Connection, told: Told, function: Callable[..., T], *arguments: Any) -> T:
    """Run `function(connection, *arguments)` and append what is told of its result, all in one transaction."""
    result = function(connection, *arguments)
    tenant_id, telling, now, by = told
    insert_entries(connection, tenant_id, telling(result), now, by)
    return result


def insert_entry(
    connection: sqlite3.Connection, tenant_id: int, entry: Entry, now: int, by: Actor | None = None
) -> None:
    """Append an entry to the tenant's chain, in the transaction of what it tells of.

    `by` is who did it; without it, the gateway: the writer's thread does not know its caller.
    """
    insert_entries(connection, tenant_id, [entry], now, by or GATEWAY)


def insert_entries(
    connection: sqlite3.Connection, tenant_id: int, entries: Sequence[Entry], now: int, by: Actor
) -> None:
    """Append entries to the tenant's chain, in their order; the one writer is what keeps it from having two ends."""
    if not entries:
        return
    head = _head(connection, tenant_id)
    rows = []
    for entry in entries:
        recorded = chain.appended(head, entry, by, now)
        head = Head(recorded.position, recorded.hash)
        rows.append((tenant_id, *msgspec.structs.astuple(recorded)))
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


def select_window(tenant_id: int, before: int, width: int, wanted: Wanted, limit: int) -> Select[RecordedEntry]:
    """Of the `width` positions below `before` the entries that are wanted, newest first, at most `limit`."""
    sql = f"""
        SELECT {_COLUMNS} FROM audit_entry
        WHERE tenant_id = ? AND position < ? AND position >= ?
            AND (? = '' OR actor = ?) AND (? = '' OR subject = ?) AND (? = '' OR action = ?)
        ORDER BY position DESC LIMIT ?
    """
    asked = [value for text in (wanted.actor, wanted.subject, wanted.action) for value in (text, text)]
    return Select(sql, (tenant_id, before, before - width, *asked, limit), RecordedEntry)


def select_after(tenant_id: int, after: int, limit: int) -> Select[RecordedEntry]:
    """Entries with a position above `after`, oldest first."""
    sql = f"SELECT {_COLUMNS} FROM audit_entry WHERE tenant_id = ? AND position > ? ORDER BY position LIMIT ?"
    return Select(sql, (tenant_id, after, limit), RecordedEntry)


def select_rows(tenant_id: int, after: int, until: int, limit: int) -> Select[chain.StoredRow]:
    """Entries with a position above `after` and up to `until`, oldest first, as the bytes in the file.

    As bytes, for what somebody wrote there need not be text.
    """
    sql = f"""
        SELECT position, recorded_at, {_BYTES} FROM audit_entry
        WHERE tenant_id = ? AND position > ? AND position <= ? ORDER BY position LIMIT ?
    """
    return Select(sql, (tenant_id, after, until, limit), lambda *row: row)


def select_end(tenant_id: int) -> Select[End]:
    """Where the chain ends, as of one moment; no row for a tenant that there is not."""
    sql = """
        SELECT COALESCE(head.position, 0), COALESCE(CAST(head.hash AS BLOB), ?),
            (SELECT COALESCE(MAX(position), 0) FROM audit_entry WHERE audit_entry.tenant_id = tenant.tenant_id)
        FROM tenant LEFT JOIN audit_head AS head USING (tenant_id)
        WHERE tenant_id = ?
    """
    return Select(sql, (chain.START.hash.encode(), tenant_id), _end)


def select_tenants() -> Select[int]:
    """Every tenant."""
    return Select("SELECT tenant_id FROM tenant ORDER BY tenant_id", (), int)


def _head(connection: sqlite3.Connection, tenant_id: int) -> Head:
    rows = connection.execute("SELECT position, hash FROM audit_head WHERE tenant_id = ?", (tenant_id,)).fetchall()
    return Head(*rows[0]) if rows else chain.START


def _end(position: int, head_hash: bytes, newest: int) -> End:
    return End(Head(position, head_hash.decode(errors="replace")), newest)
