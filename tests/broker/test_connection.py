"""Real sockets: reading that pauses, writing that fills up, thousands that end at once."""

import asyncio
import contextlib
import socket
import ssl
import struct

import pytest

from broker.connection import Connection
from broker.listener import Endpoint
from broker.tls import tls_context
from broker.traffic import Traffic
from tests.broker.conftest import Certificates
from tests.broker.doorway import Ear, door_open, goodbye, some_turns
from tests.broker.pairs import pair, pairs


class TestReading:
    async def test_a_connection_waits_once_however_often_reading_stops_and_goes(self) -> None:
        traffic = Traffic()
        with pair(traffic) as (connection, ear, theirs):
            for _ in range(5):
                traffic.shut()
                theirs.send(b"x")
                await some_turns()
                assert list(traffic._waiting) == [connection]
                assert not ear.heard
                traffic.open()
                traffic.shut()
            traffic.open()
            await ear.until(lambda ear: ear.heard == b"xxxxx")

    async def test_a_connection_that_ends_while_reading_is_paused_is_forgotten(self) -> None:
        traffic = Traffic()
        traffic.shut()
        with pair(traffic) as (connection, ear, theirs):
            theirs.send(b"x")
            await some_turns()
            connection.close("enough")
            assert not traffic._waiting
            traffic.open()
            await some_turns()
            assert (bytes(ear.heard), ear.lost_reasons) == (b"", ["enough"])

    async def test_one_connection_pauses_and_the_others_are_read(self) -> None:
        with pairs(Traffic(), 2) as [(first, first_ear, first_end), (_, second_ear, second_end)]:
            first.pause()
            first_end.send(b"one")
            second_end.send(b"two")
            await some_turns()
            assert (bytes(first_ear.heard), bytes(second_ear.heard)) == (b"", b"two")
            first.resume()
            await first_ear.until(lambda ear: ear.heard == b"one")

    async def test_a_connection_is_read_when_neither_it_nor_all_are_paused(self) -> None:
        traffic = Traffic()
        with pair(traffic) as (connection, ear, theirs):
            theirs.send(b"x")
            connection.pause()
            traffic.shut()
            connection.resume()
            await some_turns()
            assert not ear.heard
            connection.pause()
            traffic.open()
            await some_turns()
            assert not ear.heard
            connection.resume()
            await ear.until(lambda ear: ear.heard == b"x")

    async def test_a_paused_connection_costs_the_loop_nothing_when_all_are_read_again(self) -> None:
        traffic = Traffic()
        with pair(traffic) as (connection, ear, theirs):
            traffic.shut()
            theirs.send(b"x")
            await some_turns()
            connection.pause()
            traffic.open()
            assert traffic.poller._watched[connection._fd] is None
            connection.resume()
            await ear.until(lambda ear: ear.heard == b"x")

    async def test_a_connection_that_pauses_in_the_midst_of_reading_hears_nothing_more(self) -> None:
        with pair(Traffic()) as (connection, ear, theirs):
            hear = ear.received

            def hear_once(data: bytes) -> None:
                hear(data)
                connection.pause()

            ear.received = hear_once  # type: ignore[method-assign]
            with contextlib.suppress(BlockingIOError):
                while True:
                    theirs.send(bytes(65_536))
            await ear.changed.wait()
            await some_turns()
            assert len(ear.heard) == 65_536
            connection.resume()
            await some_turns()
            assert len(ear.heard) == 2 * 65_536

    async def test_nothing_that_was_decrypted_is_forgotten_while_reading_pauses(
        self, certificates: Certificates
    ) -> None:
        """Nothing waits inside OpenSSL: the loop could not see it there."""
        text = bytes(range(256)) * 8_192
        async with door_open(Endpoint("127.0.0.1", 0, certificates.server)) as doorway:
            _, writer = await doorway.knock(certificates.client)
            writer.write(text)
            await doorway.until(lambda doorway: bool(doorway.opened))
            (connection,) = doorway.opened
            ear = doorway.ears[connection]
            hear = ear.received
            loop = asyncio.get_running_loop()
            pauses = 0

            def hear_and_pause(data: bytes) -> None:
                nonlocal pauses
                hear(data)
                sock = connection._socket
                assert isinstance(sock, ssl.SSLSocket)
                assert not sock.pending()
                connection.pause()
                pauses += 1
                loop.call_soon(loop.call_soon, connection.resume)

            ear.received = hear_and_pause  # type: ignore[method-assign]
            await ear.until(lambda ear: len(ear.heard) == len(text))
            assert ear.heard == text
            assert pauses > 10
            await goodbye(writer)

    async def test_one_connection_that_never_pauses_does_not_keep_the_others_waiting(self) -> None:
        """However much one client sends, it gets the same number of reads a turn."""
        with pair(Traffic()) as (_, ear, theirs):
            for turn in range(1, 11):
                with contextlib.suppress(BlockingIOError):
                    while True:
                        theirs.send(bytes(65_536))
                await asyncio.sleep(0)
                assert len(ear.heard) <= 4 * 65_536 * (turn + 1)


