"""Changes of sessions as a broker makes them, and what they come to when read naively."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple, TypeVar

from hypothesis import strategies as st

from appliance.sessions import queries
from appliance.sessions.load import Rows, assemble
from appliance.store.database import Select
from broker.changes import (
    Change,
    ChangeKey,
    Delivery,
    DeliveryGone,
    DeliveryKept,
    IdentifierFreed,
    IdentifierTaken,
    RetainedGone,
    RetainedKept,
    SessionGone,
    SessionKept,
    StoredSession,
    SubscriptionGone,
    SubscriptionKept,
)
from broker.message import Message
from broker.packets import Properties, Subscription
from tests.appliance.store.tables import up_to_date

T = TypeVar("T")

NOW = 1_800_000_000_000
HOUR_S = 3_600

numbers = st.integers(0, 0xFFFF_FFFF)
properties = st.builds(
    Properties,
    payload_format_indicator=st.none() | st.integers(0, 1),
    content_type=st.none() | st.text(max_size=8),
    correlation_data=st.none() | st.binary(max_size=8),
    message_expiry_s=st.none() | numbers,
    subscription_identifiers=st.lists(st.integers(1, 268_435_455), max_size=3).map(tuple),
    user_properties=st.lists(st.tuples(st.text(max_size=4), st.text(max_size=4)), max_size=3).map(tuple),
)
messages = st.builds(
    Message,
    tenant_id=st.just(1),
    principal=st.text(max_size=4),
    client_id=st.text(max_size=4),
    topic=st.sampled_from(["a", "b/c", "ä/€", "$SYS/x"]),
    payload=st.binary(max_size=12),
    qos=st.integers(0, 2),
    retain=st.booleans(),
    arrived_at=st.integers(0, 2 * NOW),
    properties=properties,
    expires_at=st.none() | st.integers(NOW + 1, 2 * NOW),
)
subscriptions = st.builds(
    Subscription,
    topic_filter=st.sampled_from(["a", "#", "+/c", "$share/g/x"]),
    qos=st.integers(0, 2),
    no_local=st.booleans(),
    retain_as_published=st.booleans(),
    retain_handling=st.integers(0, 2),
    identifier=st.integers(0, 268_435_455),
)


def message(topic: str = "a", *, expires_at: int | None = None, payload: bytes = b"x", tenant_id: int = 1) -> Message:
    return Message(tenant_id, "pump", "pump", topic, payload, 1, False, NOW, expires_at=expires_at)


def session(
    number: int, *, left_at: int | None = NOW, expiry_s: int = HOUR_S, client_id: str = "pump", tenant_id: int = 1
) -> SessionKept:
    return SessionKept(number, tenant_id, "pump", client_id, expiry_s, left_at, is_operator=number % 2 == 0)


def delivery(number: int, of: Message | None = None, message_number: int = 0, *, packet_id: int = 0) -> Delivery:
    return Delivery(number, of or message(), message_number or number, 1, False, packet_id=packet_id)


def key(change: Change) -> ChangeKey:
    """What a change is merged by."""
    found: ChangeKey
    match change:
        case SessionKept() | SessionGone():
            found = ("session", change.number, 0)
        case SubscriptionKept():
            found = ("subscription", change.session_number, change.subscription.topic_filter)
        case SubscriptionGone():
            found = ("subscription", change.session_number, change.topic_filter)
        case DeliveryKept():
            found = ("delivery", change.session_number, change.delivery.number)
        case DeliveryGone():
            found = ("delivery", change.session_number, change.number)
        case IdentifierTaken() | IdentifierFreed():
            found = ("identifier", change.session_number, change.packet_id)
        case RetainedKept():
            found = ("retained", change.message.tenant_id, change.message.topic)
        case _:
            found = ("retained", change.tenant_id, change.topic)
    return found


def merged(changes: Iterable[Change]) -> dict[ChangeKey, Change]:
    return {key(change): change for change in changes}


VERBS = (
    *("connect", "leave", "end", "subscribe", "unsubscribe", "take", "free", "retain", "clear"),
    # Twice, so that queues get long.
    *("queue", "queue", "move", "answer", "stray"),
)


class Step(NamedTuple):
    """Something a broker does; what it does it to is chosen among what there is."""

    verb: str
    choice: int
    message: Message
    subscription: Subscription


steps = st.lists(
    st.builds(
        Step,
        st.sampled_from(VERBS),
        st.integers(0, 1_000),
        messages,
        subscriptions,
    ),
    max_size=40,
)


class NaiveBroker:
    """Makes changes out of steps, and remembers what they come to."""

    def __init__(self) -> None:
        self.sessions: dict[int, SessionKept] = {}
        self.subscriptions: dict[int, dict[str, Subscription]] = {}
        self.deliveries: dict[int, dict[int, Delivery]] = {}
        self.identifiers: dict[int, set[int]] = {}
        self.retained: dict[str, Message] = {}
        self._number = 0
        self._messages: list[tuple[int, Message]] = []

    def changes(self, steps: Sequence[Step]) -> list[Change]:
        return [change for step in steps for change in self._take(step)]

    def stored(self) -> list[StoredSession]:
        """What a store has to give back."""
        return [
            StoredSession(
                each,
                tuple(sorted(self.subscriptions[number].values(), key=lambda found: found.topic_filter)),
                tuple(each for _, each in sorted(self.deliveries[number].items())),
                tuple(sorted(self.identifiers[number])),
            )
            for number, each in sorted(self.sessions.items())
        ]

    def _take(self, step: Step) -> Iterator[Change]:
        match step.verb:
            case "connect":
                yield self._connect(self._next())
            case "retain":
                self.retained[step.message.topic] = step.message
                yield RetainedKept(step.message)
            case "clear":
                self.retained.pop(step.message.topic, None)
                yield RetainedGone(1, step.message.topic)
            case _:
                numbers = sorted(self.sessions)
                if numbers:
                    yield from self._change(numbers[step.choice % len(numbers)], step)

    def _connect(self, number: int) -> SessionKept:
        self.subscriptions[number], self.deliveries[number], self.identifiers[number] = {}, {}, set()
        self.sessions[number] = session(number, left_at=NOW - 1, client_id=f"client-{number}")
        return self.sessions[number]

    def _change(self, number: int, step: Step) -> Iterator[Change]:
        packet_id = step.choice % 3 + 1
        match step.verb:
            case "leave":
                self.sessions[number] = session(number, left_at=NOW - step.choice, client_id="elsewhere")
                yield self.sessions[number]
            case "end":
                del self.sessions[number], self.subscriptions[number]
                del self.deliveries[number], self.identifiers[number]
                yield SessionGone(number)
            case "subscribe":
                self.subscriptions[number][step.subscription.topic_filter] = step.subscription
                yield SubscriptionKept(number, step.subscription)
            case "unsubscribe":
                self.subscriptions[number].pop(step.subscription.topic_filter, None)
                yield SubscriptionGone(number, step.subscription.topic_filter)
            case "take":
                self.identifiers[number].add(packet_id)
                yield IdentifierTaken(number, packet_id)
            case "free":
                self.identifiers[number].discard(packet_id)
                yield IdentifierFreed(number, packet_id)
            case "stray":
                yield DeliveryGone(number, self._next())
            case _:
                yield from self._deliver(number, step)

    def _deliver(self, number: int, step: Step) -> Iterator[Change]:
        held = self.deliveries[number]
        if step.verb == "queue":
            if step.choice % 2 or not self._messages:
                self._messages.append((self._next(), step.message))
            message_number, queued = self._messages[-1]
            identifiers = step.message.properties.subscription_identifiers
            made = Delivery(self._next(), queued, message_number, step.message.qos, False, identifiers)
            held[made.number] = made
            yield DeliveryKept(number, made)
        elif held and step.verb == "move":
            before = held[min(held)]
            held[before.number] = Delivery(
                before.number,
                before.message,
                before.message_number,
                2,
                True,
                before.identifiers,
                7,
                bool(step.choice % 2),
            )
            yield DeliveryKept(number, held[before.number])
        elif held:
            yield DeliveryGone(number, held.pop(min(held)).number)

    def _next(self) -> int:
        self._number += 1
        return self._number


@contextlib.contextmanager
def tables() -> Iterator[sqlite3.Connection]:
    """All tables, in memory, with references checked as in the gateway."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.execute("PRAGMA foreign_keys = ON")
        up_to_date(connection)
        yield connection


