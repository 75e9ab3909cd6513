"""What is kept of the time."""

from appliance.registry.clock import queries
from appliance.registry.model import DEFAULT_TENANT
from appliance.registry.service import Registry
from appliance.store.database import Database
from tests.appliance.registry.examples import NOW


async def test_the_newest_mark_is_the_one_that_counts(database: Database) -> None:
    assert await database.read(queries.select_mark(DEFAULT_TENANT)) == []
    for at in (5, 7):
        await database.write(queries.save_mark, DEFAULT_TENANT, at)
    assert await database.read(queries.select_mark(DEFAULT_TENANT)) == [7]


async def test_the_newest_issue_is_found_where_there_is_one(database: Database, registry: Registry) -> None:
    assert await database.read(queries.select_newest_issue(DEFAULT_TENANT, NOW)) == []
    await registry.add_device(DEFAULT_TENANT, "pump")
    await registry.issue_certificate(DEFAULT_TENANT, "pump")
    assert await database.read(queries.select_newest_issue(DEFAULT_TENANT, NOW)) == [NOW]
    assert await database.read(queries.select_newest_issue(DEFAULT_TENANT, NOW - 1)) == []


async def test_what_was_issued_before_a_reset_says_nothing_any_more(database: Database, registry: Registry) -> None:
    await registry.add_device(DEFAULT_TENANT, "pump")
    await registry.issue_certificate(DEFAULT_TENANT, "pump")
    await database.write(queries.save_mark, DEFAULT_TENANT, 5)
    await database.write(queries.reset_mark, DEFAULT_TENANT, 3)
    assert await database.read(queries.select_mark(DEFAULT_TENANT)) == [3]
    assert await database.read(queries.select_newest_issue(DEFAULT_TENANT, NOW)) == []
    await database.write(queries.save_mark, DEFAULT_TENANT, 7)
    assert await database.read(queries.select_newest_issue(DEFAULT_TENANT, NOW)) == []
    await registry.issue_certificate(DEFAULT_TENANT, "pump")
    assert await database.read(queries.select_newest_issue(DEFAULT_TENANT, NOW)) == [NOW]
