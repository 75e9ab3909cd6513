"""What is kept of the time in gateway.db."""

import sqlite3

from appliance.registry.clock.trust import Doubt, Mark
from appliance.store.database import Select


def select_mark(tenant_id: int) -> Select[Mark]:
    """What was known of the time last; nothing on the first start."""
    sql = "SELECT marked_at, doubted_at, doubt_held_ms FROM clock_mark WHERE tenant_id = ?"
    return Select(sql, (tenant_id,), _mark)


def save_mark(connection: sqlite3.Connection, tenant_id: int, mark: Mark) -> None:
    """Keep what is known of the time in the place of what was."""
    sql = """
        INSERT INTO clock_mark (tenant_id, marked_at, doubted_at, doubt_held_ms) VALUES (?, ?, ?, ?)
        ON CONFLICT (tenant_id) DO UPDATE SET
            marked_at = excluded.marked_at,
            doubted_at = excluded.doubted_at,
            doubt_held_ms = excluded.doubt_held_ms
    """
    doubt = mark.doubt
    doubted = (None, None) if doubt is None else (doubt.said_at, doubt.held_ms)
    connection.execute(sql, (tenant_id, mark.marked_at, *doubted))


def _mark(marked_at: int, doubted_at: int | None, held_ms: int | None) -> Mark:
    if doubted_at is None or held_ms is None:
        return Mark(marked_at)
    return Mark(marked_at, Doubt(doubted_at, held_ms))
