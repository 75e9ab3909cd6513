"""Sessions by tenant and client identifier, and how they end."""

from hypothesis import given
from hypothesis import strategies as st

from broker.limits import Limits
from broker.packets import Connect, Publish
from broker.ports import Principal
from broker.session import Session
from broker.session_table import SessionTable

ALICE = Principal(1, "alice")


def connect(client_id: str = "c", *, clean_start: bool = False) -> Connect:
    return Connect(4, client_id, clean_start, 0)


def taken(table: SessionTable, principal: Principal, request: Connect) -> tuple[Session, bool]:
    session, present = table.take(principal, request)
    session.connect(request)
    return session, present


def left(table: SessionTable, session: Session, now: float) -> None:
    session.disconnect()
    table.leave(session, now)


def test_a_kept_session_is_there_again_and_a_clean_one_is_new() -> None:
    table = SessionTable(Limits())
    session, present = taken(table, ALICE, connect())
    assert not present
    left(table, session, 1.0)
    assert taken(table, ALICE, connect()) == (session, True)
    clean, present = taken(table, ALICE, connect(clean_start=True))
    assert clean is not session
    assert not present
    left(table, clean, 2.0)
    assert table.find(1, "c") is None
    assert len(table) == 0


def test_the_same_client_identifier_of_two_tenants_is_two_sessions() -> None:
    table = SessionTable(Limits())
    first, _ = taken(table, ALICE, connect())
    second, present = taken(table, Principal(2, "alice"), connect())
    assert first is not second
    assert not present
    assert (table.find(1, "c"), table.find(2, "c")) == (first, second)
    assert table.router(1) is not table.router(2)


def test_a_session_that_ends_takes_its_subscriptions_along() -> None:
    table = SessionTable(Limits())
    session, _ = taken(table, ALICE, connect())
    for topic_filter in ("a", "a/#"):
        session.subscriptions[topic_filter] = 1
        table.router(1).subscribe(session, topic_filter, 1)
    assert table.router(1).subscribers("a") == ((session, 1),)
    table.discard(session)
    assert table.router(1).subscribers("a") == ()


@given(st.lists(st.integers(0, 9), max_size=40), st.integers(0, 4), st.floats(0, 30))
def test_sessions_that_are_away_are_bounded_by_count_and_age(clients: list[int], kept: int, age_s: float) -> None:
    """Clients come and go; every tenth second one leaves. The last is still connected."""
    table = SessionTable(Limits(offline_sessions=kept, offline_session_s=age_s))
    left_at: dict[str, float] = {}
    now = 0.0
    for number in clients:
        now += 10.0
        session, _ = taken(table, ALICE, connect(str(number)))
        left(table, session, now)
        left_at.pop(str(number), None)
        left_at[str(number)] = now
    connected, _ = taken(table, ALICE, connect("here"))
    table.discard_old(now)
    young = [name for name, at in left_at.items() if now - at <= age_s]
    expected = young[len(young) - kept :] if len(young) > kept else young
    assert [name for name in left_at if table.find(1, name)] == expected
    assert table.find(1, "here") is connected
    assert len(table) == len(expected) + 1


def test_a_client_that_came_back_is_not_away() -> None:
    table = SessionTable(Limits(offline_session_s=1.0))
    session, _ = taken(table, ALICE, connect())
    left(table, session, 0.0)
    taken(table, ALICE, connect())
    table.discard_old(1_000.0)
    assert table.find(1, "c") is session


def test_what_was_dropped_is_counted_over_all() -> None:
    table = SessionTable(Limits(retained_messages=0))
    session, _ = table.take(ALICE, connect())
    session.deliver(Publish("t", b""))
    table.router(1).retained.keep(Publish("t", b"x"))
    assert (table.dropped_count, table.retained_refused_count) == (1, 1)
