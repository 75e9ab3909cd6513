"""Promise: what a reading is in is told wherever it is told, also after a restart, until its device is erased."""

import signal
import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from tests.flows.running import Device, RunningGateway, running

DEADLINE_S = 60.0


def on_disk(gateway: RunningGateway) -> list[str]:
    """The devices of which declared units are kept."""
    with closing(sqlite3.connect(f"file:{gateway.data / 'gateway.db'}?mode=ro", uri=True)) as connection:
        return [name for (name,) in connection.execute("SELECT device_id FROM declared_unit ORDER BY device_id")]


def wait(gateway: RunningGateway, is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < until, gateway.output


def publish(gateway: RunningGateway, name: str, *in_units: str) -> None:
    device = Device(gateway, name).wait_connected()
    for number, unit in enumerate(in_units):
        device.publish({"readings": {"flow": {"value": 1.5, "unit": unit}}}, number)
    device.wait_acknowledged(len(in_units))
    device.close()


def units(gateway: RunningGateway, token: str) -> dict[str, str | None]:
    """What the newest readings of each device are in."""
    devices = gateway.get("/v1/tenants/1/telemetry/latest", token)["devices"]
    return {each["device_id"]: each["readings"]["flow"].get("unit") for each in devices}


def test_declared_units_outlive_a_kill_and_a_stop_and_go_with_what_is_erased(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        token = gateway.command("token", "add", "script", "--role", "owner").strip()
        publish(gateway, "person", "l/s")
        wait(gateway, lambda: on_disk(gateway) == ["person"])
        assert gateway.end(signal.SIGKILL) == -signal.SIGKILL
    with running(tmp_path) as gateway:
        assert units(gateway, token) == {"person": "l/s"}
        publish(gateway, "other", "l/min", "µl/h")
        assert gateway.end() == 0, gateway.output
    with running(tmp_path) as gateway:
        assert units(gateway, token) == {"person": "l/s", "other": "µl/h"}
        assert gateway.call("DELETE", "/v1/devices/person/telemetry", token)[0] == 202
        wait(gateway, lambda: not gateway.get("/v1/storage", token)["erasing"])
        assert on_disk(gateway) == ["other"]
        assert units(gateway, token) == {"other": "µl/h"}
        assert gateway.end() == 0, gateway.output
