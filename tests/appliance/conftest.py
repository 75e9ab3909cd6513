"""A real database, a registry with a real folder of keys, and a clock that is told the time."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.registry.service import Registry
from appliance.store.database import Database
from tests.appliance.examples import stored
from tests.appliance.registry.examples import NOW, FakeClock


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock(NOW)


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with stored(tmp_path) as database:
        yield database


@pytest.fixture
async def registry(database: Database, tmp_path: Path, clock: FakeClock) -> AsyncIterator[Registry]:
    async with Registry(database, tmp_path / "pki", clock).opened() as registry:
        yield registry
