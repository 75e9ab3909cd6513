"""Whoever has plugins for amqtt moves in with them: password file, topic lists, event log, over real sockets."""

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher

from broker.listener import Endpoint
from broker.plugins.host import PluginHost
from broker.plugins.listeners import listeners_of
from broker.plugins.ports import Mode, PluginConfig
from broker.plugins.view import TenantView
from broker.ports import Credentials, Denied
from broker.server import Broker
from tests.fakes import FakeAuthorizer, FakeOwner
from tests.flows.running import end_client

PATIENCE_S = 20.0
AMQTT_SETTINGS: dict[str, Any] = {
    "listeners": {"default": {"type": "tcp", "bind": "127.0.0.1:0"}},
    "plugins": {
        "amqtt.plugins.authentication.FileAuthPlugin": {},
        "amqtt.plugins.topic_checking.TopicAccessControlListPlugin": {
            "publish_acl": {"anna": ["plant/+/out"], "bob": ["plant/+/out"]},
            "acl": {"anna": ["plant/#"], "bob": ["plant/7/#"]},
        },
        "amqtt.plugins.logging_amqtt.EventLoggerPlugin": {},
    },
}


class _Strangers(FakeAuthorizer):
    """A gateway that knows nobody without a certificate."""

    def authenticate(self, credentials: Credentials) -> Denied:
        return Denied("a certificate of this gateway is needed")


class _Guest:
    """A client that others use too, in a thread of its own."""

    def __init__(self, client_id: str, username: str, password: str) -> None:
        self.came = threading.Condition()
        self.codes: list[int] = []
        self.granted: list[list[int]] = []
        self.messages: list[tuple[str, bytes]] = []
        self.client = paho.Client(CallbackAPIVersion.VERSION2, client_id, protocol=paho.MQTTv311)
        self.client.username_pw_set(username, password)
        self.client.on_connect = lambda _c, _d, _f, code, _p: self._note(self.codes, code.value)
        self.client.on_subscribe = lambda _c, _d, _m, codes, _p: self._note(
            self.granted, [code.value for code in codes]
        )
        self.client.on_message = lambda _c, _d, message: self._note(self.messages, (message.topic, message.payload))

    def connect(self, port: int) -> int:
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()
        self.wait(self.codes)
        return self.codes[0]

    def subscribe(self, topic_filter: str) -> int:
        count = len(self.granted) + 1
        self.client.subscribe(topic_filter, 1)
        self.wait(self.granted, count)
        return self.granted[-1][0]

    def wait(self, heard: Sequence[object], count: int = 1) -> None:
        with self.came:
            assert self.came.wait_for(lambda: len(heard) >= count, PATIENCE_S)

    def close(self) -> None:
        self.client.disconnect()
        end_client(self.client)

    def _note(self, heard: list[Any], value: object) -> None:
        with self.came:
            heard.append(value)
            self.came.notify_all()


@contextlib.asynccontextmanager
async def _gateway(folder: Path) -> AsyncIterator[tuple[int, FakeOwner]]:
    hasher = PasswordHash((Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1),))
    passwords = folder / "passwords"
    passwords.write_text("".join(f"{name}:{hasher.hash('secret of ' + name)}\n" for name in ("anna", "bob")))
    plugins = {**AMQTT_SETTINGS["plugins"]}
    plugins["amqtt.plugins.authentication.FileAuthPlugin"] = {"password_file": str(passwords)}
    [listener] = listeners_of(AMQTT_SETTINGS)

    def clock() -> int:
        return time.time_ns() // 1_000_000

    host = PluginHost(PluginConfig(plugins={**plugins}, mode=Mode.GUESTS, guest_filters=("plant/#",)), clock)
    owner = FakeOwner()
    broker = Broker(owner, host.authorizer(_Strangers()), clock)
    owner.acknowledge = broker.acknowledge
    observer = host.observer()
    assert observer is not None
    broker.observe(observer)
    async with (
        host.running(TenantView(broker.exchange, 1, clock)),
        broker.connected(),
        broker.listening(Endpoint(listener.host, listener.port)) as (port,),
    ):
        yield port, owner


async def test_users_and_topics_of_amqtts_plugins_are_those_of_the_gateway(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "amqtt")
    async with _gateway(tmp_path) as (port, owner):
        anna, bob = _Guest("a", "anna", "secret of anna"), _Guest("b", "bob", "secret of bob")
        stranger = _Guest("c", "anna", "a wrong secret")
        try:
            assert await asyncio.to_thread(anna.connect, port) == 0
            assert await asyncio.to_thread(bob.connect, port) == 0
            assert await asyncio.to_thread(stranger.connect, port) != 0
            assert await asyncio.to_thread(anna.subscribe, "plant/#") == 1
            assert await asyncio.to_thread(bob.subscribe, "plant/7/#") == 1
            assert await asyncio.to_thread(bob.subscribe, "plant/#") == 0x80
            anna.client.publish("plant/7/out", b"allowed", 1)
            bob.client.publish("plant/8/out", b"also allowed", 1)
            await asyncio.to_thread(anna.wait, anna.messages, 2)
            await asyncio.to_thread(bob.wait, bob.messages)
            bob.client.publish("plant/7/in", b"denied by the list", 0)
            await owner.until(lambda _: any("'plant/7/in'" in refused.reason for refused in owner.refused))
        finally:
            for guest in (anna, bob, stranger):
                await asyncio.to_thread(guest.close)
    assert sorted(anna.messages) == [("plant/7/out", b"allowed"), ("plant/8/out", b"also allowed")]
    assert bob.messages == [("plant/7/out", b"allowed")]
    assert sorted(message.principal for message in owner.messages) == ["guest/anna", "guest/bob"]
    logged = [record.getMessage() for record in caplog.records if record.name.endswith("EventLoggerPlugin")]
    for event in ("broker_client_connected", "broker_client_subscribed", "broker_message_received"):
        assert sum(f"on_{event}'" in line for line in logged) == 2, event
    assert "secret of" not in caplog.text
