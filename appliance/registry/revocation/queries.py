"""How revocations of many certificates are written to gateway.db."""

import sqlite3
from collections.abc import Sequence

import msgspec

from appliance.registry.model import BoundCertificate, Certificate, UnknownCertificateError
from appliance.registry.revocation.issuers import Held, Issuer, RevokedIssuer
from appliance.store.database import Select

_LINEAGE = """
WITH RECURSIVE lineage (tenant_id, fingerprint, device_id) AS (
    SELECT certificate.tenant_id, certificate.fingerprint, device.device_id
    FROM json_each(?) AS wanted
        CROSS JOIN certificate ON certificate.fingerprint = wanted.value
        CROSS JOIN device ON device.device_number = certificate.device_number
    WHERE certificate.tenant_id = ?
    UNION
    SELECT succession.tenant_id, succession.fingerprint, succession.device_id
    FROM lineage CROSS JOIN succession
        ON succession.tenant_id = lineage.tenant_id AND succession.device_id = lineage.device_id
            AND succession.replaced = lineage.fingerprint
)
"""
"""Certificates, and those that were renewed with them and await their use, those renewed with these, and so on."""


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


def revoke_held(connection: sqlite3.Connection, held: Sequence[Held], now: int) -> list[BoundCertificate]:
    """Mark these certificates, and what was renewed with them, as revoked; gives those that were not before."""
    revoked: list[BoundCertificate] = []
    for tenant_id in sorted({one.tenant_id for one in held}):
        fingerprints = [one.fingerprint for one in held if one.tenant_id == tenant_id]
        revoked += revoke_lineages(connection, tenant_id, fingerprints, now)
    return revoked


def revoke_certificate(
    connection: sqlite3.Connection, tenant_id: int, device_id: str, fingerprint: str, now: int
) -> list[BoundCertificate]:
    """Mark a certificate of a device, and what was renewed with it, as revoked; gives it first, as it is now.

    One that was revoked before is left as it is. Raises `UnknownCertificateError`.
    """
    more = revoke_lineages(connection, tenant_id, [fingerprint], now)
    sql = """
        SELECT tenant_id, device_id, fingerprint, serial, issued_at, expires_at, revoked_at
        FROM certificate JOIN device USING (tenant_id, device_number)
        WHERE tenant_id = ? AND device_id = ? AND fingerprint = ?
    """
    rows = connection.execute(sql, (tenant_id, device_id, fingerprint)).fetchall()
    if not rows:
        raise UnknownCertificateError(f"{device_id} has no certificate with the fingerprint {fingerprint}")
    return [_bound(*rows[0]), *(one for one in more if one.certificate.fingerprint != fingerprint)]


def revoke_lineages(
    connection: sqlite3.Connection, tenant_id: int, fingerprints: Sequence[str], now: int
) -> list[BoundCertificate]:
    """Mark certificates, and whatever was renewed with them and not used yet, as revoked; nothing of it awaits use.

    Gives those that were not revoked before.
    """
    wanted = (msgspec.json.encode(fingerprints).decode(), tenant_id)
    sql = f"""
        {_LINEAGE}
        UPDATE certificate SET revoked_at = ?
        WHERE revoked_at IS NULL AND fingerprint IN (SELECT fingerprint FROM lineage)
        RETURNING tenant_id, (SELECT device_id FROM device WHERE device.device_number = certificate.device_number),
            fingerprint, serial, issued_at, expires_at, revoked_at
    """
    rows = connection.execute(sql, (*wanted, now)).fetchall()
    sql = f"""
        {_LINEAGE}
        DELETE FROM succession WHERE (tenant_id, fingerprint) IN (SELECT tenant_id, fingerprint FROM lineage)
    """
    connection.execute(sql, wanted)
    return [_bound(*row) for row in rows]


def select_lineages(tenant_id: int, fingerprints: Sequence[str], now: int) -> Select[BoundCertificate]:
    """What `revoke_lineages` would revoke, as it would be then."""
    sql = f"""
        {_LINEAGE}
        SELECT certificate.tenant_id, lineage.device_id, certificate.fingerprint, serial, issued_at, expires_at, ?
        FROM lineage CROSS JOIN certificate ON certificate.fingerprint = lineage.fingerprint
        WHERE revoked_at IS NULL
    """
    return Select(sql, (msgspec.json.encode(fingerprints).decode(), tenant_id, now), _bound)


def select_left_good() -> Select[tuple[int, str]]:
    """Revoked certificates, by tenant and fingerprint, with which something was renewed that awaits its use."""
    sql = """
        SELECT DISTINCT succession.tenant_id, succession.replaced
        FROM succession JOIN certificate
            ON certificate.tenant_id = succession.tenant_id AND certificate.fingerprint = succession.replaced
        WHERE certificate.revoked_at IS NOT NULL
    """
    return Select(sql, (), lambda tenant_id, fingerprint: (tenant_id, fingerprint))


def update_finished(connection: sqlite3.Connection, tenant_id: int, fingerprint: str, now: int) -> None:
    """Note that every certificate of a revoked CA is marked."""
    sql = "UPDATE revoked_issuer SET finished_at = ? WHERE tenant_id = ? AND fingerprint = ?"
    connection.execute(sql, (now, tenant_id, fingerprint))


def _bound(tenant_id: int, device_id: str, *certificate: str | int | None) -> BoundCertificate:
    return BoundCertificate(tenant_id, device_id, Certificate(*certificate))  # type: ignore[arg-type]
