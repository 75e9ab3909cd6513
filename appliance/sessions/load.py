"""What of the kept sessions and messages is still good, and what has to go, when the gateway starts.

Whoever was connected when the process ended counts as having left when it starts again.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from typing import TypeVar

import msgspec

from appliance.sessions.rows import Damaged, DeliveryRow
from broker.changes import (
    Change,
    ChangeKey,
    Delivery,
    DeliveryGone,
    RetainedGone,
    SessionGone,
    SessionKept,
    StoredSession,
)
from broker.message import Message
from broker.packets import Subscription

T = TypeVar("T")

NEVER_EXPIRES_S = 0xFFFF_FFFF
"""The session expiry interval that says that a session never ends by itself [MQTT 5, 3.1.2.11.2]."""


class Rows(msgspec.Struct, frozen=True):
    """Every row, each with the number it is found by."""

    sessions: Sequence[tuple[int, SessionKept | Damaged]]
    subscriptions: Sequence[tuple[int, Subscription | Damaged]]
    identifiers: Sequence[tuple[int, int | Damaged]]
    messages: Sequence[tuple[int, Message | Damaged]]
    deliveries: Sequence[tuple[int, int, DeliveryRow | Damaged]]
    retained: Sequence[Message | Damaged]


class Loaded(msgspec.Struct, frozen=True):
    """What the rows come to."""

    sessions: list[StoredSession]
    retained: list[Message]
    changes: dict[ChangeKey, Change]
    """What has to become of the rows for them to say the same."""
    damage: dict[str, int]
    """How many rows of each table could not be used."""
    expired: dict[str, int]


def is_expired(session: SessionKept, now: int) -> bool:
    """Whether a session that nobody is connected to has been kept for long enough."""
    if session.left_at is None or session.expiry_s == NEVER_EXPIRES_S:
        return False
    return session.left_at + session.expiry_s * 1_000 <= now


def assemble(rows: Rows, now: int) -> Loaded:
    """Put the rows together and leave out what has expired or cannot be read."""
    return _Assembly(rows, now).result()


class _Assembly:
    """Goes through the rows once and notes what has to go."""

    def __init__(self, rows: Rows, now: int) -> None:
        self._rows = rows
        self._now = now
        self._changes: dict[ChangeKey, Change] = {}
        self._damage: Counter[str] = Counter()
        self._expired: Counter[str] = Counter()

    def result(self) -> Loaded:
        incomplete: set[int] = set()
        subscriptions = self._by_session("subscription", self._rows.subscriptions, incomplete)
        identifiers = self._by_session("taken_identifier", self._rows.identifiers, incomplete)
        sessions = list(self._sessions(incomplete))
        deliveries = self._deliveries({session.number for session in sessions})
        stored = [
            StoredSession(
                session,
                tuple(subscriptions[session.number]),
                tuple(deliveries[session.number]),
                tuple(identifiers[session.number]),
            )
            for session in sessions
        ]
        # `+` leaves out what was counted and not found.
        return Loaded(stored, list(self._retained()), self._changes, dict(+self._damage), dict(+self._expired))

    def _by_session(
        self, table: str, rows: Sequence[tuple[int, T | Damaged]], incomplete: set[int]
    ) -> defaultdict[int, list[T]]:
        found: defaultdict[int, list[T]] = defaultdict(list)
        for session_number, row in rows:
            if isinstance(row, Damaged):
                self._damage[table] += 1
                incomplete.add(session_number)
            else:
                found[session_number].append(row)
        return found

    def _sessions(self, incomplete: set[int]) -> Iterator[SessionKept]:
        for number, session in self._rows.sessions:
            if isinstance(session, Damaged) or number in incomplete:
                # A session that lost a part of itself must not be told to its client as present [MQTT-3.2.2-2].
                self._damage["session"] += 1
            else:
                left_at = self._now if session.left_at is None else session.left_at
                left = msgspec.structs.replace(session, left_at=left_at)
                if not is_expired(left, self._now):
                    if left != session:
                        self._changes["session", number, 0] = left
                    yield left
                    continue
                self._expired["session"] += 1
            self._changes["session", number, 0] = SessionGone(number)

    def _deliveries(self, session_numbers: set[int]) -> defaultdict[int, list[Delivery]]:
        messages = dict(self._rows.messages)
        self._damage["waiting_message"] += sum(isinstance(message, Damaged) for message in messages.values())
        found: defaultdict[int, list[Delivery]] = defaultdict(list)
        for number, session_number, row in self._rows.deliveries:
            if session_number not in session_numbers:
                continue  # It goes with its session.
            message = None if isinstance(row, Damaged) else messages.get(row.message_number)
            if isinstance(row, Damaged) or message is None or isinstance(message, Damaged):
                self._damage["delivery"] += 1
            elif row.packet_id == 0 and self._is_over(message):
                # Once it has begun, a delivery goes on to its end [MQTT-4.4.0-1].
                self._expired["delivery"] += 1
            else:
                found[session_number].append(_delivery(row, message))
                continue
            self._changes["delivery", session_number, number] = DeliveryGone(session_number, number)
        return found

    def _retained(self) -> Iterator[Message]:
        for message in self._rows.retained:
            if isinstance(message, Damaged):
                # Stays where it is until its topic has another one: what topic that is may be what is damaged.
                self._damage["retained_message"] += 1
            elif self._is_over(message):
                self._expired["retained_message"] += 1
                key = ("retained", message.tenant_id, message.topic)
                self._changes[key] = RetainedGone(message.tenant_id, message.topic)
            else:
                yield message

    def _is_over(self, message: Message) -> bool:
        return message.expires_at is not None and message.expires_at <= self._now


def _delivery(row: DeliveryRow, message: Message) -> Delivery:
    return Delivery(
        row.number, message, row.message_number, row.qos, row.retain, row.identifiers, row.packet_id, row.is_released
    )
