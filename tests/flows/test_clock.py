"""The clock of the gateway is wrong, or jumps while it runs: honest devices get in, and the status says so."""

import calendar
import json
import os
import ssl
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.flows.running import Device, RunningGateway, running

FOUND = sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))
pytestmark = pytest.mark.skipif(not FOUND, reason="libfaketime is not installed: apt-get install libfaketime")
DEADLINE_S = 60.0
"""For what takes no time but the machine's, or a look at the schedule, which comes every 15 seconds."""
YEAR_S = 365 * 86_400
NO_CHECK_TIME = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME, which the standard library has no name for."""


class Clock:
    """What a gateway takes for the time; it can be set while the gateway runs."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "clock"
        self.right()

    def right(self) -> None:
        self._write("+0")

    def show(self, moment: str) -> None:
        """It shows this moment now, and goes on from there."""
        self.ahead(calendar.timegm(time.strptime(moment, "%Y-%m-%d")) - time.time())

    def ahead(self, by_s: float) -> None:
        self._write(f"{by_s:+.0f}")

    def _write(self, said: str) -> None:
        # At once: whoever reads half a number would see a moment that nobody has set.
        new = self.file.with_suffix(".new")
        new.write_text(said + "\n")
        new.replace(self.file)


@contextmanager
def faked(clock: Clock) -> Iterator[None]:
    """What is started meanwhile sees the time that a file says."""
    told = {
        "LD_PRELOAD": str(FOUND[0]),
        "FAKETIME_TIMESTAMP_FILE": str(clock.file),
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


class House:
    """A gateway with a clock that can be set, a token for scripts, and devices from when the clock was right."""

    def __init__(self, gateway: RunningGateway, clock: Clock, token: str) -> None:
        self.gateway = gateway
        self.clock = clock
        self.token = token
        self._context = ssl.create_default_context(cafile=str(gateway.data / "pki" / "web-ca.pem"))
        # Whatever this machine's clock says of a certificate that was issued by another one.
        self._context.verify_flags |= NO_CHECK_TIME

    def device(self, device_id: str) -> Device:
        return Device(self.gateway, device_id, self.gateway.data / "bundles" / device_id)

    def asked(self, path: str, method: str = "GET") -> bytes:
        request = urllib.request.Request(
            f"https://localhost:{self.gateway.web_port}{path}",
            method=method,
            headers={"Authorization": f"Bearer {self.token}"},
        )
        with urllib.request.urlopen(request, timeout=20, context=self._context) as answer:
            body: bytes = answer.read()
            return body

    def told(self, path: str, method: str = "GET") -> Any:
        return json.loads(self.asked(path, method))

    def part(self) -> dict[str, Any]:
        """What the status says of the clock."""
        part: dict[str, Any] = self.told("/v1/status")["parts"]["clock"]
        return part

    def is_worth(self, state: str) -> bool:
        return bool(self.part()["details"]["state"] == state)

    def events(self, device_id: str) -> list[dict[str, Any]]:
        """What happened to the connections of a device, oldest first."""
        events: list[dict[str, Any]] = self.told(f"/v1/devices/{device_id}/connections")["events"]
        return events[::-1]

    def numbers(self, device_id: str) -> set[int]:
        """The readings that are there, of whatever time."""
        query = "metric=n&limit=100000&start=1960-01-01T00:00:00Z&end=2150-01-01T00:00:00Z"
        answer = self.told(f"/v1/devices/{device_id}/telemetry?{query}")
        return {int(value) for series in answer["series"] for value in series["values"]}


def wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.1)


@contextmanager
def house(folder: Path, moment: str = "", *, ahead_s: float = 0) -> Iterator[House]:
    """The gateway has run before with a clock that was right; now it starts at a moment, or so long after that."""
    with running(folder) as before:
        for device_id in ("pump", "fan"):
            before.add_device(device_id)
        token = before.token()
    clock = Clock(folder)
    clock.ahead(ahead_s)
    if moment:
        clock.show(moment)
    with faked(clock):
        context = running(folder)
        gateway = context.__enter__()
    try:
        yield House(gateway, clock, token)
    finally:
        context.__exit__(None, None, None)


