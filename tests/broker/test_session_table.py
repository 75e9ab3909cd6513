"""Sessions by tenant and client identifier, and how they end."""

from hypothesis import given
from hypothesis import strategies as st

from broker.changes import SessionKept, StoredSession
from broker.limits import Limits
from broker.packets import Subscription, Will
from broker.ports import Principal
from broker.session import Session
from broker.session_table import SessionTable
from tests.broker.parts import CONNECTED, delivery, message

ALICE = Principal(1, "alice")


def entered(table: SessionTable, client_id: str, principal: Principal = ALICE, expiry_s: int = 10) -> Session:
    """A client has connected; its session is new."""
    session = table.prepare(principal, client_id)
    table.open(session)
    session.expiry_s = expiry_s
    session.client = CONNECTED
    return session


def left(table: SessionTable, session: Session, now: int) -> None:
    session.client, session.left_at = None, now
    table.leave(session)


def subscribed(table: SessionTable, session: Session, *topic_filters: str) -> None:
    for topic_filter in topic_filters:
        session.subscriptions[topic_filter] = Subscription(topic_filter, 1)
        table.router(session.principal.tenant_id).subscribe(session, session.subscriptions[topic_filter])


def stored(client_id: str, number: int = 3, left_at: int | None = 50) -> StoredSession:
    waiting = [delivery(each, b"1234") for each in (11, 12)]
    waiting[0].packet_id = 9
    kept = SessionKept(number, 1, "alice", client_id, 10, left_at)
    return StoredSession(kept, (Subscription("a", 2), Subscription("$share/g/b", 1)), tuple(waiting), (5, 6))


def test_a_session_is_found_once_it_is_open() -> None:
    table = SessionTable(Limits())
    session = table.prepare(ALICE, "c")
    assert table.find(1, "c") is None
    table.open(session)
    assert table.find(1, "c") is session
    assert (len(table), list(table)) == (1, [session])


def test_the_same_client_identifier_of_two_tenants_is_two_sessions() -> None:
    table = SessionTable(Limits())
    first, second = entered(table, "c"), entered(table, "c", Principal(2, "alice"))
    assert first.number != second.number
    assert (table.find(1, "c"), table.find(2, "c")) == (first, second)
    assert table.router(1) is not table.router(2)
    assert table.routers == {1: table.router(1), 2: table.router(2)}


def test_a_session_that_ends_takes_all_that_is_its_own_along() -> None:
    table = SessionTable(Limits())
    session = entered(table, "c")
    subscribed(table, session, "a", "a/#", "$share/g/a")
    session.deliveries.push(delivery(1, b"1234"))
    left(table, session, 0)
    assert table.queued_bytes > 0
    table.discard(session)
    assert table.router(1).subscriptions.is_empty
    assert (len(table), table.queued_bytes, session.subscriptions, len(session.deliveries)) == (0, 0, {}, 0)
    assert table.due(10**9) == []


def test_a_session_that_was_replaced_does_not_end_the_one_after_it() -> None:
    table = SessionTable(Limits())
    first = entered(table, "c")
    second = entered(table, "c")
    table.discard(first)
    assert table.find(1, "c") is second


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30)), max_size=30),
    st.integers(1, 5),
    st.integers(0, 40),
    st.booleans(),
)
def test_sessions_that_are_away_are_bounded_by_age_and_by_count(
    clients: list[tuple[int, int]], limit: int, later_s: int, is_restarted: bool
) -> None:
    """Clients come and go, one each second; one stays."""
    table = SessionTable(Limits(sessions=limit))
    here = entered(table, "here")
    now = 0
    away: dict[str, Session] = {}
    for number, expiry_s in clients:
        now += 1_000
        name = str(number)
        session = table.find(1, name) or entered(table, name)
        table.join(session)
        session.expiry_s, session.client = expiry_s, CONNECTED
        left(table, session, now)
        away.pop(name, None)
        away[name] = session
    if is_restarted:
        table = SessionTable(Limits(sessions=limit))
        for session in sorted(away.values(), key=lambda each: each.number):
            away[session.client_id] = table.restore(StoredSession(session.kept(), (), (), ()))
        here = entered(table, "here")
    now += later_s * 1_000
    surplus = len(away) + 1 - limit
    expected = [
        name
        for place, (name, session) in enumerate(away.items())
        if place < surplus or now >= session.left_at + session.expiry_s * 1_000
    ]
    too_many, due = table.surplus(), table.due(now)
    assert [each.client_id for each in too_many] == list(away)[: max(0, surplus)]
    assert here not in [*too_many, *due]
    assert {each.client_id for each in [*too_many, *due]} == set(expected)
    for session in {*too_many, *due}:
        table.discard(session)
    assert (table.surplus(), table.due(now)) == ([], [])
    assert len(table) == len(away) + 1 - len(expected) <= max(limit, 1)


