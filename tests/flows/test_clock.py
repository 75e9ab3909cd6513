"""The clock of the gateway is wrong, or jumps while it runs: honest devices get in, and the status says so."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.flows.running import Device, RunningGateway, running

FOUND = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
pytestmark = pytest.mark.skipif(not FOUND, reason="libfaketime is not installed: apt-get install libfaketime")
JUMP_S = 20.0


@contextmanager
def faked(clock: Path) -> Iterator[None]:
    """What is started meanwhile sees the time that a file says."""
    told = {
        "LD_PRELOAD": str(FOUND[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        # Else the timers of asyncio hang.
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    os.environ.update(told)
    try:
        yield
    finally:
        for name in told:
            del os.environ[name]


@contextmanager
def known_to(folder: Path, clock: Path) -> Iterator[tuple[RunningGateway, Path]]:
    """A gateway with that clock, and the certificate of a device that it issued when its clock was right."""
    with running(folder) as before:
        bundle = before.add_device("pump")
    with faked(clock):
        context = running(folder)
        gateway = context.__enter__()
    try:
        yield gateway, bundle
    finally:
        context.__exit__(None, None, None)


def clock_of(gateway: RunningGateway) -> dict[str, Any]:
    part: dict[str, Any] = gateway.get("/v1/status", gateway.token())["parts"]["clock"]
    return part


@pytest.mark.parametrize("shown", ["1970-01-02 00:00:00", "2000-01-01 00:00:00", "2100-01-01 00:00:00"])
def test_a_device_gets_in_whatever_the_clock_shows(tmp_path: Path, shown: str) -> None:
    clock = tmp_path / "clock"
    clock.write_text(f"@{shown}\n")
    with known_to(tmp_path, clock) as (gateway, bundle):
        device = Device(gateway, "pump", bundle)
        try:
            device.wait_connected()
            device.publish({"temperature": 20.0})
            device.wait_acknowledged(1)
            part = clock_of(gateway)
            assert not part["ok"]
            assert part["details"]["state"] == "untrusted"
            assert part["summary"].startswith(shown[:4])
        finally:
            device.close()


def test_a_clock_that_jumps_ends_no_connection_and_keeps_nobody_out(tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0\n")
    with known_to(tmp_path, clock) as (gateway, bundle):
        device = Device(gateway, "pump", bundle)
        try:
            device.wait_connected()
            assert clock_of(gateway)["ok"]
            for number, shift in enumerate(("+20y", "-20y"), 1):
                clock.write_text(f"{shift}\n")
                deadline = time.monotonic() + JUMP_S
                while clock_of(gateway)["ok"] and time.monotonic() < deadline:
                    pass
                assert clock_of(gateway)["details"]["state"] == "untrusted"
                device.publish({"temperature": 20.0})
                device.wait_acknowledged(number)
                assert not device.is_gone.is_set()
            device.close()
            device = Device(gateway, "pump", bundle).wait_connected()
            clock.write_text("+0\n")
            deadline = time.monotonic() + JUMP_S
            while not clock_of(gateway)["ok"] and time.monotonic() < deadline:
                pass
            assert clock_of(gateway)["ok"]
        finally:
            device.close()
