"""A gateway that is to suffer: its process is killed and started again, and its API says what it kept."""

import http.client
import json
import os
import re
import signal
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from appliance.instant import DAY_MS, HOUR_MS
from bench.children import BenchError, python, run

START_TIMEOUT_S = 120.0
STOP_TIMEOUT_S = 60.0
READINGS_LIMIT = 100_000
METRIC = "n"

MQTT_HOST = f"127.79.{os.getpid() >> 8 & 0xFF}.{os.getpid() & 0x7F | 0x80}"
"""An address of its own: nobody takes the port while the gateway is dead."""

_READY = "  Data "
"""The last line that a gateway prints when it has started."""
_PORTS = re.compile(r"Dashboard +https://localhost:(\d+)/.*MQTT +mqtts://localhost:(\d+) ", re.DOTALL)

_SETTINGS = """\
data = "{data}"
[mqtt]
host = "{host}"
port = {mqtt_port}
shared_port = 0
[http]
host = "127.0.0.1"
port = 0
trust_port = 0
enrolment_port = 0
{more}"""


class Patient:
    """One data folder and, most of the time, a gateway that runs in it. `folder` need not be on the disk of its log."""

    def __init__(self, folder: Path, log: Path, settings: str = "") -> None:
        self.folder = folder
        self.log = log
        self.mqtt_port = 0
        self._settings = settings
        self._web_port = 0
        self._token = ""
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        """The data folder."""
        return self.folder / "data"

    @property
    def bundles(self) -> Path:
        """Where the devices' certificates lie: not where power is cut."""
        return self.log.parent / "devices"

    def prepare(self, device_count: int) -> None:
        """Register devices in a folder in which no gateway runs."""
        self._write_settings()
        run(python("bench.provision", str(self._config), str(device_count), str(self.bundles)))

    def start(self) -> float:
        """Start the gateway and give after how many seconds it took devices in. Raises `BenchError`."""
        self._write_settings()
        said_before = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            began = time.monotonic()
            child = self._child = subprocess.Popen(  # noqa: S603  this package's own command
                python("appliance", "run", "--config", str(self._config)), stdout=log, stderr=log
            )
        while _READY not in (said := self.said(said_before)):
            if child.poll() is not None or time.monotonic() > began + START_TIMEOUT_S:
                self.kill()
                raise BenchError(f"the gateway did not start: {said[-1_500:]}")
            time.sleep(0.01)
        seconds = time.monotonic() - began
        found = _PORTS.search(said)
        if found is None:
            raise BenchError(f"the gateway did not say where it listens: {said[-1_500:]}")
        # From now on the same one, where devices look for it.
        self._web_port, self.mqtt_port = int(found[1]), int(found[2])
        return seconds

    @property
    def pid(self) -> int:
        """The process of the gateway."""
        return self._running().pid

    def freeze(self) -> None:
        """Let the gateway do nothing more, and its sockets stay as they are."""
        child = self._running()
        child.send_signal(signal.SIGSTOP)
        deadline = time.monotonic() + STOP_TIMEOUT_S
        stat = Path(f"/proc/{child.pid}/stat")
        while stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] != "T":
            if time.monotonic() > deadline:
                raise BenchError("the gateway could not be stopped in its tracks")

    def kill(self) -> None:
        """End the gateway by SIGKILL; nothing when it does not run."""
        if self._child is not None:
            self._child.kill()
            self._child.wait(STOP_TIMEOUT_S)
            self._child = None

    def stop(self) -> None:
        """End the gateway in order. Raises `BenchError` when that fails."""
        child = self._running()
        child.send_signal(signal.SIGTERM)
        status = child.wait(STOP_TIMEOUT_S)
        self._child = None
        if status:
            raise BenchError(f"the gateway ended with status {status}: see {self.log}")

    def said(self, since: int = 0) -> str:
        """What the gateway has printed, from a byte of its log on."""
        with self.log.open("rb") as log:
            log.seek(since)
            return log.read().decode(errors="replace")

    def get(self, path: str) -> Any:
        """What `GET` of a path of the API gives. Raises `BenchError` for anything but 200."""
        status, body = self.ask(path)
        if status != http.client.OK:
            raise BenchError(f"GET {path} was answered with {status}: {body[:300]!r}")
        return json.loads(body)

    def ask(self, path: str) -> tuple[int, bytes]:
        """Status and body of the answer to a `GET`, with a token that was made at the first time."""
        if not self._token:
            self._token = run(python("appliance", "token", "add", "faults", "--config", str(self._config))).strip()
        context = ssl.create_default_context(cafile=str(self.data / "pki" / "web-ca.pem"))
        line = http.client.HTTPSConnection("localhost", self._web_port, timeout=60, context=context)
        try:
            line.request("GET", path, headers={"Authorization": f"Bearer {self._token}"})
            answer = line.getresponse()
            return answer.status, answer.read()
        finally:
            line.close()

    def stored(self, device_ids: Sequence[str]) -> list[int]:
        """Every number that the API gives of these devices, as often as it gives it. Raises `BenchError`."""
        now = time.time_ns() // 1_000_000
        span = f"start={now - 30 * DAY_MS}&end={now + HOUR_MS}&limit={READINGS_LIMIT}"
        numbers: list[int] = []
        for device_id in device_ids:
            status, body = self.ask(f"/v1/devices/{device_id}/telemetry?metric={METRIC}&{span}")
            if status == http.client.NOT_FOUND:
                # It has sent nothing that was kept.
                continue
            answer = json.loads(body)
            if status != http.client.OK or answer["truncated"]:
                raise BenchError(f"not all readings of {device_id} were given: {status} {body[:200]!r}")
            numbers += [int(value) for series in answer["series"] for value in series["values"]]
        return numbers

    @property
    def _config(self) -> Path:
        return self.log.parent / "config.toml"

    def _write_settings(self) -> None:
        text = _SETTINGS.format(data=self.data, host=MQTT_HOST, mqtt_port=self.mqtt_port, more=self._settings)
        self._config.write_text(text, encoding="utf-8")

    def _running(self) -> "subprocess.Popen[bytes]":
        if self._child is None or self._child.poll() is not None:
            raise BenchError(f"the gateway has ended by itself: see {self.log}")
        return self._child


@contextmanager
def patient(folder: Path, log: Path, device_count: int, settings: str = "") -> Iterator[Patient]:
    """A prepared gateway that does not run yet, and does not run any more afterwards."""
    gateway = Patient(folder, log, settings)
    folder.mkdir(parents=True, exist_ok=True)
    gateway.prepare(device_count)
    try:
        yield gateway
    finally:
        gateway.kill()
