"""Brokers for the tests of their parts."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLContext

import pytest

from broker.listener import tls_context
from tests.broker.certificates import Authority
from tests.broker.house import House, serving


@dataclass(frozen=True)
class Certificates:
    """Two authorities that do not know each other, and a server of the first."""

    ours: Authority
    theirs: Authority
    server: SSLContext
    client: SSLContext


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    folder: Path = tmp_path_factory.mktemp("certificates")
    ours, theirs = Authority.create(folder, "ours"), Authority.create(folder, "theirs")
    return Certificates(
        ours, theirs, tls_context(*ours.issue("server"), ours.trust), ours.client_context(ours, "sensor-1")
    )


@pytest.fixture
async def house() -> AsyncIterator[House]:
    async with serving() as house:
        yield house


@pytest.fixture
async def tls_house(certificates: Certificates) -> AsyncIterator[House]:
    async with serving(None, certificates.server, certificates.client) as house:
        yield house
