"""Counts what a gateway that has stopped has on its disk, by the gateway's own code.

Run as `python -m bench.count SETTINGS_FILE DEVICE_COUNT`; prints `OnDisk` as JSON.
"""

import asyncio
import sys
from pathlib import Path

import msgspec
from appliance.telemetry.service import Telemetry

from appliance import config, process
from appliance.config import Config
from appliance.registry.model import DEFAULT_TENANT
from appliance.store.database import Select
from bench.gateway import OnDisk
from bench.message import device_ids

METRIC = "pressure"
EVERYTHING = 2**53
LIMIT = 10_000_000


async def count(settings: Config, device_count: int) -> OnDisk:
    """Ask for the whole range of one metric of every device."""
    async with (
        process.base_opened(settings, process.wall_clock) as base,
        Telemetry(
            base.database, settings.data_folder / "days", settings.telemetry, process.wall_clock
        ).opened() as telemetry,
    ):
        logged = await base.database.read(_select_logged(DEFAULT_TENANT))
        readings = [
            sum(
                len(series.at)
                for series in await telemetry.series(DEFAULT_TENANT, name, [METRIC], 0, EVERYTHING, LIMIT)
            )
            for name in device_ids(device_count)
        ]
    return OnDisk(logged[0], tuple(readings))


def _select_logged(tenant_id: int) -> Select[int]:
    return Select("SELECT coalesce(sum(message_count), 0) FROM log WHERE tenant_id = ?", (tenant_id,), int)


if __name__ == "__main__":
    print(msgspec.json.encode(asyncio.run(count(config.load(Path(sys.argv[1])), int(sys.argv[2])))).decode())
