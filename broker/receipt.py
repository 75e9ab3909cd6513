"""What a client is owed once a turn is on disk."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.client import Client


class Receipt:
    """Bytes for a client that wait for the commit of their turn."""

    __slots__ = ("answered_count", "client", "data", "is_delivery")

    def __init__(self, client: "Client", data: bytes, answered_count: int, *, is_delivery: bool) -> None:
        self.client = client
        self.data = data
        self.answered_count = answered_count
        """How many messages of the client these bytes answer for."""
        self.is_delivery = is_delivery
