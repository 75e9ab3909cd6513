"""What the registry writes is what it reads, and no tenant sees another's."""

import sqlite3

import pytest

from appliance.registry import queries
from appliance.registry.model import (
    Certificate,
    DeviceExistsError,
    DeviceState,
    IssuedCertificate,
    NewDevice,
    UnknownDeviceError,
)
from appliance.store.database import Database
from tests.appliance.registry.examples import NOW

OTHER = 2


def certificate(fingerprint: str) -> Certificate:
    return Certificate(fingerprint, "1f", NOW, NOW + 1)


def issued(device_id: str, fingerprint: str) -> IssuedCertificate:
    return IssuedCertificate(device_id, certificate(fingerprint), "pem")


def add_tenant(connection: sqlite3.Connection) -> None:
    connection.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'other', 0)")


async def test_a_device_reads_as_it_was_written(database: Database) -> None:
    new = NewDevice("a", "Boiler", "pressure", "cellar", "SN-1")
    written = await database.write(queries.insert_device, 1, new, NOW)
    assert await database.read(queries.select_all_devices()) == [written]
    assert (written.name, written.type, written.zone, written.serial_number) == ("Boiler", "pressure", "cellar", "SN-1")
    assert (written.state, written.created_at) == (DeviceState.ACTIVE, NOW)


async def test_a_second_device_of_one_name_is_refused_within_a_tenant_only(database: Database) -> None:
    await database.write(add_tenant)
    await database.write(queries.insert_device, 1, NewDevice("a"), NOW)
    await database.write(queries.insert_device, OTHER, NewDevice("a"), NOW)
    with pytest.raises(DeviceExistsError):
        await database.write(queries.insert_device, 1, NewDevice("a"), NOW)


async def test_many_are_added_once_and_those_that_exist_stay_as_they_are(database: Database) -> None:
    await database.write(queries.insert_device, 1, NewDevice("a", "first"), NOW)
    assert await database.write(queries.insert_devices, 1, [NewDevice("a", "second"), NewDevice("b")], NOW) == 1
    names = {device.device_id: device.name for device in await database.read(queries.select_all_devices())}
    assert names == {"a": "first", "b": ""}


async def test_a_certificate_belongs_to_the_device_of_its_tenant(database: Database) -> None:
    await database.write(add_tenant)
    for tenant_id in (1, OTHER):
        await database.write(queries.insert_device, tenant_id, NewDevice("a"), NOW)
    await database.write(queries.insert_certificates, 1, [issued("a", "f1")])
    await database.write(queries.insert_certificates, OTHER, [issued("a", "f2")])
    assert await database.read(queries.select_certificates(1, "a")) == [certificate("f1")]
    assert await database.read(queries.select_certificates(OTHER, "a")) == [certificate("f2")]
    bound = await database.read(queries.select_all_certificates())
    assert [(one.tenant_id, one.device_id, one.certificate.fingerprint) for one in bound] == [
        (1, "a", "f1"),
        (OTHER, "a", "f2"),
    ]


async def test_the_newest_certificate_comes_first(database: Database) -> None:
    await database.write(queries.insert_device, 1, NewDevice("a"), NOW)
    await database.write(queries.insert_certificates, 1, [issued("a", "old"), issued("a", "new")])
    found = await database.read(queries.select_certificates(1, "a"))
    assert [one.fingerprint for one in found] == ["new", "old"]


async def test_a_batch_with_one_unknown_device_leaves_nothing(database: Database) -> None:
    with pytest.raises(UnknownDeviceError):
        await database.write(
            queries.insert_devices_and_certificates, 1, [NewDevice("a")], [issued("a", "f1"), issued("b", "f2")], NOW
        )
    assert await database.read(queries.select_all_devices()) == []
    assert await database.read(queries.select_all_certificates()) == []


async def test_a_batch_gives_the_devices_as_they_are_now(database: Database) -> None:
    await database.write(queries.insert_device, 1, NewDevice("a", "first"), NOW)
    devices = await database.write(
        queries.insert_devices_and_certificates, 1, [NewDevice("b"), NewDevice("a", "second")], [], NOW
    )
    assert [(device.device_id, device.name) for device in devices] == [("b", ""), ("a", "first")]


async def test_a_state_is_changed_for_the_device_of_that_tenant_only(database: Database) -> None:
    await database.write(add_tenant)
    for tenant_id in (1, OTHER):
        await database.write(queries.insert_device, tenant_id, NewDevice("a"), NOW)
    changed = await database.write(queries.update_state, 1, "a", DeviceState.SUSPENDED)
    assert changed.state is DeviceState.SUSPENDED
    states = {device.tenant_id: device.state for device in await database.read(queries.select_all_devices())}
    assert states == {1: DeviceState.SUSPENDED, OTHER: DeviceState.ACTIVE}
    with pytest.raises(UnknownDeviceError):
        await database.write(queries.update_state, 1, "b", DeviceState.ACTIVE)
