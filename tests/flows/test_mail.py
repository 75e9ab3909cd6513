"""The mail server is away, or the gateway is: every alert is told, and told once if at all possible."""

import email
import json
import signal
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email import policy
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller

from tests.flows.running import Device, RunningGateway, running

RECIPIENT = "night@example.com"


class Post:
    """What a real SMTP server was given, and whether it answers."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.refused_count = 0
        """How many messages are refused for now before one is taken."""
        self.arrived_count = 0

    @property
    def identifiers(self) -> list[str]:
        return [email.message_from_string(text, policy=policy.default)["Message-ID"] for text in self.texts]

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802  the library's name
        self.arrived_count += 1
        if self.arrived_count <= self.refused_count:
            return "451 4.3.0 not now"
        self.texts.append(envelope.content.decode())
        return "250 taken"


@contextmanager
def delivering(post: Post, port: int) -> Iterator[None]:
    controller = Controller(post, hostname="127.0.0.1", port=port)
    controller.start()
    try:
        yield
    finally:
        controller.stop()


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def settings(port: int) -> str:
    return f'\n[email]\nserver = "127.0.0.1"\nport = {port}\nsecurity = "none"\n'


def raise_alert(gateway: RunningGateway, token: str) -> None:
    rule = {
        "name": "High pressure",
        "metric": "pressure",
        "operator": "GREATER_THAN",
        "threshold": 60,
        "recipients": [RECIPIENT],
    }
    status, answer = gateway.call("POST", "/v1/alert-rules", token, json.dumps(rule).encode())
    assert status == 201, answer
    device = Device(gateway, "sensor-001").wait_connected()
    device.publish({"timestamp": int(time.time() * 1_000), "readings": {"pressure": 71}})
    device.wait_acknowledged(1)
    device.close()


def test_a_mail_server_that_was_down_gets_the_notice_once_when_it_is_back(tmp_path: Path) -> None:
    port, post = free_port(), Post()
    with running(tmp_path, settings(port)) as gateway:
        raise_alert(gateway, gateway.token())
        gateway.wait_printed("notice not sent")
        with delivering(post, port):
            # The next attempt is made five seconds after the first.
            gateway.wait_printed("notice sent")
    with running(tmp_path, settings(port)), delivering(post, port):
        pass
    assert len(post.texts) == 1
    assert RECIPIENT in post.texts[0]


def test_a_gateway_that_is_killed_before_the_server_took_the_notice_sends_it_after_its_next_start(
    tmp_path: Path,
) -> None:
    port, post = free_port(), Post()
    with running(tmp_path, settings(port)) as gateway:
        raise_alert(gateway, gateway.token())
        gateway.wait_printed("notice not sent")
        gateway.end(signal.SIGKILL)
    with delivering(post, port), running(tmp_path, settings(port)) as gateway:
        gateway.wait_printed("notice sent")
    assert len(post.texts) == 1


def test_a_busy_mail_server_is_asked_again_with_the_same_message(tmp_path: Path) -> None:
    port, post = free_port(), Post()
    post.refused_count = 1
    with delivering(post, port), running(tmp_path, settings(port)) as gateway:
        raise_alert(gateway, gateway.token())
        gateway.wait_printed("answered 451 4.3.0 not now")
        gateway.wait_printed("notice sent")
    assert post.arrived_count == 2
    assert len(set(post.identifiers)) == len(post.texts) == 1
