"""Jobs with two devices, a pump and a valve."""

from collections.abc import AsyncIterator

import pytest

from appliance.store.database import Database
from tests.appliance.commands.jobs.desk import JobsDesk, opened
from tests.appliance.registry.examples import FakeClock


@pytest.fixture
async def desk(database: Database, clock: FakeClock) -> AsyncIterator[JobsDesk]:
    async with opened(database, clock) as desk:
        yield desk
