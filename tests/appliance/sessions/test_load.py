import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.sessions import queries
from appliance.sessions.load import NEVER_EXPIRES_S, Loaded, Rows, assemble, is_expired
from appliance.sessions.rows import Damaged
from broker.changes import DeliveryGone, DeliveryKept, RetainedGone, SessionGone, SessionKept
from broker.packets import Subscription
from tests.appliance.sessions.examples import (
    NOW,
    NaiveBroker,
    Step,
    delivery,
    merged,
    message,
    rows,
    session,
    steps,
    tables,
)

DAMAGED = Damaged("as the test says")
EMPTY = Rows([], [], [], [], [], [])


def loaded(found: Rows, now: int = NOW) -> Loaded:
    return assemble(found, now)


@given(st.integers(0, NEVER_EXPIRES_S - 1), st.integers(0, 2 * NOW), st.integers(0, 2 * NOW))
def test_a_session_is_kept_as_long_as_its_client_asked_for(expiry_s: int, left_at: int, now: int) -> None:
    left = session(1, left_at=left_at, expiry_s=expiry_s)
    assert is_expired(left, now) == (now - left_at >= expiry_s * 1_000)
    assert not is_expired(session(1, left_at=None, expiry_s=expiry_s), now)
    assert not is_expired(session(1, left_at=left_at, expiry_s=NEVER_EXPIRES_S), now)


@settings(deadline=None, max_examples=40)
@given(steps, st.integers(0, 5_000), st.integers(0, 2 * NOW))
def test_after_what_has_to_go_is_gone_the_rows_say_the_same_and_nothing_has_to_go(
    taken: list[Step], left_ago_ms: int, now: int
) -> None:
    with tables() as connection:
        queries.save(connection, merged(NaiveBroker().changes(taken)))
        connection.execute("UPDATE session SET expiry_s = 1 WHERE session_number % 2")
        connection.execute("UPDATE session SET left_at = NULL WHERE session_number % 3")
        first = assemble(rows(connection), now)
        queries.save(connection, first.changes)
        second = assemble(rows(connection), now)
        assert (second.sessions, second.retained) == (first.sessions, first.retained)
        assert (second.changes, second.damage, second.expired) == ({}, {}, {})


def test_who_was_connected_when_the_process_ended_has_left_when_it_starts() -> None:
    found = loaded(msgspec.structs.replace(EMPTY, sessions=[(1, session(1, left_at=None))]))
    left = session(1, left_at=NOW)
    assert [each.session for each in found.sessions] == [left]
    assert list(found.changes.values()) == [left]


def test_a_session_that_ends_with_its_connection_is_over() -> None:
    found = loaded(msgspec.structs.replace(EMPTY, sessions=[(1, session(1, left_at=None, expiry_s=0))]))
    assert (found.sessions, list(found.changes.values())) == ([], [SessionGone(1)])
    assert found.expired == {"session": 1}


def test_a_session_that_lost_a_subscription_or_an_identifier_is_not_resumed() -> None:
    kept: list[tuple[int, SessionKept | Damaged]] = [(number, session(number)) for number in (1, 2, 3)]
    found = loaded(
        msgspec.structs.replace(
            EMPTY,
            sessions=[*kept, (4, DAMAGED)],
            subscriptions=[(1, Subscription("a", 1)), (1, DAMAGED), (2, Subscription("a", 1))],
            identifiers=[(3, DAMAGED), (2, 8)],
        )
    )
    assert [each.session.number for each in found.sessions] == [2]
    assert found.sessions[0].subscriptions == (Subscription("a", 1),)
    assert found.sessions[0].taken_identifiers == (8,)
    assert list(found.changes.values()) == [SessionGone(1), SessionGone(3), SessionGone(4)]
    assert found.damage == {"session": 3, "subscription": 1, "taken_identifier": 1}


def test_a_message_that_expired_goes_unless_its_delivery_has_begun() -> None:
    over, good = message(expires_at=NOW), message(expires_at=NOW + 1)
    kept = [DeliveryKept(1, delivery(10, over)), DeliveryKept(1, delivery(11, over, packet_id=9))]
    kept += [DeliveryKept(1, delivery(12, good)), DeliveryKept(1, delivery(13, good, packet_id=8))]
    with tables() as connection:
        queries.save(connection, merged([session(1), *kept]))
        found = loaded(rows(connection))
    assert [each.number for each in found.sessions[0].deliveries] == [11, 12, 13]
    assert list(found.changes.values()) == [DeliveryGone(1, 10)]


def test_a_retained_message_that_expired_goes() -> None:
    found = loaded(
        msgspec.structs.replace(
            EMPTY, retained=[message("a", expires_at=NOW), DAMAGED, message("b", expires_at=NOW + 1)]
        )
    )
    assert [each.topic for each in found.retained] == ["b"]
    assert list(found.changes.values()) == [RetainedGone(1, "a")]
    assert (found.damage, found.expired) == ({"retained_message": 1}, {"retained_message": 1})
