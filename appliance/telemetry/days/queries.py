"""What lies in a day, read in whatever thread: its open part, which is a database, and its sealed part.

Each reading opens the files for itself, so many devices are read at a time: from the open part with one connection,
and from front to back for all that lie side by side there.
"""

import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

from appliance.store.database import connect_reader
from appliance.store.head import tables_version
from appliance.telemetry import latest_record
from appliance.telemetry.day_file import (
    DEVICE_MASK,
    DEVICE_SHIFT,
    LOG_IDS_LIMIT,
    NUMBER_MASK,
    TURN_SHIFT,
    TURNS_LIMIT,
    DamagedDayError,
    DayDevice,
    StoredChunk,
    is_device_number,
    key_of,
    rank_of,
    turn_of,
)
from appliance.telemetry.keeping import sealed_day
from appliance.telemetry.keeping.layout import DeviceEntry
from appliance.telemetry.keeping.sealed_day import SealedDay
from appliance.telemetry.packing import ChunkError

T = TypeVar("T")

Device = tuple[int, str]
"""Tenant and device."""

_DEVICE_KINDS = (int, str, int, int, int, bytes)
_NUMBERS = (
    "SELECT device_number, (SELECT line.device_id FROM device AS line WHERE line.device_number = device.device_number)"
    " FROM device WHERE tenant_id = ? AND device_id = ?"
)
"""What stands in the index, with the name in the row that it leads to."""
_PASSED_OVER = 4
"""So many devices that nobody asked for are passed over sooner than the next one is looked for."""


class _OpenPart(NamedTuple):
    connection: sqlite3.Connection
    identity: int
    """What tells this open part from every other one of its day."""
    version: int


class _Span(NamedTuple):
    """A part of a day."""

    start: int
    end: int
    turn_count: int
    """In so many turns chunks were sealed."""


def read_chunks(path: Path, tenant_id: int, device_id: str, start: int, end: int) -> list[StoredChunk]:
    """The chunks of a day that may hold readings of a device with `start <= at < end`.

    Raises `DamagedDayError` when not all of it can be read; it has those that can be.
    """
    device = (tenant_id, device_id)
    found: dict[Device, list[StoredChunk]] = {device: []}
    try:
        read_chunks_of_many(path, found, start, end)
    except DamagedDayError as error:
        raise DamagedDayError(str(error), found[device]) from error
    return found[device]


def read_chunks_of_many(path: Path, found: Mapping[Device, list[StoredChunk]], start: int, end: int) -> None:
    """Add the same of many devices to what was found of each of them.

    Raises `DamagedDayError` at the end when not all of it can be read. Damage of one device costs no other anything.
    """
    troubles: list[str] = []
    with ExitStack() as stack:
        # The open part first: when it is taken into the sealed one meanwhile, its chunks are seen there.
        part = _entered(stack, _opened(path), troubles)
        sealed = _entered(stack, sealed_day.opened_if_there(sealed_day.sealed_path(path)), troubles)
        if sealed:
            for device in found:
                with _noted(path, troubles):
                    found[device].extend(_sealed_chunks(sealed, *device, start, end))
        if part and not (sealed and sealed.taken == part.identity):
            span = _Span(start, end, _turn_count(part.connection))
            numbers: dict[int, Device] = {}
            for device in found:
                with _noted(path, troubles):
                    numbers |= dict.fromkeys(_numbers(part, *device), device)
            for run in _runs(numbers):
                with _noted(path, troubles):
                    _add_run(part.connection, run, span, found)
    if troubles:
        raise DamagedDayError("; ".join(dict.fromkeys(troubles)), ())


def read_order(path: Path, devices: Collection[Device]) -> list[Device]:
    """Devices in the order in which their chunks lie in the open part of a day; what it does not know comes last.

    When it cannot be read, any order is as good as another.
    """
    try:
        with _opened(path) as part:
            rows = (
                part.connection.execute("SELECT tenant_id, device_id FROM device ORDER BY device_number")
                if part
                else ()
            )
            places = {(tenant_id, device_id): place for place, (tenant_id, device_id) in enumerate(rows)}
    except ChunkError:
        places = {}
    return sorted(devices, key=lambda device: (places.get(device, len(places)), device))


