import itertools
import sqlite3

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.sessions import queries
from broker.changes import (
    Change,
    ChangeKey,
    Delivery,
    DeliveryGone,
    DeliveryKept,
    IdentifierTaken,
    RetainedKept,
    SessionGone,
    SubscriptionKept,
)
from broker.packets import Subscription
from tests.appliance.sessions.examples import (
    NaiveBroker,
    Step,
    asked,
    counts,
    delivery,
    merged,
    message,
    session,
    steps,
    stored,
    tables,
)

NOTHING = dict.fromkeys(
    ("session", "subscription", "taken_identifier", "waiting_message", "delivery", "retained_message"), 0
)


def batches(changes: list[Change], borders: list[int]) -> list[dict[ChangeKey, Change]]:
    edges = [0, *sorted(border for border in borders if border < len(changes)), len(changes)]
    return [merged(changes[start:end]) for start, end in itertools.pairwise(edges)]


@settings(deadline=None, max_examples=60)
@given(steps, st.lists(st.integers(0, 40), max_size=8))
def test_what_was_saved_in_any_batches_is_what_a_broker_in_memory_has(steps: list[Step], borders: list[int]) -> None:
    broker = NaiveBroker()
    changes = broker.changes(steps)
    with tables() as connection:
        for batch in batches(changes, borders):
            queries.save(connection, batch)
        found, retained = stored(connection)
        assert found == broker.stored()
        assert retained == sorted(broker.retained.values(), key=lambda each: each.topic)
        awaited = {each.message_number for kept in broker.deliveries.values() for each in kept.values()}
        assert {number for number, _ in asked(connection, queries.select_messages())} == awaited


@settings(deadline=None, max_examples=40)
@given(steps, st.integers(0, 40))
def test_saving_a_batch_again_changes_nothing(steps: list[Step], border: int) -> None:
    with tables() as connection:
        for batch in batches(NaiveBroker().changes(steps), [border]):
            queries.save(connection, batch)
            once = list(connection.iterdump())
            queries.save(connection, batch)
            assert list(connection.iterdump()) == once


@settings(deadline=None, max_examples=40)
@given(steps)
def test_no_number_is_below_the_highest_one_though_its_row_is_gone(steps: list[Step]) -> None:
    highest = 0
    with tables() as connection:
        for change in NaiveBroker().changes(steps):
            queries.save(connection, merged([change]))
            if isinstance(change, DeliveryKept):
                highest = max(highest, change.delivery.number, change.delivery.message_number)
            elif not isinstance(change, DeliveryGone):
                highest = max(highest, getattr(change, "number", 0))
        assert asked(connection, queries.select_highest_number()) == [highest]


def test_a_message_is_on_disk_once_until_the_last_one_has_answered_for_it() -> None:
    queued = message(payload=b"x" * 1_000)
    with tables() as connection:
        queries.save(connection, merged([session(number) for number in (1, 2, 3)]))
        queries.save(connection, merged([DeliveryKept(each, delivery(10 + each, queued, 9)) for each in (1, 2, 3)]))
        assert counts(connection)["waiting_message"] == 1
        queries.save(connection, merged([DeliveryGone(1, 11), SessionGone(2)]))
        assert counts(connection)["waiting_message"] == 1
        queries.save(connection, merged([DeliveryGone(3, 13)]))
        assert counts(connection)["waiting_message"] == 0


def test_a_row_that_is_kept_again_is_as_it_was_said_last() -> None:
    moved = Delivery(5, message(), 5, 2, True, (3, 4), packet_id=77, is_released=True)
    left = session(1, left_at=None, expiry_s=5, client_id="other")
    again: list[Change] = [left, SubscriptionKept(1, Subscription("a", 2, no_local=True))]
    newer = message(payload=b"newer")
    with tables() as connection:
        own: list[Change] = [
            session(1),
            SubscriptionKept(1, Subscription("a", 0, identifier=6)),
            DeliveryKept(1, delivery(5)),
        ]
        queries.save(connection, merged([*own, RetainedKept(message())]))
        queries.save(connection, merged([*again, DeliveryKept(1, moved), RetainedKept(newer)]))
        [(_, kept)] = asked(connection, queries.select_sessions())
        assert kept == left
        assert asked(connection, queries.select_subscriptions()) == [(1, Subscription("a", 2, no_local=True))]
        [found], retained = stored(connection)
        assert (found.deliveries, retained) == ((moved,), [newer])


