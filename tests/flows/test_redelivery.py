"""A device without a clock sends again what it got no answer to: it is stored once, and what it says anew is stored."""

import asyncio
import json
import signal
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.wire_format import MQTT_3_1_1, MQTT_5, Kind, Publish
from tests.flows.running import RunningGateway, running
from tests.flows.wires import wired

TOPIC = "sensors/pump/telemetry"


def flow(value: int, number: int, *, again: bool = False, sequence: int | None = None) -> Publish:
    told = {"flow": value} if sequence is None else {"flow": value, "sequence": sequence}
    return Publish(TOPIC, json.dumps(told).encode(), 1, number=number, duplicate=again)


async def connected(gateway: RunningGateway, bundle: Path, level: int, *told: Publish) -> None:
    """Connect, have everything acknowledged one after the other, and vanish."""
    async with wired(gateway, "pump", bundle, level=level, keeps=True) as wire:
        for each in told:
            await wire.send(each)
            assert (await wire.pick(Kind.PUBACK)).number == each.number


def asked(gateway: RunningGateway, token: str) -> tuple[list[Any], int]:
    """The values that are stored, and how many reports had come before since the gateway's start."""
    [series] = gateway.get("/v1/devices/pump/telemetry", token)["series"]
    return series["values"], gateway.get("/v1/devices/pump/quality", token)["duplicate_reports"]


@pytest.mark.parametrize("level", [MQTT_3_1_1, MQTT_5])
async def test_what_comes_again_is_stored_once(tmp_path: Path, level: int) -> None:
    with running(tmp_path) as gateway:
        bundle, token = gateway.add_device("pump"), gateway.token()
        # The same twice is two readings.
        await connected(gateway, bundle, level, flow(1, 1), flow(1, 2), flow(2, 3))
        # Of the third the answer was lost; the fourth itself, though the device said the same before.
        await connected(gateway, bundle, level, flow(2, 3, again=True), flow(1, 4, again=True))
        assert await asyncio.to_thread(asked, gateway, token) == ([1, 1, 2, 1], 1)
        # A library that numbers packets anew, and a device that counts.
        await connected(gateway, bundle, level, *[flow(3, 5 + sequence, sequence=sequence) for sequence in (1, 2, 3)])
        await connected(gateway, bundle, level, flow(3, 1, sequence=3), flow(3, 2, sequence=4), flow(3, 3, sequence=1))
        assert await asyncio.to_thread(asked, gateway, token) == ([1, 1, 2, 1, 3, 3, 3, 3, 3], 2)
        gateway.end(signal.SIGKILL)
    with running(tmp_path) as gateway:
        again = flow(3, 3, again=True, sequence=1)
        await connected(gateway, bundle, level, again, again, flow(4, 4, again=True), flow(3, 5, sequence=1))
        assert await asyncio.to_thread(asked, gateway, token) == ([1, 1, 2, 1, 3, 3, 3, 3, 3, 4, 3], 2)