def read_held(path: Path, devices: Collection[Device]) -> set[Device]:
    """Those of some devices of which a day has anything. Raises `ChunkError` when that cannot be told."""
    with _opened(path) as part, sealed_day.opened_if_there(sealed_day.sealed_path(path)) as sealed:
        try:
            held = {device for device in devices if part is not None and _numbers(part, *device)}
        except sqlite3.Error as error:
            raise ChunkError(f"{path.stem} cannot be read: {error}") from error
        return held | {device for device in devices if sealed is not None and sealed.has(*device)}


def read_devices(path: Path) -> list[DayDevice]:
    """What a day says of its devices, those of every tenant: what its open part says, and its sealed part.

    Raises `ChunkError` when they cannot be read.
    """
    with _opened(path) as part:
        devices = _select_devices(part.connection) if part else []
    with sealed_day.opened_if_there(sealed_day.sealed_path(path)) as sealed:
        if sealed:
            devices += [DayDevice(*entry[:5], _latest(sealed, entry)) for entry in sealed.entries()]
    return devices


def _entered(stack: ExitStack, part: AbstractContextManager[T | None], troubles: list[str]) -> T | None:
    try:
        return stack.enter_context(part)
    except ChunkError as error:
        troubles.append(str(error))
        return None


@contextmanager
def _noted(path: Path, troubles: list[str]) -> Iterator[None]:
    try:
        yield
    except (ChunkError, sqlite3.Error) as error:
        troubles.append(f"{path.stem} cannot be read: {error}")


@contextmanager
def _opened(path: Path) -> Iterator[_OpenPart | None]:
    """The open part of a day; None when there is none, or when it has no tables yet."""
    if not path.exists():
        yield None
        return
    try:
        with closing(connect_reader(path)) as connection:
            version = tables_version(connection)
            (identity,) = connection.execute("PRAGMA application_id").fetchone()
            yield _OpenPart(connection, identity, version) if version else None
    except sqlite3.Error as error:
        raise ChunkError(f"{path.name} cannot be read: {error}") from error


def _turn_count(connection: sqlite3.Connection) -> int:
    """In how many turns chunks were sealed; where it cannot be told, as many as there can be."""
    try:
        (last,) = connection.execute("SELECT MAX(chunk_id) FROM chunk").fetchone()
    except sqlite3.Error:
        return TURNS_LIMIT
    if last is None:
        return 0
    return turn_of(last) + 1 if last >= 0 else TURNS_LIMIT


def _runs(devices: Mapping[int, Device]) -> Iterator[dict[int, Device]]:
    """The devices of one tenant that lie side by side, but for a few between them, by their numbers."""
    run: dict[int, Device] = {}
    for number, device in sorted(devices.items(), key=lambda each: (each[1][0], each[0])):
        if run and (number - max(run) > _PASSED_OVER or device[0] != run[max(run)][0]):
            yield run
            run = {}
        run[number] = device
    if run:
        yield run


def _add_run(
    connection: sqlite3.Connection, run: Mapping[int, Device], span: _Span, found: Mapping[Device, list[StoredChunk]]
) -> None:
    """Add the chunks of devices that lie side by side. Raises `ChunkError` that tells of each that cannot be read."""
    tenant_id = next(iter(run.values()))[0]
    try:
        rows = _select_chunks(connection, tenant_id, (min(run), max(run)), span)
        troubles: list[str] = []
    except sqlite3.Error:
        # Where one of them was damaged, each is read for itself.
        rows, troubles = _each_for_itself(connection, tenant_id, run, span)
    for chunk_id, record in rows:
        device = run.get(chunk_id >> DEVICE_SHIFT & DEVICE_MASK)
        if device is not None:
            found[device].append(StoredChunk(chunk_id, record))
    if troubles:
        raise ChunkError("; ".join(dict.fromkeys(troubles)))


def _each_for_itself(
    connection: sqlite3.Connection, tenant_id: int, run: Mapping[int, Device], span: _Span
) -> tuple[list[tuple[int, bytes]], list[str]]:
    """The chunks of those devices that can be read, and what keeps the others from it."""
    rows: list[tuple[int, bytes]] = []
    troubles = []
    for number in run:
        try:
            rows += _select_chunks(connection, tenant_id, (number, number), span)
        except sqlite3.Error as error:
            troubles.append(str(error))
    return rows, troubles


