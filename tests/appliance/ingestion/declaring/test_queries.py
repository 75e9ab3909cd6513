from appliance.ingestion.declared import Declared
from appliance.ingestion.declaring import queries
from appliance.store.database import Database


async def test_what_a_device_declared_last_stands_in_place_of_what_it_declared_before(database: Database) -> None:
    told = [Declared(1, "a", {"x": "m"}), Declared(1, "b", {})]
    await database.write(queries.upsert_units, told)
    await database.write(queries.upsert_units, [Declared(1, "a", {"x": "µm", "y": "°C"})])
    kept = [Declared(1, "b", {}), Declared(1, "a", {"x": "µm", "y": "°C"})]
    assert await database.read(queries.select_units(9)) == kept
    assert await database.read(queries.select_units(1)) == kept[:1]


async def test_only_what_is_asked_for_is_deleted(database: Database) -> None:
    await database.write(queries.upsert_units, [Declared(1, name, {"x": "m"}) for name in "ab"])
    await database.write(queries.delete_units, 1, "a")
    await database.write(queries.delete_units, 2, "b")
    assert await database.read(queries.select_units(9)) == [Declared(1, "b", {"x": "m"})]
