"""What is kept of the time in gateway.db."""

import sqlite3

from appliance.store.database import Select


def select_newest_issue() -> Select[int]:
    """When the newest certificate of any device of any tenant was issued; nothing where there is none."""
    sql = "SELECT MAX(issued_at) FROM certificate HAVING MAX(issued_at) IS NOT NULL"
    return Select(sql, (), int)


def select_mark(tenant_id: int) -> Select[int]:
    """The latest moment known to be past; nothing on the first start."""
    return Select("SELECT marked_at FROM clock_mark WHERE tenant_id = ?", (tenant_id,), int)


def save_mark(connection: sqlite3.Connection, tenant_id: int, marked_at: int) -> None:
    """Keep a moment that is known to be past."""
    sql = """
        INSERT INTO clock_mark (tenant_id, marked_at) VALUES (?, ?)
        ON CONFLICT (tenant_id) DO UPDATE SET marked_at = excluded.marked_at
    """
    connection.execute(sql, (tenant_id, marked_at))
