"""What device tokens ask of gateway.db, and what they write there."""

import sqlite3
from collections.abc import Sequence

from appliance.registry.model import UnknownDeviceError
from appliance.registry.tokens.model import DeviceToken, KeptToken, NewToken, UnknownDeviceTokenError, Use
from appliance.store.database import Select


def select_all_tokens() -> Select[KeptToken]:
    """Every token of every tenant, revoked ones too."""
    sql = """
        SELECT device_token.tenant_id, device.device_id, secret_hash,
            token_number, device_token.name, device_token.created_at, expires_at, used_at, used_from, revoked_at
        FROM device_token JOIN device USING (tenant_id, device_number)
        ORDER BY token_number
    """
    return Select(sql, (), _kept)


def insert_token(connection: sqlite3.Connection, tenant_id: int, device_id: str, new: NewToken) -> KeptToken:
    """Add a token to a device that exists. Raises `UnknownDeviceError`."""
    sql = """
        INSERT INTO device_token (tenant_id, device_number, name, secret_hash, created_at, expires_at)
        SELECT tenant_id, device_number, ?, ?, ?, ? FROM device WHERE tenant_id = ? AND device_id = ?
        RETURNING token_number
    """
    values = (new.name, new.secret_hash, new.created_at, new.expires_at, tenant_id, device_id)
    rows = connection.execute(sql, values).fetchall()
    if not rows:
        raise UnknownDeviceError(f"{device_id} is not registered")
    token = DeviceToken(int(rows[0][0]), new.name, new.created_at, new.expires_at)
    return KeptToken(tenant_id, device_id, new.secret_hash, token)


def update_revoked(connection: sqlite3.Connection, tenant_id: int, device_id: str, token_number: int, now: int) -> int:
    """Mark a token of a device as revoked; gives since when it is. Raises `UnknownDeviceTokenError`."""
    sql = """
        UPDATE device_token SET revoked_at = COALESCE(revoked_at, ?)
        WHERE tenant_id = ? AND token_number = ?
            AND device_number = (SELECT device_number FROM device WHERE tenant_id = ? AND device_id = ?)
        RETURNING revoked_at
    """
    rows = connection.execute(sql, (now, tenant_id, token_number, tenant_id, device_id)).fetchall()
    if not rows:
        raise UnknownDeviceTokenError(f"{device_id} has no token {token_number}")
    return int(rows[0][0])


def update_uses(connection: sqlite3.Connection, uses: Sequence[Use]) -> None:
    """Note when and from where tokens were used last."""
    sql = "UPDATE device_token SET used_at = ?, used_from = ? WHERE tenant_id = ? AND token_number = ?"
    connection.executemany(sql, [(use.at, use.origin, use.tenant_id, use.token_number) for use in uses])


def _kept(tenant_id: int, device_id: str, secret_hash: str, *token: int | str | None) -> KeptToken:
    return KeptToken(tenant_id, device_id, secret_hash, DeviceToken(*token))  # type: ignore[arg-type]
