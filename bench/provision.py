"""Registers the devices of a load before the gateway starts, in a process of its own.

Run as `python -m bench.provision SETTINGS_FILE DEVICE_COUNT BUNDLES_FOLDER`.
"""

import asyncio
import sys
from pathlib import Path

from appliance import bundle_folder, config, lifetime, process
from appliance.config import Config
from appliance.folder_lock import folder_locked
from appliance.registry import bundle
from appliance.registry.model import DEFAULT_TENANT, NewDevice
from bench.message import device_ids


async def provision(settings: Config, count: int, bundles: Path) -> None:
    """Write a bundle for each device, in a folder of its name."""
    with folder_locked(settings.data_folder):
        async with process.foundation_opened(settings, lifetime.wall_clock) as foundation:
            issued = await foundation.registry.issue_many(
                DEFAULT_TENANT, [NewDevice(name) for name in device_ids(count)]
            )
    address = bundle.Address("localhost", settings.mqtt.port)
    for one in issued:
        bundle_folder.write(bundles / one.device_id, bundle.as_files(one, address))


if __name__ == "__main__":
    asyncio.run(provision(config.load(Path(sys.argv[1])), int(sys.argv[2]), Path(sys.argv[3])))
