import asyncio
import contextlib
import socket
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest

from appliance.config import MqttConfig
from appliance.doors import Doors, MqttListenError, Ports
from appliance.registry.model import TlsFiles
from broker.client_hello import ClientHello
from broker.listener import Endpoint, HandOver, SharedEndpoint
from broker.plugins.listeners import Kind, ListenerSettings
from broker.server import Broker
from tests.appliance.examples import clock
from tests.broker.certificates import Authority
from tests.fakes import FakeAuthorizer, FakeOwner

PATIENCE_S = 30.0
HERE = "127.0.0.1"
EVERYWHERE = "0.0.0.0"  # noqa: S104  what a setting may say, nothing is bound there
OPEN = MqttConfig(host=HERE, port=0, shared_port=0, plain_port=0)


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority.create(tmp_path_factory.mktemp("doors"), "devices")


def doors(authority: Authority, config: MqttConfig = OPEN, *further: ListenerSettings) -> Doors:
    certificate, key = authority.issue("server")
    return Doors(config, lambda: TlsFiles(certificate, key, authority.trust), further)


class Web:
    """Takes what is handed to the web, and looks at what its client asked for."""

    def __init__(self) -> None:
        self.hellos: list[ClientHello] = []
        self.came = asyncio.Event()

    def take(self, sock: socket.socket, hello: ClientHello, _: str) -> None:
        sock.close()
        self.hellos.append(hello)
        self.came.set()


class House:
    """A broker whose doors are open."""

    def __init__(self, broker: Broker, owner: FakeOwner, ports: Ports, web: Web) -> None:
        self.broker, self.owner, self.ports, self.web = broker, owner, ports, web


@contextlib.asynccontextmanager
async def opened(doors: Doors) -> AsyncIterator[House]:
    web, owner = Web(), FakeOwner()
    broker = Broker(owner, FakeAuthorizer(), clock)
    async with broker.connected(), doors.opened(broker, HandOver(web.take)) as ports:
        yield House(broker, owner, ports, web)


async def refused(doors: Doors) -> None:
    """Open doors of which one cannot be."""
    async with doors.opened(Broker(FakeOwner(), FakeAuthorizer(), clock), HandOver(Web().take)):
        raise AssertionError


async def selected(port: int, context: ssl.SSLContext, *alpn: str) -> str | None:
    """Shake hands, and see what was selected by ALPN."""
    if alpn:
        context.set_alpn_protocols(alpn)
    async with asyncio.timeout(PATIENCE_S):
        _, writer = await asyncio.open_connection(HERE, port, ssl=context)
        chosen: str | None = writer.get_extra_info("ssl_object").selected_alpn_protocol()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()
    return chosen


@pytest.mark.parametrize(
    ("asked", "told"),
    [(("x-amzn-mqtt-ca",), "x-amzn-mqtt-ca"), (("http/1.1", "mqtt"), "mqtt"), (("mqtt", "x"), "mqtt")],
)
async def test_who_asks_for_mqtt_on_the_shared_port_gets_it_and_is_told_so(
    authority: Authority, asked: tuple[str, ...], told: str
) -> None:
    async with opened(doors(authority)) as house:
        assert house.ports.shared is not None
        assert await selected(house.ports.shared, authority.client_context(authority), *asked) == told
        assert house.web.hellos == []


@pytest.mark.parametrize("asked", [(), ("http/1.1",), ("h2", "x-amzn-http-ca")])
async def test_who_asks_for_anything_else_on_the_shared_port_is_the_webs(
    authority: Authority, asked: tuple[str, ...]
) -> None:
    async with opened(doors(authority)) as house:
        assert house.ports.shared is not None
        with pytest.raises(OSError, match=r"SSL|reset|closed"):
            await selected(house.ports.shared, authority.client_context(None), *asked)
        assert [hello.alpn for hello in house.web.hellos] == [asked]


