"""SQL of sessions, their deliveries, the messages that wait, and retained messages.

Rules:
- The broker gives numbers once in the whole gateway, whatever the tenant: a number names its row, and
  a row of a session has the tenant of its session.
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
from broker.packets import Subscription
from broker.ports import (
    Change,
    ChangeKey,
    DeliveryGone,
    DeliveryKept,
    IdentifierFreed,
    IdentifierTaken,
    Message,
    RetainedGone,
    RetainedKept,
    SessionGone,
    SessionKept,
    SubscriptionGone,
    SubscriptionKept,
)

# What a batch changes.


def save(connection: sqlite3.Connection, changes: Mapping[ChangeKey, Change]) -> None:
    """Make every changed row as its change says. Runs inside the transaction of the batch."""
    if not changes:
        return
    kinds: defaultdict[type[Change], list[Any]] = defaultdict(list)
    for change in changes.values():
        kinds[type(change)].append(change)
    _delete_sessions(connection, kinds[SessionGone])
    _upsert_sessions(connection, kinds[SessionKept])
    _delete_subscriptions(connection, kinds[SubscriptionGone])
    _delete_identifiers(connection, kinds[IdentifierFreed])
    _delete_deliveries(connection, kinds[DeliveryGone])
    _delete_retained(connection, kinds[RetainedGone])
    _upsert_retained(connection, kinds[RetainedKept])
    rows = (*kinds[SubscriptionKept], *kinds[IdentifierTaken], *kinds[DeliveryKept])
    tenants = _tenants(connection, {row.session_number for row in rows})
    _upsert_subscriptions(connection, kinds[SubscriptionKept], tenants)
    _insert_identifiers(connection, kinds[IdentifierTaken], tenants)
    _upsert_deliveries(connection, [each for each in kinds[DeliveryKept] if each.session_number in tenants])


def _delete_sessions(connection: sqlite3.Connection, changes: Sequence[SessionGone]) -> None:
    if not changes:
        return
    gone = _array(change.number for change in changes)
    awaited = connection.execute(
        "DELETE FROM delivery WHERE session_number IN (SELECT value FROM json_each(?)) RETURNING message_number",
        (gone,),
    ).fetchall()
    for table in ("subscription", "taken_identifier", "session"):
        connection.execute(f"DELETE FROM {table} WHERE session_number IN (SELECT value FROM json_each(?))", (gone,))
    _delete_unawaited(connection, awaited)


def _delete_deliveries(connection: sqlite3.Connection, changes: Sequence[DeliveryGone]) -> None:
    if not changes:
        return
    awaited = connection.execute(
        "DELETE FROM delivery WHERE delivery_number IN (SELECT value FROM json_each(?)) RETURNING message_number",
        (_array(change.number for change in changes),),
    ).fetchall()
    _delete_unawaited(connection, awaited)


def _delete_unawaited(connection: sqlite3.Connection, awaited: Sequence[tuple[int]]) -> None:
    """Of the messages that somebody waited for, remove those that nobody waits for any more."""
    if not awaited:
        return
    connection.execute(
        """
        DELETE FROM waiting_message
        WHERE message_number IN (SELECT value FROM json_each(?))
          AND NOT EXISTS (SELECT 1 FROM delivery WHERE delivery.message_number = waiting_message.message_number)
        """,
        (_array(number for (number,) in awaited),),
    )


def _tenants(connection: sqlite3.Connection, session_numbers: Collection[int]) -> dict[int, int]:
    """The tenant of each of these sessions that is kept."""
    if not session_numbers:
        return {}
    found = connection.execute(
        "SELECT session_number, tenant_id FROM session WHERE session_number IN (SELECT value FROM json_each(?))",
        (_array(session_numbers),),
    )
    return dict(found.fetchall())


def _upsert_sessions(connection: sqlite3.Connection, changes: Sequence[SessionKept]) -> None:
    connection.executemany(
        """
        INSERT INTO session (session_number, tenant_id, principal, client_id, expiry_s, left_at)
        VALUES (?, ?, ?, ?, ?, ?)
        ON CONFLICT (session_number) DO UPDATE SET
            principal = excluded.principal, client_id = excluded.client_id,
            expiry_s = excluded.expiry_s, left_at = excluded.left_at
        """,
        [
            (each.number, each.tenant_id, each.principal, each.client_id, each.expiry_s, each.left_at)
            for each in changes
        ],
    )


def _delete_subscriptions(connection: sqlite3.Connection, changes: Sequence[SubscriptionGone]) -> None:
    connection.executemany(
        "DELETE FROM subscription WHERE session_number = ? AND topic_filter = ?",
        [(each.session_number, each.topic_filter) for each in changes],
    )


def _upsert_subscriptions(
    connection: sqlite3.Connection, changes: Sequence[SubscriptionKept], tenants: Mapping[int, int]
) -> None:
    connection.executemany(
        """
        INSERT INTO subscription (tenant_id, session_number, topic_filter, qos, no_local, retain_as_published,
                                  retain_handling, identifier)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (session_number, topic_filter) DO UPDATE SET
            qos = excluded.qos, no_local = excluded.no_local, retain_as_published = excluded.retain_as_published,
            retain_handling = excluded.retain_handling, identifier = excluded.identifier
        """,
        [
            (tenants[each.session_number], each.session_number, *msgspec.structs.astuple(each.subscription))
            for each in changes
            if each.session_number in tenants
        ],
    )


def _delete_identifiers(connection: sqlite3.Connection, changes: Sequence[IdentifierFreed]) -> None:
    connection.executemany(
        "DELETE FROM taken_identifier WHERE session_number = ? AND packet_id = ?",
        [(each.session_number, each.packet_id) for each in changes],
    )


def _insert_identifiers(
    connection: sqlite3.Connection, changes: Sequence[IdentifierTaken], tenants: Mapping[int, int]
) -> None:
    connection.executemany(
        """
        INSERT INTO taken_identifier (tenant_id, session_number, packet_id) VALUES (?, ?, ?)
        ON CONFLICT (session_number, packet_id) DO NOTHING
        """,
        [
            (tenants[each.session_number], each.session_number, each.packet_id)
            for each in changes
            if each.session_number in tenants
        ],
    )


def _upsert_deliveries(connection: sqlite3.Connection, changes: Sequence[DeliveryKept]) -> None:
    messages = {each.delivery.message_number: each.delivery.message for each in changes}
    connection.executemany(
        """
        INSERT INTO waiting_message (message_number, tenant_id, principal, client_id, topic, payload, qos, retain,
                                     arrived_at, properties, expires_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (message_number) DO NOTHING
        """,
        [(number, *_columns(message)) for number, message in messages.items()],
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
                delivery.message.tenant_id,
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


def _delete_retained(connection: sqlite3.Connection, changes: Sequence[RetainedGone]) -> None:
    connection.executemany(
        "DELETE FROM retained_message WHERE tenant_id = ? AND topic = ?",
        [(each.tenant_id, each.topic) for each in changes],
    )


def _upsert_retained(connection: sqlite3.Connection, changes: Sequence[RetainedKept]) -> None:
    connection.executemany(
        """
        INSERT INTO retained_message (tenant_id, principal, client_id, topic, payload, qos, retain, arrived_at,
                                      properties, expires_at)
        VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
        ON CONFLICT (tenant_id, topic) DO UPDATE SET
            principal = excluded.principal, client_id = excluded.client_id, payload = excluded.payload,
            qos = excluded.qos, retain = excluded.retain, arrived_at = excluded.arrived_at,
            properties = excluded.properties, expires_at = excluded.expires_at
        """,
        [_columns(each.message) for each in changes],
    )


def _columns(message: Message) -> tuple[object, ...]:
    return (
        message.tenant_id,
        message.principal,
        message.client_id,
        message.topic,
        message.payload,
        message.qos,
        message.retain,
        message.arrived_at,
        pack_properties(message.properties),
        message.expires_at,
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
        SELECT session_number, tenant_id, CAST(principal AS BLOB), CAST(client_id AS BLOB), expiry_s, left_at
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
               payload, qos, retain, arrived_at, properties, expires_at
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
               arrived_at, properties, expires_at
        FROM retained_message ORDER BY tenant_id, topic
        """,
        (),
        read_message,
    )