class TestWriting:
    async def test_one_piece_goes_out_as_it_was_given_and_several_are_joined(self) -> None:
        with pair(Traffic()) as (connection, _, theirs):
            piece = bytes(1_000)
            connection.send(piece)
            assert connection._out is piece
            await some_turns()
            assert (theirs.recv(2_000), connection.unsent_bytes) == (piece, 0)
            for part in (b"one ", b"two ", b"", b"three"):
                connection.send(part)
            assert connection.unsent_bytes == 13
            await some_turns()
            assert theirs.recv(2_000) == b"one two three"

    async def test_what_does_not_fit_into_the_socket_is_written_when_it_does(self) -> None:
        with pair(Traffic()) as (connection, ear, theirs):
            text = bytes(range(256)) * 16_384
            for start in range(0, len(text), 65_536):
                connection.send(text[start : start + 65_536])
            await some_turns()
            assert 0 < connection.unsent_bytes < len(text)
            await _read_until(theirs, text)
            assert connection.unsent_bytes == 0
            assert not ear.lost_reasons

    async def test_one_large_piece_that_does_not_fit_is_written_in_order(self) -> None:
        with pair(Traffic()) as (connection, _, theirs):
            text = bytes(range(256)) * 16_384
            connection.send(text)
            await some_turns()
            connection.send(b"the end")
            await _read_until(theirs, text + b"the end")

    async def test_what_does_not_fit_is_written_through_tls_too(self, certificates: Certificates) -> None:
        async with door_open(Endpoint("127.0.0.1", 0, certificates.server)) as doorway:
            reader, writer = await doorway.knock(certificates.client)
            await doorway.until(lambda doorway: bool(doorway.opened))
            text = bytes(range(256)) * 65_536
            doorway.opened[0].send(text)
            await some_turns()
            assert doorway.opened[0].unsent_bytes
            doorway.opened[0].send(b"the end")
            assert await reader.readexactly(len(text) + 7) == text + b"the end"
            await goodbye(writer)


