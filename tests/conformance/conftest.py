"""A broker for each normative statement."""

from collections.abc import AsyncIterator

import pytest

from tests.broker.house import House, serving


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with serving() as house:
        yield house
