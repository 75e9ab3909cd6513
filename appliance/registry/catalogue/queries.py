"""What the catalogue asks of gateway.db, and what it writes there."""

import sqlite3
from collections.abc import Sequence

import msgspec

from appliance.errors import ConflictError
from appliance.registry import queries as registry
from appliance.registry.catalogue.change import changed
from appliance.registry.catalogue.model import (
    DeviceChange,
    DeviceType,
    MetricRule,
    SavedFilter,
    TypeExistsError,
    UnknownFilterError,
    UnknownTypeError,
    Violation,
)
from appliance.registry.model import Device, IssuedCertificate, NewDevice, check_new_device
from appliance.store.database import Select

_UNITS = msgspec.json.Decoder(dict[str, str])
_RULES = msgspec.json.Decoder(dict[str, MetricRule])


def select_all_types() -> Select[tuple[int, DeviceType]]:
    """Every type of every tenant, each with its `tenant_id`."""
    sql = """
        SELECT tenant_id, name, description, units, expected_interval_ms, metrics, unknown_metrics
        FROM device_type ORDER BY tenant_id, name
    """
    return Select(sql, (), _type)


def select_all_filters() -> Select[tuple[int, SavedFilter]]:
    """Every saved filter of every tenant, each with its `tenant_id`."""
    sql = "SELECT tenant_id, name, query FROM device_filter ORDER BY tenant_id, name"
    return Select(sql, (), _filter)


def insert_type(connection: sqlite3.Connection, tenant_id: int, told: DeviceType, now: int) -> None:
    """Keep a type. Raises `TypeExistsError`."""
    sql = """
        INSERT INTO device_type (tenant_id, name, description, units, expected_interval_ms, metrics, unknown_metrics,
                                 created_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (tenant_id, name) DO NOTHING
    """
    values = (tenant_id, told.name, *_told(told), now)
    if not connection.execute(sql, values).rowcount:
        raise TypeExistsError(f"the type {told.name!r} is described already")


def update_type(connection: sqlite3.Connection, tenant_id: int, told: DeviceType) -> None:
    """Describe a type otherwise. Raises `UnknownTypeError`."""
    sql = """
        UPDATE device_type SET description = ?, units = ?, expected_interval_ms = ?, metrics = ?, unknown_metrics = ?
        WHERE tenant_id = ? AND name = ?
    """
    values = (*_told(told), tenant_id, told.name)
    if not connection.execute(sql, values).rowcount:
        raise UnknownTypeError(f"no type is named {told.name!r}")


def delete_type(connection: sqlite3.Connection, tenant_id: int, name: str) -> None:
    """Forget a type; devices keep the word. Raises `UnknownTypeError`."""
    sql = "DELETE FROM device_type WHERE tenant_id = ? AND name = ?"
    if not connection.execute(sql, (tenant_id, name)).rowcount:
        raise UnknownTypeError(f"no type is named {name[:80]!r}")


def put_filter(connection: sqlite3.Connection, tenant_id: int, told: SavedFilter, now: int) -> None:
    """Keep a search under its name, in the place of what was there."""
    sql = """
        INSERT INTO device_filter (tenant_id, name, query, created_at) VALUES (?, ?, ?, ?)
        ON CONFLICT (tenant_id, name) DO UPDATE SET query = excluded.query
    """
    connection.execute(sql, (tenant_id, told.name, told.query, now))


def delete_filter(connection: sqlite3.Connection, tenant_id: int, name: str) -> None:
    """Forget a search. Raises `UnknownFilterError`."""
    sql = "DELETE FROM device_filter WHERE tenant_id = ? AND name = ?"
    if not connection.execute(sql, (tenant_id, name)).rowcount:
        raise UnknownFilterError(f"no filter is named {name[:80]!r}")


def change_device(
    connection: sqlite3.Connection, tenant_id: int, device_id: str, change: DeviceChange
) -> tuple[Device, Device]:
    """Change a device; gives it as it was and as it is. Raises `UnknownDeviceError`, `InvalidInputError`."""
    before = registry.select_device(connection, tenant_id, device_id)
    _update_devices(connection, tenant_id, [check_new_device(changed(before, change))])
    return before, registry.select_device(connection, tenant_id, device_id)


def write_import(
    connection: sqlite3.Connection,
    tenant_id: int,
    news: Sequence[NewDevice],
    changes: Sequence[tuple[Device, NewDevice]],
    kept: Sequence[IssuedCertificate],
    now: int,
) -> list[Device]:
    """Add new devices with their certificates and change others, all or nothing; gives them as they are now.

    A change names the device as it was when it was planned. Raises `ConflictError` when one of the devices
    was added or changed by somebody else since then.
    """
    if registry.insert_devices(connection, tenant_id, news, now) != len(news):
        raise ConflictError("a device of the table was added by somebody else meanwhile: look at the table once more")
    for before, _ in changes:
        if registry.select_device(connection, tenant_id, before.device_id) != before:
            raise ConflictError(
                f"{before.device_id} was changed by somebody else meanwhile: look at the table once more"
            )
    registry.insert_certificates(connection, tenant_id, kept)
    _update_devices(connection, tenant_id, [wanted for _, wanted in changes])
    named = [*(new.device_id for new in news), *(before.device_id for before, _ in changes)]
    return [registry.select_device(connection, tenant_id, device_id) for device_id in named]


def _update_devices(connection: sqlite3.Connection, tenant_id: int, wanted: Sequence[NewDevice]) -> None:
    sql = """
        UPDATE device SET name = ?, type = ?, zone = ?, serial_number = ?, state = ?, groups = ?, attributes = ?,
                          notes = ?
        WHERE tenant_id = ? AND device_id = ?
    """
    connection.executemany(sql, [(*registry.told(new)[1:], tenant_id, new.device_id) for new in wanted])


def _told(told: DeviceType) -> tuple[str, str, int | None, str, str]:
    """What is told of a type, as the columns of its row."""
    units, rules = (msgspec.json.encode(dict(sorted(of.items()))).decode() for of in (told.units, told.metrics))
    return told.description, units, told.expected_interval_ms, rules, told.unknown_metrics.value


def _type(
    tenant_id: int,
    name: str,
    description: str,
    units: str,
    expected_interval_ms: int | None,
    metrics: str,
    unknown_metrics: str,
) -> tuple[int, DeviceType]:
    return tenant_id, DeviceType(
        name,
        description,
        _UNITS.decode(units),
        expected_interval_ms,
        _RULES.decode(metrics),
        Violation(unknown_metrics),
    )


def _filter(tenant_id: int, name: str, query: str) -> tuple[int, SavedFilter]:
    return tenant_id, SavedFilter(name, query)
