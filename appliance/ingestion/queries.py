"""SQL of ingestion: the problems of devices."""

import sqlite3
from collections.abc import Sequence

from appliance.ingestion.model import Mishap, Problem
from appliance.store.database import Select


def insert_mishaps(connection: sqlite3.Connection, mishaps: Sequence[Mishap]) -> None:
    """Count the mishaps into the problems of their devices and kinds."""
    connection.executemany(
        """
        INSERT INTO problem (tenant_id, device_id, kind, reason, occurrence_count, first_at, last_at)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (tenant_id, device_id, kind) DO UPDATE SET
            reason = excluded.reason, last_at = excluded.last_at,
            occurrence_count = occurrence_count + excluded.occurrence_count
        """,
        [
            (each.tenant_id, each.device_id, each.kind, each.reason, each.count, each.at - each.lasted_ms, each.at)
            for each in mishaps
        ],
    )


def select_problems(tenant_id: int, device_id: str) -> Select[Problem]:
    """The problems of a device, the newest first; an empty device identifier asks for those of strangers."""
    return Select(
        """
        SELECT device_id, kind, reason, occurrence_count, first_at, last_at FROM problem
        WHERE tenant_id = ? AND device_id = ? ORDER BY last_at DESC
        """,
        (tenant_id, device_id),
        Problem,
    )


def select_recent_problems(tenant_id: int, limit: int) -> Select[Problem]:
    """The newest problems of a tenant, whosever they are."""
    return Select(
        """
        SELECT device_id, kind, reason, occurrence_count, first_at, last_at FROM problem
        WHERE tenant_id = ? ORDER BY last_at DESC LIMIT ?
        """,
        (tenant_id, limit),
        Problem,
    )
