"""A real database, a registry with a real folder of keys, and a clock that is told the time."""

import logging
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from appliance.logs import QUIET
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


@pytest.fixture
def globals_restored() -> Iterator[None]:
    """A gateway that begins sets what is global to its process: what it was is put back."""
    root = logging.getLogger()
    before = (root.level, root.handlers[:], sys.getswitchinterval())
    levels = {name: logging.getLogger(name).level for name in QUIET}
    # Kept from who would close them.
    root.handlers.clear()
    yield
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    sys.setswitchinterval(before[2])
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
