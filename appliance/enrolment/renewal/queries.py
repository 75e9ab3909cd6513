"""What renewal asks of gateway.db, and what it writes there."""

import sqlite3
from collections.abc import Callable, Collection, Sequence

import msgspec

from appliance.enrolment.renewal import succession
from appliance.enrolment.renewal.model import (
    Asked,
    DueCertificate,
    EndedCertificateError,
    Succession,
    TooManyRenewalsError,
)
from appliance.instant import DAY_MS
from appliance.registry.model import BoundCertificate, Certificate
from appliance.store.database import Select


def select_successions() -> Select[Succession]:
    """Every renewed certificate of every tenant that was not used yet."""
    return Select("SELECT tenant_id, fingerprint, replaced, device_id, made_at FROM succession", (), Succession)


def insert_renewal(
    connection: sqlite3.Connection, made: Succession, day_limit: int, bind: Callable[[sqlite3.Connection], object]
) -> None:
    """Have `bind` write a renewed certificate, and note whose place it takes.

    There is one writer: however many renewals come at once, none passes the limits. Raises
    `EndedCertificateError`, `TooManyRenewalsError`, and what `bind` raises.
    """
    sql = "SELECT 1 FROM certificate WHERE tenant_id = ? AND fingerprint = ? AND revoked_at IS NULL"
    if connection.execute(sql, (made.tenant_id, made.replaced)).fetchone() is None:
        raise EndedCertificateError(f"the certificate {made.replaced[:8]}… of {made.device_id} was revoked")
    day = made.made_at // DAY_MS
    sql = """
        SELECT day_count FROM renewal JOIN device USING (tenant_id, device_number)
        WHERE tenant_id = ? AND device_id = ? AND day = ?
    """
    row = connection.execute(sql, (made.tenant_id, made.device_id, day)).fetchone()
    own = _select_good(connection, made.tenant_id, made.device_id)
    reason = succession.limit_refusal(own, made.replaced, row[0] if row else 0, day_limit)
    if reason:
        raise TooManyRenewalsError(f"{made.device_id}: {reason}", wait_s=60)
    bind(connection)
    sql = "INSERT INTO succession (tenant_id, fingerprint, replaced, device_id, made_at) VALUES (?, ?, ?, ?, ?)"
    connection.execute(sql, (made.tenant_id, made.fingerprint, made.replaced, made.device_id, made.made_at))
    sql = """
        INSERT INTO renewal (tenant_id, device_number, day, day_count)
        SELECT tenant_id, device_number, ?, 1 FROM device WHERE tenant_id = ? AND device_id = ?
        ON CONFLICT (tenant_id, device_number) DO UPDATE SET
            day_count = CASE WHEN day = excluded.day THEN day_count + 1 ELSE 1 END, day = excluded.day
    """
    connection.execute(sql, (day, made.tenant_id, made.device_id))


def delete_successions(connection: sqlite3.Connection, tenant_id: int, fingerprints: Collection[str]) -> None:
    """Forget successions by the certificate that takes over."""
    sql = "DELETE FROM succession WHERE tenant_id = ? AND fingerprint = ?"
    connection.executemany(sql, [(tenant_id, fingerprint) for fingerprint in fingerprints])


def take_over(
    connection: sqlite3.Connection, tenant_id: int, device_id: str, used: str, now: int
) -> list[BoundCertificate]:
    """Revoke what has had its time as a renewed certificate is used; it and they await no use any more.

    Gives those that were good until now.
    """
    sql = """
        SELECT tenant_id, fingerprint, replaced, device_id, made_at FROM succession
        WHERE tenant_id = ? AND device_id = ?
    """
    own = [Succession(*row) for row in connection.execute(sql, (tenant_id, device_id))]
    ended = succession.ended_by(own, used)
    sql = """
        UPDATE certificate SET revoked_at = ?
        WHERE tenant_id = ? AND revoked_at IS NULL AND fingerprint IN (SELECT value FROM json_each(?))
        RETURNING fingerprint, serial, issued_at, expires_at, revoked_at
    """
    values = (now, tenant_id, msgspec.json.encode(sorted(ended)).decode())
    rows = connection.execute(sql, values).fetchall()
    delete_successions(connection, tenant_id, ended | {used})
    return [BoundCertificate(tenant_id, device_id, Certificate(*row)) for row in rows]


def select_due(now: int) -> Select[DueCertificate]:
    """The good certificates of active devices, of every tenant, with less than a third of their life left."""
    sql = """
        SELECT certificate.tenant_id, device.device_id, fingerprint, issued_at, expires_at,
            NOT EXISTS (
                SELECT 1 FROM certificate AS later
                WHERE later.tenant_id = certificate.tenant_id AND later.device_number = certificate.device_number
                    AND later.certificate_number > certificate.certificate_number AND later.revoked_at IS NULL
                    AND NOT EXISTS (
                        SELECT 1 FROM succession
                        WHERE succession.tenant_id = later.tenant_id AND succession.fingerprint = later.fingerprint
                    )
            )
        FROM certificate JOIN device USING (tenant_id, device_number)
        WHERE revoked_at IS NULL AND device.state = 'active' AND expires_at > ?
            AND issued_at + (expires_at - issued_at) * 2 / 3 <= ?
        ORDER BY certificate.tenant_id, certificate_number
    """
    return Select(sql, (now, now), _due)


def select_asked() -> Select[Asked]:
    """When each device was asked to renew, of every tenant."""
    sql = """
        SELECT renewal.tenant_id, device_id, asked_at FROM renewal JOIN device USING (tenant_id, device_number)
        WHERE asked_at IS NOT NULL
    """
    return Select(sql, (), Asked)


def save_asked(connection: sqlite3.Connection, asked: Sequence[Asked]) -> None:
    """Keep when devices were asked; those that are not registered any more are left out."""
    sql = """
        INSERT INTO renewal (tenant_id, device_number, asked_at)
        SELECT tenant_id, device_number, ? FROM device WHERE tenant_id = ? AND device_id = ?
        ON CONFLICT (tenant_id, device_number) DO UPDATE SET asked_at = excluded.asked_at
    """
    connection.executemany(sql, [(each.asked_at, each.tenant_id, each.device_id) for each in asked])


def _select_good(connection: sqlite3.Connection, tenant_id: int, device_id: str) -> list[Succession]:
    sql = """
        SELECT succession.tenant_id, fingerprint, replaced, device_id, made_at
        FROM succession JOIN certificate USING (tenant_id, fingerprint)
        WHERE succession.tenant_id = ? AND device_id = ? AND revoked_at IS NULL
    """
    return [Succession(*row) for row in connection.execute(sql, (tenant_id, device_id))]


def _due(
    tenant_id: int, device_id: str, fingerprint: str, issued_at: int, expires_at: int, is_latest: int
) -> DueCertificate:
    return DueCertificate(tenant_id, device_id, fingerprint, issued_at, expires_at, bool(is_latest))
