"""Renewal with a registry and a database of its own, and a broker that is none."""

import ssl
from collections.abc import AsyncIterator

import pytest

from appliance.enrolment.renewal.service import Renewal
from appliance.registry.service import Registry
from appliance.store.database import Database
from tests.appliance.enrolment.renewal.clients import Broker
from tests.appliance.registry.examples import FakeClock

RENEWALS_A_DAY = 10


@pytest.fixture
def broker(clock: FakeClock, database: Database) -> Broker:
    return Broker(clock, database)


@pytest.fixture
async def renewal(database: Database, registry: Registry, broker: Broker) -> AsyncIterator[Renewal]:
    async with Renewal(database, registry, RENEWALS_A_DAY).running(broker) as renewal:
        yield renewal


@pytest.fixture
async def first(registry: Registry) -> bytes:
    """The certificate with which pump-7 begins, DER."""
    await registry.add_device(1, "pump-7")
    return ssl.PEM_cert_to_DER_cert((await registry.issue_certificate(1, "pump-7")).certificate_pem)
