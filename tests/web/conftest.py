"""Fixtures of the web's tests: a house, and clients inside and outside of it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.web import house as houses
from tests.web.house import Client, House


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with houses.opened(tmp_path) as made:
        yield made


@pytest.fixture
async def owner(house: House) -> AsyncIterator[Client]:
    """A client that is signed in."""
    async with Client(houses.app_of(house), await house.claim()) as client:
        yield client


@pytest.fixture
async def stranger(house: House) -> AsyncIterator[Client]:
    """A client that is not."""
    async with Client(houses.app_of(house)) as client:
        yield client


@pytest.fixture
async def script(house: House) -> AsyncIterator[Client]:
    """A client with a token."""
    async with Client(houses.app_of(house)) as client:
        client.headers["authorization"] = f"Bearer {await house.gateway.accounts.add_token(1, 'test')}"
        client.headers["accept"] = "application/json"
        yield client
