"""Sessions as plugins see them."""

import msgspec
import pytest
from amqtt.session import Session
from hypothesis import given
from hypothesis import strategies as st

from broker.plugins.authorizer import HostedPrincipal, guest_name
from broker.plugins.ports import SessionView
from broker.plugins.sessions import LEAST_BEFORE_PRUNING, HostedSession, KnownSessions, session_of
from broker.ports import Principal
from tests.broker.plugins.examples import NOW, shown

NAMES = st.text(min_size=1, max_size=8)


def _known() -> KnownSessions:
    return KnownSessions(lambda: NOW)


def test_a_session_is_amqtts_own_with_what_the_client_showed() -> None:
    session = session_of(shown("c", "anna", "secret", b"DER"))
    assert isinstance(session, Session)
    assert (session.client_id, session.username, session.password) == ("c", "anna", "secret")
    assert (session.remote_address, session.remote_port) == ("127.0.0.1", 50_000)
    assert session.ssl_object.getpeercert(binary_form=True) == b"DER"
    with pytest.raises(NotImplementedError):
        session.ssl_object.getpeercert()
    assert "state=new" in repr(session)
    assert session_of(shown("c")).ssl_object is None


@pytest.mark.parametrize(
    ("address", "host", "port"), [("10.0.0.1", "10.0.0.1", None), ("[::1]:5", "[::1]", 5), ("", "", None)]
)
def test_an_address_may_come_without_a_port(address: str, host: str, port: int | None) -> None:
    session = session_of(msgspec.structs.replace(shown("c"), address=address))
    assert (session.remote_address, session.remote_port) == (host, port)


def test_a_password_that_is_no_text_is_none() -> None:
    assert session_of(msgspec.structs.replace(shown("c", "anna"), password=b"\xff")).password is None


@given(st.one_of(st.none(), NAMES), NAMES)
def test_after_a_restart_a_guest_has_the_name_it_came_with(username: str | None, client_id: str) -> None:
    credentials = shown(client_id, username, "secret")
    session = _known().find(Principal(1, guest_name(credentials)))
    assert session.username == username
    assert session.is_anonymous == (username is None)
    assert session.password is None
    if username is None:
        assert session.client_id == client_id


@given(st.lists(st.tuples(NAMES, NAMES), min_size=1, unique=True))
def test_a_principal_finds_the_session_it_came_with(clients: list[tuple[str, str]]) -> None:
    known = _known()
    sessions = {}
    for name, client_id in clients:
        sessions[name, client_id] = session_of(shown(client_id, name))
        known.keep(Principal(1, name), sessions[name, client_id])
    for (name, client_id), session in sessions.items():
        assert known.find(HostedPrincipal(1, name, client_id=client_id)) is session


def test_a_name_alone_finds_its_latest_session() -> None:
    known = _known()
    first, second = session_of(shown("c", "anna")), session_of(shown("d", "anna"))
    known.keep(Principal(1, "guest/anna"), first)
    known.keep(Principal(1, "guest/anna"), second)
    assert known.find(Principal(1, "guest/anna")) is second
    assert known.find(HostedPrincipal(1, "guest/anna", client_id="c")) is first


def test_coming_and_going_is_told_in_amqtts_words() -> None:
    known = _known()
    known.keep(Principal(1, "c"), session_of(shown("c")))
    session = known.joined("c", "c")
    assert session.transitions.is_connected()
    assert session.last_connect_time == NOW // 1_000
    assert known.left("c", "c") is session
    assert session.transitions.is_disconnected()
    assert not session.transitions.is_new()
    assert session.last_disconnect_time == NOW // 1_000


def test_a_session_shows_how_it_is_in_the_broker() -> None:
    session = HostedSession().show(SessionView("c", "c", True, False, 1, 2, 3))
    assert session.transitions.state == "connected"
    assert session.clean_session is False
    counts = (session.inflight_in_count, session.inflight_out_count, session.retained_messages_count)
    assert counts == (1, 2, 3)
    assert session.show(SessionView("c", "c", False, True)).transitions.state == "disconnected"


def test_pruning_keeps_what_is_known_and_waits_until_it_is_worth_it() -> None:
    known = _known()
    for number in range(LEAST_BEFORE_PRUNING - 1):
        known.keep(Principal(1, "anna"), session_of(shown(str(number))))
    known.prune(set)
    assert len(known) == LEAST_BEFORE_PRUNING - 1
    known.keep(Principal(1, "anna"), session_of(shown("last")))
    known.prune(lambda: {("anna", "last")})
    assert len(known) == 1
    assert known.find(Principal(1, "anna")).client_id == "last"
    assert known.find(Principal(1, "bob")).client_id == "bob"
