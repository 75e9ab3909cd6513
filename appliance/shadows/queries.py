"""What shadows ask of gateway.db, and what they write there.

Rules:
- Of a history and of a document the bytes are asked for: of text that is damaged Python would make an error that nobody
  can tell from one of the disk.
"""

import sqlite3
from collections.abc import Sequence
from typing import Any

import msgspec

from appliance.shadows import document, pack
from appliance.shadows.history import Body, Kept
from appliance.shadows.model import Shadow, ShadowSummary
from appliance.shadows.pack import Loose, StoredChange
from appliance.shadows.ruling import Change, Standing
from appliance.store.database import Select

TRIMMED_AT_ONCE = 64
"""Rows of a shadow's history that go in one statement at most."""
OLDEST_AT_ONCE = 16
"""The same of all shadows: each may be a piece of many changes."""
ERASED_AT_ONCE = 256

BEFORE_ALL = (0, "", "")
"""A tenant, device and name that come before any other."""

_ANY_VERSION = 2**62
_IS_NAMED = "shadow.name NOT GLOB '*[^$a-zA-Z0-9:_-]*'"
"""No name that is damaged: by it a shadow can be asked for nothing, and it must not keep the others from being told."""
_OBJECT = msgspec.json.Decoder(dict[str, Any])

Found = tuple[int, int, int, int, bytes | None, bytes | None]
"""A shadow as it lies on the disk: number, version, moment, whether it has a delta, state, metadata."""


def select_standings(
    connection: sqlite3.Connection, tenant_id: int, addresses: Sequence[tuple[str, str]]
) -> list[Found | None]:
    """Shadows of devices and names, as they are inside this transaction; None where there never was one."""
    # By their place: of names that are damaged Python would make an error.
    sql = """
        SELECT wanted.key, shadow_number, version, updated_at, has_delta, CAST(state AS BLOB), CAST(metadata AS BLOB)
        FROM json_each(?) AS wanted CROSS JOIN shadow
        WHERE tenant_id = ? AND device_id = json_extract(wanted.value, '$[0]')
            AND name = json_extract(wanted.value, '$[1]')
    """
    found: list[Found | None] = [None] * len(addresses)
    for place, *row in connection.execute(sql, (msgspec.json.encode(addresses).decode(), tenant_id)):
        found[place] = tuple(row)
    return found


def standing(found: Found | None) -> tuple[int | None, Standing]:
    """A shadow and its number, from what was found. Raises what comes of a document that is damaged."""
    return (None, Standing()) if found is None else (found[0], _standing(*found[1:]))


def select_standing_of(tenant_id: int, device_id: str, name: str) -> Select[Standing]:
    """The same as it is on the disk."""
    sql = """
        SELECT version, updated_at, has_delta, CAST(state AS BLOB), CAST(metadata AS BLOB) FROM shadow
        WHERE tenant_id = ? AND device_id = ? AND name = ?
    """
    return Select(sql, (tenant_id, device_id, name), _standing)


def insert_shadow(connection: sqlite3.Connection, tenant_id: int, device_id: str, name: str, standing: Standing) -> int:
    """Add a shadow and give its number."""
    sql = """
        INSERT INTO shadow (tenant_id, device_id, name, made_at, version, updated_at, has_delta, state, metadata)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING shadow_number
    """
    values = (tenant_id, device_id, name, standing.updated_at, *_columns(standing))
    [(number,)] = connection.execute(sql, values).fetchall()
    return int(number)


def update_shadows(connection: sqlite3.Connection, standings: Sequence[tuple[int, int, Standing]]) -> None:
    """Write what shadows have become, each with its tenant and its number."""
    rows = [(*_columns(standing), tenant_id, number) for tenant_id, number, standing in standings]
    sql = """
        UPDATE shadow SET version = ?, updated_at = ?, has_delta = ?, state = ?, metadata = ?
        WHERE tenant_id = ? AND shadow_number = ?
    """
    connection.executemany(sql, rows)


