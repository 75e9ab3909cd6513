"""SQL of sessions, their deliveries, the messages that wait, and retained messages.

Rules:
- A row of a session has the tenant of its session.
- Each kind of row is written by one statement for the whole batch, references before what refers to them.
- What is changed of a session that is not kept is not kept either.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import msgspec

from appliance.sessions.rows import (
    Damaged,
    DeliveryRow,
    pack_identifiers,
    pack_properties,
    read_delivery,
    read_identifier,
    read_message,
    read_session,
    read_subscription,
)
from appliance.store.database import Select
from broker.changes import (
    Change,
    ChangeKey,
    DeliveryGone,
    DeliveryKept,
    IdentifierFreed,
    IdentifierTaken,
    RetainedGone,
    RetainedKept,
    SessionGone,
    SessionKept,
    SubscriptionGone,
    SubscriptionKept,
)
from broker.message import Message
from broker.packets import Subscription

_Kinds = defaultdict[type[Change], list[Any]]
_OF_A_SESSION = (SubscriptionKept, SubscriptionGone, IdentifierTaken, IdentifierFreed, DeliveryKept, DeliveryGone)

# What a batch changes.


def save(connection: sqlite3.Connection, changes: Mapping[ChangeKey, Change]) -> None:
    """Make every changed row as its change says. Runs inside the transaction of the batch."""
    for tenant_id, kinds in _by_tenant(connection, changes.values()).items():
        _delete_sessions(connection, tenant_id, kinds[SessionGone])
        _upsert_sessions(connection, tenant_id, kinds[SessionKept])
        _delete_subscriptions(connection, tenant_id, kinds[SubscriptionGone])
        _upsert_subscriptions(connection, tenant_id, kinds[SubscriptionKept])
        _delete_identifiers(connection, tenant_id, kinds[IdentifierFreed])
        _insert_identifiers(connection, tenant_id, kinds[IdentifierTaken])
        _delete_deliveries(connection, tenant_id, kinds[DeliveryGone])
        _upsert_deliveries(connection, tenant_id, kinds[DeliveryKept])
        _delete_retained(connection, tenant_id, kinds[RetainedGone])
        _upsert_retained(connection, tenant_id, kinds[RetainedKept])


def _by_tenant(connection: sqlite3.Connection, changes: Collection[Change]) -> dict[int, _Kinds]:
    """The changes by tenant and kind, without those of sessions that are not kept."""
    kinds: _Kinds = defaultdict(list)
    for change in changes:
        kinds[type(change)].append(change)
    tenants = _tenants(connection, kinds)
    gone = {change.number for change in kinds[SessionGone]}
    found: defaultdict[int, _Kinds] = defaultdict(lambda: defaultdict(list))
    for change in (*kinds[SessionKept], *kinds[RetainedGone]):
        found[change.tenant_id][type(change)].append(change)
    for change in kinds[RetainedKept]:
        found[change.message.tenant_id][RetainedKept].append(change)
    for number in gone & tenants.keys():
        found[tenants[number]][SessionGone].append(SessionGone(number))
    for kind in _OF_A_SESSION:
        for change in kinds[kind]:
            number = change.session_number
            if number in tenants and number not in gone:
                found[tenants[number]][kind].append(change)
    return found


def _tenants(connection: sqlite3.Connection, kinds: _Kinds) -> dict[int, int]:
    """The tenant of each session of which something is changed, if it is kept."""
    numbers = {change.number for change in kinds[SessionGone]}
    for kind in _OF_A_SESSION:
        numbers |= {change.session_number for change in kinds[kind]}
    found = connection.execute(
        "SELECT session_number, tenant_id FROM session WHERE session_number IN (SELECT value FROM json_each(?))",
        (_array(numbers),),
    )
    return dict(found.fetchall()) | {change.number: change.tenant_id for change in kinds[SessionKept]}


def _delete_sessions(connection: sqlite3.Connection, tenant_id: int, changes: Sequence[SessionGone]) -> None:
    if not changes:
        return
    gone = _array(change.number for change in changes)
    awaited = connection.execute(
        """
        DELETE FROM delivery WHERE tenant_id = ? AND session_number IN (SELECT value FROM json_each(?))
        RETURNING message_number
        """,
        (tenant_id, gone),
    ).fetchall()
    for table in ("subscription", "taken_identifier", "session"):
        connection.execute(
            f"DELETE FROM {table} WHERE tenant_id = ? AND session_number IN (SELECT value FROM json_each(?))",
            (tenant_id, gone),
        )
    _delete_unawaited(connection, tenant_id, awaited)


def _delete_deliveries(connection: sqlite3.Connection, tenant_id: int, changes: Sequence[DeliveryGone]) -> None:
    if not changes:
        return
    awaited = connection.execute(
        """
        DELETE FROM delivery WHERE tenant_id = ? AND delivery_number IN (SELECT value FROM json_each(?))
        RETURNING message_number
        """,
        (tenant_id, _array(change.number for change in changes)),
    ).fetchall()
    _delete_unawaited(connection, tenant_id, awaited)


def _delete_unawaited(connection: sqlite3.Connection, tenant_id: int, awaited: Sequence[tuple[int]]) -> None:
    """Of the messages that somebody waited for, remove those that nobody waits for any more."""
    if not awaited:
        return
    connection.execute(
        """
        DELETE FROM waiting_message
        WHERE tenant_id = ? AND message_number IN (SELECT value FROM json_each(?))
          AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.message_number = waiting_message.message_number)
        """,
        (tenant_id, _array(number for (number,) in awaited)),
    )


def _upsert_sessions(connection: sqlite3.Connection, tenant_id: int, changes: Sequence[SessionKept]) -> None:
    connection.executemany(
        """
        INSERT INTO session (session_number, tenant_id, principal, client_id, expiry_s, left_at, is_operator)
        VALUES (?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (session_number) DO UPDATE SET
            principal = excluded.principal, client_id = excluded.client_id,
            expiry_s = excluded.expiry_s, left_at = excluded.left_at, is_operator = excluded.is_operator
        """,
        [
            (each.number, tenant_id, each.principal, each.client_id, each.expiry_s, each.left_at, each.is_operator)
            for each in changes
        ],
    )


def _delete_subscriptions(connection: sqlite3.Connection, tenant_id: int, changes: Sequence[SubscriptionGone]) -> None:
    connection.executemany(
        "DELETE FROM subscription WHERE tenant_id = ? AND session_number = ? AND topic_filter = ?",
        [(tenant_id, each.session_number, each.topic_filter) for each in changes],
    )


def _upsert_subscriptions(connection: sqlite3.Connection, tenant_id: int, changes: Sequence[SubscriptionKept]) -> None:
    connection.executemany(
        """
        INSERT INTO subscription (tenant_id, session_number, topic_filter, qos, no_local, retain_as_published,
                                  retain_handling, identifier)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (session_number, topic_filter) DO UPDATE SET
            qos = excluded.qos, no_local = excluded.no_local, retain_as_published = excluded.retain_as_published,
            retain_handling = excluded.retain_handling, identifier = excluded.identifier
        """,
        [(tenant_id, each.session_number, *msgspec.structs.astuple(each.subscription)) for each in changes],
    )


def _delete_identifiers(connection: sqlite3.Connection, tenant_id: int, changes: Sequence[IdentifierFreed]) -> None:
    connection.executemany(
        "DELETE FROM taken_identifier WHERE tenant_id = ? AND session_number = ? AND packet_id = ?",
        [(tenant_id, each.session_number, each.packet_id) for each in changes],
    )


def _insert_identifiers(connection: sqlite3.Connection, tenant_id: int, changes: Sequence[IdentifierTaken]) -> None:
    connection.executemany(
        """
        INSERT INTO taken_identifier (tenant_id, session_number, packet_id) VALUES (?, ?, ?)
        ON CONFLICT (session_number, packet_id) DO NOTHING
        """,
        [(tenant_id, each.session_number, each.packet_id) for each in changes],
    )


def _upsert_deliveries(connection: sqlite3.Connection, tenant_id: int, changes: Sequence[DeliveryKept]) -> None:
    messages = {each.delivery.message_number: each.delivery.message for each in changes}
    connection.executemany(
        """
        INSERT INTO waiting_message (message_number, tenant_id, principal, client_id, topic, payload, qos, retain,
                                     arrived_at, properties, expires_at, is_operators)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (message_number) DO NOTHING
        """,
        [(number, *_columns(tenant_id, message)) for number, message in messages.items()],
    )
    connection.executemany(
        """
        INSERT INTO delivery (delivery_number, tenant_id, session_number, message_number, qos, retain, identifiers,
                              packet_id, is_released)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (delivery_number) DO UPDATE SET
            qos = excluded.qos, retain = excluded.retain, identifiers = excluded.identifiers,
            packet_id = excluded.packet_id, is_released = excluded.is_released
        """,
        [
            (
                (delivery := each.delivery).number,
                tenant_id,
                each.session_number,
                delivery.message_number,
                delivery.qos,
                delivery.retain,
                pack_identifiers(delivery.identifiers),
                delivery.packet_id,
                delivery.is_released,
            )
            for each in changes
        ],
    )


def _delete_retained(connection: sqlite3.Connection, tenant_id: int, changes: Sequence[RetainedGone]) -> None:
    connection.executemany(
        "DELETE FROM retained_message WHERE tenant_id = ? AND topic = ?",
        [(tenant_id, each.topic) for each in changes],
    )


def _upsert_retained(connection: sqlite3.Connection, tenant_id: int, changes: Sequence[RetainedKept]) -> None:
    connection.executemany(
        """
        INSERT INTO retained_message (tenant_id, principal, client_id, topic, payload, qos, retain, arrived_at,
                                      properties, expires_at, is_operators)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (tenant_id, topic) DO UPDATE SET
            principal = excluded.principal, client_id = excluded.client_id, payload = excluded.payload,
            qos = excluded.qos, retain = excluded.retain, arrived_at = excluded.arrived_at,
            properties = excluded.properties, expires_at = excluded.expires_at,
            is_operators = excluded.is_operators
        """,
        [_columns(tenant_id, each.message) for each in changes],
    )


def _columns(tenant_id: int, message: Message) -> tuple[object, ...]:
    return (
        tenant_id,
        message.principal,
        message.client_id,
        message.topic,
        message.payload,
        message.qos,
        message.retain,
        message.arrived_at,
        pack_properties(message.properties),
        message.expires_at,
        message.is_operators,
    )


def _array(numbers: Iterable[int]) -> str:
    return msgspec.json.encode(list(numbers)).decode()


# What the broker starts with: of every tenant; each row names its `tenant_id`.


def select_highest_number() -> Select[int]:
    """The highest number that a session, a delivery or a message ever had here; 0 when there was none."""
    return Select(
        "SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name IN ('session', 'delivery', 'waiting_message')",
        (),
        int,
    )


def select_sessions() -> Select[tuple[int, SessionKept | Damaged]]:
    """Every session, by its number."""
    return Select(
        """
        SELECT session_number, tenant_id, CAST(principal AS BLOB), CAST(client_id AS BLOB), expiry_s, left_at,
            is_operator
        FROM session ORDER BY session_number
        """,
        (),
        lambda number, *columns: (number, read_session(number, *columns)),
    )


def select_subscriptions() -> Select[tuple[int, Subscription | Damaged]]:
    """Every subscription, with the number of its session."""
    return Select(
        """
        SELECT session_number, CAST(topic_filter AS BLOB), qos, no_local, retain_as_published, retain_handling,
               identifier
        FROM subscription ORDER BY tenant_id, session_number, rowid
        """,
        (),
        lambda session_number, *columns: (session_number, read_subscription(*columns)),
    )


def select_identifiers() -> Select[tuple[int, int | Damaged]]:
    """Every QoS 2 packet identifier that is taken, with the number of its session."""
    return Select(
        "SELECT session_number, packet_id FROM taken_identifier ORDER BY tenant_id, session_number, packet_id",
        (),
        lambda session_number, packet_id: (session_number, read_identifier(packet_id)),
    )


def select_messages() -> Select[tuple[int, Message | Damaged]]:
    """Every message that somebody waits for, with its number."""
    return Select(
        """
        SELECT message_number, tenant_id, CAST(principal AS BLOB), CAST(client_id AS BLOB), CAST(topic AS BLOB),
               payload, qos, retain, arrived_at, properties, expires_at, is_operators
        FROM waiting_message
        """,
        (),
        lambda number, *columns: (number, read_message(*columns)),
    )


def select_deliveries() -> Select[tuple[int, int, DeliveryRow | Damaged]]:
    """Every delivery in order, with its number and that of its session."""
    return Select(
        """
        SELECT delivery_number, session_number, message_number, qos, retain, CAST(identifiers AS BLOB), packet_id,
               is_released
        FROM delivery ORDER BY delivery_number
        """,
        (),
        lambda number, session_number, *columns: (
            number,
            session_number,
            read_delivery(number, session_number, *columns),
        ),
    )


def select_retained() -> Select[Message | Damaged]:
    """Every retained message."""
    return Select(
        """
        SELECT tenant_id, CAST(principal AS BLOB), CAST(client_id AS BLOB), CAST(topic AS BLOB), payload, qos, retain,
               arrived_at, properties, expires_at, is_operators
        FROM retained_message ORDER BY tenant_id, topic
        """,
        (),
        read_message,
    )
