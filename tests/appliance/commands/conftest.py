"""The room, at work, with one device."""

from collections.abc import AsyncIterator

import pytest

from appliance.registry.service import Registry
from appliance.store.database import Database
from tests.appliance.commands.room import Hall
from tests.appliance.registry.examples import FakeClock


@pytest.fixture
async def hall(database: Database, registry: Registry, clock: FakeClock) -> AsyncIterator[Hall]:
    hall = Hall(database, registry, clock)
    await hall.add("lamp", type="light", zone="north", groups=("choir",))
    async with hall.commands.running(hall.exchange):
        yield hall