def insert_changes(connection: sqlite3.Connection, tenant_id: int, changes: Sequence[tuple[int, str, Change]]) -> int:
    """Add changes, each with its shadow's number and who made it; give how many bytes they take."""
    rows = [_change_row(tenant_id, *one) for one in changes]
    sql = """
        INSERT INTO shadow_change (tenant_id, shadow_number, version, at, author, kind, patch, way_back, byte_count)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
    """
    connection.executemany(sql, rows)
    return sum([int(row[-1]) for row in rows])


def delete_old_changes(connection: sqlite3.Connection, tenant_id: int, number: int, through_version: int) -> int:
    """Forget some changes of a shadow up to a version; give how many bytes they took."""
    sql = f"""
        DELETE FROM shadow_change WHERE +tenant_id = ? AND change_number IN (
            SELECT change_number FROM shadow_change WHERE tenant_id = ? AND shadow_number = ? AND version <= ?
            ORDER BY version LIMIT {TRIMMED_AT_ONCE}
        ) RETURNING byte_count
    """
    rows = connection.execute(sql, (tenant_id, tenant_id, number, through_version)).fetchall()
    return sum([byte_count for (byte_count,) in rows])


def select_loose(
    connection: sqlite3.Connection, tenant_id: int, number: int, between: tuple[int, int], limit: int
) -> Loose | None:
    """The newest changes of a shadow after one version and up to another; None when there are none.

    SQLite makes one text of them: to make an object of each would take longer than to pack them. A text that damage has
    made bytes is taken for the text that it was, as whoever reads them one by one takes it.
    """
    sql = """
        SELECT COUNT(*), MIN(version), MAX(version), MIN(at), MAX(at), SUM(byte_count),
            CAST('[' || group_concat(told) || ']' AS BLOB)
        FROM (
            SELECT version, at, byte_count, '[' || version || ',' || at || ',' || json_quote(CAST(author AS TEXT))
                || ',' || json_quote(CAST(kind AS TEXT)) || ',' || patch || ',' || way_back || ']' AS told
            FROM shadow_change WHERE tenant_id = ? AND shadow_number = ? AND version > ? AND version <= ?
            ORDER BY version DESC LIMIT ?
        )
    """
    row = connection.execute(sql, (tenant_id, number, *between, limit)).fetchone()
    return Loose(*row) if row[0] else None


def select_newest_piece(connection: sqlite3.Connection, tenant_id: int, number: int) -> StoredChange | None:
    """The newest piece of a shadow, without what is in it."""
    sql = """
        SELECT version, at, CAST(author AS BLOB), CAST(kind AS BLOB), CAST(patch AS BLOB), X'' FROM shadow_change
        WHERE tenant_id = ? AND shadow_number = ? AND kind = 'packed' ORDER BY version DESC LIMIT 1
    """
    row = connection.execute(sql, (tenant_id, number)).fetchone()
    return None if row is None else pack.stored(*row)


def update_to_piece(
    connection: sqlite3.Connection, tenant_id: int, number: int, piece: StoredChange, newest_version: int
) -> int:
    """Put a piece into the row of its oldest change and forget the others; gives how many bytes the piece takes."""
    sql = "DELETE FROM shadow_change WHERE tenant_id = ? AND shadow_number = ? AND version > ? AND version <= ?"
    connection.execute(sql, (tenant_id, number, piece.version, newest_version))
    sql = """
        UPDATE shadow_change SET author = ?, kind = ?, patch = ?, way_back = ?, byte_count = ?
        WHERE tenant_id = ? AND shadow_number = ? AND version = ?
    """
    byte_count = len(piece.patch) + len(piece.way_back)
    told = (piece.author, piece.kind, piece.patch, piece.way_back, byte_count)
    connection.execute(sql, (*told, tenant_id, number, piece.version))
    return byte_count


