"""What the pending tray asks of gateway.db, and what it writes there."""

import sqlite3

from appliance.enrolment.tray.model import (
    FORGET_MS,
    WAITING_LIMIT,
    WAITING_OF_NETWORK_LIMIT,
    CrowdedTrayError,
    DecidedKnockError,
    Knock,
    KnockState,
    KnockWay,
    NewKnock,
    UnknownKnockError,
)
from appliance.enrolment.tray.room import giving_way
from appliance.store.database import Select

_COLUMNS = (
    "knock_number, tenant_id, key_fingerprint, key_kind, subject, common_name, serial_number, label, address,"
    " first_at, last_at, state, decided_at, device_id, certificate, request, way, network, origin, knock_count,"
    " wanted_id, note, fetched_at"
)


def select_waiting(tenant_id: int) -> Select[Knock]:
    """Everybody who waits, the newest first."""
    sql = f"SELECT {_COLUMNS} FROM knock WHERE tenant_id = ? AND state = 'waiting' ORDER BY knock_number DESC"
    return Select(sql, (tenant_id,), _knock)


def select_knock(tenant_id: int, knock_number: int) -> Select[Knock]:
    """One knock."""
    sql = f"SELECT {_COLUMNS} FROM knock WHERE tenant_id = ? AND knock_number = ?"
    return Select(sql, (tenant_id, knock_number), _knock)


def select_knock_of_key(tenant_id: int, key_fingerprint: str) -> Select[Knock]:
    """The knock of this key."""
    sql = f"SELECT {_COLUMNS} FROM knock WHERE tenant_id = ? AND key_fingerprint = ?"
    return Select(sql, (tenant_id, key_fingerprint), _knock)


def insert_knock(connection: sqlite3.Connection, tenant_id: int, new: NewKnock, now: int) -> Knock:
    """Add a knock, or note that it came again, and forget what is too old or too much.

    Raises `CrowdedTrayError`.
    """
    connection.execute("DELETE FROM knock WHERE tenant_id = ? AND last_at < ?", (tenant_id, now - FORGET_MS))
    known = "SELECT 1 FROM knock WHERE tenant_id = ? AND key_fingerprint = ?"
    if connection.execute(known, (tenant_id, new.key_fingerprint)).fetchone() is None:
        where, values = "tenant_id = ? AND network = ?", (tenant_id, new.network)
        _forget_beyond(connection, WAITING_OF_NETWORK_LIMIT - 1, where, values)
        _make_room(connection, tenant_id, new.origin)
    sql = f"""
        INSERT INTO knock (tenant_id, key_fingerprint, key_kind, subject, common_name, serial_number, label, address,
            network, origin, way, wanted_id, note, first_at, last_at, state, request)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'waiting', ?)
        ON CONFLICT (tenant_id, key_fingerprint) DO UPDATE SET
            last_at = excluded.last_at, address = excluded.address, network = excluded.network,
            origin = excluded.origin, knock_count = knock_count + 1
        RETURNING {_COLUMNS}
    """
    told = (new.key_fingerprint, new.key_kind, new.subject, new.common_name, new.serial_number, new.label, new.address)
    more = (new.network, new.origin, new.way.value, new.wanted_id, new.note)
    [row] = connection.execute(sql, (tenant_id, *told, *more, now, now, new.request)).fetchall()
    return _knock(*row)


def update_accepted(connection: sqlite3.Connection, knock: Knock, device_id: str, certificate: str, now: int) -> None:
    """Give a waiting knock its certificate. Raises `DecidedKnockError`, `UnknownKnockError`."""
    sql = """
        UPDATE knock SET state = 'accepted', decided_at = ?, device_id = ?, certificate = ?
        WHERE tenant_id = ? AND knock_number = ? AND state = 'waiting'
    """
    values = (now, device_id, certificate, knock.tenant_id, knock.knock_number)
    _decide(connection, sql, values, knock.tenant_id, knock.knock_number)


def update_refused(connection: sqlite3.Connection, tenant_id: int, knock_number: int, now: int) -> None:
    """Refuse a waiting knock. Raises `DecidedKnockError`, `UnknownKnockError`."""
    sql = """
        UPDATE knock SET state = 'refused', decided_at = ?
        WHERE tenant_id = ? AND knock_number = ? AND state = 'waiting'
    """
    _decide(connection, sql, (now, tenant_id, knock_number), tenant_id, knock_number)


def update_fetched(connection: sqlite3.Connection, knock: Knock, now: int) -> None:
    """Note that an accepted one has its certificate."""
    sql = "UPDATE knock SET fetched_at = ? WHERE tenant_id = ? AND knock_number = ? AND fetched_at IS NULL"
    connection.execute(sql, (now, knock.tenant_id, knock.knock_number))


def _make_room(connection: sqlite3.Connection, tenant_id: int, origin: str) -> None:
    sql = """
        SELECT origin, COUNT(*) FROM knock WHERE tenant_id = ? AND state = 'waiting'
        GROUP BY origin ORDER BY MIN(last_at)
    """
    waiting: dict[str, int] = dict(connection.execute(sql, (tenant_id,)).fetchall())
    if sum(waiting.values()) < WAITING_LIMIT:
        return
    fullest = giving_way(waiting, origin)
    if fullest is None:
        raise CrowdedTrayError(
            f"{WAITING_LIMIT} devices wait here to be accepted, and of no network more than of yours: ask again later"
        )
    where = "tenant_id = ? AND origin = ?"
    _forget_beyond(connection, waiting[fullest] - 1, where, (tenant_id, fullest))


def _forget_beyond(connection: sqlite3.Connection, limit: int, where: str, values: tuple[object, ...]) -> None:
    """Of those who wait, forget whoever knocked longest ago until no more than these are left."""
    connection.execute(
        f"""
        DELETE FROM knock WHERE knock_number IN (
            SELECT knock_number FROM knock WHERE {where} AND state = 'waiting'
            ORDER BY last_at DESC, knock_number DESC LIMIT -1 OFFSET ?
        )
        """,
        (*values, limit),
    )


def _decide(
    connection: sqlite3.Connection, sql: str, values: tuple[object, ...], tenant_id: int, knock_number: int
) -> None:
    if connection.execute(sql, values).rowcount == 1:
        return
    known = "SELECT 1 FROM knock WHERE tenant_id = ? AND knock_number = ?"
    if connection.execute(known, (tenant_id, knock_number)).fetchall():
        raise DecidedKnockError("this was decided before: reload the page")
    raise UnknownKnockError("nobody of that number waits here")


def _knock(*row: object) -> Knock:
    values = list(row)
    values[11] = KnockState(str(values[11]))
    values[16] = KnockWay(str(values[16]))
    return Knock(*values)  # type: ignore[arg-type]  # as the columns are
