import asyncio
import sqlite3
from collections.abc import AsyncIterator

import pytest

from appliance.ingestion.declared import UNITS_LIMIT, Declared, DeclaredUnits
from appliance.ingestion.declaring import queries, service
from appliance.ingestion.declaring.service import Units
from appliance.registry.catalogue.model import DeviceType
from appliance.registry.catalogue.service import Catalogue
from appliance.registry.model import NewDevice
from appliance.registry.service import Registry
from appliance.store.database import Database, UnwritableError
from tests.appliance.registry.examples import FakeClock


@pytest.fixture
async def catalogue(registry: Registry, database: Database, clock: FakeClock) -> AsyncIterator[Catalogue]:
    async with Catalogue(registry, database, clock).opened() as opened:
        yield opened


async def on_disk(database: Database) -> list[Declared | None]:
    return await database.read(queries.select_units(9))


async def a_write_later(database: Database) -> None:
    """What others wanted to write before is written: all wait in one queue."""
    for _ in range(3):
        await asyncio.sleep(0)
    await database.write(queries.delete_units, 1, "nobody")


async def test_the_type_of_a_device_counts_more_than_the_device(catalogue: Catalogue, database: Database) -> None:
    declared = DeclaredUnits()
    units = Units(database, catalogue, declared)
    counts = [units.change_count]
    await catalogue.add_device(1, NewDevice("a", type="pump"))
    counts.append(units.change_count)
    declared.hear(1, "a", {"flow": "l/s", "pressure": "bar"})
    counts.append(units.change_count)
    assert units.of(1, "a") == {"flow": "l/s", "pressure": "bar"}
    await catalogue.add_type(1, DeviceType("pump", units={"pressure": "kPa", "level": "%"}))
    counts.append(units.change_count)
    assert units.of(1, "a") == {"flow": "l/s", "pressure": "kPa", "level": "%"}
    assert [units.unit(1, "a", metric) for metric in ("flow", "pressure", "x")] == ["l/s", "kPa", ""]
    assert [dict(units.of(*key)) for key in ((1, "b"), (2, "a"))] == [{}, {}]
    assert sorted(set(counts)) == counts


async def test_what_was_declared_is_known_after_a_restart(catalogue: Catalogue, database: Database) -> None:
    before = DeclaredUnits()
    async with Units(database, catalogue, before).running():
        before.hear(1, "a", {"flow": "l/s"})
        before.hear(1, "b", {"flow": "µl", "x": "°C"})
        before.hear(1, "a", {"flow": "l/min"})
    after = DeclaredUnits(devices_limit=2)
    async with Units(database, catalogue, after).running() as units:
        assert [dict(units.of(1, name)) for name in "ab"] == [{"flow": "l/min"}, {"flow": "µl", "x": "°C"}]
        # Those that were heard of first are forgotten first, as before.
        after.hear(1, "c", {"flow": "m"})
        assert [dict(units.of(1, name)) for name in "abc"] == [{}, {"flow": "µl", "x": "°C"}, {"flow": "m"}]


async def test_what_is_declared_is_on_the_disk_soon_and_then_only_now_and_then(
    catalogue: Catalogue, database: Database
) -> None:
    declared = DeclaredUnits()
    async with Units(database, catalogue, declared).running() as units:
        declared.hear(1, "a", {"flow": "l/s"})
        await a_write_later(database)
        assert await on_disk(database) == [Declared(1, "a", {"flow": "l/s"})]
        declared.hear(1, "a", {"flow": "l/min"})
        await a_write_later(database)
        assert await on_disk(database) == [Declared(1, "a", {"flow": "l/s"})]
        await units.keep()
        assert await on_disk(database) == [Declared(1, "a", {"flow": "l/min"})]


async def test_very_many_are_written_in_parts(
    catalogue: Catalogue, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "DEVICES_AT_ONCE", 2)
    declared = DeclaredUnits()
    for number in range(5):
        declared.hear(1, f"d{number}", {"x": "m"})
    await Units(database, catalogue, declared).keep()
    assert [each.device_id for each in await on_disk(database) if each] == ["d4", "d3", "d2", "d1", "d0"]


async def test_a_full_disk_is_waited_for(
    catalogue: Catalogue, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def allow(connection: sqlite3.Connection, page_count: int) -> None:
        connection.execute(f"PRAGMA max_page_count = {page_count}")

    declared = DeclaredUnits()
    long_names = {f"{number:x<120}": "bar" for number in range(UNITS_LIMIT)}
    await database.maintain(allow, 1)
    async with Units(database, catalogue, declared).running() as units:
        declared.hear(1, "a", long_names)
        await a_write_later(database)
        with pytest.raises(UnwritableError):
            await units.keep()
        assert "declared units not kept yet" in caplog.text
        await database.maintain(allow, 1_000_000)
    assert await on_disk(database) == [Declared(1, "a", long_names)]


async def test_what_is_erased_is_forgotten_on_the_disk_too(catalogue: Catalogue, database: Database) -> None:
    declared = DeclaredUnits()
    units = Units(database, catalogue, declared)
    for name in "ab":
        declared.hear(1, name, {"flow": "l/s"})
    await units.keep()
    await units.erase(1, "a", 0)
    assert (units.of(1, "a"), units.unit(1, "b", "flow")) == ({}, "l/s")
    assert await on_disk(database) == [Declared(1, "b", {"flow": "l/s"})]


async def test_a_damaged_row_costs_one_device_its_units(
    catalogue: Catalogue, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    def damage(connection: sqlite3.Connection) -> None:
        for device_id, units in (("a", "{"), ("b", b"\xff"), ("c", '{"x": 1}')):
            connection.execute(
                "INSERT INTO declared_unit (tenant_id, device_id, units) VALUES (1, ?, CAST(? AS TEXT))",
                (device_id, units),
            )

    declared = DeclaredUnits()
    declared.hear(1, "d", {"x": "m"})
    await Units(database, catalogue, declared).keep()
    await database.write(damage)
    async with Units(database, catalogue, DeclaredUnits()).running() as units:
        assert [dict(units.of(1, name)) for name in "abcd"] == [{}, {}, {}, {"x": "m"}]
    assert "declared units were damaged, devices declare them again devices=3" in caplog.text
