"""A command on its way to a connection, and what is heard of it."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

from appliance.commands.model import Command
from broker.message import Message
from broker.publication import Publication
from broker.session import Session
from broker.topics import SHARED, matches

Change = tuple[Command | None, Command]
"""A command as it was, None if it is new, and as it is."""
Place = tuple[int, str]
"""A tenant and one of its devices."""


class Key(NamedTuple):
    """One attempt of one command."""

    tenant_id: int
    device_id: str
    command_number: int
    attempt: int

    @property
    def place(self) -> Place:
        """Whose it is."""
        return self.tenant_id, self.device_id


class Listener(Protocol):
    """Whoever wants to know what became of a flight."""

    def was_written(self, flight: "Flight") -> None:
        """It was written to the connection."""

    def was_unanswerable(self, flight: "Flight") -> None:
        """The device will not answer for it."""

    def was_acknowledged(self, flight: "Flight") -> None:
        """The device has answered for it."""

    def was_untaken(self, flight: "Flight") -> None:
        """The connection has not taken it."""


class Flight:
    """Evidence of one message; the broker tells it."""

    __slots__ = (
        "_is_told",
        "began_at",
        "client_id",
        "is_answered_for",
        "is_written",
        "key",
        "listener",
        "message",
        "publication",
    )

    def __init__(
        self, key: Key, client_id: str, message: Message, listener: Listener, *, is_recalled: bool = False
    ) -> None:
        """`is_recalled`: it was under way when the gateway ended, and may have been written."""
        self.key = key
        self.client_id = client_id
        self.message = message
        self.listener = listener
        self.began_at = message.arrived_at
        self.is_written = is_recalled
        self._is_told = False
        self.is_answered_for = False
        self.publication: Publication | None = None

    def written(self, client_id: str) -> None:
        """It was written to a live connection of this client."""
        del client_id
        self.is_written = True
        if not self._is_told:
            self._is_told = True
            self.listener.was_written(self)

    def unanswerable(self, client_id: str) -> None:
        """It was written at QoS 0."""
        del client_id
        self.listener.was_unanswerable(self)

    def acknowledged(self, client_id: str) -> None:
        """This client has answered for it."""
        del client_id
        if not self.is_answered_for:
            self.is_answered_for = True
            self.listener.was_acknowledged(self)

    def untaken(self) -> None:
        """No session took it."""
        self.listener.was_untaken(self)

    def withdraw(self) -> bool:
        """Take it back, if it still waits behind other messages; whether it did."""
        return not self.is_written and self.publication is not None and self.publication.withdraw() > 0


class Evidence:
    """What is known of an attempt and not on disk yet."""

    __slots__ = ("acknowledged_at", "is_released", "is_unconfirmed", "not_before", "sent_at")

    def __init__(self) -> None:
        self.sent_at: int | None = None
        self.acknowledged_at: int | None = None
        self.is_released = False
        """It was not written after all."""
        self.not_before = 0
        """When it may be offered again then."""
        self.is_unconfirmed = False
        """The connection ended before the device had answered."""

    def add(self, older: "Evidence") -> None:
        """Take in what was known before."""
        self.sent_at = older.sent_at if older.sent_at is not None else self.sent_at
        self.acknowledged_at = older.acknowledged_at if older.acknowledged_at is not None else self.acknowledged_at
        self.is_released = self.is_released or older.is_released
        self.not_before = max(self.not_before, older.not_before)
        self.is_unconfirmed = self.is_unconfirmed or older.is_unconfirmed


class Wants:
    """What a connected client has subscribed to, as it was at a moment."""

    __slots__ = ("_granted", "_last")

    def __init__(self, granted: Mapping[str, int]) -> None:
        """`granted`, which nobody changes any more, is the QoS of each topic filter.

        Shared subscriptions want nothing for one device alone; no topic of a command begins as they do.
        """
        self._granted = granted
        self._last: tuple[str, int | None] = ("", None)
        """What was asked last: whoever has found that a topic is wanted asks at which QoS."""

    def __bool__(self) -> bool:
        """Whether there is any."""
        # The first says it, as a rule, and a generator would take longer than the rest of finding a device.
        for one in self._granted:  # noqa: SIM110
            if not one.startswith(SHARED):
                return True
        return False

    def __call__(self, topic: str) -> bool:
        """Whether it wants a topic."""
        return self.qos(topic) is not None

    def reaches(self, beginning: str) -> bool:
        """Whether it may want a topic that begins so; where it says no, none of these has to be asked about."""
        # With thousands of devices at once, nothing else about a command would take as long as asking about each.
        return any(one.startswith(beginning) or _is_open(one[: len(beginning)], beginning) for one in self._granted)

    def qos(self, topic: str) -> int | None:
        """The highest QoS at which it wants a topic; None where it does not."""
        known, highest = self._last
        if known != topic:
            first = topic[0]
            highest = None
            for one, qos in self._granted.items():
                # Most filters are about something else, which their first character tells.
                if (one[0] == first or one[0] in "+#") and (highest is None or qos > highest) and matches(one, topic):
                    highest = qos
            self._last = (topic, highest)
        return highest


def _is_open(beginning_of_filter: str, beginning: str) -> bool:
    """Whether a wildcard stands in it, and before that nothing else than in the beginning of a topic."""
    head = beginning_of_filter.partition("#")[0].partition("+")[0]
    return len(head) < len(beginning_of_filter) and beginning.startswith(head)


class Claimant(NamedTuple):
    """A device that may be offered something: over which client, and how much."""

    tenant_id: int
    device_id: str
    session: Session
    connection: object
    """The client's connection as it was when it was asked; it counts only while it is the same."""
    wants: Wants
    room: int
    type_name: str

    @property
    def is_still_there(self) -> bool:
        """Whether the connection is still the one for which it was chosen: nothing may wait for another."""
        client = self.session.client
        return client is not None and client is self.connection and client.stream.is_open


class Post(Protocol):
    """What the courier needs of the broker."""

    def answer(self, message: Message, client_id: str, evidence: Flight | None = None) -> Publication | None:
        """Publish to one client alone."""

    def sessions(self, tenant_id: int, name: str | None = None) -> Iterable[Session]:
        """The sessions of a principal."""
