"""Connections under test, and the clients' ends of them."""

import asyncio
import contextlib
import socket
from collections.abc import Iterator

from broker.connection import Connection
from broker.traffic import Traffic
from tests.broker.doorway import Ear


@contextlib.contextmanager
def pair(traffic: Traffic) -> Iterator[tuple[Connection, Ear, socket.socket]]:
    """A connection under test and the client's end of it."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    theirs.setblocking(False)
    loop = asyncio.get_running_loop()
    connection, ear = Connection(loop, ours, "here", traffic, loop.time()), Ear()
    connection.start(ear)
    with ours, theirs:
        yield connection, ear, theirs
        connection.close("the test is over")


@contextlib.contextmanager
def pairs(traffic: Traffic, count: int) -> Iterator[list[tuple[Connection, Ear, socket.socket]]]:
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(pair(traffic)) for _ in range(count)]
