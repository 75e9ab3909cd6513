"""The two brokers that are compared, each new for every script: no state of one script reaches another."""

import asyncio
import contextlib
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from broker.limits import Limits
from broker.listener import Endpoint
from broker.server import Broker
from tests.fakes import FakeAuthorizer, FakeOwner

HOST = "127.78.0.1"
"""An address of its own, so that whatever else runs on this machine is not in the way."""
START_TIMEOUT_S = 30.0

LIMITS = Limits(
    packet_bytes=1_000_000,
    connect_packet_bytes=1_000_000,
    queue_bytes=8_000_000,
    queues_bytes=64_000_000,
    unsent_bytes=8_000_000,
    client_id_bytes=65_535,
    topic_bytes=65_535,
    topic_levels=200,
    subscriptions=10_000,
    filters_per_subscribe=10_000,
    topic_aliases=10,
)
"""What Mosquitto takes."""

_SETTINGS = """\
listener {port} {host}
allow_anonymous true
persistence false
set_tcp_nodelay true
max_inflight_messages 0
sys_interval 0
log_type none
"""


def mosquitto_program() -> str | None:
    """Where Mosquitto is, if it is installed."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin:/usr/local/sbin")


@contextlib.asynccontextmanager
async def ours() -> AsyncIterator[int]:
    """Our broker, which lets everybody do everything; gives its port."""
    owner = FakeOwner()
    broker = Broker(owner, FakeAuthorizer(), lambda: time.time_ns() // 1_000_000, LIMITS)
    # There is nobody but the clients, as in Mosquitto.
    broker.exchange.owner_is_subscriber = False
    owner.acknowledge = broker.acknowledge
    faults: list[dict[str, object]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: faults.append(context))
    async with broker.connected(), broker.listening(Endpoint(HOST, 0)) as ports:
        yield ports[0]
    assert not faults, faults


@contextlib.contextmanager
def mosquitto(program: str) -> Iterator[int]:
    """Mosquitto; gives its port."""
    port = _free_port()
    with tempfile.TemporaryDirectory() as folder:
        settings = Path(folder) / "mosquitto.conf"
        settings.write_text(_SETTINGS.format(port=port, host=HOST), encoding="utf-8")
        process = subprocess.Popen([program, "-c", settings], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            _await_port(port, process)
            yield port
            assert process.poll() is None, f"Mosquitto ended by itself with status {process.returncode}"
        finally:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.create_server((HOST, 0)) as taken:
        return int(taken.getsockname()[1])


def _await_port(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.002)
    raise TimeoutError(f"Mosquitto does not listen; the status of its process is {process.poll()}")
