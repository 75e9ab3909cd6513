"""A real database, a real folder of keys, and a clock that is told the time."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from appliance.registry import pki
from appliance.registry.service import Registry
from appliance.store.database import Database, opened
from appliance.store.migrate import migrate
from tests.appliance.registry.examples import NOW, FakeClock
from tests.appliance.registry.hardware.softhsm import PIN, Shelf


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
def whole_shelf(tmp_path_factory: pytest.TempPathFactory) -> Shelf:
    """One for all tests: a PKCS #11 module reads its settings once in a process."""
    return Shelf(tmp_path_factory.mktemp("softhsm"))


@pytest.fixture
def shelf(whole_shelf: Shelf) -> Iterator[Shelf]:
    """The tokens, with the right PIN and all of them there, before and after."""
    yield whole_shelf
    whole_shelf.show_pin(PIN)
    if not whole_shelf.tokens.exists():
        whole_shelf.bring_back()


@pytest.fixture(scope="session")
def keys(tmp_path_factory: pytest.TempPathFactory) -> pki.Pki:
    return pki.opened(tmp_path_factory.mktemp("keys") / "pki", "gateway-7f3a", NOW)
