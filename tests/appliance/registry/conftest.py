"""A real database, a real folder of keys, and a clock that is told the time."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.registry import pki
from appliance.registry.service import Registry
from appliance.store.database import Database, opened
from appliance.store.migrate import migrate
from tests.appliance.registry.examples import NOW, FakeClock


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


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> pki.Pki:
    return pki.opened(tmp_path_factory.mktemp("keys") / "pki", "gateway-7f3a", NOW)
