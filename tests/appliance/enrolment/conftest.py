"""A real database, a real registry, and enrolment by claim with a broker that remembers what it was told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from appliance.enrolment.service import Enrolment
from appliance.registry.service import Registry
from appliance.store.database import Database, opened
from appliance.store.migrate import migrate
from tests.appliance.enrolment.bearer import Answered, Desk
from tests.appliance.enrolment.examples import NOW
from tests.appliance.registry.examples import FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(tmp_path / "gateway.db", prepare=migrate) as database:
        yield database


@pytest.fixture
async def registry(database: Database, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Registry]:
    async with Registry(database, tmp_path / "pki", clock).opened() as registry:
        yield registry


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
