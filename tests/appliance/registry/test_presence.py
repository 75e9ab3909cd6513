"""Whether devices are connected."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.registry.model import Presence
from appliance.registry.presence import PresenceBook

TENANT = 1


@given(takes_over=st.lists(st.booleans(), max_size=20), stays=st.booleans())
def test_either_order_of_a_takeover_comes_to_the_same(takes_over: list[bool], stays: bool) -> None:
    book = PresenceBook(0)
    book.note_connected(TENANT, "a", "first", 1)
    for new_first in takes_over:
        if new_first:
            book.note_connected(TENANT, "a", "next", 2)
            book.note_disconnected(TENANT, "a", "taken over", 2)
        else:
            book.note_disconnected(TENANT, "a", "taken over", 2)
            book.note_connected(TENANT, "a", "next", 2)
    if not stays:
        book.note_disconnected(TENANT, "a", "closed", 3)
    assert book.presence(TENANT, "a").connected is stays
    assert book.connected_count(TENANT) == int(stays)


@given(events=st.lists(st.tuples(st.booleans(), st.sampled_from([1, 2]), st.sampled_from("abc"))))
def test_the_count_is_the_number_of_devices_that_are_connected(events: list[tuple[bool, int, str]]) -> None:
    book = PresenceBook(0)
    for is_connect, tenant_id, device_id in events:
        if is_connect:
            book.note_connected(tenant_id, device_id, "somewhere", 1)
        else:
            book.note_disconnected(tenant_id, device_id, "gone", 1)
    for tenant_id in (1, 2):
        connected = [device_id for device_id in "abc" if book.presence(tenant_id, device_id).connected]
        assert book.connected_count(tenant_id) == len(connected)


def test_a_device_that_was_never_heard_of_is_not_connected() -> None:
    presence = PresenceBook(5).presence(TENANT, "a")
    assert (presence.connected, presence.since) == (False, 5)
    assert presence.reason == "not seen since the gateway started"


def test_a_lost_connection_keeps_its_reason_and_its_moment() -> None:
    book = PresenceBook(0)
    book.note_connected(TENANT, "a", "192.168.4.20:5000", 10)
    assert book.presence(TENANT, "a").address == "192.168.4.20:5000"
    book.note_disconnected(TENANT, "a", "keep alive expired", 20)
    presence = book.presence(TENANT, "a")
    assert (presence.connected, presence.since, presence.reason) == (False, 20, "keep alive expired")


def test_what_was_known_before_the_start_counts_until_something_is_heard() -> None:
    before = Presence(connected=False, since=3, address="", reason="keep alive expired")
    book = PresenceBook(5)
    book.recall(TENANT, "a", before)
    assert book.presence(TENANT, "a") == before
    book.note_connected(TENANT, "b", "somewhere", 6)
    book.recall(TENANT, "b", before)
    assert book.presence(TENANT, "b").connected
