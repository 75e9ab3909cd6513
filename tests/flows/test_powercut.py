"""The plug is pulled: what was acknowledged was on the disk, not only in the page cache.

A file system on a loop device stands for the card. Stopping the process and copying the device's own
file gives what a power cut leaves: only what was pushed out by a sync. Killing the process alone would
prove nothing, because the page cache survives it.
"""

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.flows.powerless import not_done
from tests.flows.running import Device, running

CARD_BYTES = 96 * 1024 * 1024


@contextmanager
def mounted(image: Path, folder: Path) -> Iterator[Path]:
    folder.mkdir(exist_ok=True)
    # The longest interval between syncs of its own, so that the file system does not do our work.
    subprocess.run(["mount", "-o", "loop,noatime,commit=300", image, folder], check=True, capture_output=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True, capture_output=True)


@pytest.fixture
def card(tmp_path: Path) -> Path:
    image = tmp_path / "card.img"
    with image.open("wb") as file:
        file.truncate(CARD_BYTES)
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        not_done("needs root and mkfs.ext4")
    # Blocks as cards of today have them: a file system as small as this would get smaller ones.
    subprocess.run(["mkfs.ext4", "-q", "-F", "-b", "4096", image], check=True)
    try:
        with mounted(image, tmp_path / "probe"):
            pass
    except subprocess.CalledProcessError as error:
        not_done(f"no loop device here: {error.stderr.decode().strip()}")
    return image


def test_a_power_cut_under_load_loses_no_acknowledged_reading(card: Path, tmp_path: Path) -> None:
    after = tmp_path / "after.img"
    with mounted(card, tmp_path / "before") as folder, running(folder) as gateway:
        device = Device(gateway, "pump").wait_connected()
        for number in range(3_000):
            device.publish({"n": number}, number)
        device.wait_acknowledged(500)
        gateway.process.send_signal(signal.SIGSTOP)
        shutil.copyfile(card, after)
        device.close()
        assert gateway.end(signal.SIGKILL) == -signal.SIGKILL
    acknowledged = set(device.acknowledged)
    assert len(acknowledged) >= 500
    with mounted(after, tmp_path / "again") as folder, running(folder) as gateway:
        answer = gateway.get("/v1/devices/pump/telemetry?metric=n&limit=100000", gateway.token())
        stored = {int(value) for series in answer["series"] for value in series["values"]}
        assert not acknowledged - stored, f"{len(acknowledged - stored)} of {len(acknowledged)} are gone"