@pytest.mark.parametrize("asked", [(), ("mqtt",), ("http/1.1",)])
async def test_on_the_port_of_mqtt_alone_nobody_has_to_ask(authority: Authority, asked: tuple[str, ...]) -> None:
    async with opened(doors(authority)) as house:
        told = await selected(house.ports.mqtt, authority.client_context(authority), *asked)
        assert told == ("mqtt" if "mqtt" in asked else None)


async def test_after_a_reload_a_new_certificate_is_shown_and_the_protocols_are_the_same(authority: Authority) -> None:
    files = [authority.issue("first"), authority.issue("second")]
    shown = authority.folder / "shown.pem", authority.folder / "shown.key"

    def show(index: int) -> None:
        for source, target in zip(files[index], shown, strict=True):
            target.write_bytes(source.read_bytes())

    def names(port: int) -> tuple[bytes | None, str | None]:
        context = authority.client_context(authority)
        context.set_alpn_protocols(["mqtt"])
        with (
            socket.create_connection((HERE, port), PATIENCE_S) as sock,
            context.wrap_socket(sock, server_hostname=HERE) as tls,
        ):
            return tls.getpeercert(binary_form=True), tls.selected_alpn_protocol()

    show(0)
    door = Doors(OPEN, lambda: TlsFiles(*shown, authority.trust))
    async with opened(door) as house:
        assert house.ports.shared is not None
        before = await asyncio.to_thread(names, house.ports.shared)
        show(1)
        assert await asyncio.to_thread(names, house.ports.shared) == before
        door.reload()
        after = await asyncio.to_thread(names, house.ports.shared)
    certificates = [ssl.PEM_cert_to_DER_cert(certificate.read_text()) for certificate, _ in files]
    assert [before, after] == [(each, "mqtt") for each in certificates]


async def test_a_certificate_that_does_not_fit_its_key_is_not_taken_up(authority: Authority) -> None:
    certificate, key = authority.folder / "own.pem", authority.folder / "own.key"
    for source, target in zip(authority.issue("good"), (certificate, key), strict=True):
        target.write_bytes(source.read_bytes())
    door = Doors(OPEN, lambda: TlsFiles(certificate, key, authority.trust))
    async with opened(door) as house:
        certificate.write_bytes(authority.issue("other")[0].read_bytes())
        with pytest.raises(ssl.SSLError):
            door.reload()
        await selected(house.ports.mqtt, authority.client_context(authority))


def test_only_what_is_set_is_opened(authority: Authority) -> None:
    closed = msgspec.structs.replace(OPEN, port=8883, shared_port=None, plain_port=None)
    [only] = doors(authority, closed).endpoints(HandOver(Web.take))  # type: ignore[arg-type]  # nobody calls it
    assert isinstance(only, Endpoint)
    assert (only.host, only.port, only.tls is None) == (HERE, 8883, False)


def test_plain_mqtt_is_for_this_machine_unless_networks_are_listed(authority: Authority) -> None:
    config = MqttConfig(host=EVERYWHERE, plain_port=1883)
    mine = doors(authority, config).endpoints(HandOver(Web.take))[-1]  # type: ignore[arg-type]  # nobody calls it
    listed = msgspec.structs.replace(config, plain_networks=("192.168.7.0/24",))
    theirs = doors(authority, listed).endpoints(HandOver(Web.take))[-1]  # type: ignore[arg-type]  # nobody calls it
    assert isinstance(mine, Endpoint)
    assert isinstance(theirs, Endpoint)
    assert (mine.host, mine.networks) == (HERE, ())
    assert (theirs.host, theirs.networks) == (EVERYWHERE, ("192.168.7.0/24",))


def test_listeners_of_amqtts_configuration_are_plain_ones_of_the_same_networks(authority: Authority) -> None:
    config = msgspec.structs.replace(OPEN, plain_networks=("192.168.7.0/24",))
    asked = [ListenerSettings("default", Kind.TCP, "", 1883), ListenerSettings("other", Kind.TCP, "10.0.0.1", 1884)]
    found = doors(authority, config, *asked).endpoints(HandOver(Web.take))  # type: ignore[arg-type]  # nobody calls it
    assert [type(each) for each in found] == [Endpoint, SharedEndpoint, Endpoint, Endpoint, Endpoint]
    taken = [each for each in found[-2:] if isinstance(each, Endpoint)]
    assert [(each.host, each.port, each.tls, each.networks) for each in taken] == [
        (EVERYWHERE, 1883, None, config.plain_networks),
        ("10.0.0.1", 1884, None, config.plain_networks),
    ]


