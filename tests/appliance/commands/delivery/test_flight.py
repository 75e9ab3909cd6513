"""Evidence of one message, and what a client wants."""

from hypothesis import given
from hypothesis import strategies as st

from appliance.commands.delivery.flight import Evidence, Flight, Key, Wants
from broker.message import Message
from broker.topics import matches

MESSAGE = Message(1, "", "", "cmd/lamp/request/x", b"", 1, False, 5)


class Heard:
    def __init__(self) -> None:
        self.words: list[str] = []

    def was_written(self, flight: Flight) -> None:
        self.words.append(f"written {flight.is_written}")

    def was_unanswerable(self, flight: Flight) -> None:
        self.words.append(f"unanswerable {flight.is_written}")

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


def test_what_was_under_way_when_the_gateway_ended_may_have_been_written_and_is_heard_of_like_all_else() -> None:
    heard = Heard()
    flight = Flight(Key(1, "lamp", 7, 1), "lamp", MESSAGE, heard, is_recalled=True)
    assert (flight.is_written, flight.withdraw(), heard.words) == (True, False, [])
    for _ in range(2):
        flight.written("lamp")
    assert heard.words == ["written True"]


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
    assert [wants.reaches(one) for one in ("cmd/l", "cmd/lamp/x/", "$aws/", "$aws/commands/", "fw/")] == [
        *(True, True, True, False, False)
    ]


LEVELS = st.sampled_from(["cmd", "lamp", "request", "x", "$aws"])
TOPICS = st.lists(LEVELS, min_size=1, max_size=4).map("/".join)
FILTERS = st.tuples(
    st.lists(LEVELS | st.just("+"), min_size=1, max_size=4).map("/".join), st.sampled_from(["", "/#"])
).map("".join)


@given(granted=st.dictionaries(FILTERS | st.just("#"), st.integers(0, 2), max_size=5), topics=st.lists(TOPICS))
def test_what_is_wanted_is_what_the_filters_match(granted: dict[str, int], topics: list[str]) -> None:
    wants = Wants(granted)
    for topic in topics:
        assert wants.qos(topic) == max([qos for one, qos in granted.items() if matches(one, topic)], default=None)
        for length in range(len(topic) + 1):
            # What it is said not to reach it does not want.
            assert wants.reaches(topic[:length]) or not wants(topic)
