"""What renewal asks of gateway.db, and what it writes there."""

import sqlite3
from collections.abc import Collection

from appliance.enrolment.renewal.model import Succession
from appliance.store.database import Select


def select_successions() -> Select[Succession]:
    """Every renewed certificate of every tenant that was not used yet."""
    return Select("SELECT tenant_id, fingerprint, replaced, device_id FROM succession", (), Succession)


def insert_succession(connection: sqlite3.Connection, succession: Succession) -> None:
    """Note that one certificate is to take the place of another."""
    sql = "INSERT INTO succession (tenant_id, fingerprint, replaced, device_id) VALUES (?, ?, ?, ?)"
    values = (succession.tenant_id, succession.fingerprint, succession.replaced, succession.device_id)
    connection.execute(sql, values)


def delete_successions(connection: sqlite3.Connection, tenant_id: int, fingerprints: Collection[str]) -> None:
    """Forget successions by the certificate that takes over."""
    sql = "DELETE FROM succession WHERE tenant_id = ? AND fingerprint = ?"
    connection.executemany(sql, [(tenant_id, fingerprint) for fingerprint in fingerprints])
