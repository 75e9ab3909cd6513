"""How revocations of many certificates are written to gateway.db."""

import sqlite3
from collections.abc import Sequence

from appliance.registry.model import Certificate


def revoke_all_of(
    connection: sqlite3.Connection, tenant_id: int, device_ids: Sequence[str], now: int
) -> list[tuple[str, Certificate]]:
    """Mark every certificate of these devices as revoked; gives those that were not before, with their device."""
    sql = """
        UPDATE certificate SET revoked_at = ?
        WHERE tenant_id = ? AND revoked_at IS NULL
            AND device_number = (SELECT device_number FROM device WHERE tenant_id = ? AND device_id = ?)
        RETURNING fingerprint, serial, issued_at, expires_at, revoked_at
    """
    return [
        (device_id, Certificate(*row))
        for device_id in device_ids
        for row in connection.execute(sql, (now, tenant_id, tenant_id, device_id)).fetchall()
    ]
