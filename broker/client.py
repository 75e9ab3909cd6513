"""One network connection: its decoder, and its session once CONNECT was accepted."""

from typing import Protocol

from broker.codec import Decoder
from broker.errors import ProtocolError
from broker.listener import Connection
from broker.packets import Packet
from broker.session import Session


class Taker(Protocol):
    """What a client's packets and mishaps are told to."""

    def take(self, client: "Client", packet: Packet) -> None:
        """Take one packet; raises `ProtocolError` when the client must be disconnected for it."""

    def refuse(self, client: "Client", error: ProtocolError) -> None:
        """Disconnect a client for what it did."""

    def leave(self, client: "Client", reason: str) -> None:
        """Forget a connection that is gone."""


class Client:
    """What the broker keeps for one network connection."""

    __slots__ = ("_taker", "connection", "decoder", "keep_alive_s", "opened_at", "session")

    def __init__(self, taker: Taker, connection: Connection, decoder: Decoder) -> None:
        self._taker = taker
        self.connection = connection
        self.decoder = decoder
        self.session: Session | None = None
        self.keep_alive_s = 0.0
        """How long it may be silent, grace included; 0 is for ever."""
        self.opened_at = connection.opened_at
        """When its time to send CONNECT began, in the seconds of the loop."""

    def received(self, data: bytes) -> None:
        """Take bytes of the client."""
        try:
            for packet in self.decoder.feed(data):
                self._taker.take(self, packet)
                if not self.connection.is_open:
                    return
            if self.decoder.failure is not None:
                raise self.decoder.failure
        except ProtocolError as error:
            self._taker.refuse(self, error)

    def lost(self, reason: str) -> None:
        """Hear that the connection is gone."""
        self._taker.leave(self, reason)


class Receipt:
    """What brings an acknowledgement back to the connection that waits for it."""

    __slots__ = ("client", "packet_id")

    def __init__(self, client: Client, packet_id: int) -> None:
        self.client = client
        self.packet_id = packet_id