@pytest.mark.parametrize("moment", ["1970-01-02", "2000-01-01", "2100-01-01"])
def test_a_device_gets_in_whatever_the_clock_shows(tmp_path: Path, moment: str) -> None:
    with house(tmp_path, moment) as site:
        device = site.device("pump")
        try:
            device.wait_connected()
            device.publish({"n": 1})
            device.wait_acknowledged(1)
            part = site.part()
            assert (part["ok"], part["details"]["state"]) == (False, "untrusted")
            assert part["summary"].startswith(moment[:4])
            assert (site.asked("/healthz").strip(), site.asked("/readyz").strip()) == (b"degraded", b"ok")
        finally:
            device.close()


@pytest.mark.timeout(240)
def test_a_clock_that_jumps_ends_no_connection_keeps_nobody_out_and_loses_nothing(tmp_path: Path) -> None:
    with house(tmp_path) as site:
        pump = site.device("pump").wait_connected()
        number = 0
        jumps = (("2000-01-01", "untrusted"), ("2100-01-01", "untrusted"), ("1970-01-02", "untrusted"), ("", "floor"))
        try:
            for moment, state in jumps:
                if moment:
                    site.clock.show(moment)
                else:
                    site.clock.right()
                wait_until(partial(site.is_worth, state))
                assert site.part()["ok"] == (state != "untrusted")
                assert site.asked("/healthz").strip() == (b"degraded" if moment else b"ok")
                # Who was connected still is, and who comes gets in.
                fan = site.device("fan").wait_connected()
                for device in (pump, fan):
                    device.publish({"n": number})
                pump.wait_acknowledged(number + 1)
                fan.wait_acknowledged(1)
                fan.close()
                number += 1
            assert not pump.is_gone.is_set()
            wait_until(lambda: site.numbers("pump") == site.numbers("fan") == set(range(number)))
            wait_until(lambda: [one["kind"] for one in site.events("fan")] == ["connected", "disconnected"] * number)
            assert [one["kind"] for one in site.events("pump")] == ["connected"]
        finally:
            pump.close()
        assert site.gateway.end() == 0, site.gateway.output
    with running(tmp_path) as again:
        token = again.token()
        kinds = [one["kind"] for one in again.get("/v1/devices/fan/connections", token)["events"]]
        assert kinds == ["disconnected", "connected"] * number


@pytest.mark.timeout(240)
def test_what_is_due_is_done_after_a_jump_and_judged_again_after_a_reset(tmp_path: Path) -> None:
    with house(tmp_path) as site:
        pump = site.device("pump").wait_connected()
        try:
            # Plausible, and the end of the certificate has passed by it: nobody vouches for it, so that is no reason.
            site.clock.ahead(2 * YEAR_S)
            wait_until(lambda: site.part()["details"]["wall_at"] > (time.time() + YEAR_S) * 1_000)
            assert site.part()["details"]["state"] == "floor"
            site.device("fan").wait_connected().close()
            assert not pump.is_gone.is_set()
            # Until a person does, wrongly: who was in is out, and does not get in again.
            assert site.told("/v1/clock/reset", "POST")["state"] == "floor"
            assert pump.is_gone.wait(DEADLINE_S)
            wait_until(lambda: "expired" in site.told("/v1/devices/pump/connections")["reason"])
            # The clock is set right, below what has passed for sure by then, and a person says that it is.
            site.clock.right()
            wait_until(partial(site.is_worth, "untrusted"))
            assert site.told("/v1/clock/reset", "POST")["state"] == "floor"
            again = site.device("fan").wait_connected()
            again.publish({"n": 1})
            again.wait_acknowledged(1)
            again.close()
            resets = [one for one in site.told("/v1/audit")["entries"] if one["action"] == "clock.reset"]
            assert len(resets) == 2
        finally:
            pump.close()