class TestEnding:
    @pytest.mark.parametrize("is_heard_as_an_end", [True, False])
    async def test_who_goes_without_a_farewell_has_closed_the_connection(
        self, certificates: Certificates, is_heard_as_an_end: bool
    ) -> None:
        """However OpenSSL is told to take a stream that was cut off."""
        context = tls_context(*certificates.ours.issue("server"), certificates.ours.trust)
        if not is_heard_as_an_end:
            context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
        async with door_open(Endpoint("127.0.0.1", 0, context)) as doorway:
            reader, writer = await doorway.knock(certificates.client)
            writer.write(b"hello")
            assert await reader.readexactly(7) == b"welcome"
            (connection,) = doorway.opened
            sock = writer.get_extra_info("socket")
            sock.shutdown(socket.SHUT_WR)
            ear = doorway.ears[connection]
            await ear.until(lambda ear: bool(ear.lost_reasons))
            assert ear.lost_reasons == ["connection closed by the client"]
            await goodbye(writer)

    async def test_what_waits_is_written_before_a_connection_closes(self, certificates: Certificates) -> None:
        async with door_open(Endpoint("127.0.0.1", 0, certificates.server)) as doorway:
            reader, writer = await doorway.knock(certificates.client)
            await doorway.until(lambda doorway: bool(doorway.opened))
            doorway.opened[0].send(bytes(100_000))
            doorway.opened[0].close("now")
            assert await reader.read(1) == b"\0"
            assert len(await reader.read()) == 99_999
            await goodbye(writer)

    async def test_a_connection_closes_although_its_client_takes_nothing(self) -> None:
        traffic = Traffic()
        with pair(traffic) as (connection, ear, _):
            connection.send(bytes(10_000_000))
            await some_turns()
            assert connection.unsent_bytes
            connection.close("too slow")
            await some_turns()
            assert (connection.unsent_bytes, ear.lost_reasons) == (0, ["too slow"])
            assert traffic.poller._watched[connection._fd] is None

    async def test_a_closed_connection_takes_and_gives_nothing_more(self) -> None:
        with pair(Traffic()) as (connection, ear, theirs):
            theirs.send(b"late")
            connection.send(b"bye")
            connection.close("first")
            connection.close("second")
            connection.cut_off("third")
            connection.send(b"more")
            connection.pause()
            connection.resume()
            await some_turns()
            assert theirs.recv(10) == b"bye"
            with contextlib.suppress(ConnectionResetError):
                assert theirs.recv(10) == b""
            assert (bytes(ear.heard), ear.lost_reasons, connection.is_open) == (b"", ["first"], False)

    async def test_who_is_cut_off_is_out_at_once_and_forgotten_in_its_turn(self) -> None:
        with pair(Traffic()) as (connection, ear, theirs):
            theirs.send(b"too late")
            connection.send(b"bye")
            connection.cut_off("first")
            connection.cut_off("second")
            # The loop has not had a turn yet.
            assert (theirs.recv(10), theirs.recv(10)) == (b"bye", b"")
            assert (connection.is_open, connection.unsent_bytes, ear.lost_reasons) == (False, 0, [])
            connection.send(b"more")
            connection.pause()
            connection.resume()
            await ear.until(lambda ear: bool(ear.lost_reasons))
            assert (ear.lost_reasons, bytes(ear.heard), connection.unsent_bytes) == (["first"], b"", 0)
            assert theirs.recv(10) == b""

    async def test_who_is_cut_off_can_be_closed_before_its_turn(self) -> None:
        with pair(Traffic()) as (connection, ear, _):
            connection.cut_off("first")
            connection.pause()
            connection.resume()
            assert connection._traffic.poller._watched[connection._fd] is None
            connection.close("second")
            assert ear.lost_reasons == ["first"]
            await some_turns()
            assert ear.lost_reasons == ["first"]

    async def test_a_client_that_vanishes_is_noticed_when_writing(self) -> None:
        with pair(Traffic()) as (connection, ear, theirs):
            connection.pause()
            theirs.close()
            connection.send(b"x")
            await ear.until(lambda ear: bool(ear.lost_reasons))
            assert ear.lost_reasons == ["connection lost: Broken pipe"]

    async def test_a_connection_that_is_reset_is_lost_with_the_cause(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as server:
            theirs = socket.create_connection(server.getsockname())
            ours, _ = server.accept()
            ours.setblocking(False)
            loop = asyncio.get_running_loop()
            connection, ear = Connection(loop, ours, "here", Traffic(), loop.time()), Ear()
            connection.start(ear)
            theirs.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            theirs.close()
            await ear.until(lambda ear: bool(ear.lost_reasons))
            assert ear.lost_reasons == ["connection lost: Connection reset by peer"]

    async def test_who_has_said_everything_still_hears_the_answer(self) -> None:
        """A client may close its half of the connection after its last packet."""
        with pair(Traffic()) as (connection, ear, theirs):
            theirs.send(b"question")
            theirs.shutdown(socket.SHUT_WR)
            await ear.until(lambda ear: bool(ear.heard))
            connection.send(b"answer")
            await ear.until(lambda ear: bool(ear.lost_reasons))
            assert theirs.recv(10) == b"answer"


async def _read_until(sock: socket.socket, text: bytes) -> None:
    loop, got = asyncio.get_running_loop(), bytearray()
    while len(got) < len(text):
        got += await loop.sock_recv(sock, 1_000_000)
    assert got == text
