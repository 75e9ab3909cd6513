"""A day that is over lies in a bucket, and is answered from Parquet when its chunks have gone."""

import signal
import time
from pathlib import Path

import pytest

from appliance.instant import DAY_MS, to_text
from appliance.telemetry.cold.shelf.files import path_of
from tests.appliance.telemetry.cold.rig import credentials, needs_bucket, needs_pyarrow, objects, served
from tests.flows.running import Device, RunningGateway, running

COUNT = 40
DEADLINE_S = 40.0

SETTINGS = """
[telemetry]
late_grace_ms = 0
seal_after_ms = 1

[cold]
parquet = true

[cold.s3]
endpoint = "{endpoint}"
bucket = "readings"
credentials_file = "{keys}"
"""


def wait_for_days(gateway: RunningGateway, token: str, *, is_cold: bool, count: int) -> None:
    until = time.monotonic() + DEADLINE_S
    while True:
        told = gateway.get("/v1/storage", token)
        if (told["cold"] if is_cold else told)["day_count"] == count:
            return
        assert time.monotonic() < until, gateway.output


def readings(gateway: RunningGateway, token: str, at: int) -> int:
    path = f"/v1/devices/pump/telemetry?metric=n&start={to_text(at)}&end={to_text(at + COUNT)}"
    return len(gateway.get(path, token)["series"][0]["values"])


@pytest.mark.timeout(150)
@needs_pyarrow
@needs_bucket
def test_a_day_outlives_its_chunks_and_the_process(tmp_path: Path) -> None:
    at = (time.time_ns() // 1_000_000 // DAY_MS - 3) * DAY_MS
    with served(tmp_path / "s3") as endpoint:
        settings = SETTINGS.format(endpoint=endpoint, keys=credentials(tmp_path))
        with running(tmp_path, settings) as gateway:
            device = Device(gateway, "pump").wait_connected()
            for number in range(COUNT):
                device.publish({"timestamp": at + number, "n": number}, number)
            # And one of today, which stays.
            device.publish({"n": COUNT}, COUNT)
            device.wait_acknowledged(COUNT + 1)
            device.close()
            token = gateway.token()
            wait_for_days(gateway, token, is_cold=False, count=2)
            assert gateway.end() == 0, gateway.output
        with running(tmp_path, settings) as gateway:
            # A day that was over yesterday is sealed at the start.
            wait_for_days(gateway, token, is_cold=True, count=1)
            assert gateway.quick_command("cold", "status")[0] == 0
            assert "1 days were uploaded" in gateway.command("cold", "upload", "--now")
            file = path_of(gateway.data / "cold", at // DAY_MS)
            name = f"cold/{file.parent.name}/part.parquet"
            assert objects(tmp_path / "s3") == {name: file.read_bytes()}
            gateway.end(signal.SIGKILL)
        [sealed] = (gateway.data / "days").glob("*.sealed")
        sealed.unlink()
        with running(tmp_path, settings) as gateway:
            assert readings(gateway, token, at) == COUNT
            gateway.command("device", "erase", "pump", "--yes")
            until = time.monotonic() + 2 * DEADLINE_S
            while objects(tmp_path / "s3"):
                assert time.monotonic() < until, gateway.output
            assert not file.exists()
            assert gateway.end() == 0, gateway.output
