"""A broker for each normative statement."""

from collections.abc import AsyncIterator

import pytest

from tests.broker.house import House, serving
from tests.conformance.site import Site, visiting
from tests.conformance.wire_format import MQTT_3_1_1, MQTT_5


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with serving() as house:
        yield house


@pytest.fixture
async def v4() -> AsyncIterator[Site]:
    """A broker whose clients speak MQTT 3.1.1."""
    async with visiting(MQTT_3_1_1) as site:
        yield site


@pytest.fixture
async def v5() -> AsyncIterator[Site]:
    """A broker whose clients speak MQTT 5."""
    async with visiting(MQTT_5) as site:
        yield site
