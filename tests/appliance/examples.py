"""A gateway's storage, registry and accounts in a folder of a test."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from appliance.accounts.service import Accounts
from appliance.registry.service import Registry
from appliance.store.database import Database, opened
from tests.appliance.store.tables import up_to_date

NOW = 1_800_000_000_000


def clock() -> int:
    return NOW


@contextlib.asynccontextmanager
async def stored(folder: Path) -> AsyncIterator[Database]:
    async with opened(folder / "gateway.db", prepare=up_to_date, synchronous="OFF") as database:
        yield database


@contextlib.asynccontextmanager
async def registered(database: Database, folder: Path) -> AsyncIterator[Registry]:
    registry = Registry(database, folder / "pki", clock)
    async with registry.opened():
        yield registry


def accounts_of(database: Database) -> Accounts:
    return Accounts(database, clock, session_idle_ms=60_000, session_length_ms=600_000)
