"""One connection's packets reach the broker one by one, until it is closed."""

import asyncio
import socket
from collections.abc import Iterator

import pytest

from broker.client import Client, Receipt
from broker.codec import Decoder, encode
from broker.errors import ProtocolError
from broker.listener import Connection, Gate
from broker.packets import Disconnect, Packet, Pingreq
from broker.reason_codes import ReasonCode


class FakeTaker:
    def __init__(self) -> None:
        self.taken: list[Packet] = []
        self.refused: list[ReasonCode] = []
        self.left: list[str] = []

    def take(self, client: Client, packet: Packet) -> None:
        self.taken.append(packet)
        if isinstance(packet, Disconnect):
            client.connection.close("goodbye")

    def refuse(self, client: Client, error: ProtocolError) -> None:
        self.refused.append(error.code)
        client.connection.close(error.reason)

    def leave(self, client: Client, reason: str) -> None:
        self.left.append(reason)


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    with ours, theirs:
        yield ours, theirs


async def started(sock: socket.socket) -> tuple[Client, FakeTaker]:
    loop, taker = asyncio.get_running_loop(), FakeTaker()
    connection = Connection(loop, sock, "here", Gate(), loop.time())
    client = Client(taker, connection, Decoder(1_000))
    connection.start(client)
    return client, taker


async def test_nothing_after_the_packet_that_closed_the_connection_is_taken(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    client, taker = await started(pair[0])
    client.received(encode(Pingreq()) + encode(Disconnect()) + encode(Pingreq()) + b"\0\0")
    assert taker.taken == [Pingreq(), Disconnect()]
    assert (taker.refused, taker.left) == ([], ["goodbye"])


async def test_what_came_before_broken_bytes_is_taken_and_then_the_client_is_refused(
    pair: tuple[socket.socket, socket.socket],
) -> None:
    client, taker = await started(pair[0])
    client.received(encode(Pingreq()) + b"\0\0")
    assert taker.taken == [Pingreq()]
    assert taker.refused == [ReasonCode.MALFORMED_PACKET]


async def test_a_receipt_leads_back_to_its_connection(pair: tuple[socket.socket, socket.socket]) -> None:
    client, _ = await started(pair[0])
    receipt = Receipt(client, 5)
    assert (receipt.client, receipt.packet_id) == (client, 5)
    client.connection.close("done")
