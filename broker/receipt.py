"""What a client is owed once a turn is on disk."""

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
