"""What presence asks of gateway.db, and what it writes there."""

import sqlite3
from collections.abc import Iterable, Sequence

from appliance.registry.presence_log.model import HISTORY_LENGTH, ConnectionEvent, EventKind, LastEvent, NewEvent
from appliance.store.database import Select


def insert_events(connection: sqlite3.Connection, events: Sequence[NewEvent]) -> None:
    """Append events in their order; the oldest of a device make room.

    A refusal for the reason of the device's newest event only raises its count: a device that
    knocks every second must not push out what happened before.
    """
    for event in events:
        if event.kind is not EventKind.REFUSED or not _raise_count(connection, event):
            _insert(connection, event)
    _make_room(connection, {(event.tenant_id, event.device_number) for event in events})


def select_events(tenant_id: int, device_id: str, before: int, limit: int) -> Select[ConnectionEvent]:
    """Events of a device with a number below `before`, the newest first."""
    sql = """
        SELECT event_number, kind, at, last_at, occurrence_count, client_id, address, reason
        FROM connection_event JOIN device USING (tenant_id, device_number)
        WHERE tenant_id = ? AND device_id = ? AND event_number < ?
        ORDER BY event_number DESC LIMIT ?
    """
    return Select(sql, (tenant_id, device_id, before, limit), _event)


def select_last_events() -> Select[LastEvent]:
    """For every device of every tenant that ever had a connection, its beginning or its end, whichever is newer."""
    sql = """
        SELECT device.tenant_id, device_id, kind, at, client_id, reason, version
        FROM device JOIN connection_event ON event_number = (
            SELECT newest.event_number FROM connection_event AS newest
            WHERE newest.device_number = device.device_number AND newest.kind <> 'refused'
            ORDER BY newest.event_number DESC LIMIT 1
        )
    """
    return Select(sql, (), _last)


def delete_older(connection: sqlite3.Connection, before: int) -> int:
    """Drop what happened before a moment, for every tenant; gives how many events.

    The last beginning or end of a connection of each device stays, however long ago it was.
    """
    sql = """
        DELETE FROM connection_event WHERE last_at < ? AND EXISTS (
            SELECT 1 FROM connection_event AS later
            WHERE later.device_number = connection_event.device_number
                AND later.event_number > connection_event.event_number AND later.kind <> 'refused'
        )
    """
    return connection.execute(sql, (before,)).rowcount


def _raise_count(connection: sqlite3.Connection, event: NewEvent) -> bool:
    sql = """
        UPDATE connection_event SET last_at = ?, occurrence_count = occurrence_count + 1, address = ?
        WHERE event_number = (
            SELECT MAX(event_number) FROM connection_event WHERE tenant_id = ? AND device_number = ?
        ) AND kind = 'refused' AND reason = ? AND client_id = ?
    """
    values = (event.at, event.address, event.tenant_id, event.device_number, event.reason, event.client_id)
    return connection.execute(sql, values).rowcount > 0


def _insert(connection: sqlite3.Connection, event: NewEvent) -> None:
    sql = """
        INSERT INTO connection_event (
            tenant_id, device_number, kind, at, last_at, occurrence_count, client_id, address, reason, version
        ) VALUES (?, ?, ?, ?, ?, 1, ?, ?, ?, ?)
    """
    told = (event.client_id, event.address, event.reason, event.version)
    connection.execute(sql, (event.tenant_id, event.device_number, event.kind.value, event.at, event.at, *told))


def _make_room(connection: sqlite3.Connection, devices: Iterable[tuple[int, int]]) -> None:
    sql = """
        DELETE FROM connection_event WHERE tenant_id = ? AND device_number = ? AND event_number <= (
            SELECT event_number FROM connection_event WHERE tenant_id = ? AND device_number = ?
            ORDER BY event_number DESC LIMIT 1 OFFSET ?
        )
    """
    connection.executemany(sql, [(*device, *device, HISTORY_LENGTH) for device in devices])


def _event(event_number: int, kind: str, at: int, last_at: int, occurrence_count: int, *told: str) -> ConnectionEvent:
    return ConnectionEvent(event_number, EventKind(kind), at, last_at, occurrence_count, *told)


def _last(tenant_id: int, device_id: str, kind: str, at: int, *told: str | int) -> LastEvent:
    return LastEvent(tenant_id, device_id, EventKind(kind), at, *told)  # type: ignore[arg-type]
