"""A fleet of devices without a network."""

from collections.abc import AsyncIterator

import pytest

from appliance.registry.catalogue.service import Catalogue
from appliance.registry.service import Registry
from appliance.store.database import Database
from tests.appliance.commands.jobs.plan.fleet import Fleet
from tests.appliance.registry.examples import FakeClock


@pytest.fixture
async def fleet(registry: Registry, database: Database, clock: FakeClock) -> AsyncIterator[Fleet]:
    async with Catalogue(registry, database, clock).opened() as catalogue:
        yield Fleet(database, registry, catalogue, clock)