def select_oldest_pieces(connection: sqlite3.Connection, tenant_id: int, number: int, limit: int) -> list[StoredChange]:
    """The oldest pieces of a shadow, the oldest first, without what is in them."""
    sql = """
        SELECT version, at, CAST(author AS BLOB), CAST(kind AS BLOB), CAST(patch AS BLOB), X'' FROM shadow_change
        WHERE tenant_id = ? AND shadow_number = ? AND kind = 'packed' ORDER BY version LIMIT ?
    """
    return [pack.stored(*row) for row in connection.execute(sql, (tenant_id, number, limit))]


def select_totals(connection: sqlite3.Connection, tenant_id: int) -> tuple[int, int]:
    """How many shadows of a tenant there are, and how many bytes all their changes take."""
    sql = "SELECT shadow_count, byte_count FROM shadow_total WHERE tenant_id = ?"
    row = connection.execute(sql, (tenant_id,)).fetchone()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def update_totals(connection: sqlite3.Connection, tenant_id: int, *, shadow_count: int = 0, byte_count: int = 0) -> int:
    """Count shadows, and bytes of changes, that came or went; give how many bytes all changes of a tenant take."""
    sql = """
        INSERT INTO shadow_total (tenant_id, shadow_count, byte_count) VALUES (?, ?, ?)
        ON CONFLICT (tenant_id) DO UPDATE SET
            shadow_count = shadow_count + excluded.shadow_count, byte_count = byte_count + excluded.byte_count
        RETURNING byte_count
    """
    [(total,)] = connection.execute(sql, (tenant_id, shadow_count, byte_count)).fetchall()
    return int(total)


def select_shadow_count(connection: sqlite3.Connection, tenant_id: int) -> int:
    """How many shadows of a tenant there are, with those that were deleted and are remembered."""
    row = connection.execute("SELECT shadow_count FROM shadow_total WHERE tenant_id = ?", (tenant_id,)).fetchone()
    return 0 if row is None else int(row[0])


def delete_oldest_changes(connection: sqlite3.Connection, tenant_id: int) -> int:
    """Forget some of the oldest changes of a tenant; give how many bytes they took."""
    sql = f"""
        DELETE FROM shadow_change WHERE +tenant_id = ? AND change_number IN (
            SELECT change_number FROM shadow_change WHERE tenant_id = ? ORDER BY change_number LIMIT {OLDEST_AT_ONCE}
        ) RETURNING byte_count
    """
    rows = connection.execute(sql, (tenant_id, tenant_id)).fetchall()
    return sum([byte_count for (byte_count,) in rows])


def count_named(connection: sqlite3.Connection, tenant_id: int, device_id: str) -> tuple[int, int]:
    """How many named shadows a device has, and how many that were deleted are remembered."""
    sql = """
        SELECT COUNT(state), COUNT(*) - COUNT(state) FROM shadow WHERE tenant_id = ? AND device_id = ? AND name <> ''
    """
    count, deleted_count = connection.execute(sql, (tenant_id, device_id)).fetchone()
    return int(count), int(deleted_count)


def select_oldest_deleted(
    connection: sqlite3.Connection, tenant_id: int, device_id: str
) -> tuple[int, str, str] | None:
    """The named shadow of a device that was deleted first: its number, device and name."""
    sql = """
        SELECT shadow_number, CAST(device_id AS BLOB), CAST(name AS BLOB) FROM shadow
        WHERE tenant_id = ? AND device_id = ? AND name <> '' AND state IS NULL
        ORDER BY updated_at, shadow_number LIMIT 1
    """
    return _deleted(connection.execute(sql, (tenant_id, device_id)).fetchone())


