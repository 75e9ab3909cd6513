"""Who hears what one connection brings: the broker, as a client sees it."""

from typing import TYPE_CHECKING, Protocol

from broker.errors import ProtocolError
from broker.packets import Connect, Subscribe, Unsubscribe
from broker.session import Session

if TYPE_CHECKING:
    from broker.client import Client


class Taker(Protocol):
    """What a client's packets and mishaps are told to."""

    def connect(self, client: "Client", connect: Connect) -> None:
        """Take its CONNECT. Raises `ProtocolError`, `Undecided`."""

    def subscribe(self, client: "Client", session: Session, packet: Subscribe) -> None:
        """Take a SUBSCRIBE. Raises `ProtocolError`, `Undecided`."""

    def unsubscribe(self, client: "Client", session: Session, packet: Unsubscribe) -> None:
        """Take an UNSUBSCRIBE. Raises `ProtocolError`."""

    def refuse(self, client: "Client", error: ProtocolError) -> None:
        """Disconnect a client for what it did."""

    def note_denied(self, client: "Client", kind: str, reason: str) -> None:
        """Tell the owner of something that was denied, while the connection goes on."""

    def slow_down(self, client: "Client") -> None:
        """Its allowance of this second is used up."""

    def leave(self, client: "Client", reason: str) -> None:
        """Forget a connection that is gone."""
