"""What a device, or a person's devices have sent is erased: from every answer at once, from the disk soon, for good."""

import json
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from appliance.instant import DAY_MS, day_of, to_text
from tests.appliance.telemetry.cold.rig import needs_pyarrow
from tests.flows.running import Device, RunningGateway, running

COUNT = 50
DEADLINE_S = 60.0
OWNERS = {"cuff": "anna", "scale": "Anna", "ring": "bert"}
OF_ANNA = ["cuff", "scale"]
LEFT = [0, 0, 3 * COUNT]
"""Readings of each device."""
SETTINGS = """
[telemetry]
late_grace_ms = 0
seal_after_ms = 1

[cold]
parquet = true
"""


def readings(gateway: RunningGateway, device_id: str, token: str) -> list[Any]:
    latest = gateway.get("/v1/tenants/1/telemetry/latest", token)
    return [each for each in latest["devices"] if each["device_id"] == device_id]


def files_with(folder: Path, name: str) -> list[str]:
    # The list of what was erased keeps the name, as the audit log does.
    places = [path for path in (*folder.glob("days/*"), *folder.glob("rollups/*")) if path.name != "erased.list"]
    return [path.name for path in places if name.encode() in path.read_bytes()]


def test_an_erased_device_stays_erased_and_others_stay(tmp_path: Path) -> None:
    with running(tmp_path) as gateway:
        devices = [Device(gateway, name).wait_connected() for name in ("person", "other")]
        for device in devices:
            for number in range(COUNT):
                device.publish({"n": number}, number)
            device.wait_acknowledged(COUNT)
            device.close()
        token = gateway.command("token", "add", "script", "--role", "owner").strip()
        assert readings(gateway, "person", token)
        status, told = gateway.call("DELETE", "/v1/devices/person/telemetry", token)
        assert (status, told["state"]) == (202, "erasing")
        assert not readings(gateway, "person", token)
        while gateway.get("/v1/storage", token)["erasing"]:
            pass
        actions = [entry["action"] for entry in gateway.get("/v1/audit", token)["entries"]]
        assert actions[:2] == ["telemetry.erased", "telemetry.erase"]
        assert gateway.end() == 0, gateway.output
    assert files_with(gateway.data, "person") == []
    gateway.command("device", "erase", "other", "--yes")
    with running(tmp_path) as again:
        assert not readings(again, "person", token)
        assert not readings(again, "other", token)
        while again.get("/v1/storage", token)["erasing"]:
            pass
        assert again.end() == 0, again.output
    assert files_with(again.data, "other") == []


def wait(gateway: RunningGateway, is_so: Callable[[], bool]) -> None:
    until = time.monotonic() + DEADLINE_S
    while not is_so():
        assert time.monotonic() < until, gateway.output


def counts(gateway: RunningGateway, token: str, start: int) -> list[int]:
    """How many readings everybody sees of each device."""
    span, found = f"start={to_text(start)}&end={to_text(start + 9 * DAY_MS)}", []
    for device_id in OWNERS:
        status, told = gateway.call("GET", f"/v1/devices/{device_id}/telemetry?limit=1000&{span}", token)
        assert status == 200, told
        found.append(sum(len(series["values"]) for series in told["series"]))
    return found


def in_parquet(folder: Path) -> set[str]:
    from pyarrow import parquet  # noqa: PLC0415  not everywhere

    columns = [parquet.read_table(path, columns=["device_id"]) for path in folder.rglob("*.parquet")]
    return {device_id for column in columns for device_id in column["device_id"].to_pylist()}


@contextmanager
def read_by_somebody(path: Path) -> Iterator[None]:
    """A day from which nothing can be erased for good meanwhile."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT * FROM chunk").fetchall()
        yield


def fill(gateway: RunningGateway, token: str, start: int) -> None:
    """Three days of readings of everybody's devices."""
    for name, owner in OWNERS.items():
        device = Device(gateway, name).wait_connected()
        for number in range(3 * COUNT):
            device.publish({"timestamp": start + number % 3 * DAY_MS + number, "n": number}, number)
        device.wait_acknowledged(3 * COUNT)
        device.close()
        body = json.dumps({"attributes": {"owner": owner}}).encode()
        assert gateway.call("PATCH", f"/v1/devices/{name}", token, body)[0] == 200


