"""A configuration of amqtt moved over: its users are guests beside the devices. Without plugins there is no amqtt."""

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from broker.codec import Decoder, encode
from broker.packets import V4, Connack, Connect, Packet, Puback, Publish, Suback, Subscribe, Subscription
from tests.flows.running import ROOT, Device, RunningGateway, running

PATIENCE_S = 20.0
WELCOME = Connack(session_present=False, code=0)
DEVICE = "pump-7"
AMQTT_YAML = """
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:0
timeout-disconnect-delay: 2
plugins:
  amqtt.plugins.authentication.FileAuthPlugin:
    password_file: {passwords}
  amqtt.plugins.topic_checking.TopicAccessControlListPlugin:
    publish_acl:
      anna: [plant/+/out, elsewhere]
    acl:
      anna: [plant/#]
"""


class Village:
    """A gateway with guests, and the two plain ports by which they come."""

    def __init__(self, gateway: RunningGateway) -> None:
        self.gateway = gateway
        self.ports = [int(port) for port in re.findall(r"Plain MQTT mqtt://localhost:(\d+) ", gateway.output)]
        assert len(self.ports) == 2
        gateway.add_device(DEVICE)


@pytest.fixture(scope="module")
def village(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Village]:
    folder = tmp_path_factory.mktemp("village")
    hasher = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
    (folder / "passwords").write_text(f"anna:{hasher.hash('secret of anna')}\n")
    (folder / "broker.yaml").write_text(AMQTT_YAML.format(passwords=folder / "passwords"))
    settings = f"[plugins]\nmode = 'guests'\nguest_filters = ['plant/#']\namqtt_config = '{folder / 'broker.yaml'}'\n"
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("HEADWORKS__MQTT__PLAIN_PORT", "0")
        with running(folder, settings) as gateway:
            yield Village(gateway)


def answers(port: int, connect: Connect, *packets: Packet) -> list[Packet]:
    """What comes back: one packet for each, as long as the connection lasts."""
    decoder = Decoder()
    found: list[Packet] = []
    with socket.create_connection(("127.0.0.1", port), PATIENCE_S) as sock:
        for packet in (connect, *packets):
            sock.sendall(encode(packet, V4))
            came: list[Packet] = []
            while not came:
                data = sock.recv(1_000)
                if not data:
                    return found
                came = decoder.feed(data)
            found += came
    return found


def anna(client_id: str = "anna's screen", password: bytes = b"secret of anna") -> Connect:
    return Connect(V4, client_id, True, 0, None, "anna", password)


@pytest.mark.parametrize("number", [0, 1])
def test_a_guest_comes_by_every_plain_port_and_does_what_both_its_lists_and_the_settings_allow(
    village: Village, number: int
) -> None:
    wishes = Subscribe(1, tuple(Subscription(each, 1) for each in ("plant/#", "#", f"sensors/{DEVICE}/telemetry")))
    found = answers(village.ports[number], anna(), wishes, Publish("plant/7/in", b"x", 1, packet_id=2))
    assert found[:2] == [WELCOME, Suback(1, (1, 0x80, 0x80))]
    found = answers(village.ports[number], anna(), Publish("plant/7/out", b"x", 1, packet_id=2))
    assert found == [WELCOME, Puback(2)]


def test_a_wrong_password_lets_nobody_in(village: Village) -> None:
    [refusal] = answers(village.ports[0], anna(password=b"a wrong secret"))
    assert isinstance(refusal, Connack)
    assert refusal.code != 0


def test_where_there_are_guests_the_name_of_a_device_makes_nobody_that_device(village: Village) -> None:
    [refusal] = answers(village.ports[0], Connect(V4, DEVICE, True, 0))
    assert isinstance(refusal, Connack)
    assert refusal.code != 0
    # A guest may call itself as it likes: its rights hang on its own name.
    found = answers(village.ports[0], anna(DEVICE), Subscribe(1, (Subscription(f"cmd/{DEVICE}/#", 1),)))
    assert found == [WELCOME, Suback(1, (0x80,))]


def test_a_device_needs_no_password_of_guests(village: Village) -> None:
    device = Device(village.gateway, DEVICE).wait_connected()
    device.publish({"temperature": 21.5}, 1)
    device.wait_acknowledged(1)
    device.close()


def test_how_the_plugins_do_stands_among_the_parts_and_their_secrets_in_no_log(village: Village) -> None:
    status = village.gateway.get("/v1/status", village.gateway.token())
    assert status["parts"]["plugins"]["ok"]
    assert "timeout_disconnect_delay is left out" in village.gateway.output
    assert "secret of" not in village.gateway.output


def test_a_gateway_without_plugins_runs_without_amqtt(tmp_path: Path) -> None:
    program = (
        "import asyncio, json, os, signal, sys\n"
        "from appliance import process\n"
        "from appliance.config import Config, HttpConfig, MqttConfig\n"
        "def started(_):\n"
        "    print(json.dumps(sorted(sys.modules)))\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "mqtt = MqttConfig(host='127.0.0.1', port=0, shared_port=0)\n"
        "http = HttpConfig(host='127.0.0.1', port=0, trust_port=None, enrolment_port=None)\n"
        "asyncio.run(process.run(Config(data=sys.argv[1], mqtt=mqtt, http=http), started))\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "data")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=50, check=False)
    assert done.returncode == 0, done.stderr
    modules = json.loads(done.stdout)
    assert "broker.plugins.host" in modules
    assert [name for name in modules if name.split(".")[0] in ("amqtt", "dacite", "transitions")] == []
    assert "broker.plugins.running" not in modules
