import sqlite3
from pathlib import Path

from appliance.registry import queries as registry_queries
from appliance.registry.model import NewDevice
from appliance.shadows import queries
from tests.appliance.shadows.room import TENANT, opened


async def test_the_oldest_changes_are_found_without_looking_at_the_others(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        for number in range(3):
            await room.update({"desired": {"a": number}})
        plan = room.on_disk(
            "EXPLAIN QUERY PLAN DELETE FROM shadow_change WHERE +tenant_id = 1 AND change_number IN ("
            " SELECT change_number FROM shadow_change WHERE tenant_id = 1 AND shadow_number = 1 AND version <= 2"
            " ORDER BY version LIMIT 64)"
        )
        assert "USING INTEGER PRIMARY KEY" in plan[0][3]
        gone = await room.database.write(queries.delete_old_changes, TENANT, 1, 2)
        [(total,)] = room.on_disk("SELECT SUM(byte_count) FROM shadow_change")
        assert (gone > 0, total > 0) == (True, True)
        assert room.on_disk("SELECT version FROM shadow_change") == [(3,)]


async def test_what_is_counted_is_what_is_there(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        for name in ("", "a", "b"):
            await room.update({"desired": {"a": "x" * 100}}, name=name)
        [(counted,)] = room.on_disk("SELECT byte_count FROM shadow_total")
        assert room.on_disk("SELECT SUM(byte_count) FROM shadow_change") == [(counted,)]
        assert await room.database.write(queries.count_named, TENANT, "pump") == (2, 0)
        while await room.database.write(queries.erase_some, TENANT, "pump", room.now):
            pass
        assert room.on_disk("SELECT byte_count FROM shadow_total") == [(0,)]
        assert room.on_disk("SELECT COUNT(*) FROM shadow") == [(0,)]


async def test_a_shadow_whose_name_is_damaged_hides_no_other(tmp_path: Path) -> None:
    async with opened(tmp_path) as room:
        await room.database.write(registry_queries.insert_device, TENANT, NewDevice("pump"), room.now)
        for name in ("", "a", "b"):
            await room.update({"desired": {"a": 1}}, name=name)

        def spoil(connection: sqlite3.Connection) -> None:
            connection.execute("UPDATE shadow SET name = CAST('a' || x'f8' AS TEXT) WHERE name = 'a'")
            connection.execute("UPDATE device SET state = 'retired'")

        await room.database.write(spoil)
        assert [one.name for one in await room.shadows.names(TENANT, "pump", "", 9)] == ["b"]
        await room.shadows.delete_retired()
        assert await room.shadows.names(TENANT, "pump", "", 9) == []
        assert room.on_disk("SELECT COUNT(*) FROM shadow WHERE state IS NOT NULL") == [(1,)]
        await room.database.write(
            lambda connection: connection.execute("UPDATE shadow SET state = NULL, updated_at = 1")
        )
        for select, key in (
            (queries.select_oldest_deleted, (TENANT, "pump")),
            (queries.select_first_deleted, (TENANT,)),
        ):
            found = await room.database.write(select, *key)
            assert found is not None
            assert found[1] == "pump"