def test_a_client_that_came_back_is_not_away() -> None:
    table = SessionTable(Limits())
    session = entered(table, "c", expiry_s=1)
    left(table, session, 0)
    assert table.due(999) == []
    assert table.due(1_000) == [session]
    left(table, session, 0)
    table.join(session)
    assert table.due(10**9) == []


def test_a_will_that_was_put_off_is_due_at_its_time() -> None:
    table = SessionTable(Limits())
    for name, due_at in (("none", None), ("soon", 50), ("late", 60), ("back", 60)):
        session = entered(table, name)
        session.expiry_s = 1
        session.will, session.will_due_at = Will("w", b"", 0, retain=False), due_at
        left(table, session, 0)
    back = table.find(1, "back")
    assert back is not None
    table.join(back)
    assert table.due(49) == []
    assert [each.client_id for each in table.due(50)] == ["soon"]
    assert [each.client_id for each in table.due(60)] == ["late"], "each is told once"
    soon = table.find(1, "soon")
    assert soon is not None
    soon.will_due_at = None
    table.expect(soon)
    assert {each.client_id for each in table.due(1_000)} == {"none", "soon"}


def test_clients_that_come_and_go_leave_nothing_behind() -> None:
    table = SessionTable(Limits())
    session = entered(table, "c", expiry_s=10**6)
    for now in range(5_000):
        left(table, session, now)
        table.join(session)
    left(table, session, 5_000)
    assert len(table._due) < 2_000
    assert table.due(5_000 + 10**9) == [session]


def test_a_session_that_was_kept_is_as_it_was() -> None:
    table = SessionTable(Limits())
    session = table.restore(stored("c"))
    assert table.find(1, "c") is session
    assert session.kept() == stored("c").session
    assert session.taken_identifiers == {5, 6}
    assert set(session.subscriptions) == {"a", "$share/g/b"}
    assert [(each.number, each.packet_id) for each in session.deliveries] == [(11, 9), (12, 0)]
    assert table.queued_bytes == sum(each.message.size_bytes for each in session.deliveries)
    (target,) = table.router(1).subscriptions.match("a").targets
    (group,) = table.router(1).subscriptions.match("b").groups
    assert (target.subscriber, target.qos, list(group.members)) == (session, 2, [session])
    assert table.due(50 + 10_000) == [session]
    table.discard(session)
    assert table.queued_bytes == 0


def test_a_session_that_was_kept_bare_is_as_it_was() -> None:
    table = SessionTable(Limits())
    session = table.restore(StoredSession(SessionKept(3, 1, "alice", "c", 10, None), (), (), ()))
    assert (session.left_at, session.taken_identifiers, len(session.deliveries)) == (0, None, 0)


def test_numbers_are_never_given_twice() -> None:
    table = SessionTable(Limits())
    table.restore_number(41)
    assert [table.prepare(ALICE, name).number for name in "ab"] == [42, 43]


def test_what_was_dropped_is_counted_over_all() -> None:
    table = SessionTable(Limits(retained_messages=1))
    entered(table, "a").dropped_count = 2
    entered(table, "b").dropped_count = 3
    for tenant in (1, 2):
        for topic in ("s", "t"):
            table.router(tenant).retained.keep(message(topic, b"x"))
    assert (table.dropped_count, table.retained_refused_count) == (5, 2)