def _numbers(part: _OpenPart, tenant_id: int, device_id: str) -> list[int]:
    """The numbers of a device. Raises `ChunkError` when the index gives one that is none of its."""
    sql, key = _NUMBERS, (tenant_id, device_id)
    if part.version > 1:
        rows = part.connection.execute(f"{sql} AND rank = ?", (*key, rank_of(device_id)))
    else:
        rows = part.connection.execute(sql, key)
    numbers = []
    for number, name in rows:
        if name != device_id or not is_device_number(number):
            raise ChunkError("its index gives a device a number that is none of its")
        numbers.append(number)
    return numbers


def _select_chunks(
    connection: sqlite3.Connection, tenant_id: int, numbers: tuple[int, int], span: _Span
) -> list[tuple[int, bytes]]:
    """The chunks of the devices from one number to another. Raises `sqlite3.Error`, and gives nothing then."""
    first, last = numbers
    # The + keeps SQLite from making an index of the whole day over the tenant, for this one question.
    rows = connection.execute(
        "WITH RECURSIVE turn (number, first_id) AS (SELECT 1, ? WHERE ? > 0 UNION ALL"
        " SELECT number + 1, first_id + ? FROM turn WHERE number < ?)"
        " SELECT chunk.chunk_id, chunk.record FROM turn CROSS JOIN chunk"
        " ON chunk.chunk_id BETWEEN turn.first_id AND turn.first_id + ?"
        " WHERE +chunk.tenant_id = ? AND chunk.first_at < ? AND chunk.last_at >= ?",
        (
            key_of(0, first),
            span.turn_count,
            1 << TURN_SHIFT,
            span.turn_count,
            (last - first) << DEVICE_SHIFT | NUMBER_MASK,
            tenant_id,
            span.end,
            span.start,
        ),
    )
    return rows.fetchall()


def _select_devices(connection: sqlite3.Connection) -> list[DayDevice]:
    rows = connection.execute(
        "SELECT tenant_id, device_id, last_log_id, latest_log_id, last_seen_at, latest FROM device"
    )
    devices = [DayDevice(*row) for row in rows]
    if not all(map(_may_be, devices)):
        raise ChunkError("a day file names a device as none is named")
    return [
        _believed(
            device._replace(
                latest=latest_record.filled(device.latest, partial(_record_of, connection, device.tenant_id))
            )
        )
        for device in devices
    ]


def _may_be(device: DayDevice) -> bool:
    return tuple(map(type, device)) == _DEVICE_KINDS and 0 <= device.latest_log_id < LOG_IDS_LIMIT


def _believed(device: DayDevice) -> DayDevice:
    """A device, said to have no more of the log in chunks than they can have.

    Nothing covers its row, and what the log holds beyond its chunks would be lost. What is taken up twice counts once.
    """
    last_log_id = latest_record.last_log_id(device.latest)
    if last_log_id is None and device.last_log_id > device.latest_log_id:
        last_log_id = 0
    return device if last_log_id is None else device._replace(last_log_id=min(device.last_log_id, last_log_id))


def _record_of(connection: sqlite3.Connection, tenant_id: int, chunk_id: int) -> object:
    """The chunk of a key; None where there is none, or where it cannot be read."""
    try:
        row = connection.execute(
            "SELECT record FROM chunk WHERE tenant_id = ? AND chunk_id = ?", (tenant_id, chunk_id)
        ).fetchone()
    except sqlite3.Error:
        return None
    return row[0] if row else None


def _sealed_chunks(sealed: SealedDay, tenant_id: int, device_id: str, start: int, end: int) -> list[StoredChunk]:
    entry = sealed.find(tenant_id, device_id)
    extents = entry.extents if entry else ()
    return [
        StoredChunk(-each.offset, sealed.blob(each))
        for each in extents
        if each.first_at < end and each.last_at >= start
    ]


def _latest(sealed: SealedDay, entry: DeviceEntry) -> bytes:
    """The newest values of a device; nothing, which is no log record, when they were damaged."""
    try:
        return sealed.latest(entry)
    except ChunkError:
        return b""
