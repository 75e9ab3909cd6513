"""What is kept of the time in gateway.db."""

import sqlite3

from appliance.store.database import Select


def select_newest_issue(tenant_id: int, not_after: int) -> Select[int]:
    """When the newest certificate of any device of any tenant was issued; nothing where there is none.

    Left out are those with a moment after `not_after`, and those from before a person has set the mark: they were
    issued by a clock that was wrong.
    """
    sql = """
        SELECT MAX(issued_at) FROM certificate
        WHERE issued_at <= ?
        AND certificate_number > COALESCE((SELECT certificate_number FROM clock_mark WHERE tenant_id = ?), 0)
        HAVING MAX(issued_at) IS NOT NULL
    """
    return Select(sql, (not_after, tenant_id), int)


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


def reset_mark(connection: sqlite3.Connection, tenant_id: int, marked_at: int) -> None:
    """Keep a moment that a person vouches for; when certificates were issued before says nothing any more."""
    sql = """
        INSERT INTO clock_mark (tenant_id, marked_at, certificate_number)
        VALUES (?, ?, (SELECT COALESCE(MAX(certificate_number), 0) FROM certificate))
        ON CONFLICT (tenant_id) DO UPDATE
        SET marked_at = excluded.marked_at, certificate_number = excluded.certificate_number
    """
    connection.execute(sql, (tenant_id, marked_at))
