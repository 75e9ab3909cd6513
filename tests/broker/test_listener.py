"""Real sockets: handshakes that fail or stall, reading that pauses, writing that fills up."""

import asyncio
import contextlib
import resource
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Iterator, Sequence

import pytest

from broker.limits import Limits
from broker.listener import Connection, Endpoint, Gate, Listener, tls_context
from broker.packets import Connect, Publish
from broker.ports import Message
from broker.server import Broker
from tests.broker.conftest import Certificates
from tests.broker.house import House, serving
from tests.fakes import FakeAuthorizer, FakeOwner

BURST = [b"%06d" % number + bytes(500) for number in range(2_000)]


class Ear:
    """Remembers what one connection brings."""

    def __init__(self) -> None:
        self.heard = bytearray()
        self.lost_reasons: list[str] = []
        self.changed = asyncio.Event()

    def received(self, data: bytes) -> None:
        self.heard += data
        self.changed.set()

    def lost(self, reason: str) -> None:
        self.lost_reasons.append(reason)
        self.changed.set()


async def _some_turns() -> None:
    """Let the loop look at its sockets more often than anything here needs."""
    for _ in range(20):
        await asyncio.sleep(0)


@contextlib.contextmanager
def opened_pair(gate: Gate) -> Iterator[tuple[Connection, Ear, socket.socket]]:
    """A connection under test and the client's end of it."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    connection, ear = Connection(loop, ours, "here", gate, loop.time()), Ear()
    connection.start(ear)
    with ours, theirs:
        yield connection, ear, theirs
        connection.close("the test is over")


@pytest.fixture(params=["plain", "tls"])
async def any_house(request: pytest.FixtureRequest, certificates: Certificates) -> AsyncIterator[House]:
    tls = (certificates.server, certificates.client) if request.param == "tls" else (None, None)
    async with serving(None, *tls) as house:
        yield house


async def test_while_reading_is_paused_nothing_is_read_and_afterwards_nothing_is_missing(any_house: House) -> None:
    wire = await any_house.client("c")
    any_house.broker.pause_reading()
    sending = asyncio.create_task(wire.send(*(Publish("t", payload) for payload in BURST)))
    await _some_turns()
    assert any_house.owner.messages == []
    any_house.broker.resume_reading()
    await any_house.owner.until(lambda owner: len(owner.messages) == len(BURST))
    await sending
    assert [message.payload for message in any_house.owner.messages] == BURST


async def test_a_stop_reads_nothing_more_even_when_the_owner_has_room_again() -> None:
    owner = FakeOwner()
    broker = Broker(owner, FakeAuthorizer(), lambda: 1_000)
    async with broker.connected(), contextlib.AsyncExitStack() as clients:
        async with broker.listening(Endpoint("127.0.0.1", 0)) as ports:
            wire = await House(broker, owner, FakeAuthorizer(), ports[0], None, clients).client("c")
            broker.pause_reading()
        broker.resume_reading()
        await wire.send(Publish("t", b"late"))
        await _some_turns()
        assert owner.messages == []


async def test_pausing_after_every_batch_loses_nothing_and_keeps_the_order(any_house: House) -> None:
    """Nothing waits inside OpenSSL either when reading stops: the loop could not see it there."""
    broker, owner = any_house.broker, any_house.owner
    loop = asyncio.get_running_loop()
    owner.holds_back = True
    accept = owner.accept

    class Pausing:
        def accept(self, batch: Sequence[Message]) -> None:
            accept(batch)
            sockets = [client.connection._socket for client in broker._clients]
            assert not any(sock.pending() for sock in sockets if isinstance(sock, ssl.SSLSocket))
            broker.pause_reading()
            loop.call_soon(loop.call_soon, broker.resume_reading)

        note = staticmethod(owner.note)

    broker._owner = Pausing()
    wires = [await any_house.client(f"c{number}") for number in range(3)]
    await asyncio.gather(*(wire.send(*(Publish("t", payload) for payload in BURST)) for wire in wires))
    await owner.until(lambda owner: len(owner.messages) == 3 * len(BURST))
    for number in range(3):
        payloads = [message.payload for message in owner.messages if message.client_id == f"c{number}"]
        assert payloads == BURST


async def test_a_connection_waits_once_however_often_reading_stops_and_goes() -> None:
    gate = Gate()
    with opened_pair(gate) as (connection, ear, theirs):
        for _ in range(5):
            gate.shut()
            theirs.send(b"x")
            await _some_turns()
            assert list(gate._waiting) == [connection]
            assert not ear.heard
            gate.open()
            gate.shut()
        gate.open()
        await ear.changed.wait()
        assert ear.heard == b"xxxxx"


async def test_a_connection_that_ends_while_reading_is_paused_is_forgotten() -> None:
    gate = Gate()
    gate.shut()
    with opened_pair(gate) as (connection, ear, theirs):
        theirs.send(b"x")
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        connection.close("enough")
        assert not gate._waiting
        gate.open()
        await asyncio.sleep(0)
        assert (bytes(ear.heard), ear.lost_reasons) == (b"", ["enough"])


async def test_what_does_not_fit_into_the_socket_is_written_when_it_does() -> None:
    with opened_pair(Gate()) as (connection, ear, theirs):
        text = bytes(range(256)) * 16_384
        for start in range(0, len(text), 65_536):
            connection.send(text[start : start + 65_536])
        await _some_turns()
        assert 0 < connection.unsent_bytes < len(text)
        loop, got = asyncio.get_running_loop(), bytearray()
        while len(got) < len(text):
            got += await loop.sock_recv(theirs, 1_000_000)
        assert got == text
        assert connection.unsent_bytes == 0
        assert not ear.lost_reasons


async def test_what_waits_is_written_before_a_connection_closes(certificates: Certificates) -> None:
    async with serving(None, certificates.server, certificates.client) as house:
        wire = await house.client("c")
        payload = bytes(100_000)
        await wire.subscribe(("t", 0))
        house.broker.publish(1, Publish("t", payload))
        next(iter(house.broker._clients)).connection.close("now")
        assert await wire.until_closed() == [Publish("t", payload)]


async def test_a_closed_connection_takes_and_gives_nothing_more() -> None:
    with opened_pair(Gate()) as (connection, ear, theirs):
        theirs.send(b"late")
        connection.send(b"bye")
        connection.close("first")
        connection.close("second")
        connection.send(b"more")
        connection.resume()
        await _some_turns()
        assert theirs.recv(10) == b"bye"
        with contextlib.suppress(ConnectionResetError):
            assert theirs.recv(10) == b""
        assert (bytes(ear.heard), ear.lost_reasons, connection.is_open) == (b"", ["first"], False)


async def test_a_client_that_vanishes_is_noticed_when_writing() -> None:
    with opened_pair(Gate()) as (connection, ear, theirs):
        await asyncio.sleep(0)
        theirs.close()
        asyncio.get_running_loop().remove_reader(connection._fd)
        connection.send(b"x")
        await ear.changed.wait()
        assert ear.lost_reasons == ["connection lost: Broken pipe"]


async def test_a_connection_that_is_reset_is_lost_with_the_cause() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        theirs = socket.create_connection(server.getsockname())
        ours, _ = server.accept()
        ours.setblocking(False)
        loop = asyncio.get_running_loop()
        connection, ear = Connection(loop, ours, "here", Gate(), loop.time()), Ear()
        connection.start(ear)
        theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        theirs.close()
        await ear.changed.wait()
        assert ear.lost_reasons == ["connection lost: Connection reset by peer"]


async def test_one_connection_that_never_pauses_does_not_keep_the_others_waiting() -> None:
    """However much one client sends, it gets the same number of reads a turn."""
    with opened_pair(Gate()) as (_, ear, theirs):
        for turn in range(1, 11):
            with contextlib.suppress(BlockingIOError):
                while True:
                    theirs.send(bytes(65_536))
            await asyncio.sleep(0)
            assert len(ear.heard) <= 4 * 65_536 * (turn + 1)


class TestHandshakes:
    async def test_a_client_with_a_certificate_is_let_in_and_shows_it(self, tls_house: House) -> None:
        await tls_house.client("sensor-1")
        (shown,) = tls_house.authorizer.shown
        assert shown.certificate is not None
        assert b"sensor-1" in shown.certificate
        assert shown.address.startswith("127.0.0.1:")
        assert await tls_house.is_alive()

    async def test_a_client_without_a_certificate_is_refused(
        self, tls_house: House, certificates: Certificates
    ) -> None:
        await self._refused(tls_house, certificates.ours.client_context(None), "the client showed no certificate")

    async def test_a_certificate_of_a_stranger_is_refused(self, tls_house: House, certificates: Certificates) -> None:
        context = certificates.ours.client_context(certificates.theirs)
        await self._refused(tls_house, context, "the client's certificate was not issued here")

    async def test_a_client_that_does_not_trust_the_gateway_is_told_apart(
        self, tls_house: House, certificates: Certificates
    ) -> None:
        context = certificates.theirs.client_context(certificates.ours)

        def knock() -> None:
            # Not asyncio's TLS: it vanishes where others say what they do not like.
            with (
                socket.create_connection(("127.0.0.1", tls_house.port)) as sock,
                contextlib.suppress(ssl.SSLError),
                context.wrap_socket(sock, server_hostname="127.0.0.1"),
            ):
                pytest.fail("trusted a stranger")

        await asyncio.to_thread(knock)
        await self._noted(tls_house, "the client does not trust this gateway: give it the root certificate")

    async def test_an_outdated_version_of_tls_is_refused(self, tls_house: House, certificates: Certificates) -> None:
        context = certificates.ours.client_context(certificates.ours)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            context.minimum_version = ssl.TLSVersion.TLSv1
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        await self._refused(tls_house, context, "the client speaks an outdated version of TLS")

    async def _refused(self, house: House, context: ssl.SSLContext, reason: str) -> None:
        with contextlib.suppress(OSError, EOFError, ssl.SSLError):
            wire = await house.knock(context)
            await wire.send(Connect(4, "c", clean_session=True, keep_alive_s=0))
            pytest.fail(f"was let in: {await wire.receive()}")
        await self._noted(house, reason)

    async def _noted(self, house: House, reason: str) -> None:
        await house.owner.until(lambda owner: bool(owner.refused))
        (refused,) = house.owner.refused
        assert refused.kind == "tls_handshake_failed"
        assert refused.reason.startswith(reason)
        assert refused.address.startswith("127.0.0.1:")
        assert house.authorizer.shown == []
        assert await house.is_alive()

    @pytest.mark.parametrize(
        ("bytes_sent", "reason"),
        [
            (b"GET / HTTP/1.1\r\n\r\n", "the client speaks HTTP, not TLS"),
            (bytes.fromhex("100c00044d51545404020000 0000"), "the client speaks something other than TLS"),
        ],
    )
    async def test_who_does_not_speak_tls_is_refused(self, tls_house: House, bytes_sent: bytes, reason: str) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", tls_house.port)
        writer.write(bytes_sent)
        with contextlib.suppress(ConnectionResetError):
            await reader.read()
        writer.close()
        with contextlib.suppress(ConnectionResetError):
            await writer.wait_closed()
        await tls_house.owner.until(lambda owner: bool(owner.refused))
        assert [refused.reason for refused in tls_house.owner.refused] == [reason]

    async def test_handshakes_that_stall_are_dropped_and_count_as_connections(self, certificates: Certificates) -> None:
        limits = Limits(connect_timeout_s=0.2, sweep_interval_s=0.05, connections=3)
        async with serving(limits, certificates.server, certificates.client) as house:
            stalled = [await asyncio.open_connection("127.0.0.1", house.port) for _ in range(4)]
            stalled[0][1].write(b"\x16")
            for reader, _ in stalled:
                assert await reader.read() == b""
            await house.owner.until(lambda owner: len(owner.refused) == 4)
            kinds = sorted(refused.kind for refused in house.owner.refused)
            assert kinds == ["connect_timeout"] * 3 + ["server_busy"]
            for _, writer in stalled:
                writer.close()
                await writer.wait_closed()
            assert await house.is_alive()

    async def test_a_client_that_goes_away_in_the_handshake_leaves_nothing(self, certificates: Certificates) -> None:
        async with serving(None, certificates.server, certificates.client) as house:
            for _ in range(20):
                _, writer = await asyncio.open_connection("127.0.0.1", house.port)
                writer.write(b"\x16\x03\x01")
                writer.transport.abort()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()
            assert await house.is_alive()
            await house.owner.until(lambda owner: len(owner.refused) == 20)
            assert sum(listener.handshake_count for listener in house.broker._listeners) == 0


async def test_accepting_goes_on_after_file_descriptors_ran_out(house: House) -> None:
    """CVE-2017-7652: without descriptors nobody is let in, and afterwards everybody."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with socket.socket() as knocking:
        knocking.setblocking(False)
        resource.setrlimit(resource.RLIMIT_NOFILE, (knocking.fileno() + 1, hard))
        try:
            with contextlib.suppress(BlockingIOError):
                knocking.connect(("127.0.0.1", house.port))
            await _some_turns()
            assert house.broker.connection_count == 0
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert await house.is_alive()


