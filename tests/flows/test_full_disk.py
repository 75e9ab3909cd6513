"""The disk is full: nothing is acknowledged that is not on it, the reserve goes first, and it comes back by itself."""

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.flows.powerless import not_done
from tests.flows.running import Device, RunningGateway, running

DISK = "40m"
SETTINGS = """
[telemetry]
reserve_mb = 4
drop_when_full = false
"""
COUNT = 200
NOISE = 10**9


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own."""
    if os.geteuid() != 0:
        not_done("only root may mount")
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", folder], check=False, capture_output=True, text=True
    )
    if made.returncode:
        not_done(f"no file system can be mounted here: {made.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", folder], check=True)


def fill(folder: Path, name: str) -> Path:
    """Take every byte that is left."""
    path = folder / name
    with path.open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                file.write(bytes(size))
            except OSError:
                size >>= 1
    return path


def room_of(gateway: RunningGateway, token: str) -> dict[str, Any]:
    told: dict[str, Any] = gateway.get("/v1/status", token)["parts"]["room"]
    return told


def publish_until_refused(gateway: RunningGateway, device: Device, token: str, disk: Path) -> list[Path]:
    """Keep the disk full and publish until a commit fails: files that are there already take some more."""
    fillers: list[Path] = []
    while "commit failed" not in gateway.output:
        if os.statvfs(disk).f_bavail:
            fillers.append(fill(disk, f"filler-{len(fillers)}"))
        for _ in range(20):
            device.publish({"text": os.urandom(2_000).hex()}, NOISE)
        assert room_of(gateway, token)["ok"] is False
    return fillers


def test_the_reserve_makes_room_first(disk: Path) -> None:
    with running(disk, SETTINGS) as gateway:
        reserve = gateway.data / "reserve.bin"
        assert reserve.stat().st_size == 4_000_000
        device = Device(gateway, "pump").wait_connected()
        filler = fill(disk, "filler")
        gateway.wait_printed("reserve given up")
        for number in range(COUNT):
            device.publish({"n": number}, number)
        device.wait_acknowledged(COUNT)
        token = gateway.token()
        assert "the reserve was given up" in room_of(gateway, token)["summary"]
        filler.unlink()
        while not room_of(gateway, token)["ok"]:
            pass
        assert reserve.stat().st_size == 4_000_000
        device.close()


def test_a_gateway_starts_on_a_full_disk_once_there_is_a_reserve(disk: Path) -> None:
    with running(disk, SETTINGS) as gateway:
        device = Device(gateway, "pump").wait_connected()
        assert (gateway.data / "reserve.bin").exists()
        bundle = gateway.data / "bundles" / "pump"
        device.close()
        assert gateway.end(signal.SIGKILL) == -signal.SIGKILL
    # A little is left for what the test itself writes: the settings.
    os.truncate(filler := fill(disk, "filler"), filler.stat().st_size - 64 * 1024)
    with running(disk, SETTINGS) as again:
        assert "reserve given up at the start" in again.output
        device = Device(again, "pump", bundle).wait_connected()
        device.publish({"n": 1}, 1)
        device.wait_acknowledged(1)
        device.close()


def test_a_full_disk_stops_acknowledgements_and_comes_back_by_itself(disk: Path) -> None:
    with running(disk, SETTINGS) as gateway:
        token = gateway.token()
        device = Device(gateway, "pump").wait_connected()
        fillers = [fill(disk, "first")]
        gateway.wait_printed("reserve given up")
        fillers.append(fill(disk, "second"))
        gateway.wait_printed("disk full")
        fillers += publish_until_refused(gateway, device, token, disk)
        for number in range(COUNT):
            device.publish({"n": number}, number)
        assert "the disk is full" in room_of(gateway, token)["summary"]
        # What waits behind a commit that fails is not acknowledged, however long that lasts.
        assert COUNT - 1 not in device.acknowledged
        for filler in fillers:
            filler.unlink()
        gateway.wait_printed("commits succeed again")
        with device.has_acknowledged:
            assert device.has_acknowledged.wait_for(lambda: set(range(COUNT)) <= set(device.acknowledged), 30)
        while not room_of(gateway, token)["ok"]:
            pass
        device.close()
        assert gateway.end() == 0, gateway.output
    with running(disk, SETTINGS) as again:
        status, answer = again.call("GET", "/v1/devices/pump/telemetry?metric=n&limit=100000", again.token())
        assert status == 200
        assert f"{COUNT - 1}" in str(answer)
