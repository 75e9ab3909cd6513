"""From a breach to an e-mail."""

import asyncio
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import SMTP

from tests.flows.running import Device, RunningGateway, running

HOLD_MS = 60_000


class Postbox:
    """A real SMTP server's handler: it keeps what is delivered."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self._delivered = threading.Condition()

    def wait_delivered(self, count: int) -> None:
        with self._delivered:
            assert self._delivered.wait_for(lambda: len(self.messages) >= count, 30)

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  the library's name
        with self._delivered:
            self.messages.append(envelope.content.decode())
            self._delivered.notify_all()
        return "250 taken"


@pytest.fixture
def postbox() -> Iterator[tuple[Postbox, int]]:
    box = Postbox()
    loop = asyncio.new_event_loop()
    server = loop.run_until_complete(loop.create_server(lambda: SMTP(box, loop=loop), "127.0.0.1", 0))
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    yield box, server.sockets[0].getsockname()[1]
    server.close()
    loop.call_soon_threadsafe(loop.stop)
    thread.join()
    loop.run_until_complete(server.wait_closed())
    loop.close()


def _settings(port: int) -> str:
    return f'\n[email]\nserver = "127.0.0.1"\nport = {port}\nsecurity = "none"\n'


def _add_rule(gateway: RunningGateway, token: str) -> None:
    rule = (
        b'{"name": "High pressure", "metric": "pressure", "operator": "GREATER_THAN", "threshold": 60,'
        b' "hold_ms": %d, "severity": "high", "recipients": ["night@example.com"]}' % HOLD_MS
    )
    status, answer = gateway.call("POST", "/v1/alert-rules", token, rule)
    assert status == 201, answer


def _publish(device: Device, readings: list[tuple[int, float]]) -> None:
    for at, pressure in readings:
        device.publish({"timestamp": at, "readings": {"pressure": pressure}})
    device.wait_acknowledged(len(readings))


def test_a_breach_shorter_than_the_hold_raises_nothing(tmp_path: Path, postbox: tuple[Postbox, int]) -> None:
    box, port = postbox
    with running(tmp_path, _settings(port)) as gateway:
        token = gateway.token()
        _add_rule(gateway, token)
        device = Device(gateway, "sensor-001").wait_connected()
        start = int(time.time() * 1_000) - 10 * HOLD_MS
        _publish(device, [(start, 70.0), (start + HOLD_MS - 1, 70.0), (start + HOLD_MS, 50.0)])
        device.close()
        assert gateway.get("/v1/alerts", token)["alerts"] == []
    assert box.messages == []


def test_a_longer_breach_raises_one_alert_and_one_email(tmp_path: Path, postbox: tuple[Postbox, int]) -> None:
    box, port = postbox
    with running(tmp_path, _settings(port)) as gateway:
        token = gateway.token()
        _add_rule(gateway, token)
        device = Device(gateway, "sensor-001").wait_connected()
        start = int(time.time() * 1_000) - 10 * HOLD_MS
        _publish(device, [(start + step * 5_000, 70.0 + step) for step in range(20)])
        device.close()
        [alert] = gateway.get("/v1/alerts", token)["alerts"]
        assert alert["device_id"] == "sensor-001"
    # The stop lets the notifier finish what it began; whatever it did not send is still due.
    with running(tmp_path, _settings(port)) as gateway:
        token = gateway.token()
        [again] = gateway.get("/v1/alerts", token)["alerts"]
        assert again["alert_id"] == alert["alert_id"]
        box.wait_delivered(1)
    assert len(box.messages) == 1
    assert "night@example.com" in box.messages[0]
    assert "High pressure" in box.messages[0]
