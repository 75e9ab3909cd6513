import asyncio
import sys
from pathlib import Path

import msgspec
import pytest

from appliance.simulator.wire import Endpoint
from bench.load import Load, Result
from tests.appliance.simulator.gateways import broker


@pytest.mark.parametrize("rate", [200.0, 0.0], ids=["paced", "flat out"])
async def test_the_generator_counts_what_the_broker_got(rate: float) -> None:
    async with broker() as gate:
        result = await _loaded(gate.endpoint, rate)
        taken = len(gate.owner.messages)
    assert result.sent_count == sum(result.acknowledged) == taken
    assert result.lost_connections == 0
    assert 0 < result.latency.p50 <= result.latency.longest
    if rate:
        assert result.acknowledged == (20, 20, 20, 20, 20)
        assert result.latency.count == 100


async def _loaded(endpoint: Endpoint, rate: float) -> Result:
    load = Load(endpoint.host, endpoint.port, "", 5, 0.5, rate)
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.load",
        msgspec.json.encode(load).decode(),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=Path(__file__).parent.parent.parent,
    )
    printed, _ = await child.communicate(b"go\n")
    connected, result = printed.splitlines()
    assert connected == b"connected"
    return msgspec.json.decode(result, type=Result)
