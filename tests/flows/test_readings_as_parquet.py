"""Promise: what devices sent leaves the gateway as Parquet, and no program is left when nobody takes it any more."""

import http.client
import json
import ssl
import time
from collections.abc import Callable
from datetime import UTC, datetime
from math import inf, nan
from pathlib import Path
from typing import Any

from tests.appliance.telemetry.cold.rig import needs_pyarrow
from tests.appliance.telemetry.exporting.programs import programs, read
from tests.flows.running import START_S, Device, RunningGateway, running

COUNT = 300
START = 1_769_860_800_000
SPAN = "start=2026-01-01&end=2026-02-01"
FORMS = {
    "gone": "null",
    "nothing": "NaN",
    "most": "Infinity",
    "least": "-Infinity",
    "zero": "-0.0",
    "exact": str(2**53 + 1),
    "widest": str(2**63 - 1),
    "word": "Grüße",
    "quoted": '"5.0"',
    "on": "true",
    "position.latitude": "52.52",
    "position.longitude": "13.405",
}
"""One value of each form, as a cell of a table says it."""
ROWS: dict[str, tuple[str, float | None, int | None, bool | None, str | None]] = {
    "gone": ("null", None, None, None, None),
    "nothing": ("float", nan, None, None, None),
    "most": ("float", inf, None, None, None),
    "least": ("float", -inf, None, None, None),
    "zero": ("float", -0.0, None, None, None),
    "exact": ("integer", 2.0**53, 2**53 + 1, None, None),
    "widest": ("integer", 2.0**63, 2**63 - 1, None, None),
    "word": ("text", None, None, None, "Grüße"),
    "quoted": ("text", None, None, None, "5.0"),
    "on": ("boolean", None, None, True, None),
    "position.latitude": ("float", 52.52, None, None, None),
    "position.longitude": ("float", 13.405, None, None, None),
}
"""Kind, number, integer, boolean and text of each."""
LONG = "/v1/telemetry/export?format=parquet&start=2025-01-01&end=2026-02-01&bin=1s&select=count(flow)&fill=zero"
"""Tens of millions of bins."""


@needs_pyarrow
def test_readings_are_written_as_parquet_for_as_long_as_somebody_takes_them(tmp_path: Path) -> None:
    out, lines = tmp_path / "out.parquet", tmp_path / "out.jsonl"
    with running(tmp_path / "one") as gateway:
        device = Device(gateway, "pump", gateway.add_device("pump")).wait_connected()
        for number in range(COUNT):
            values = {"flow": number / 8, "state": "=on" if number % 2 else None, "serial": 2**60 + number}
            device.publish({"timestamp": START + number * 1_000, "sequence": number, "readings": values})
        device.wait_acknowledged(COUNT)
        device.close()
        for form, path in (("parquet", out), ("jsonl", lines)):
            export = ("telemetry", "export", "--start", "2026-01-01", "--format", form, "--out", path)
            assert gateway.quick_command(*export) == (0, "")
        assert values_of(read(out.read_bytes()).to_pylist()) == {
            (each["at"], metric): value
            for each in map(json.loads, lines.read_text().splitlines())
            for metric, value in each["values"].items()
        }
        token, number = gateway.token(), gateway.process.pid
        with taken(gateway, token):
            assert len(programs(number)) == 1
        until(lambda: not programs(number))
        with taken(gateway, token):
            [program] = programs(number)
            gateway.process.kill()
            gateway.wait()
            until(lambda: not Path(f"/proc/{program}/cmdline").exists())
        assert list(gateway.data.rglob("*.parquet*")) == []


@needs_pyarrow
def test_a_stop_ends_the_program_of_whoever_takes_nothing(tmp_path: Path) -> None:
    with running(tmp_path / "one") as gateway:
        gateway.add_device("pump")
        with taken(gateway, gateway.token()):
            [program] = programs(gateway.process.pid)
            assert gateway.end() == 0
            until(lambda: not Path(f"/proc/{program}/cmdline").exists())


