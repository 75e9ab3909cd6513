"""What enrolment codes ask of gateway.db, and what they write there."""

import sqlite3

from appliance.enrolment.codes.model import (
    CODES_LIMIT,
    Code,
    NewCode,
    SpentCodeError,
    TooManyCodesError,
    UnknownCodeError,
    Use,
)
from appliance.store.database import Select

_COLUMNS = (
    "code_number, tenant_id, target, type, zone, created_at, expires_at, revoked_at,"
    " used_at, used_by, used_from, used_key, use_count"
)
SHOWN = 200
"""How many codes a list shows."""


def select_code(code_hash: str) -> Select[Code]:
    """The code with this SHA-256; it says itself whose it is."""
    return Select(f"SELECT {_COLUMNS} FROM enrolment_code WHERE code_hash = ?", (code_hash,), Code)


def select_codes(tenant_id: int) -> Select[Code]:
    """The newest codes of a tenant."""
    sql = f"SELECT {_COLUMNS} FROM enrolment_code WHERE tenant_id = ? ORDER BY code_number DESC LIMIT {SHOWN}"
    return Select(sql, (tenant_id,), Code)


def insert_code(connection: sqlite3.Connection, tenant_id: int, new: NewCode, code_hash: str, now: int) -> Code:
    """Add a code. Raises `TooManyCodesError`."""
    [(count,)] = connection.execute(
        """
        SELECT COUNT(*) FROM enrolment_code
        WHERE tenant_id = ? AND used_at IS NULL AND revoked_at IS NULL AND expires_at > ?
        """,
        (tenant_id, now),
    )
    if count >= CODES_LIMIT:
        raise TooManyCodesError(f"there are {count} open enrolment codes: revoke those that nobody needs")
    sql = f"""
        INSERT INTO enrolment_code (tenant_id, code_hash, target, type, zone, created_at, expires_at)
        VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING {_COLUMNS}
    """
    values = (tenant_id, code_hash, new.target, new.type, new.zone, now, now + new.length_ms)
    [row] = connection.execute(sql, values).fetchall()
    return Code(*row)


def update_used(connection: sqlite3.Connection, tenant_id: int, code_number: int, use: Use) -> None:
    """Use a code up. Of many at once one succeeds; the others raise `SpentCodeError`."""
    sql = """
        UPDATE enrolment_code
        SET used_at = ?, used_by = ?, used_from = ?, used_key = ?, use_count = 1
        WHERE tenant_id = ? AND code_number = ? AND used_at IS NULL AND revoked_at IS NULL AND expires_at > ?
    """
    values = (use.at, use.device_id, use.address, use.key_fingerprint, tenant_id, code_number, use.at)
    if connection.execute(sql, values).rowcount != 1:
        raise SpentCodeError("this enrolment code was used a moment ago: ask for a new one")


def update_repeated(connection: sqlite3.Connection, tenant_id: int, code_number: int) -> None:
    """Count one more answer to the same use."""
    sql = "UPDATE enrolment_code SET use_count = use_count + 1 WHERE tenant_id = ? AND code_number = ?"
    connection.execute(sql, (tenant_id, code_number))


def update_revoked(connection: sqlite3.Connection, tenant_id: int, code_number: int, now: int) -> None:
    """Let a code open nothing; one that was used or revoked is left as it is. Raises `UnknownCodeError`."""
    sql = """
        UPDATE enrolment_code
        SET revoked_at = CASE WHEN used_at IS NULL THEN COALESCE(revoked_at, ?) ELSE revoked_at END
        WHERE tenant_id = ? AND code_number = ?
    """
    if connection.execute(sql, (now, tenant_id, code_number)).rowcount != 1:
        raise UnknownCodeError(f"there is no enrolment code {code_number}")
