"""A device called pump that is registered, and its connection."""

from collections.abc import AsyncIterator

import pytest

from tests.web.device_http.device import Device, asking
from tests.web.house import House


@pytest.fixture
async def pump(house: House) -> AsyncIterator[Device]:
    async with asking(house) as device:
        yield device
