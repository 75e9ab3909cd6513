"""What the registry asks of gateway.db, and what it writes there."""

import sqlite3
from collections.abc import Sequence

import msgspec

from appliance.registry.model import (
    BoundCertificate,
    Certificate,
    Device,
    DeviceExistsError,
    DeviceState,
    IssuedCertificate,
    NewDevice,
    UnknownDeviceError,
)
from appliance.store.database import Select

_DEVICE_COLUMNS = """
tenant_id, device_id, name, type, zone, serial_number, state, created_at, device_number, groups, attributes, notes
"""

_GROUPS = msgspec.json.Decoder(tuple[str, ...])
_ATTRIBUTES = msgspec.json.Decoder(dict[str, str])


def select_all_devices() -> Select[Device]:
    """Every device of every tenant."""
    return Select(f"SELECT {_DEVICE_COLUMNS} FROM device ORDER BY tenant_id, device_id", (), _device)


def select_all_certificates() -> Select[BoundCertificate]:
    """Every certificate of every tenant, revoked ones too."""
    sql = """
        SELECT certificate.tenant_id, device.device_id, fingerprint, serial, issued_at, expires_at, revoked_at
        FROM certificate JOIN device USING (tenant_id, device_number)
        ORDER BY certificate_number
    """
    return Select(sql, (), _bound)


def select_certificates(tenant_id: int, device_id: str) -> Select[Certificate]:
    """The certificates of a device, newest first."""
    sql = """
        SELECT fingerprint, serial, issued_at, expires_at, revoked_at
        FROM certificate JOIN device USING (tenant_id, device_number)
        WHERE tenant_id = ? AND device_id = ?
        ORDER BY certificate_number DESC
    """
    return Select(sql, (tenant_id, device_id), Certificate)


def insert_device(connection: sqlite3.Connection, tenant_id: int, new: NewDevice, now: int) -> Device:
    """Add a device. Raises `DeviceExistsError`."""
    if not insert_devices(connection, tenant_id, [new], now):
        raise DeviceExistsError(f"{new.device_id} is already registered")
    return select_device(connection, tenant_id, new.device_id)


def insert_devices(connection: sqlite3.Connection, tenant_id: int, news: Sequence[NewDevice], now: int) -> int:
    """Add the devices that are not there yet; gives how many that were."""
    sql = """
        INSERT INTO device (tenant_id, created_at, device_id, name, type, zone, serial_number, state,
                            groups, attributes, notes)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (tenant_id, device_id) DO NOTHING
    """
    return connection.executemany(sql, [(tenant_id, now, *told(new)) for new in news]).rowcount


def insert_certificates(connection: sqlite3.Connection, tenant_id: int, issued: Sequence[IssuedCertificate]) -> None:
    """Bind certificates to devices that exist. Raises `UnknownDeviceError` when one does not."""
    sql = """
        INSERT INTO certificate (tenant_id, device_number, fingerprint, serial, issued_at, expires_at, pem)
        SELECT tenant_id, device_number, ?, ?, ?, ?, ? FROM device WHERE tenant_id = ? AND device_id = ?
    """
    for one in issued:
        known = one.certificate
        values = (known.fingerprint, known.serial, known.issued_at, known.expires_at, one.pem)
        if connection.execute(sql, (*values, tenant_id, one.device_id)).rowcount != 1:
            raise UnknownDeviceError(f"{one.device_id} is not registered")


def insert_devices_and_certificates(
    connection: sqlite3.Connection,
    tenant_id: int,
    news: Sequence[NewDevice],
    issued: Sequence[IssuedCertificate],
    now: int,
) -> list[Device]:
    """Add the devices that are not there yet, and a certificate for each; gives the devices as they are now."""
    insert_devices(connection, tenant_id, news, now)
    insert_certificates(connection, tenant_id, issued)
    return [select_device(connection, tenant_id, new.device_id) for new in news]


def told(new: NewDevice) -> tuple[str, ...]:
    """What is told of a device as columns: its id, then all others in the order in which they are inserted."""
    return (
        new.device_id,
        new.name,
        new.type,
        new.zone,
        new.serial_number,
        new.state.value,
        msgspec.json.encode(sorted(set(new.groups))).decode(),
        msgspec.json.encode(dict(sorted(new.attributes.items()))).decode(),
        new.notes,
    )


def retire(
    connection: sqlite3.Connection, tenant_id: int, device_id: str, now: int
) -> tuple[Device, list[Certificate]]:
    """Retire a device and revoke its certificates; gives those that were good until now.

    Raises `UnknownDeviceError`.
    """
    device = update_state(connection, tenant_id, device_id, DeviceState.RETIRED)
    sql = """
        UPDATE certificate SET revoked_at = ? WHERE tenant_id = ? AND device_number = ? AND revoked_at IS NULL
        RETURNING fingerprint, serial, issued_at, expires_at, revoked_at
    """
    rows = connection.execute(sql, (now, tenant_id, device.device_number)).fetchall()
    return device, [Certificate(*row) for row in rows]


def select_device(connection: sqlite3.Connection, tenant_id: int, device_id: str) -> Device:
    """One device as it is inside this transaction. Raises `UnknownDeviceError`."""
    sql = f"SELECT {_DEVICE_COLUMNS} FROM device WHERE tenant_id = ? AND device_id = ?"
    rows = connection.execute(sql, (tenant_id, device_id)).fetchall()
    if not rows:
        raise UnknownDeviceError(f"{device_id} is not registered")
    return _device(*rows[0])


def update_state(connection: sqlite3.Connection, tenant_id: int, device_id: str, state: DeviceState) -> Device:
    """Put a device into another state. Raises `UnknownDeviceError`."""
    sql = "UPDATE device SET state = ? WHERE tenant_id = ? AND device_id = ?"
    connection.execute(sql, (state.value, tenant_id, device_id))
    return select_device(connection, tenant_id, device_id)


def _device(
    tenant_id: int,
    device_id: str,
    name: str,
    type: str,  # noqa: A002  the column's name
    zone: str,
    serial_number: str,
    state: str,
    created_at: int,
    device_number: int,
    groups: str,
    attributes: str,
    notes: str,
) -> Device:
    return Device(
        tenant_id,
        device_id,
        name,
        type,
        zone,
        serial_number,
        DeviceState(state),
        created_at,
        device_number,
        _GROUPS.decode(groups),
        _ATTRIBUTES.decode(attributes),
        notes,
    )


def _bound(tenant_id: int, device_id: str, *certificate: str | int | None) -> BoundCertificate:
    return BoundCertificate(tenant_id, device_id, Certificate(*certificate))  # type: ignore[arg-type]
