"""Handshakes of real clients: those that fail, stall, dribble, or come too many at once."""

import asyncio
import contextlib
import socket
import ssl
import struct
import threading
from collections.abc import AsyncIterator

import pytest

from broker.handshakes import SLOW_PER_SLOT, Guest
from broker.limits import Limits
from broker.listener import Endpoint
from broker.tls import tls_context
from tests.broker.conftest import Certificates
from tests.broker.doorway import Doorway, SlowClient, door_open, goodbye, in_records, some_turns, turns_until


@pytest.fixture
async def doorway(certificates: Certificates) -> AsyncIterator[Doorway]:
    async with door_open(Endpoint("127.0.0.1", 0, certificates.server)) as doorway:
        yield doorway


@contextlib.asynccontextmanager
async def slow_client(doorway: Doorway, certificates: Certificates) -> AsyncIterator[SlowClient]:
    reader, writer = await doorway.knock()
    try:
        yield SlowClient(reader, writer, certificates.client)
    finally:
        await goodbye(writer)


async def test_a_client_with_a_certificate_is_let_in_and_shows_it(doorway: Doorway, certificates: Certificates) -> None:
    reader, writer = await doorway.knock(certificates.client)
    await doorway.until(lambda doorway: bool(doorway.opened))
    (connection,) = doorway.opened
    assert connection.certificate is not None
    assert b"sensor-1" in connection.certificate
    assert connection.address.startswith("127.0.0.1:")
    assert connection.opened_at <= connection.heard_at
    await goodbye(writer)
    assert not await reader.read()


@pytest.mark.parametrize("thread_count", [1, 3])
async def test_many_at_once_all_come_in_and_at_most_as_many_as_allowed_are_under_way(
    certificates: Certificates, thread_count: int
) -> None:
    limits = Limits(handshakes=4)
    async with door_open(
        Endpoint("127.0.0.1", 0, certificates.server), limits=limits, thread_count=thread_count
    ) as doorway:
        handshakes, seen = doorway.entrance.handshakes, set()
        visits = asyncio.gather(*(doorway.visit(certificates.client) for _ in range(40)))
        while not visits.done():
            seen.add(handshakes.in_flight)
            await asyncio.sleep(0)
        await visits
        assert len(doorway.opened) == 40
        assert max(seen) == 4
        assert (handshakes.in_flight, doorway.refused) == (0, [])


