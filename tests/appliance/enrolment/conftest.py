"""Enrolment by claim, with a broker that remembers what it was told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from appliance.enrolment.service import Enrolment
from appliance.registry.service import Registry
from appliance.store.database import Database
from tests.appliance.enrolment.bearer import Answered, Desk
from tests.appliance.registry.examples import FakeClock


@asynccontextmanager
async def started(database: Database, registry: Registry, clock: FakeClock) -> AsyncIterator[Desk]:
    enrolment = Enrolment(database, registry, clock)
    registry.newcomers = enrolment
    broker = Answered()
    async with enrolment.running(broker):
        desk = Desk(enrolment, broker, clock)
        enrolment.note = desk.refusals.append
        yield desk


@pytest.fixture
async def desk(database: Database, registry: Registry, clock: FakeClock) -> AsyncIterator[Desk]:
    async with started(database, registry, clock) as desk:
        yield desk
