from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from appliance.store.database import Database, opened
from appliance.store.migrate import migrate


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with opened(tmp_path / "gateway.db", prepare=migrate) as database:
        yield database
