"""SQL of declared units."""

import sqlite3
from collections.abc import Sequence

import msgspec

from appliance.ingestion.declared import Declared
from appliance.store.database import Select

_UNITS = msgspec.json.Decoder(dict[str, str])


def select_units(limit: int) -> Select[Declared | None]:
    """What devices of every tenant declared, the one that was heard of last first; None for a row that is damaged."""
    # As bytes: what is no text any more would keep all others from being read.
    sql = """
        SELECT tenant_id, CAST(device_id AS BLOB), CAST(units AS BLOB) FROM declared_unit ORDER BY rowid DESC LIMIT ?
    """
    return Select(sql, (limit,), _declared)


def upsert_units(connection: sqlite3.Connection, told: Sequence[Declared]) -> None:
    """Keep what devices declared, in place of what they declared before."""
    connection.executemany(
        """
        INSERT INTO declared_unit (tenant_id, device_id, units) VALUES (?, ?, ?)
        ON CONFLICT (tenant_id, device_id) DO UPDATE SET units = excluded.units
        """,
        [(each.tenant_id, each.device_id, msgspec.json.encode(dict(each.units)).decode()) for each in told],
    )


def delete_units(connection: sqlite3.Connection, tenant_id: int, device_id: str) -> None:
    """Forget what a device declared."""
    connection.execute("DELETE FROM declared_unit WHERE tenant_id = ? AND device_id = ?", (tenant_id, device_id))


def _declared(tenant_id: int, device_id: bytes, units: bytes) -> Declared | None:
    try:
        return Declared(tenant_id, device_id.decode(), _UNITS.decode(units))
    except (UnicodeDecodeError, msgspec.MsgspecError):
        return None
