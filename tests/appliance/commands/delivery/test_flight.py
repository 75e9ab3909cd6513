"""Evidence of one message, and what a client wants."""

import pytest

from appliance.commands.delivery.flight import Evidence, Flight, Key, Wants
from broker.message import Message

MESSAGE = Message(1, "", "", "cmd/lamp/request/x", b"", 1, False, 5)


class Heard:
    def __init__(self) -> None:
        self.words: list[str] = []

    def was_written(self, flight: Flight) -> None:
        self.words.append(f"written {flight.is_written}")

    def was_acknowledged(self, flight: Flight) -> None:
        self.words.append(f"acknowledged {flight.is_answered_for}")

    def was_untaken(self, flight: Flight) -> None:
        self.words.append(f"untaken {flight.is_written}")


def test_each_thing_is_heard_once() -> None:
    heard = Heard()
    flight = Flight(Key(1, "lamp", 7, 1), "lamp", MESSAGE, heard)
    for _ in range(2):
        flight.written("lamp")
        flight.acknowledged("lamp")
    flight.untaken()
    assert heard.words == ["written True", "acknowledged True", "untaken True"]
    assert not flight.withdraw()


def test_what_was_known_before_stays_known() -> None:
    older, newer = Evidence(), Evidence()
    older.sent_at, older.is_released, older.not_before = 3, True, 9
    newer.sent_at, newer.acknowledged_at, newer.is_unconfirmed = 8, 8, True
    newer.add(older)
    told = (newer.sent_at, newer.acknowledged_at, newer.is_released, newer.not_before, newer.is_unconfirmed)
    assert told == (3, 8, True, 9, True)


def test_a_client_wants_what_its_filters_match_and_no_share_of_it() -> None:
    wants = Wants({"cmd/lamp/#": 0, "cmd/+/request/+": 2, "$share/a/cmd/lamp/request/x": 1, "$aws/x": 1})
    assert (wants.qos("cmd/lamp/request/x"), wants.qos("cmd/lamp/x"), wants.qos("$aws/x")) == (2, 0, 1)
    assert not wants("fw/lamp/offer")
    assert wants
    assert not Wants({"$share/a/cmd/lamp/request/x": 1})
    assert Wants({"#": 1})("cmd/x")
    assert not Wants({"#": 1})("$aws/x")


@pytest.mark.parametrize("topic_filter", ["cmd/lamp/request/x/#", "cmd/lamp/+/x", "+/lamp/#", "cmd/lamp/request/x"])
def test_a_filter_is_wanted_by_where_it_begins(topic_filter: str) -> None:
    wants = Wants({topic_filter: 1})
    assert wants("cmd/lamp/request/x")
    assert not wants("cmd/bulb/request/x")