def test_a_session_takes_everything_of_itself_along_also_what_is_changed_in_the_same_batch() -> None:
    own: list[Change] = [
        session(1),
        SubscriptionKept(1, Subscription("a", 1)),
        DeliveryKept(1, delivery(5)),
        IdentifierTaken(1, 3),
    ]
    with tables() as connection:
        queries.save(connection, merged(own))
        assert set(counts(connection).values()) == {0, 1}
        queries.save(
            connection,
            merged([*own, DeliveryKept(1, delivery(6)), SubscriptionKept(1, Subscription("b", 1)), SessionGone(1)]),
        )
        assert counts(connection) == NOTHING
        queries.save(connection, merged([*own, SessionGone(1)]))
        assert counts(connection) == NOTHING


def test_what_belongs_to_no_session_that_is_kept_is_not_kept() -> None:
    with tables() as connection:
        queries.save(connection, merged([SubscriptionKept(4, Subscription("a", 1)), IdentifierTaken(4, 3)]))
        queries.save(connection, merged([DeliveryKept(4, delivery(6))]))
        assert counts(connection) == NOTHING


def test_nothing_of_a_batch_stays_when_its_transaction_fails() -> None:
    with tables() as connection:
        queries.save(connection, merged([session(1), SubscriptionKept(1, Subscription("a", 1))]))
        before = list(connection.iterdump())
        connection.execute("BEGIN IMMEDIATE")
        queries.save(
            connection,
            merged(
                [session(2), SubscriptionKept(2, Subscription("b", 1)), DeliveryKept(2, delivery(7)), SessionGone(1)]
            ),
        )
        assert list(connection.iterdump()) != before
        connection.execute("ROLLBACK")
        assert list(connection.iterdump()) == before


def test_rows_have_the_tenant_of_their_session_and_topics_are_apart_by_tenant() -> None:
    with tables() as connection:
        connection.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'other', 0)")
        for tenant_id in (1, 2):
            number = tenant_id * 10
            queries.save(
                connection,
                merged(
                    [
                        session(number, tenant_id=tenant_id),
                        SubscriptionKept(number, Subscription("a", 1)),
                        IdentifierTaken(number, 1),
                        DeliveryKept(number, delivery(number + 1, message(tenant_id=tenant_id), number + 2)),
                        RetainedKept(message(tenant_id=tenant_id, payload=b"%d" % tenant_id)),
                    ]
                ),
            )
        for table in NOTHING:
            assert connection.execute(f"SELECT tenant_id FROM {table} ORDER BY 1").fetchall() == [(1,), (2,)]
        _, retained = stored(connection)
        assert [each.payload for each in retained] == [b"1", b"2"]


def test_a_wrong_tenant_is_refused_by_the_tables() -> None:
    with tables() as connection, pytest.raises(sqlite3.IntegrityError):
        queries.save(connection, merged([session(1, tenant_id=77)]))


def instructions(connection: sqlite3.Connection, batch: dict[ChangeKey, Change]) -> int:
    """How many instructions of its machine SQLite needs for a batch: the same on a busy computer as on an idle one."""
    counted = 0

    def count() -> int:
        nonlocal counted
        counted += 10
        return 0

    connection.set_progress_handler(count, 10)
    queries.save(connection, batch)
    connection.set_progress_handler(None, 0)
    return counted


def test_what_a_batch_costs_does_not_grow_with_what_is_kept() -> None:
    def kept(first: int, count: int) -> list[Change]:
        return [DeliveryKept(number % 50 + 1, delivery(first + number)) for number in range(count)]

    def gone(first: int, count: int) -> list[Change]:
        return [DeliveryGone(number % 50 + 1, first + number) for number in range(count)]

    costs = []
    with tables() as connection:
        queries.save(connection, merged([session(number + 1) for number in range(60)]))
        for first in (1_000, 2_000):
            coming = instructions(connection, merged(kept(first, 500)))
            going = instructions(connection, merged(gone(first, 500)))
            ending = instructions(connection, merged([DeliveryKept(first // 1_000 + 50, delivery(first + 600))]))
            ending += instructions(connection, merged([SessionGone(first // 1_000 + 50)]))
            costs.append((coming, going, ending))
            # What is there the second time.
            queries.save(connection, merged(kept(10_000, 3_000)))
    for before, after in zip(*costs, strict=True):
        assert after < before * 1.2 + 200, costs
