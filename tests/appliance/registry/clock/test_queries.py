"""What is kept of the time."""

import pytest

from appliance.registry.clock import queries
from appliance.registry.clock.trust import Doubt, Mark
from appliance.registry.model import DEFAULT_TENANT
from appliance.store.database import Database


@pytest.mark.parametrize("doubt", [None, Doubt(9, 0), Doubt(9, 3)])
async def test_the_newest_mark_is_the_one_that_counts(database: Database, doubt: Doubt | None) -> None:
    assert await database.read(queries.select_mark(DEFAULT_TENANT)) == []
    for mark in (Mark(7), Mark(8, Doubt(9, 5)), Mark(5, doubt)):
        await database.write(queries.save_mark, DEFAULT_TENANT, mark)
        assert await database.read(queries.select_mark(DEFAULT_TENANT)) == [mark]


async def test_how_long_the_process_had_run_is_not_kept(database: Database) -> None:
    await database.write(queries.save_mark, DEFAULT_TENANT, Mark(8, Doubt(9, 5, uptime_ms=4)))
    assert await database.read(queries.select_mark(DEFAULT_TENANT)) == [Mark(8, Doubt(9, 5))]
