"""Who may come in: how many, from where, through which socket, and to whom."""

import asyncio
import contextlib
import errno
import resource
import socket
import ssl
from collections.abc import AsyncIterator

import pytest

from broker.client_hello import ClientHello
from broker.limits import Limits
from broker.listener import ACCEPTS_PER_TURN, Endpoint, HandOver, SharedEndpoint
from tests.broker.conftest import Certificates
from tests.broker.doorway import Doorway, door_open, goodbye, some_turns, turns_until

PLAIN = Endpoint("127.0.0.1", 0)


class TestHowMany:
    async def test_beyond_the_limit_nobody_comes_in_until_someone_leaves(self) -> None:
        async with door_open(PLAIN, limits=Limits(connections=2)) as doorway:
            writers = [(await doorway.knock())[1] for _ in range(2)]
            reader, refused = await doorway.knock()
            assert not await reader.read()
            assert doorway.reasons == [("server_busy", "as many connections as the limit allows are open")]
            writers[0].close()
            await doorway.until(lambda doorway: doorway.entrance.count == 1)
            await doorway.visit()
            for writer in (*writers, refused):
                await goodbye(writer)

    async def test_beyond_the_limit_of_one_address_another_still_comes_in(self) -> None:
        async with door_open(PLAIN, limits=Limits(connections_per_address=2)) as doorway:
            writers = [(await doorway.knock())[1] for _ in range(2)]
            reader, refused = await doorway.knock()
            assert not await reader.read()
            ((address, kind, reason),) = doorway.refused
            assert address.startswith("127.0.0.1:")
            assert (kind, reason) == ("address_busy", "2 connections of this address are open")
            other = await asyncio.open_connection("127.0.0.1", doorway.ports[0], local_addr=("127.0.0.2", 0))
            await doorway.until(lambda doorway: len(doorway.opened) == 3)
            doorway.opened[0].close("make room")
            await doorway.visit()
            for writer in (*writers, refused, other[1]):
                await goodbye(writer)

    async def test_those_in_a_handshake_count_and_those_that_failed_do_not(self, certificates: Certificates) -> None:
        endpoint = Endpoint("127.0.0.1", 0, certificates.server)
        async with door_open(endpoint, limits=Limits(connections_per_address=2)) as doorway:
            clients = [await doorway.slow_client(certificates.client) for _ in range(2)]
            await turns_until(lambda: doorway.entrance.count == 2)
            clients[0].writer.write(clients[0].hello)
            reader, writer = await doorway.knock()
            assert not await reader.read()
            clients[1].writer.write(b"nonsense")
            await doorway.until(lambda doorway: len(doorway.refused) == 2)
            assert [kind for kind, _ in doorway.reasons] == ["address_busy", "not_tls"]
            await doorway.visit(certificates.client)
            await clients[0].finish()
            for each in (*(client.writer for client in clients), writer):
                await goodbye(each)
            await doorway.until(lambda doorway: doorway.entrance.count == 0)
            assert not doorway.entrance._count_of

    async def test_a_storm_is_let_in_a_few_a_turn(self) -> None:
        async with door_open(PLAIN) as doorway:
            knocking = [socket.create_connection(("127.0.0.1", doorway.ports[0])) for _ in range(100)]
            before = 0
            while len(doorway.opened) < len(knocking):
                await asyncio.sleep(0)
                assert len(doorway.opened) - before <= ACCEPTS_PER_TURN
                before = len(doorway.opened)
            for sock in knocking:
                sock.close()

    async def test_accepting_goes_on_after_file_descriptors_ran_out(self) -> None:
        """CVE-2017-7652: without descriptors nobody is let in, and afterwards everybody."""
        async with door_open(PLAIN) as doorway:
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            with socket.socket() as knocking:
                knocking.setblocking(False)
                resource.setrlimit(resource.RLIMIT_NOFILE, (knocking.fileno() + 1, hard))
                try:
                    with contextlib.suppress(BlockingIOError):
                        knocking.connect(("127.0.0.1", doorway.ports[0]))
                    await some_turns()
                    assert doorway.opened == []
                finally:
                    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
                await doorway.visit()
                assert len(doorway.opened) == 2


class TestWhere:
    async def test_a_listener_that_is_closed_is_not_reached(self) -> None:
        async with door_open(PLAIN) as doorway:
            (port,) = doorway.ports
        with pytest.raises(OSError, match=r"refused|Connect call failed"):
            await asyncio.open_connection("127.0.0.1", port)

    async def test_listening_on_ipv6_works_too(self) -> None:
        async with door_open(Endpoint("::1", 0), limits=Limits(connections_per_address=1)) as doorway:
            _, writer = await asyncio.open_connection("::1", doorway.ports[0])
            await doorway.until(lambda doorway: bool(doorway.opened))
            assert doorway.opened[0].certificate is None
            assert doorway.opened[0].address.startswith("::1:")
            _, refused = await asyncio.open_connection("::1", doorway.ports[0])
            await doorway.until(lambda doorway: bool(doorway.refused))
            for each in (writer, refused):
                await goodbye(each)

    async def test_a_socket_that_listens_already_is_taken_as_it_is(self, certificates: Certificates) -> None:
        sock = socket.create_server(("127.0.0.1", 0))
        port = sock.getsockname()[1]
        async with door_open(Endpoint("", 0, certificates.server, sock)) as doorway:
            assert doorway.ports == [port]
            await doorway.visit(certificates.client)
        assert sock.fileno() == -1

    async def test_a_socket_that_does_not_listen_is_refused(self) -> None:
        with socket.socket() as sock, pytest.raises(ValueError, match="does not listen"):
            async with door_open(Endpoint("127.0.0.1", 0, None, sock)):
                pytest.fail("accepted it")

    async def test_an_acknowledgement_does_not_wait_for_another_packet(self) -> None:
        async with door_open(PLAIN) as doorway:
            _, writer = await doorway.knock()
            await doorway.until(lambda doorway: bool(doorway.opened))
            assert doorway.opened[0]._socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            await goodbye(writer)


