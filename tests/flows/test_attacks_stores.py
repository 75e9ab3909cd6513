"""B-23: what says who may come in is empty or damaged. Then nobody may."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from appliance.config import ConfigError, load
from appliance.registry.model import KeyFolderError
from appliance.registry.service import Registry
from appliance.store.database import opened
from appliance.store.migrate import migrate
from broker.limits import Limits
from broker.listener import Endpoint
from broker.packets import Connack, Connect, Packet, Publish
from broker.plugins.host import PluginHost
from broker.plugins.ports import Mode, PluginConfig, PluginError
from broker.plugins.view import TenantView
from broker.ports import Credentials, Denied, Principal
from broker.server import Broker
from tests.broker.house import Wire
from tests.fakes import FakeAuthorizer, FakeOwner

FILE_AUTHENTICATION = "amqtt.plugins.authentication.FileAuthPlugin"
TOPIC_LISTS = "amqtt.plugins.topic_checking.TopicAccessControlListPlugin"
DAMAGED = {
    "empty": b"",
    "without an end of line": b"anna",
    "without a hash": b"anna:\n",
    "with a hash that is none": b"anna:secret\n",
    "of zeros": bytes(512),
    "that is no text": bytes(range(128, 256)),
    "of colons": b":::\n" * 3,
}


def clock() -> int:
    return time.time_ns() // 1_000_000


class NoStrangers(FakeAuthorizer):
    """A gateway that knows nobody without a certificate."""

    def authenticate(self, credentials: Credentials) -> Denied:
        return Denied("a certificate of this gateway is needed")


@contextlib.asynccontextmanager
async def connecting(plugins: dict[str, dict[str, Any] | None]) -> AsyncIterator[Wire]:
    """A connection to a broker that asks these plugins of amqtt about its guests."""
    host = PluginHost(PluginConfig(plugins=plugins, mode=Mode.GUESTS, guest_filters=("plant/#",)), clock)
    owner = FakeOwner()
    broker = Broker(owner, host.authorizer(NoStrangers()), clock, Limits(sweep_interval_s=0.05))
    owner.acknowledge = broker.acknowledge
    async with (
        host.running(TenantView(broker.exchange, 1, clock)),
        broker.connected(),
        broker.listening(Endpoint("127.0.0.1", 0)) as (port,),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            yield Wire(reader, writer)
        finally:
            writer.transport.abort()


async def told(plugins: dict[str, dict[str, Any] | None], username: str, password: bytes | None) -> list[Packet]:
    """What a guest is told; nothing where the broker does not start with such plugins."""
    with contextlib.suppress(PluginError):
        async with connecting(plugins) as wire:
            await wire.send(Connect(4, "c", True, 0, username=username, password=password))
            return [await wire.receive()]
    return []


def is_refused(packets: list[Packet]) -> bool:
    return all(isinstance(packet, Connack) and packet.code != 0 for packet in packets)


@pytest.mark.parametrize("content", DAMAGED.values(), ids=[f"B-23 {name}" for name in DAMAGED])
@pytest.mark.parametrize("password", [None, b"", b"secret"])
async def test_b_23_a_password_file_that_is_damaged_lets_nobody_in(
    tmp_path: Path, content: bytes, password: bytes | None
) -> None:
    passwords = tmp_path / "passwords"
    passwords.write_bytes(content)
    plugins: dict[str, dict[str, Any] | None] = {FILE_AUTHENTICATION: {"password_file": str(passwords)}}
    for username in ("anna", ""):
        assert is_refused(await told(plugins, username, password))


async def test_b_23_a_password_file_that_is_missing_stops_the_start(tmp_path: Path) -> None:
    assert await told({FILE_AUTHENTICATION: {"password_file": str(tmp_path / "none")}}, "anna", b"secret") == []


@pytest.mark.parametrize("lists", [{}, {"acl": {}, "publish_acl": {}}], ids=["B-23 no lists", "B-23 empty lists"])
async def test_b_23_lists_of_topics_that_are_empty_allow_nothing_beyond_the_settings(lists: dict[str, object]) -> None:
    plugins: dict[str, dict[str, Any] | None] = {
        "amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True},
        TOPIC_LISTS: lists,
    }
    async with connecting(plugins) as wire:
        connack = await wire.connect("c")
        if connack.code:
            return
        assert await wire.subscribe(("plant/x", 0), ("other", 0)) == (0x80, 0x80)
        # That plugin lets everybody publish where it has no list; where guests may publish at all, the settings say.
        await wire.send(Publish("other", b"x", 1, packet_id=1))
        assert await wire.until_closed() == []


async def test_b_23_a_registry_without_devices_lets_nobody_in(tmp_path: Path) -> None:
    async with (
        opened(tmp_path / "gateway.db", prepare=migrate) as database,
        Registry(database, tmp_path / "pki", clock).opened() as registry,
    ):
        for certificate in (None, b"", b"DER"):
            for transport in ("tls", "plain", "websocket"):
                shown = Credentials("c", "c", b"c", certificate, "127.0.0.1:1", transport)
                assert isinstance(registry.authenticate(shown), Denied)
        stranger = Principal(1, "c")
        for decide in (registry.may_publish, registry.may_subscribe, registry.may_receive):
            assert isinstance(decide(stranger, "sensors/c/telemetry"), Denied)


@pytest.mark.parametrize("content", [b"", b"garbled", bytes(100)], ids=["B-23 empty", "B-23 garbled", "B-23 zeros"])
@pytest.mark.parametrize("name", ["root.pem", "issuing.pem", "issuing.key"])
async def test_b_23_a_damaged_folder_of_keys_stops_the_start(tmp_path: Path, name: str, content: bytes) -> None:
    async with opened(tmp_path / "gateway.db", prepare=migrate) as database:
        async with Registry(database, tmp_path / "pki", clock).opened():
            pass
        (tmp_path / "pki" / name).write_bytes(content)
        with pytest.raises(KeyFolderError):
            async with Registry(database, tmp_path / "pki", clock).opened():
                pass


@pytest.mark.parametrize("content", [b"[mqtt", b"\xff\xfe", b"[mqtt]\nport = 'none'", b"[nothing]"])
def test_b_23_settings_that_are_damaged_stop_the_start(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "config.toml"
    file.write_bytes(content)
    with pytest.raises(ConfigError):
        load(file, {})
