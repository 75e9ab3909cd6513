"""Registers the devices of a load before the gateway starts, in a process of its own.

Run as `python -m bench.provision DATA_FOLDER DEVICE_COUNT BUNDLES_FOLDER`.
"""

import asyncio
import sys
import time
from pathlib import Path

from appliance.registry.bundle import as_files
from appliance.registry.model import DEFAULT_TENANT, NewDevice
from appliance.registry.service import Registry
from appliance.store import database
from appliance.store.migrate import migrate
from bench.message import device_ids


async def provision(data: Path, count: int, bundles: Path) -> None:
    """Write a bundle for each device, in a folder of its name."""
    data.mkdir(parents=True, exist_ok=True)
    async with (
        database.opened(data / "gateway.db", prepare=migrate) as store,
        Registry(store, data / "keys", _now).opened() as registry,
    ):
        issued = await registry.issue_many(DEFAULT_TENANT, [NewDevice(name) for name in device_ids(count)])
    for bundle in issued:
        folder = bundles / bundle.device_id
        folder.mkdir(parents=True, exist_ok=True)
        for name, content in as_files(bundle, "localhost", 0).items():
            (folder / name).write_bytes(content)


def _now() -> int:
    return time.time_ns() // 1_000_000


if __name__ == "__main__":
    asyncio.run(provision(Path(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])))