def asked(connection: sqlite3.Connection, select: Select[T]) -> list[T]:
    return [select.into(*row) for row in connection.execute(select.sql, select.parameters)]


def rows(connection: sqlite3.Connection) -> Rows:
    return Rows(
        asked(connection, queries.select_sessions()),
        asked(connection, queries.select_subscriptions()),
        asked(connection, queries.select_identifiers()),
        asked(connection, queries.select_messages()),
        asked(connection, queries.select_deliveries()),
        asked(connection, queries.select_retained()),
    )


def stored(connection: sqlite3.Connection, now: int = NOW) -> tuple[list[StoredSession], list[Message]]:
    """What the tables say of sessions and of retained messages."""
    loaded = assemble(rows(connection), now)
    assert loaded.damage == {}
    found = [
        StoredSession(
            each.session,
            tuple(sorted(each.subscriptions, key=lambda found: found.topic_filter)),
            each.deliveries,
            each.taken_identifiers,
        )
        for each in loaded.sessions
    ]
    return found, loaded.retained


def counts(connection: sqlite3.Connection) -> dict[str, int]:
    """How many rows each table has."""
    names = ("session", "subscription", "taken_identifier", "waiting_message", "delivery", "retained_message")
    found: dict[str, Any] = {name: connection.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in names}
    return found
