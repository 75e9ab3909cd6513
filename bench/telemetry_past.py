"""Gives a gateway that does not run yet a past to be asked about.

Run as `python -m bench.telemetry_past FOLDER DEVICE_COUNT HOURS END`: so many hours up to `END`, UTC milliseconds.
"""

import asyncio
import sys
from pathlib import Path

from appliance.instant import HOUR_MS
from bench.telemetry_history import live
from bench.telemetry_rig import opened
from bench.telemetry_walk import INTERVAL_MS, Walk


def past_count(hours: int) -> int:
    """How many readings of each metric of such a device there are."""
    return hours * HOUR_MS // INTERVAL_MS


async def make(folder: Path, device_count: int, hours: int, end: int) -> None:
    """Fill the day files of a gateway with the last hours of some of its devices."""
    end -= end % INTERVAL_MS
    start = end - hours * HOUR_MS
    async with opened(folder, start) as rig:
        await live(rig, [Walk(number, is_full=False) for number in range(device_count)], start, end, INTERVAL_MS)
        await rig.telemetry.seal_all()


if __name__ == "__main__":
    asyncio.run(make(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])))