class TestShared:
    """One socket for devices, and for people with a browser."""

    @contextlib.asynccontextmanager
    async def _shared(
        self, certificates: Certificates, limits: Limits | None = None
    ) -> AsyncIterator[tuple[Doorway, "Pages"]]:
        web = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        web.load_cert_chain(*certificates.ours.issue("dashboard"))
        web.set_alpn_protocols(["http/1.1"])
        pages = Pages(web)
        mqtt = certificates.server

        def choose(hello: ClientHello) -> ssl.SSLContext | HandOver:
            return mqtt if {"mqtt", "x-amzn-mqtt-ca"} & set(hello.alpn) else HandOver(pages.take)

        async with door_open(SharedEndpoint("127.0.0.1", 0, choose), limits=limits) as doorway:
            yield doorway, pages
            await pages.finished()

    async def test_each_gets_what_it_asks_for(self, certificates: Certificates) -> None:
        async with self._shared(certificates) as (doorway, pages):
            device = certificates.ours.client_context(certificates.ours)
            device.set_alpn_protocols(["x-amzn-mqtt-ca"])
            await doorway.visit(device)
            assert len(doorway.opened) == 1
            assert await self._page(doorway, certificates) == b"HTTP/1.1 200 OK\r\n\r\nGET / HTTP/1.1\r\n\r\n"
            assert len(doorway.opened) == 1
            ((hello, address),) = pages.taken
            assert hello.alpn == ("http/1.1",)
            assert address.startswith("127.0.0.1:")

    async def test_a_hello_in_pieces_reaches_the_web_whole(self, certificates: Certificates) -> None:
        async with self._shared(certificates) as (doorway, _):
            browser = certificates.ours.client_context(None)
            client = await doorway.slow_client(browser)
            for byte in client.hello:
                client.writer.write(bytes([byte]))
                await some_turns()
            await client.finish(b"GET", b"HTTP/1.1 200 OK\r\n\r\nGET")
            await goodbye(client.writer)

    async def test_what_was_handed_over_counts_until_it_ends(self, certificates: Certificates) -> None:
        async with self._shared(certificates, Limits(connections_per_address=1)) as (doorway, _):
            browser = certificates.ours.client_context(None)
            reader, writer = await doorway.knock(browser)
            assert doorway.entrance.count == 1
            other, refused = await doorway.knock()
            assert not await other.read()
            assert doorway.reasons[0][0] == "address_busy"
            await goodbye(writer)
            await goodbye(refused)
            assert not await reader.read()
            await turns_until(lambda: not doorway.entrance.count)

    async def test_a_socket_that_is_let_go_of_is_counted_no_more_and_once(self, certificates: Certificates) -> None:
        kept: list[socket.socket] = []
        endpoint = SharedEndpoint("127.0.0.1", 0, lambda _: HandOver(lambda sock, *_: kept.append(sock)))
        async with door_open(endpoint) as doorway:
            client = await doorway.slow_client(certificates.client)
            client.writer.write(client.hello)
            await turns_until(lambda: bool(kept))
            assert kept[0].recv(65_536) == client.hello
            descriptor = kept[0].detach()
            assert doorway.entrance.count == 0
            socket.close(descriptor)
            kept[0].close()
            assert doorway.entrance.count == 0
            await goodbye(client.writer)

    async def _page(self, doorway: Doorway, certificates: Certificates) -> bytes:
        browser = certificates.ours.client_context(None)
        browser.set_alpn_protocols(["http/1.1"])
        reader, writer = await doorway.knock(browser)
        writer.write(b"GET / HTTP/1.1\r\n\r\n")
        try:
            return await reader.readuntil(b"HTTP/1.1\r\n\r\n")
        finally:
            await goodbye(writer)


class Pages:
    """A web server of a kind: asyncio's own TLS, and an answer that repeats the question."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self.taken: list[tuple[ClientHello, str]] = []
        self._context = context
        self._tasks: set[asyncio.Task[tuple[asyncio.Transport, asyncio.Protocol]]] = set()

    def take(self, sock: socket.socket, hello: ClientHello, address: str) -> None:
        self.taken.append((hello, address))
        serving = asyncio.get_running_loop().connect_accepted_socket(_Echo, sock, ssl=self._context)
        self._tasks.add(asyncio.ensure_future(serving))

    async def finished(self) -> None:
        for transport, _ in await asyncio.gather(*self._tasks):
            transport.abort()
        await some_turns()


class _Echo(asyncio.Protocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._answer = transport.write

    def data_received(self, data: bytes) -> None:
        self._answer(b"HTTP/1.1 200 OK\r\n\r\n" + data)


async def test_the_address_that_cannot_be_taken_is_named_by_the_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="Address already in use") as caught:
            async with door_open(Endpoint("127.0.0.1", 0), Endpoint("127.0.0.1", port)):
                raise AssertionError
    assert caught.value.filename == f"127.0.0.1 port {port}"
    assert caught.value.errno == errno.EADDRINUSE