async def test_a_listener_that_is_closed_is_not_reached_and_ends_what_was_under_way(certificates: Certificates) -> None:
    refused: list[str] = []
    listener = Listener(
        Endpoint("127.0.0.1", 0, certificates.server), Gate(), lambda _: None, lambda *why: refused.append(why[1]), 5.0
    )
    with listener.listening():
        reader, writer = await asyncio.open_connection("127.0.0.1", listener.port)
        await _some_turns()
        assert listener.handshake_count == 1
        port = listener.port
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)
    assert await reader.read() == b""
    writer.close()
    await writer.wait_closed()
    assert listener.handshake_count == 0
    assert refused == []


async def test_listening_on_ipv6_works_too() -> None:
    opened: list[Connection] = []
    listener = Listener(Endpoint("::1", 0), Gate(), opened.append, lambda *_: None, 5.0)
    with listener.listening():
        _, writer = await asyncio.open_connection("::1", listener.port)
        await _some_turns()
        assert opened[0].certificate is None
        opened[0].start(Ear())
        opened[0].close("enough")
        writer.close()
        await writer.wait_closed()


def test_a_certificate_that_is_missing_stops_the_start(certificates: Certificates) -> None:
    certificate, _ = certificates.ours.issue("other")
    with pytest.raises(OSError, match="No such file"):
        tls_context(certificate, certificate.with_name("missing"), certificates.ours.trust)
