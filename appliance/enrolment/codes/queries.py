"""What enrolment codes ask of gateway.db, and what they write there."""

import sqlite3

from appliance.enrolment.codes.fitness import REPEAT_MS, REPEATS
from appliance.enrolment.codes.model import (
    CODES_LIMIT,
    Code,
    NewCode,
    SpentCodeError,
    TooManyCodesError,
    UnknownCodeError,
    Use,
    WrongDeviceError,
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
    """Use a code up. Of many at once one succeeds; the others raise `SpentCodeError`.

    Raises `WrongDeviceError` for a pattern and a device that can already show who it is: else whoever has
    the code could take that device's place.
    """
    if _is_taken(connection, tenant_id, code_number, use):
        raise WrongDeviceError(
            f"{use.device_id} already has a good certificate or token, and this enrolment code is for any device"
            " that fits: make a code for that device alone to replace its certificate"
        )
    sql = """
        UPDATE enrolment_code
        SET used_at = ?, used_by = ?, used_from = ?, used_key = ?, use_count = 1
        WHERE tenant_id = ? AND code_number = ? AND used_at IS NULL AND revoked_at IS NULL AND expires_at > ?
    """
    values = (use.at, use.device_id, use.address, use.key_fingerprint, tenant_id, code_number, use.at)
    if connection.execute(sql, values).rowcount != 1:
        raise SpentCodeError("this enrolment code was used a moment ago: ask for a new one")


def update_repeated(connection: sqlite3.Connection, tenant_id: int, code_number: int, use: Use) -> None:
    """Count one more answer to the same use. Raises `SpentCodeError` when there is to be none.

    The conditions are those of `fitness.is_repetition`, here once more so that of many at once no more
    than the limit pass. The device must still take part, and none of its certificates may have been
    revoked since the use: the one that the code gave is among those.
    """
    sql = """
        UPDATE enrolment_code SET use_count = use_count + 1
        WHERE tenant_id = ? AND code_number = ? AND revoked_at IS NULL
            AND used_by = ? AND used_key = ? AND used_key <> ''
            AND used_at <= ? AND used_at > ? AND use_count < ?
            AND EXISTS (
                SELECT 1 FROM device
                WHERE device.tenant_id = enrolment_code.tenant_id AND device_id = used_by
                    AND state IN ('active', 'pending')
            )
            AND NOT EXISTS (
                SELECT 1 FROM certificate JOIN device USING (tenant_id, device_number)
                WHERE device.tenant_id = enrolment_code.tenant_id AND device_id = used_by
                    AND certificate.revoked_at >= used_at
            )
    """
    window = (use.at, use.at - REPEAT_MS, REPEATS)
    values = (tenant_id, code_number, use.device_id, use.key_fingerprint, *window)
    if connection.execute(sql, values).rowcount != 1:
        raise SpentCodeError("this enrolment code was used, and what it gave is not given again: ask for a new one")


def update_revoked(connection: sqlite3.Connection, tenant_id: int, code_number: int, now: int) -> None:
    """Let a code open nothing, nor answer again if it was used. Raises `UnknownCodeError`."""
    sql = """
        UPDATE enrolment_code SET revoked_at = COALESCE(revoked_at, ?) WHERE tenant_id = ? AND code_number = ?
    """
    if connection.execute(sql, (now, tenant_id, code_number)).rowcount != 1:
        raise UnknownCodeError(f"there is no enrolment code {code_number}")


def _is_taken(connection: sqlite3.Connection, tenant_id: int, code_number: int, use: Use) -> bool:
    """Whether the code is a pattern, and the device has a certificate or a token that is good."""
    sql = """
        SELECT 1 FROM enrolment_code JOIN device USING (tenant_id)
        WHERE tenant_id = ? AND code_number = ? AND INSTR(target, '*') > 0 AND device_id = ?
            AND (
                EXISTS (
                    SELECT 1 FROM certificate
                    WHERE certificate.tenant_id = device.tenant_id
                        AND certificate.device_number = device.device_number
                        AND certificate.revoked_at IS NULL AND certificate.expires_at > ?
                )
                OR EXISTS (
                    SELECT 1 FROM device_token
                    WHERE device_token.tenant_id = device.tenant_id
                        AND device_token.device_number = device.device_number
                        AND device_token.revoked_at IS NULL AND device_token.expires_at > ?
                )
            )
    """
    values = (tenant_id, code_number, use.device_id, use.at, use.at)
    return connection.execute(sql, values).fetchone() is not None
