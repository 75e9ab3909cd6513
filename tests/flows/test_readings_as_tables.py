"""Promise: what devices sent leaves one gateway as a table and is the same on another, though that is killed."""

import json
import signal
from pathlib import Path

from tests.flows.running import Device, running

COUNT = 300
START = 1_769_860_800_000


def test_readings_go_from_one_gateway_to_another(tmp_path: Path) -> None:
    table, again = tmp_path / "out.csv", tmp_path / "again.csv"
    export = ("telemetry", "export", "--start", "2026-01-01", "--details", "--out")
    with running(tmp_path / "one") as gateway:
        device = Device(gateway, "pump", gateway.add_device("pump")).wait_connected()
        for number in range(COUNT):
            values = {"flow": number / 8, "state": "=on" if number % 2 else None, "serial": 2**60 + number}
            device.publish({"timestamp": START + number * 1_000, "sequence": number, "readings": values})
        device.wait_acknowledged(COUNT)
        device.close()
        assert gateway.quick_command(*export, table) == (0, "")
        assert gateway.quick_command("telemetry", "import", table) == (
            0,
            f"300 rows: 0 readings taken, {3 * COUNT} were there already, 0 rows refused\n",
        )
        status, printed = gateway.quick_command(
            "telemetry",
            "export",
            "--bin",
            "1d",
            "--select",
            "count(flow)",
            "--start",
            "2026-01-31",
            "--end",
            "2026-02-01",
            "--format",
            "jsonl",
        )
        assert (status, json.loads(printed)["count(flow)"]) == (0, COUNT)
    assert table.read_text().count("'=on") == COUNT // 2
    with running(tmp_path / "two") as gateway:
        assert gateway.quick_command("telemetry", "import", table)[0] == 2, "the device is not known yet"
        gateway.add_device("pump")
        status, printed = gateway.quick_command("telemetry", "import", table, "--dry-run")
        assert "900 readings would be taken" in printed
        status, printed = gateway.quick_command("telemetry", "import", table)
        assert (status, printed) == (0, "300 rows: 900 readings taken, 0 were there already, 0 rows refused\n")
        gateway.end(signal.SIGKILL)
        status, printed = gateway.quick_command("telemetry", "export")
        assert status == 2
        assert "gateway" in printed
    with running(tmp_path / "two") as gateway:
        assert gateway.quick_command(*export, again) == (0, "")
    assert again.read_bytes() == table.read_bytes()