def killed_half_way(gateway: RunningGateway, token: str, start: int) -> None:
    """Have the readings of a person erased, and kill the gateway when days that are over are done and today is not."""
    path, today = "/v1/telemetry?q=attribute.owner:anna&count=", f"{day_of(start + 2 * DAY_MS)}.db"
    # What is over is sealed, and copied as Parquet; today is open.
    wait(gateway, lambda: gateway.get("/v1/storage", token)["cold"]["day_count"] == 2)
    status, told = gateway.call("DELETE", f"{path}3", token)
    assert (status, "finds 2 devices (cuff, scale), and 3 were expected" in told["detail"]) == (409, True)
    assert sum(name.endswith(".sealed") for name in files_with(gateway.data, "cuff")) == 2
    with read_by_somebody(gateway.data / "days" / today):
        assert gateway.call("DELETE", f"{path}2", token) == (202, {"device_ids": OF_ANNA, "state": "erasing"})
        assert counts(gateway, token, start) == LEFT
        wait(gateway, lambda: not any(name.endswith(".sealed") for name in files_with(gateway.data, "cuff")))
        assert gateway.get("/v1/storage", token)["erasing"] == OF_ANNA
        gateway.end(signal.SIGKILL)
    assert today in files_with(gateway.data, "cuff")


def finished(gateway: RunningGateway, token: str) -> None:
    wait(gateway, lambda: not gateway.get("/v1/storage", token)["erasing"])


@pytest.mark.timeout(240)
@needs_pyarrow
def test_what_a_persons_devices_have_sent_is_erased_though_the_gateway_is_killed_half_way(tmp_path: Path) -> None:
    start = (time.time_ns() // 1_000_000 // DAY_MS - 2) * DAY_MS
    with running(tmp_path, SETTINGS) as gateway:
        token = gateway.command("token", "add", "script", "--role", "owner").strip()
        fill(gateway, token, start)
        assert gateway.end() == 0, gateway.output
    with running(tmp_path, SETTINGS) as gateway:
        killed_half_way(gateway, token, start)
    with running(tmp_path, SETTINGS) as gateway:
        assert counts(gateway, token, start) == LEFT
        finished(gateway, token)
        wait(gateway, lambda: in_parquet(gateway.data / "cold") == {"ring"})
        assert counts(gateway, token, start) == LEFT
        entries = [each for each in gateway.get("/v1/audit", token)["entries"] if each["action"].startswith("telem")]
        assert [(each["action"], each["subject"]) for each in entries] == [
            ("telemetry.erased", "scale"),
            ("telemetry.erased", "cuff"),
            ("telemetry.erase", "scale"),
            ("telemetry.erase", "cuff"),
            ("telemetry.erase_many", "attribute.owner:anna"),
        ]
        assert gateway.end() == 0, gateway.output
    assert [files_with(gateway.data, name) for name in OF_ANNA] == [[], []]


@needs_pyarrow
def test_a_gateway_that_does_not_run_erases_a_persons_readings_when_it_starts(tmp_path: Path) -> None:
    start = (time.time_ns() // 1_000_000 // DAY_MS - 2) * DAY_MS
    with running(tmp_path, SETTINGS) as gateway:
        token = gateway.command("token", "add", "script", "--role", "owner").strip()
        fill(gateway, token, start)
        assert gateway.end() == 0, gateway.output
    gateway.command("device", "erase", "--search", "attribute.owner:anna", "--count", "2")
    with running(tmp_path, SETTINGS) as gateway:
        assert counts(gateway, token, start) == LEFT
        finished(gateway, token)
        assert gateway.end() == 0, gateway.output
    assert [files_with(gateway.data, name) for name in OF_ANNA] == [[], []]
