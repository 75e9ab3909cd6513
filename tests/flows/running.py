"""A real gateway process for stories: started, asked, loaded, stopped or killed."""

import io
import json
import os
import re
import signal
import ssl
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

import appliance.__main__ as appliance
from tests.flows import births

ROOT = Path(__file__).parents[2]
START_S = 45.0

_caught = threading.Lock()
"""What is printed is caught for the whole process."""

SETTINGS = """
[mqtt]
host = "127.0.0.1"
port = {mqtt_port}
shared_port = 0

[http]
host = "127.0.0.1"
port = 0
"""


class RunningGateway:
    """One process of the gateway and what it printed."""

    def __init__(self, folder: Path, settings: str = "", *options: str, mqtt_port: int = 0) -> None:
        self.data = folder / "data"
        folder.mkdir(parents=True, exist_ok=True)
        self.config = folder / "config.toml"
        self.config.write_text(SETTINGS.format(mqtt_port=mqtt_port) + "trust_port = 0\nenrolment_port = 0\n" + settings)
        self.lines: list[str] = []
        self._is_over = False
        self._printed = threading.Condition()
        self.process = births.gateway(["run", "--config", self.config, "--data", self.data, *options])
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def wait_ready(self) -> None:
        # The claim, if any, is printed in the same piece of text.
        self.wait_printed("  Data ")
        self.web_port = self._number(r"Dashboard +https://localhost:(\d+)/")
        self.mqtt_port = self._number(r"MQTT +mqtts://localhost:(\d+) ")

    def wait_printed(self, text: str) -> None:
        with self._printed:
            assert self._printed.wait_for(lambda: self._is_over or text in self.output, START_S), self.output
        assert text in self.output, self.output

    @property
    def output(self) -> str:
        return "".join(self.lines)

    @property
    def claim(self) -> str:
        found = re.search(r"/claim#(\S+)", self.output)
        assert found, self.output
        return found[1]

    def end(self, number: int = signal.SIGTERM) -> int:
        """Send a signal and wait for the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        status = self.process.wait(30)
        self._reader.join(30)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status

    def command(self, *arguments: str) -> str:
        """Run a command of the command line on the same data folder."""
        done = subprocess.run(
            [sys.executable, "-m", "appliance", *arguments, "--config", self.config, "--data", self.data],
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def quick_command(self, *arguments: str | Path) -> tuple[int, str]:
        """Run a command in this process: one of its own takes seconds to begin. Its status, and what it printed."""
        command = [*map(str, arguments), "--config", str(self.config), "--data", str(self.data)]
        printed = io.StringIO()
        # In a thread there is no event loop yet, which a test may have.
        with _caught, redirect_stdout(printed), redirect_stderr(printed), ThreadPoolExecutor(1) as thread:
            status = thread.submit(appliance.main, command).result()
        return status, printed.getvalue()

    def add_device(self, device_id: str) -> Path:
        status, printed = self.quick_command("device", "add", device_id)
        assert status == 0, printed
        return self.data / "bundles" / device_id

    def get(self, path: str, token: str) -> Any:
        return self.call("GET", path, token)[1]

    def call(self, method: str, path: str, token: str, body: bytes | None = None) -> tuple[int, Any]:
        """Call /v1 over HTTPS, trusting the gateway's own web CA and nothing else."""
        context = ssl.create_default_context(cafile=str(self.data / "pki" / "web-ca.pem"))
        request = urllib.request.Request(
            f"https://localhost:{self.web_port}{path}",
            data=body,
            method=method,
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20, context=context) as answer:
                return answer.status, json.loads(answer.read() or b"null")
        except urllib.error.HTTPError as error:
            with error:
                return error.code, json.loads(error.read() or b"null")

    def token(self) -> str:
        status, printed = self.quick_command("token", "add", f"test-{os.urandom(4).hex()}")
        assert status == 0, printed
        return printed.strip()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._printed:
                self.lines.append(line)
                self._printed.notify_all()
        with self._printed:
            self._is_over = True
            self._printed.notify_all()

    def _number(self, pattern: str) -> int:
        found = re.search(pattern, self.output)
        assert found, self.output
        return int(found[1])


@contextmanager
def running(folder: Path, settings: str = "", *options: str, mqtt_port: int = 0) -> Iterator[RunningGateway]:
    """A gateway that is stopped at the end, and killed if it does not stop."""
    gateway = RunningGateway(folder, settings, *options, mqtt_port=mqtt_port)
    try:
        gateway.wait_ready()
        yield gateway
    finally:
        if gateway.process.poll() is None:
            try:
                gateway.end()
            except subprocess.TimeoutExpired:
                gateway.end(signal.SIGKILL)
        elif gateway.process.stdout is not None and not gateway.process.stdout.closed:
            gateway.wait()


class Device:
    """A device made with a client library that others use too."""

    def __init__(
        self, gateway: RunningGateway, device_id: str, bundle: Path | None = None, *, keeps_session: bool = False
    ) -> None:
        self.device_id = device_id
        self.is_connected = threading.Event()
        self.is_gone = threading.Event()
        self.has_acknowledged = threading.Condition()
        self._sent: dict[int, int] = {}
        self._acknowledged: list[int] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, device_id, not keeps_session, protocol=paho.MQTTv311)
        self.client.max_inflight_messages_set(1_000)
        folder = bundle or gateway.add_device(device_id)
        self.client.tls_set(str(folder / "root.pem"), str(folder / "certificate.pem"), str(folder / "key.pem"))
        self.client.on_connect = lambda *_: self.is_connected.set()
        self.client.on_disconnect = lambda *_: self.is_gone.set()
        self.client.on_publish = self._on_publish
        self.client.connect("localhost", gateway.mqtt_port, keepalive=30)
        self.client.loop_start()

    def wait_connected(self) -> "Device":
        assert self.is_connected.wait(20)
        return self

    def publish(self, payload: dict[str, Any] | bytes, number: int = 0, topic: str | None = None) -> None:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        # No lock here: the library holds its own while it calls back.
        sent = self.client.publish(topic or f"sensors/{self.device_id}/telemetry", body, qos=1)
        self._sent[sent.mid] = number

    @property
    def acknowledged(self) -> list[int]:
        """The numbers of what was acknowledged. Packet identifiers are not used twice in a story."""
        return [self._sent[mid] for mid in self._acknowledged]

    def wait_acknowledged(self, count: int, timeout_s: float = 30.0) -> None:
        with self.has_acknowledged:
            assert self.has_acknowledged.wait_for(lambda: len(self._acknowledged) >= count, timeout_s)

    def close(self) -> None:
        self.client.disconnect()
        end_client(self.client)

    def _on_publish(self, _client: Any, _data: Any, mid: int, _reason: Any, _properties: Any) -> None:
        with self.has_acknowledged:
            self._acknowledged.append(mid)
            self.has_acknowledged.notify_all()


def end_client(client: paho.Client) -> None:
    """Stop its thread and let go of it: it closes its sockets when it is forgotten, so nothing may hold it in a circle.

    Left to the collector, the sockets may be found before the client, and are told as unclosed.
    """
    client.loop_stop()
    client.on_connect = client.on_disconnect = client.on_subscribe = client.on_publish = client.on_message = None
