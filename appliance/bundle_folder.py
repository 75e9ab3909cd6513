"""Bundles of devices as folders on this machine."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from appliance.registry import snippets
from appliance.simulator.model import SimulatedDevice
from appliance.simulator.wire import Identity


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write the files of a bundle, which nobody else may read; the root comes last, so that it tells `is_whole`."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    (folder / snippets.ROOT).unlink(missing_ok=True)
    for within in sorted({name.rpartition("/")[0] for name in files if "/" in name}):
        (folder / within).mkdir(mode=0o700, exist_ok=True)
    for name in sorted(files, key=lambda name: name == snippets.ROOT):
        # A table makes a hundred thousand files: each costs four calls of the system and no more.
        file = os.open(f"{folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(file, "wb") as opened:
            # A file that was there already may have been open to others.
            os.fchmod(file, 0o600)
            opened.write(files[name])


def is_whole(folder: Path) -> bool:
    """Whether a bundle was written here to its end."""
    return (folder / snippets.ROOT).exists()


def simulated(folder: Path, device_ids: Sequence[str]) -> tuple[SimulatedDevice, ...]:
    """The devices whose bundles lie in `folder`, as the simulator takes them."""
    return tuple(
        SimulatedDevice(
            device_id,
            Identity(
                folder / device_id / snippets.CHAIN,
                folder / device_id / snippets.KEY,
                folder / device_id / snippets.ROOT,
            ),
        )
        for device_id in device_ids
    )
