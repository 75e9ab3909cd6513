"""What sessions have kept of commands: at QoS 2, a session itself brings to its end what it has begun to write.

Rule: of these, nothing is written to a connection before it is on disk with its packet identifier.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from appliance.commands.delivery.flight import Key, Place
from appliance.commands.dialects.choice import addressed
from appliance.commands.dialects.dialect import Address, Answered
from appliance.commands.model import read_wire_id
from broker.changes import Delivery
from broker.message import Message
from broker.session import Session

EXACTLY_ONCE = 2

_REQUEST_LEVELS = (("cmd/", 2), ("$aws/commands/", 6))
"""How the topics of requests begin, and which level says `request`; the others may say it, too, in names and ids."""


class KeptBySession(NamedTuple):
    """One attempt of one command, as a session has kept it."""

    client_id: str
    delivery: Delivery

    @property
    def is_begun(self) -> bool:
        """Whether it may have been written."""
        return self.delivery.packet_id > 0


def request_of(answered: Sequence[Answered], message: Message) -> Address | None:
    """Which command a message brings; None where it brings none."""
    if message.client_id:
        return None
    for beginning, level in _REQUEST_LEVELS:
        if not message.topic.startswith(beginning):
            continue
        levels = message.topic.split("/")
        if levels[level : level + 1] == ["request"]:
            levels[level] = "response"
            found = addressed(answered, "/".join(levels))
            return None if found is None else found[1]
    return None


def recalled(
    attempts: Iterable[tuple[int, str, int, int, str]],
    answered: Sequence[Answered],
    sessions: Callable[[int, str], Iterable[Session]],
) -> Iterator[tuple[Key, KeptBySession | None]]:
    """Attempts that were under way when the gateway ended, each with what a session of its device has kept of it.

    `attempts` are tenant, device, number, attempt and execution id.
    """
    known: dict[Place, dict[tuple[str, int], KeptBySession]] = {}
    for tenant_id, device_id, number, attempt, execution_id in attempts:
        place = (tenant_id, device_id)
        if place not in known:
            known[place] = kept(answered, sessions(*place))
        yield Key(*place, number, attempt), known[place].get((execution_id, attempt))


def kept(answered: Sequence[Answered], sessions: Iterable[Session]) -> dict[tuple[str, int], KeptBySession]:
    """What the sessions of a device have kept of its commands at QoS 2, by execution id and attempt."""
    return {
        read_wire_id(address.wire_id): KeptBySession(session.client_id, delivery)
        for session in sessions
        for delivery in session.deliveries
        if delivery.qos == EXACTLY_ONCE and (address := request_of(answered, delivery.message)) is not None
    }