@needs_pyarrow
def test_every_form_of_a_value_is_told_over_https(tmp_path: Path) -> None:
    with running(tmp_path / "one") as gateway:
        token = gateway.token()
        gateway.add_device("tank")
        pump = Device(gateway, "pump", gateway.add_device("pump")).wait_connected()
        values = {"position": {"lat": 52.52, "lon": 13.405}, "on": False, "gone": None, "count": 2**53 + 1}
        pump.publish({"timestamp": START, "readings": values})
        pump.wait_acknowledged(1)
        pump.close()
        cells = ",".join(f'"{cell.replace(chr(34), 2 * chr(34))}"' for cell in FORMS.values())
        table = f"device_id,time,{','.join(FORMS)}\r\ntank,{START},{cells}\r\n"
        status, tally = gateway.call("POST", "/v1/telemetry/imports", token, json.dumps({"csv": table}).encode())
        assert (status, tally["reading_count"]) == (200, len(FORMS)), tally
        rows = read(downloaded(gateway, token, f"/v1/telemetry/export?format=parquet&details=true&{SPAN}")).to_pylist()
        assert cells_of(rows, "tank") == {metric: repr(told) for metric, told in ROWS.items()}
        assert cells_of(rows, "pump") == {
            "position.latitude": repr(("float", 52.52, None, None, None)),
            "position.longitude": repr(("float", 13.405, None, None, None)),
            "on": repr(("boolean", None, None, False, None)),
            "gone": repr(("null", None, None, None, None)),
            "count": repr(("integer", 2.0**53, 2**53 + 1, None, None)),
        }
        assert {row["topic"] for row in rows if row["device_id"] == "pump"} == {"sensors/pump/telemetry"}
        select = "max(position.latitude),count(position.latitude)"
        bins = f"/v1/telemetry/export?format=parquet&device=pump&bin=1h&select={select}&{SPAN}"
        [row] = read(downloaded(gateway, token, bins)).to_pylist()
        assert list(row) == ["at", "device_id", *select.split(",")]
        assert list(row.values()) == [moment_of(START), "pump", 52.52, 1]


def cells_of(rows: list[dict[str, Any]], device_id: str) -> dict[str, str]:
    """What the columns of a device say of each metric, as text: NaN is not equal to itself, and 0.0 is to -0.0."""
    names = ("kind", "number", "integer", "boolean", "text")
    return {row["metric"]: repr(tuple(map(row.get, names))) for row in rows if row["device_id"] == device_id}


def moment_of(at: int) -> datetime:
    return datetime.fromtimestamp(at / 1_000, UTC)


def downloaded(gateway: RunningGateway, token: str, path: str) -> bytes:
    """The whole of an answer."""
    context = ssl.create_default_context(cafile=str(gateway.data / "pki" / "web-ca.pem"))
    line = http.client.HTTPSConnection("localhost", gateway.web_port, timeout=START_S, context=context)
    try:
        line.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = line.getresponse()
        body = answer.read()
    finally:
        line.close()
    assert answer.status == 200, body
    return body


def values_of(rows: list[dict[str, Any]]) -> dict[tuple[str, str], object]:
    """The values by their moment and metric."""
    columns = {"float": "number", "integer": "integer", "text": "text", "null": "text"}
    return {(text_of(row["at"]), row["metric"]): row[columns[row["kind"]]] for row in rows}


def text_of(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class taken:  # noqa: N801  it is what it is while it lasts
    """An export whose first bytes have come, and of which nothing more is read."""

    def __init__(self, gateway: RunningGateway, token: str) -> None:
        context = ssl.create_default_context(cafile=str(gateway.data / "pki" / "web-ca.pem"))
        self._line = http.client.HTTPSConnection("localhost", gateway.web_port, timeout=START_S, context=context)
        self._token = token

    def __enter__(self) -> None:
        self._line.request("GET", LONG, headers={"Authorization": f"Bearer {self._token}"})
        self._answer = self._line.getresponse()
        assert self._answer.status == 200, self._answer.read()
        assert self._answer.read(4) == b"PAR1"

    def __exit__(self, *_: object) -> None:
        self._answer.close()
        self._line.close()


def until(is_so: Callable[[], bool]) -> None:
    """Wait for what other processes do."""
    end = time.monotonic() + START_S
    while not is_so():
        assert time.monotonic() < end
        time.sleep(0.01)
