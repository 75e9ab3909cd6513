"""Counts what a gateway that has stopped has on its disk, by the gateway's own code.

Run as `python -m bench.count SETTINGS_FILE DEVICE_COUNT`; prints `OnDisk` as JSON.
"""

import asyncio
import sys
from pathlib import Path

import msgspec

from appliance import config, lifetime, process
from appliance.config import Config
from appliance.registry.model import DEFAULT_TENANT
from appliance.store.database import Select
from appliance.telemetry.service import Telemetry
from bench.gateway import OnDisk
from bench.message import device_ids

METRIC = "pressure"
EVERYTHING = 2**53
LIMIT = 10_000_000


async def count(settings: Config, device_count: int) -> OnDisk:
    """Ask for the whole range of one metric of every device."""
    clock = lifetime.wall_clock
    async with process.foundation_opened(settings, clock) as foundation:
        telemetry = Telemetry(foundation.database, settings.data_folder, settings.telemetry, clock)
        async with telemetry.opened():
            [logged] = await foundation.database.read(_select_logged(DEFAULT_TENANT))
            readings = [await _readings(telemetry, name) for name in device_ids(device_count)]
    return OnDisk(logged, tuple(readings))


async def _readings(telemetry: Telemetry, device_id: str) -> int:
    found = await telemetry.series(DEFAULT_TENANT, device_id, [METRIC], 0, EVERYTHING, LIMIT)
    return sum(len(series.at) for series in found)


def _select_logged(tenant_id: int) -> Select[int]:
    return Select("SELECT coalesce(sum(message_count), 0) FROM log WHERE tenant_id = ?", (tenant_id,), int)


if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(count(config.load(Path(sys.argv[1])), int(sys.argv[2])))).decode())
