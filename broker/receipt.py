"""What a client is owed once a turn is on disk."""

from collections.abc import Callable
from typing import TYPE_CHECKING

import msgspec

from broker.message import TenantId

if TYPE_CHECKING:
    from broker.client import Client


class Receipt(msgspec.Struct, gc=False):
    """Bytes for a client that wait for the commit of their turn."""

    client: "Client"
    data: bytes
    answered_count: int = 0
    """How many messages of the client these bytes answer for."""
    is_delivery: bool = False


class Ended(msgspec.Struct, gc=False):
    """The end of a session on disk; until it comes back, a power cut would bring the session back."""

    tenant_id: TenantId
    client_id: str


class Submitted(msgspec.Struct, gc=False):
    """A message of a client without a connection; it is told that it is on disk."""

    told: Callable[[], None]


def settle(receipt: object, end: Callable[[Ended], None]) -> None:
    """Hear that something is on disk which no connection waits for."""
    if isinstance(receipt, Ended):
        end(receipt)
        return
    assert isinstance(receipt, Submitted)  # noqa: S101  receipts come from here
    receipt.told()