def select_first_deleted(connection: sqlite3.Connection, tenant_id: int) -> tuple[int, str, str] | None:
    """The same of all shadows of a tenant, with a name or without."""
    sql = """
        SELECT shadow_number, CAST(device_id AS BLOB), CAST(name AS BLOB) FROM shadow
        WHERE tenant_id = ? AND state IS NULL ORDER BY updated_at, shadow_number LIMIT 1
    """
    return _deleted(connection.execute(sql, (tenant_id,)).fetchone())


def delete_shadow(connection: sqlite3.Connection, tenant_id: int, number: int) -> None:
    """Forget a shadow whose changes are forgotten, and with it its version."""
    connection.execute("DELETE FROM shadow WHERE tenant_id = ? AND shadow_number = ?", (tenant_id, number))


def erase_some(connection: sqlite3.Connection, tenant_id: int, device_id: str, through_at: int) -> bool:
    """Forget some of what is kept of a device's shadows that were made up to a moment; whether there may be more."""
    sql = f"""
        DELETE FROM shadow_change WHERE +tenant_id = ? AND change_number IN (
            SELECT change_number FROM shadow_change JOIN shadow USING (tenant_id, shadow_number)
            WHERE tenant_id = ? AND device_id = ? AND made_at <= ? LIMIT {ERASED_AT_ONCE}
        ) RETURNING byte_count
    """
    rows = connection.execute(sql, (tenant_id, tenant_id, device_id, through_at)).fetchall()
    update_totals(connection, tenant_id, byte_count=-sum([byte_count for (byte_count,) in rows]))
    if len(rows) == ERASED_AT_ONCE:
        return True
    sql = "DELETE FROM shadow WHERE tenant_id = ? AND device_id = ? AND made_at <= ?"
    gone = connection.execute(sql, (tenant_id, device_id, through_at)).rowcount
    update_totals(connection, tenant_id, shadow_count=-gone)
    return False


def select_shadow(tenant_id: int, device_id: str, name: str) -> Select[Shadow]:
    """A shadow that is there."""
    sql = """
        SELECT device_id, name, version, updated_at, CAST(state AS BLOB), CAST(metadata AS BLOB) FROM shadow
        WHERE tenant_id = ? AND device_id = ? AND name = ? AND state IS NOT NULL
    """
    return Select(sql, (tenant_id, device_id, name), _shadow)


def select_names(tenant_id: int, device_id: str, after: str, limit: int) -> Select[ShadowSummary]:
    """The named shadows of a device by name, those after one."""
    sql = f"""
        SELECT name, version, updated_at, has_delta FROM shadow
        WHERE tenant_id = ? AND device_id = ? AND name > ? AND state IS NOT NULL AND {_IS_NAMED} ORDER BY name LIMIT ?
    """
    return Select(sql, (tenant_id, device_id, after, limit), _summary)


def select_of_retired(after: tuple[int, str, str], limit: int) -> Select[tuple[int, str, str]]:
    """Some of the shadows that are there of devices that are retired, those after one: tenant, device and name."""
    sql = f"""
        SELECT shadow.tenant_id, shadow.device_id, shadow.name FROM device
        JOIN shadow ON shadow.tenant_id = device.tenant_id AND shadow.device_id = device.device_id
        WHERE device.state = 'retired' AND shadow.state IS NOT NULL AND {_IS_NAMED}
            AND (shadow.tenant_id, shadow.device_id, shadow.name) > (?, ?, ?)
        ORDER BY shadow.tenant_id, shadow.device_id, shadow.name LIMIT ?
    """
    return Select(sql, (*after, limit), lambda tenant_id, device_id, name: (tenant_id, device_id, name))


def select_kept(tenant_id: int, device_id: str, name: str) -> Select[Kept]:
    """A shadow as it is, deleted ones too, without its changes."""
    sql = """
        SELECT shadow_number, version, updated_at, CAST(state AS BLOB), CAST(metadata AS BLOB) FROM shadow
        WHERE tenant_id = ? AND device_id = ? AND name = ?
    """
    return Select(sql, (tenant_id, device_id, name), _kept)


