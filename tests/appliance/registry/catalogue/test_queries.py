"""SQL of the catalogue: every row belongs to one tenant."""

import sqlite3

import pytest

from appliance.errors import ConflictError
from appliance.registry import queries as registry
from appliance.registry.catalogue import queries
from appliance.registry.catalogue.model import (
    DeviceChange,
    DeviceType,
    MetricKind,
    MetricRule,
    SavedFilter,
    TypeExistsError,
    UnknownFilterError,
    UnknownTypeError,
    Violation,
)
from appliance.registry.model import Device, NewDevice, UnknownDeviceError
from appliance.store.database import Database
from tests.appliance.registry.examples import NOW

OTHER = 2
RULES = {"pressure": MetricRule(MetricKind.NUMBER, 0, 60.5, Violation.REJECT)}
PUMP = DeviceType("pump", "Moves water", {"pressure": "kPa"}, 5_000, RULES, Violation.FLAG)


async def two_tenants(database: Database) -> None:
    def add(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'other', 0)")

    await database.write(add)


async def added(database: Database, tenant_id: int, new: NewDevice) -> Device:
    return await database.write(registry.insert_device, tenant_id, new, NOW)


async def test_types_are_kept_changed_and_forgotten_by_tenant(database: Database) -> None:
    await two_tenants(database)
    for tenant_id in (1, OTHER):
        await database.write(queries.insert_type, tenant_id, PUMP, NOW)
    with pytest.raises(TypeExistsError):
        await database.write(queries.insert_type, 1, PUMP, NOW)
    await database.write(queries.update_type, 1, DeviceType("pump"))
    assert await database.read(queries.select_all_types()) == [(1, DeviceType("pump")), (OTHER, PUMP)]
    await database.write(queries.delete_type, 1, "pump")
    assert await database.read(queries.select_all_types()) == [(OTHER, PUMP)]
    for query in (queries.delete_type, queries.update_type):
        with pytest.raises(UnknownTypeError):
            await database.write(query, 1, "pump" if query is queries.delete_type else PUMP)


async def test_filters_are_kept_replaced_and_forgotten_by_tenant(database: Database) -> None:
    await two_tenants(database)
    for tenant_id in (1, OTHER):
        await database.write(queries.put_filter, tenant_id, SavedFilter("mine", "a"), NOW)
    await database.write(queries.put_filter, 1, SavedFilter("mine", "b"), NOW)
    kept = await database.read(queries.select_all_filters())
    assert kept == [(1, SavedFilter("mine", "b")), (OTHER, SavedFilter("mine", "a"))]
    await database.write(queries.delete_filter, OTHER, "mine")
    with pytest.raises(UnknownFilterError):
        await database.write(queries.delete_filter, OTHER, "mine")
    assert len(await database.read(queries.select_all_filters())) == 1


async def test_a_change_is_of_the_tenants_own_device(database: Database) -> None:
    await two_tenants(database)
    for tenant_id in (1, OTHER):
        await added(database, tenant_id, NewDevice("a", groups=("x",), attributes={"k": "v"}, notes="n"))
    before, after = await database.write(queries.change_device, OTHER, "a", DeviceChange(zone="north"))
    assert (before.zone, after.zone, after.groups, after.attributes) == ("", "north", ("x",), {"k": "v"})
    zones = {device.tenant_id: device.zone for device in await database.read(registry.select_all_devices())}
    assert zones == {1: "", OTHER: "north"}
    with pytest.raises(UnknownDeviceError):
        await database.write(queries.change_device, 1, "b", DeviceChange())


async def test_an_import_is_whole_or_not_at_all(database: Database) -> None:
    known = await added(database, 1, NewDevice("a"))
    wanted = NewDevice("a", zone="north")
    await database.write(queries.change_device, 1, "a", DeviceChange(zone="south"))
    with pytest.raises(ConflictError, match="a was changed by somebody else"):
        await database.write(queries.write_import, 1, [NewDevice("b")], [(known, wanted)], [], NOW)
    with pytest.raises(ConflictError, match="added by somebody else"):
        await database.write(queries.write_import, 1, [NewDevice("b"), NewDevice("a")], [], [], NOW)
    [left] = await database.read(registry.select_all_devices())
    assert (left.device_id, left.zone) == ("a", "south")
    written = await database.write(queries.write_import, 1, [NewDevice("b")], [(left, wanted)], [], NOW)
    assert [(device.device_id, device.zone) for device in written] == [("b", ""), ("a", "north")]