class TestRefusals:
    async def test_a_client_without_a_certificate(self, doorway: Doorway, certificates: Certificates) -> None:
        await self._refused(doorway, certificates.ours.client_context(None), "the client showed no certificate")

    async def test_a_certificate_of_a_stranger(self, doorway: Doorway, certificates: Certificates) -> None:
        context = certificates.ours.client_context(certificates.theirs)
        await self._refused(doorway, context, "the client's certificate was not issued here (")

    async def test_a_client_that_does_not_trust_the_gateway(self, doorway: Doorway, certificates: Certificates) -> None:
        context = certificates.theirs.client_context(certificates.ours)

        def knock() -> None:
            # Not asyncio's TLS: it vanishes where others say what they do not like.
            with (
                socket.create_connection(("127.0.0.1", doorway.ports[0])) as sock,
                contextlib.suppress(ssl.SSLError),
                context.wrap_socket(sock, server_hostname="127.0.0.1"),
            ):
                pytest.fail("trusted a stranger")

        await asyncio.to_thread(knock)
        reason = "the client does not trust this gateway: give it the root certificate"
        await doorway.until(lambda doorway: doorway.reasons == [("tls_handshake_failed", reason)])

    async def test_an_outdated_version_of_tls(self, doorway: Doorway, certificates: Certificates) -> None:
        context = certificates.ours.client_context(certificates.ours)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            context.minimum_version = ssl.TLSVersion.TLSv1
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        await self._refused(doorway, context, "the client speaks an outdated version of TLS")

    async def _refused(self, doorway: Doorway, context: ssl.SSLContext, reason: str) -> None:
        with contextlib.suppress(OSError, EOFError):
            await doorway.visit(context)
            pytest.fail("was let in")
        await doorway.until(lambda doorway: bool(doorway.refused))
        ((address, kind, told),) = doorway.refused
        assert kind == "tls_handshake_failed"
        assert told.startswith(reason)
        assert address.startswith("127.0.0.1:")
        assert (doorway.opened, doorway.entrance.count) == ([], 0)

    @pytest.mark.parametrize(
        ("said", "reason"),
        [
            (b"GET / HTTP/1.1\r\n\r\n", "the client speaks HTTP, not TLS"),
            (bytes.fromhex("100c00044d51545404020000 0000"), "the client speaks MQTT without TLS"),
            (b"\x16\x03\x01\x7f\xff", "the client's first TLS message is damaged"),
            (b"\x16\x03\x01\x00\x04\x01\x01\x00\x00", "the client's first TLS message exceeds 16384 bytes"),
        ],
    )
    async def test_who_does_not_speak_tls(self, doorway: Doorway, said: bytes, reason: str) -> None:
        reader, writer = await doorway.knock()
        writer.write(said)
        await _heard_the_end(reader)
        await goodbye(writer)
        await doorway.until(lambda doorway: bool(doorway.refused))
        ((kind, told),) = doorway.reasons
        assert kind == "not_tls"
        assert told.startswith(reason)
        assert doorway.entrance.count == 0

    @pytest.mark.parametrize("said", [b"", b"\x16", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc"])
    @pytest.mark.parametrize("way", ["says goodbye", "vanishes"])
    async def test_a_client_that_goes_away_before_its_hello_is_complete(
        self, doorway: Doorway, said: bytes, way: str
    ) -> None:
        reader, writer = await doorway.knock()
        writer.write(said)
        await some_turns()
        if way == "vanishes":
            await goodbye(writer)
        else:
            writer.write_eof()
            await _heard_the_end(reader)
        await doorway.until(lambda doorway: bool(doorway.refused))
        ((kind, reason),) = doorway.reasons
        assert kind == "tls_handshake_failed"
        assert reason == "the client went away before it had said what it wants"
        await goodbye(writer)

    async def test_a_client_that_resets_the_connection_before_its_hello(self, doorway: Doorway) -> None:
        sock = socket.create_connection(("127.0.0.1", doorway.ports[0]))
        await turns_until(lambda: doorway.entrance.count == 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
        await doorway.until(lambda doorway: bool(doorway.refused))
        assert doorway.reasons == [("tls_handshake_failed", "Connection reset by peer")]

    async def test_a_client_that_goes_away_after_its_hello(self, doorway: Doorway, certificates: Certificates) -> None:
        async with slow_client(doorway, certificates) as client:
            client.writer.write(client.hello)
            assert await client.reader.read(1)
        await doorway.until(lambda doorway: bool(doorway.refused))
        assert doorway.reasons[0][0] == "tls_handshake_failed"
        assert (doorway.entrance.count, doorway.entrance.handshakes.in_flight) == (0, 0)


class TestSlots:
    async def test_a_hello_that_dribbles_is_looked_at_a_few_times_and_holds_no_slot(
        self, certificates: Certificates
    ) -> None:
        endpoint = Endpoint("127.0.0.1", 0, certificates.server)
        async with (
            door_open(endpoint, limits=Limits(handshakes=1)) as doorway,
            slow_client(doorway, certificates) as client,
        ):
            looks = _looks_counted(doorway)
            for byte in client.hello[:-1]:
                client.writer.write(bytes([byte]))
                await some_turns()
            assert len(looks) <= 4
            assert doorway.entrance.handshakes.in_flight == 0
            await doorway.visit(certificates.client)
            client.writer.write(client.hello[-1:])
            await client.finish()
            assert len(doorway.opened) == 2

    async def test_a_hello_in_records_of_one_byte_comes_in(self, doorway: Doorway, certificates: Certificates) -> None:
        async with slow_client(doorway, certificates) as client:
            looks = _looks_counted(doorway)
            client.writer.write(in_records(client.hello[5:], *[1] * 100))
            await client.finish()
            assert len(looks) < 20

    async def test_a_client_that_thinks_lends_its_slot_and_still_comes_in(self, certificates: Certificates) -> None:
        endpoint = Endpoint("127.0.0.1", 0, certificates.server)
        async with (
            door_open(endpoint, limits=Limits(handshakes=1)) as doorway,
            slow_client(doorway, certificates) as client,
        ):
            client.writer.write(client.hello)
            await _sent_by_now(client)
            assert doorway.entrance.handshakes.in_flight == 1
            await doorway.visit(certificates.client)
            assert doorway.entrance.handshakes.in_flight == 0
            await client.finish()
            assert doorway.refused == []

    async def test_of_too_many_that_think_the_slowest_is_refused(self, certificates: Certificates) -> None:
        endpoint = Endpoint("127.0.0.1", 0, certificates.server)
        async with door_open(endpoint, limits=Limits(handshakes=1)) as doorway, contextlib.AsyncExitStack() as stack:
            loop, handshakes = asyncio.get_running_loop(), doorway.entrance.handshakes
            clients = []
            for _ in range(SLOW_PER_SLOT + 2):
                clients.append(await stack.enter_async_context(slow_client(doorway, certificates)))
                clients[-1].writer.write(clients[-1].hello)
                answer = asyncio.create_task(_sent_by_now(clients[-1]))
                while not answer.done():
                    handshakes._lend_slots(loop.time() + 1)  # As if the others had been thinking for long.
                    await asyncio.sleep(0)
                await answer
            late = await stack.enter_async_context(slow_client(doorway, certificates))
            late.writer.write(late.hello)
            await doorway.until(lambda doorway: bool(doorway.refused))
            assert doorway.reasons == [
                ("tls_handshake_failed", "the client was slow to answer while many others waited")
            ]
            assert not await clients[0].reader.read()
            await clients[1].finish()
            await late.finish()


class TestDeadlines:
    async def test_who_stalls_is_dropped_wherever_it_stalls(self, certificates: Certificates) -> None:
        async with (
            door_open(Endpoint("127.0.0.1", 0, certificates.server)) as doorway,
            contextlib.AsyncExitStack() as stack,
        ):
            clients = [await stack.enter_async_context(slow_client(doorway, certificates)) for _ in range(100)]
            for number, client in enumerate(clients):
                client.writer.write((b"", b"\x16", client.hello[:-1], client.hello)[number % 4])
            for client in clients[3::4]:
                await _sent_by_now(client)
            _let_their_time_pass(doorway)
            await doorway.until(lambda doorway: len(doorway.refused) == len(clients))
            assert set(doorway.reasons) == {("connect_timeout", "no TLS handshake within 10 s")}
            assert (doorway.entrance.count, doorway.entrance.handshakes.in_flight) == (0, 0)
            await doorway.visit(certificates.client)

    async def test_a_step_under_way_is_over_before_its_connection_is_closed(self, certificates: Certificates) -> None:
        """OpenSSL must not be called by two threads for one connection."""
        reached, may_go_on = threading.Event(), threading.Event()
        context = tls_context(*certificates.ours.issue("stalling"), certificates.ours.trust)

        def wait(sock: object, name: str | None, context: ssl.SSLContext) -> None:
            reached.set()
            assert may_go_on.wait(30)

        context.sni_callback = wait
        async with door_open(Endpoint("127.0.0.1", 0, context), limits=Limits(handshakes=1)) as doorway:
            async with slow_client(doorway, certificates) as client:
                client.writer.write(client.hello)
                assert await asyncio.to_thread(reached.wait, 30)
                _let_their_time_pass(doorway)
                await doorway.until(lambda doorway: bool(doorway.refused))
                assert doorway.reasons == [("connect_timeout", "no TLS handshake within 10 s")]
                assert doorway.entrance.handshakes.in_flight == 1
                may_go_on.set()
                await client.reader.read()
                assert (doorway.entrance.handshakes.in_flight, doorway.opened) == (0, [])
            await doorway.visit(certificates.client)

    async def test_what_is_under_way_when_the_listener_closes_ends_without_a_word(
        self, certificates: Certificates
    ) -> None:
        async with door_open(Endpoint("127.0.0.1", 0, certificates.server)) as doorway:
            clients = [await doorway.slow_client(certificates.client) for _ in range(3)]
            for client, said in zip(clients, (b"", b"\x16", clients[2].hello), strict=True):
                client.writer.write(said)
            await _sent_by_now(clients[2])
        for client in clients:
            await _heard_the_end(client.reader)
            await goodbye(client.writer)
        assert doorway.refused == []
        assert doorway.entrance.count == 0


class _Broken(ssl.SSLContext):
    def wrap_socket(self, *_: object, **__: object) -> ssl.SSLSocket:
        raise ValueError


def test_a_defect_in_a_step_lets_nobody_in() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        guest = Guest(ours, "127.0.0.1:1", lambda _: guest.context, 0.0)
        guest.context = _Broken(ssl.PROTOCOL_TLS_SERVER)
        with pytest.raises(ValueError, match=r"^$"):
            guest.step()
        assert guest.failure == "the handshake broke off"


def _looks_counted(doorway: Doorway) -> list[Guest]:
    """Grows by each look at a hello."""
    looks: list[Guest] = []
    handshakes = doorway.entrance.handshakes
    look = handshakes._look

    def counted(guest: Guest) -> None:
        looks.append(guest)
        look(guest)

    handshakes._look = counted  # type: ignore[method-assign]
    return looks


def _let_their_time_pass(doorway: Doorway) -> None:
    """As if whoever is on the way had come long ago. A limit short enough to wait for may pass before a step began."""
    for guest in doorway.entrance.handshakes._guests:
        guest.opened_at -= Limits().connect_timeout_s


async def _heard_the_end(reader: asyncio.StreamReader) -> None:
    # A reset, if the gateway had not taken what was sent.
    with contextlib.suppress(ConnectionResetError):
        assert not await reader.read()


async def _sent_by_now(client: SlowClient) -> None:
    """Wait until the gateway has answered the hello."""
    client.received_early(await client.reader.read(65_536))
