from appliance.enrolment.renewal import queries
from appliance.enrolment.renewal.model import Succession
from appliance.store.database import Database


async def test_a_succession_is_kept_until_it_is_deleted_by_its_own_tenant(database: Database) -> None:
    kept, other = Succession(1, "b", "a", "pump-7"), Succession(1, "c", "a", "pump-7")
    for each in (kept, other):
        await database.write(queries.insert_succession, each)
    await database.write(queries.delete_successions, 2, ["b", "c"])
    await database.write(queries.delete_successions, 1, ["c"])
    assert await database.read(queries.select_successions()) == [kept]
