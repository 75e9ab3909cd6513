"""Clients that others wrote connect over mutual TLS, subscribe and publish at QoS 1, and are told when they may not."""

import asyncio
import shutil
import ssl
import threading
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from amqtt.client import MQTTClient
from amqtt.errors import ConnectError
from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from broker.listener import tls_context
from tests.broker.certificates import Authority
from tests.broker.house import House, serving

PAYLOAD = b"\0\xff 23.5"
PATIENCE_S = 20


@dataclass(frozen=True)
class Gateway:
    """A broker with mutual TLS, and the files of one client."""

    house: House
    trust: Path
    certificate: Path
    key: Path


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("certificates"), "root")


@pytest.fixture
async def gateway(authority: Authority) -> AsyncIterator[Gateway]:
    certificate, key = authority.issue("sensor")
    server = tls_context(*authority.issue("server"), authority.trust)
    async with serving(None, server, authority.client_context(authority)) as house:
        yield Gateway(house, authority.trust, certificate, key)


def _paho(gateway: Gateway, client_id: str, *, clean_session: bool = True) -> paho.Client:
    client = paho.Client(
        CallbackAPIVersion.VERSION2, client_id, clean_session=clean_session, protocol=MQTTProtocolVersion.MQTTv311
    )
    client.tls_set(str(gateway.trust), str(gateway.certificate), str(gateway.key), tls_version=ssl.PROTOCOL_TLS_CLIENT)
    return client


def _paho_story(gateway: Gateway) -> list[tuple[str, bytes, int, bool]]:
    """Subscribe, publish and receive; then leave a retained message behind."""
    received: list[tuple[str, bytes, int, bool]] = []
    subscribed, arrived = threading.Event(), threading.Event()
    client = _paho(gateway, "paho")

    def on_message(_client: object, _userdata: object, message: paho.MQTTMessage) -> None:
        received.append((message.topic, bytes(message.payload), message.qos, message.retain))
        arrived.set()

    client.on_message = on_message
    client.on_subscribe = lambda *_: subscribed.set()
    client.connect("127.0.0.1", gateway.house.port, keepalive=30)
    client.loop_start()
    try:
        client.subscribe("paho/+", qos=1)
        assert subscribed.wait(PATIENCE_S)
        published = client.publish("paho/x", PAYLOAD, qos=1, retain=True)
        published.wait_for_publish(PATIENCE_S)
        assert published.is_published()
        assert arrived.wait(PATIENCE_S)
    finally:
        client.disconnect()
        client.loop_stop()
    return received


async def test_paho_publishes_and_receives(gateway: Gateway) -> None:
    assert await asyncio.to_thread(_paho_story, gateway) == [("paho/x", PAYLOAD, 1, False)]
    await gateway.house.owner.until(lambda owner: bool(owner.left))
    (message,) = gateway.house.owner.messages
    assert (message.client_id, message.payload, message.retain) == ("paho", PAYLOAD, True)
    assert [event.reason for event in gateway.house.owner.left] == ["the client disconnected"]


def _paho_refusal(gateway: Gateway) -> str:
    answered = threading.Event()
    reasons: list[str] = []

    def on_connect(_client: object, _userdata: object, _flags: object, reason: object, _properties: object) -> None:
        reasons.append(str(reason))
        answered.set()

    client = _paho(gateway, "unwanted")
    client.on_connect = on_connect
    client.connect("127.0.0.1", gateway.house.port)
    client.loop_start()
    try:
        assert answered.wait(PATIENCE_S)
    finally:
        client.disconnect()
        client.loop_stop()
    return reasons[0]


async def test_paho_is_told_that_it_may_not_connect(gateway: Gateway) -> None:
    gateway.house.authorizer.denied_clients.add("unwanted")
    assert await asyncio.to_thread(_paho_refusal, gateway) == "Not authorized"


def _amqtt(gateway: Gateway) -> MQTTClient:
    files = {"cafile": str(gateway.trust), "certfile": str(gateway.certificate), "keyfile": str(gateway.key)}
    return MQTTClient("amqtt", {"auto_reconnect": False, "connection": files})


async def test_amqtt_publishes_and_receives(gateway: Gateway) -> None:
    client = _amqtt(gateway)
    await client.connect(f"mqtts://127.0.0.1:{gateway.house.port}/")
    try:
        assert await client.subscribe([("amqtt/#", 1)]) == [1]
        await client.publish("amqtt/x", PAYLOAD, qos=1)
        message = await client.deliver_message(timeout_duration=PATIENCE_S)
        assert message is not None
        assert (message.topic, bytes(message.data), message.qos) == ("amqtt/x", PAYLOAD, 1)
    finally:
        await client.disconnect()
    assert [message.payload for message in gateway.house.owner.messages] == [PAYLOAD]


async def test_amqtt_is_told_that_it_may_not_connect(gateway: Gateway) -> None:
    gateway.house.authorizer.denied_clients.add("amqtt")
    client = _amqtt(gateway)
    with pytest.raises(ConnectError):
        await client.connect(f"mqtts://127.0.0.1:{gateway.house.port}/")


def _mosquitto(gateway: Gateway, name: str, *more: str) -> list[str]:
    files = ("--cafile", gateway.trust, "--cert", gateway.certificate, "--key", gateway.key)
    return [name, "-h", "127.0.0.1", "-p", str(gateway.house.port), *map(str, files), "-q", "1", *more]


needs_mosquitto = pytest.mark.skipif(
    not (shutil.which("mosquitto_pub") and shutil.which("mosquitto_sub")), reason="mosquitto-clients is not installed"
)


@needs_mosquitto
async def test_mosquitto_publishes_and_receives(gateway: Gateway) -> None:
    house = gateway.house
    listening = await asyncio.create_subprocess_exec(
        *_mosquitto(gateway, "mosquitto_sub", "-i", "listening", "-t", "m/+", "-C", "2", "-F", "%q %r %t %p"),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(PATIENCE_S):
        await house.authorizer.asked_for_filter.wait()
    for text in ("first", "second"):
        publishing = await asyncio.create_subprocess_exec(
            *_mosquitto(gateway, "mosquitto_pub", "-i", "publishing", "-t", "m/x", "-m", text)
        )
        assert await publishing.wait() == 0
    async with asyncio.timeout(PATIENCE_S):
        output, _ = await listening.communicate()
    assert output == b"1 0 m/x first\n1 0 m/x second\n"
    assert [message.payload for message in house.owner.messages] == [b"first", b"second"]


@needs_mosquitto
async def test_mosquitto_fetches_what_waited_for_its_session(gateway: Gateway) -> None:
    keep = ("-i", "away", "-c", "-t", "m/x")
    leaving = await asyncio.create_subprocess_exec(*_mosquitto(gateway, "mosquitto_sub", *keep, "-E"))
    assert await leaving.wait() == 0
    wire = await gateway.house.client("other")
    await wire.publish("m/x", b"while you were away")
    back = await asyncio.create_subprocess_exec(
        *_mosquitto(gateway, "mosquitto_sub", *keep, "-C", "1"), stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(PATIENCE_S):
        output, _ = await back.communicate()
    assert output == b"while you were away\n"
