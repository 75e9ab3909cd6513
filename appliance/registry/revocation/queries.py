"""How revocations of many certificates are written to gateway.db."""

import sqlite3
from collections.abc import Sequence

from appliance.registry.model import Certificate
from appliance.registry.revocation.issuers import Held, Issuer, RevokedIssuer
from appliance.store.database import Select


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


def select_issuers() -> Select[RevokedIssuer]:
    """Every CA that was revoked, in the order in which they were."""
    sql = "SELECT fingerprint, name, pem, revoked_at, finished_at FROM revoked_issuer ORDER BY issuer_number"
    return Select(sql, (), RevokedIssuer)


def insert_issuer(connection: sqlite3.Connection, tenant_id: int, issuer: Issuer, now: int) -> RevokedIssuer:
    """Mark a CA as revoked; one that was is left as it is."""
    connection.execute(
        """
        INSERT INTO revoked_issuer (tenant_id, fingerprint, name, pem, revoked_at) VALUES (?, ?, ?, ?, ?)
        ON CONFLICT (fingerprint) DO NOTHING
        """,
        (tenant_id, issuer.fingerprint, issuer.name, issuer.pem, now),
    )
    sql = "SELECT fingerprint, name, pem, revoked_at, finished_at FROM revoked_issuer WHERE fingerprint = ?"
    return RevokedIssuer(*connection.execute(sql, (issuer.fingerprint,)).fetchone())


def select_pems(after: int, limit: int) -> Select[Held]:
    """Certificates of devices of every tenant that are not revoked, by number, above `after`."""
    sql = """
        SELECT certificate_number, certificate.tenant_id, device_id, fingerprint, pem
        FROM certificate JOIN device USING (tenant_id, device_number)
        WHERE certificate_number > ? AND revoked_at IS NULL
        ORDER BY certificate_number LIMIT ?
    """
    return Select(sql, (after, limit), Held)


def revoke_held(connection: sqlite3.Connection, held: Sequence[Held], now: int) -> list[tuple[Held, Certificate]]:
    """Mark these certificates as revoked; gives those that were not before."""
    sql = """
        UPDATE certificate SET revoked_at = ? WHERE tenant_id = ? AND fingerprint = ? AND revoked_at IS NULL
        RETURNING fingerprint, serial, issued_at, expires_at, revoked_at
    """
    return [
        (one, Certificate(*row))
        for one in held
        for row in connection.execute(sql, (now, one.tenant_id, one.fingerprint)).fetchall()
    ]


def update_finished(connection: sqlite3.Connection, tenant_id: int, fingerprint: str, now: int) -> None:
    """Note that every certificate of a revoked CA is marked."""
    sql = "UPDATE revoked_issuer SET finished_at = ? WHERE tenant_id = ? AND fingerprint = ?"
    connection.execute(sql, (now, tenant_id, fingerprint))
