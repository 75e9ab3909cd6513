"""Promise: page by page every reading is told once, though many have one moment and the gateway is killed between."""

from pathlib import Path
from typing import Any

from tests.flows.running import Device, RunningGateway, running

START = 1_769_860_800_000
COUNT = 60
AT_ONCE = 20
"""So many readings have the same moment."""
LIMIT = 7


def test_pages_go_on_where_they_were_after_the_gateway_was_killed(tmp_path: Path) -> None:
    told: dict[str, list[Any]] = {"n": [], "odd": []}
    with running(tmp_path / "one") as gateway:
        device = Device(gateway, "pump", gateway.add_device("pump")).wait_connected()
        for number in range(COUNT):
            values = {"n": number} | ({"odd": number} if number % 2 else {})
            device.publish({"timestamp": START + number // AT_ONCE, "sequence": number, "readings": values})
        device.wait_acknowledged(COUNT)
        device.close()
        token = gateway.token()
        cursor = add(gateway, token, told, f"start={START}&end={START + 1_000}")
        cursor = add(gateway, token, told, f"cursor={cursor}")
        gateway.process.kill()
        gateway.wait()
    with running(tmp_path / "one") as gateway:
        for _ in range(COUNT):
            if cursor is None:
                break
            cursor = add(gateway, token, told, f"cursor={cursor}")
    assert cursor is None
    assert told == {"n": list(range(COUNT)), "odd": list(range(1, COUNT, 2))}


def add(gateway: RunningGateway, token: str, told: dict[str, list[Any]], query: str) -> str | None:
    """Put a page before those that were told; gives where the next one goes on."""
    status, page = gateway.call("GET", f"/v1/devices/pump/telemetry?limit={LIMIT}&{query}", token)
    assert status == 200, page
    for series in page["series"]:
        assert 0 < len(series["values"]) <= LIMIT
        told[series["metric"]] = series["values"] + told[series["metric"]]
    following: str | None = page["next_cursor"]
    return following