def select_changes(
    tenant_id: int, number: int, through_version: int, limit: int, told_below: int = _ANY_VERSION
) -> Select[StoredChange]:
    """Changes of a shadow up to a version, the newest first; what was asked for only with those below another.

    A change never becomes another. So it can be asked for them after the shadow and piece by piece: what is
    committed in between has a higher version, or is packed. A piece has the version of its oldest change: it is found
    by any of its versions, and the first may hold higher ones.
    """
    sql = """
        SELECT version, at, CAST(author AS BLOB), CAST(kind AS BLOB),
            CAST(IIF(version < ? OR kind = 'packed', patch, '{}') AS BLOB), CAST(way_back AS BLOB) FROM shadow_change
        WHERE tenant_id = ? AND shadow_number = ? AND version <= ? ORDER BY version DESC LIMIT ?
    """
    return Select(sql, (told_below, tenant_id, number, through_version, limit), pack.stored)


def select_change_at(tenant_id: int, number: int, at: int) -> Select[StoredChange]:
    """The last change of a shadow up to a moment, or the piece that it may be in."""
    sql = """
        SELECT version, at, CAST(author AS BLOB), CAST(kind AS BLOB), CAST(patch AS BLOB), CAST(way_back AS BLOB)
        FROM shadow_change WHERE tenant_id = ? AND shadow_number = ? AND at <= ? ORDER BY version DESC LIMIT 1
    """
    return Select(sql, (tenant_id, number, at), pack.stored)


def select_oldest_change(tenant_id: int, number: int) -> Select[tuple[int, int]]:
    """The version and the moment of the oldest change of a shadow that is kept."""
    sql = """
        SELECT version, at FROM shadow_change WHERE tenant_id = ? AND shadow_number = ? ORDER BY version LIMIT 1
    """
    return Select(sql, (tenant_id, number), lambda version, at: (version, at))


def _standing(version: int, updated_at: int, has_delta: int, state: bytes | None, metadata: bytes | None) -> Standing:
    kept = None if state is None or metadata is None else document.read(state, metadata)
    return Standing(version, updated_at, kept, bool(has_delta))


def _columns(standing: Standing) -> tuple[int, int, int, str | None, str | None]:
    kept = standing.document
    state, metadata = (None, None) if kept is None else (kept.state_json.decode(), kept.metadata_json.decode())
    return standing.version, standing.updated_at, int(standing.has_delta), state, metadata


def _change_row(tenant_id: int, number: int, author: str, change: Change) -> tuple[int | str, ...]:
    patch, way_back = change.patch_json, change.way_back_json
    told = (change.version, change.at, author, change.kind.value, patch.decode(), way_back.decode())
    return (tenant_id, number, *told, len(patch) + len(way_back) + len(author))


def _shadow(device_id: str, name: str, version: int, updated_at: int, state: bytes, metadata: bytes) -> Shadow:
    kept = document.read(state, metadata)
    sections = (kept.state.get("desired"), kept.state.get("reported"))
    return Shadow(device_id, name, version, *sections, kept.metadata, updated_at)


def _deleted(row: tuple[int, bytes, bytes] | None) -> tuple[int, str, str] | None:
    # What is damaged of it is no reason not to forget it.
    return None if row is None else (row[0], row[1].decode(errors="replace"), row[2].decode(errors="replace"))


def _summary(name: str, version: int, updated_at: int, has_delta: int) -> ShadowSummary:
    return ShadowSummary(name, version, updated_at, bool(has_delta))


def _kept(number: int, version: int, updated_at: int, state: bytes | None, metadata: bytes | None) -> Kept:
    body = Body({}, {}, is_there=False)
    if state is not None and metadata is not None:
        body = Body(_OBJECT.decode(state), _OBJECT.decode(metadata), is_there=True)
    return Kept(number, version, updated_at, body, ())