async def test_where_tokens_are_shown_no_certificate_is_asked_for_and_a_renewed_one_is_shown(
    authority: Authority,
) -> None:
    certificate, key = authority.folder / "token.pem", authority.folder / "token.key"

    def show(name: str) -> bytes:
        for source, target in zip(authority.issue(name), (certificate, key), strict=True):
            target.write_bytes(source.read_bytes())
        return ssl.PEM_cert_to_DER_cert(certificate.read_text())

    def seen(port: int) -> tuple[bytes | None, str | None]:
        context = authority.client_context(None)
        context.set_alpn_protocols(["mqtt"])
        with (
            socket.create_connection((HERE, port), PATIENCE_S) as sock,
            context.wrap_socket(sock, server_hostname=HERE) as tls,
        ):
            return tls.getpeercert(binary_form=True), tls.selected_alpn_protocol()

    first = show("one")
    door = Doors(msgspec.structs.replace(OPEN, token_port=0), lambda: TlsFiles(certificate, key, authority.trust))
    async with opened(door) as house:
        assert house.ports.token is not None
        assert await asyncio.to_thread(seen, house.ports.token) == (first, "mqtt")
        second = show("two")
        door.reload()
        assert await asyncio.to_thread(seen, house.ports.token) == (second, "mqtt")


def test_tokens_have_no_port_unless_one_is_set(authority: Authority) -> None:
    assert MqttConfig().token_port is None
    assert len(doors(authority).endpoints(HandOver(Web.take))) == 3  # type: ignore[arg-type]  # nobody calls it


@pytest.mark.parametrize("has_shared", [True, False])
@pytest.mark.parametrize("has_plain", [True, False])
async def test_every_port_is_told_by_its_name(authority: Authority, has_shared: bool, has_plain: bool) -> None:
    config = MqttConfig(host=HERE, port=0, shared_port=0 if has_shared else None, plain_port=0 if has_plain else None)
    async with opened(doors(authority, config, ListenerSettings("default", Kind.TCP, HERE, 0))) as house:
        ports = house.ports
        assert (ports.shared is not None, ports.plain is not None) == (has_shared, has_plain)
        await selected(ports.mqtt, authority.client_context(authority))
        for port in (ports.plain, *ports.further):
            if port is not None:
                _, writer = await asyncio.open_connection(HERE, port)
                writer.write(b"\x10\x0d\x00\x04MQTT\x04\x02\x00\x00\x00\x01c")
                await house.owner.until(lambda owner: bool(owner.events))
                house.owner.events.clear()
                writer.close()


@pytest.mark.parametrize("taken_one", ["port", "shared_port", "plain_port"])
async def test_the_port_that_is_taken_is_named(authority: Authority, taken_one: str) -> None:
    with socket.create_server((HERE, 0)) as taken:
        port = taken.getsockname()[1]
        config = msgspec.structs.replace(OPEN, **{taken_one: port})
        with pytest.raises(MqttListenError, match=f"^mqtt: {HERE} port {port} cannot be opened: Address already in us"):
            await refused(doors(authority, config))


async def test_an_address_of_another_machine_is_named(authority: Authority) -> None:
    with pytest.raises(MqttListenError, match=r"^mqtt: 203\.0\.113\.1 port 0 cannot be opened: Cannot assign"):
        await refused(doors(authority, msgspec.structs.replace(OPEN, host="203.0.113.1")))


def test_files_that_are_not_there_are_not_taken_for_certificates(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        Doors(OPEN, lambda: TlsFiles(tmp_path / "a", tmp_path / "b", tmp_path / "c"))
