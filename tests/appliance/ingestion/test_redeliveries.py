from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from appliance.ingestion.decide import Decision
from appliance.ingestion.redeliveries import REMEMBERED, Redeliveries
from appliance.ingestion.sequence import LOOK_BACK
from appliance.instant import DAY_MS
from appliance.telemetry.model import Report, TimeSource
from broker.message import Message
from tests.appliance.ingestion.deciding import Gateway
from tests.appliance.ingestion.examples import NOW, message, turn
from tests.appliance.ingestion.gateway import built


def sent(payload: object, identifier: int, *, again: bool = False, device_id: str = "pump", at: int = NOW) -> Message:
    """A message as it comes in a PUBLISH at QoS 1."""
    return msgspec.structs.replace(
        message(payload, device_id, arrived_at=at),
        packet_identifier=identifier.to_bytes(2, "big"),
        is_redelivery=again,
    )


def report(number: int | None = None, value: object = 1, device_id: str = "pump", at: int = NOW) -> Report:
    source = TimeSource.ARRIVAL_NO_CLOCK
    return Report(1, device_id, at, at, source, "t", device_id, {"a": value}, number)  # type: ignore[dict-item]


class Book:
    """What is known, each batch committed at once."""

    def __init__(self, devices_limit: int = 100) -> None:
        self.known = Redeliveries(devices_limit)

    def takes(self, number: int | None, one: Message) -> bool:
        """Whether a message came before."""
        overlay = self.known.overlay()
        repeated = overlay.take(report(number, device_id=one.client_id, at=one.arrived_at), one)
        self.known.merge(overlay)
        return repeated

    def counted(self, numbers: Iterable[int], value: object = 1) -> list[bool]:
        """Whether numbers that come in messages of their own, and are not said to come again, came before."""
        return [self.takes(number, sent([number, value], 1 + place)) for place, number in enumerate(numbers)]


def kept(told: Sequence[Message], cuts: Sequence[int] = (), behind: int = 0) -> list[dict[str, Any]]:
    """The values that are kept of messages in batches, of which so many wait for their commit."""
    gateway = Gateway()
    borders = [0, *sorted(cuts), len(told)]
    for start, end in pairwise(borders):
        gateway.put(gateway.decide(told[start:end]))
        if len(gateway.waiting) > behind:
            gateway.remember()
    while gateway.waiting:
        gateway.remember()
    return [dict(one.values) for outcome in gateway.outcomes for one in outcome.reports]


# What a client does at each step: say one of few things, lose its connection, or have that end before it is heard.
steps = st.lists(st.tuples(st.sampled_from([1, 1, 2]), st.sampled_from(["heard", "unheard", "lost"])), max_size=30)


@given(steps, st.booleans(), st.lists(st.integers(0, 60), max_size=5), st.integers(0, 4))
def test_what_a_correct_client_says_is_kept_once_each(
    told: list[tuple[int, str]], is_numbered: bool, cuts: list[int], behind: int
) -> None:
    """Whatever gets lost, PUBLISH or PUBACK, and however little the device has to say that is new."""
    arrived: list[Message] = []
    said = []
    open_messages: list[Message] = []
    for place, (value, fate) in enumerate(told):
        payload = {"a": value, "sequence": place} if is_numbered else {"a": value}
        one = sent(payload, place + 1)
        said.append({"a": value})
        if fate != "lost":
            arrived.append(one)
        if fate == "heard":
            continue
        open_messages.append(one)
        # It connects anew and sends again what was not answered; after some of it the connection is gone again.
        again = [msgspec.structs.replace(each, is_redelivery=True) for each in open_messages]
        arrived += again
        del open_messages[: value * 2]
    cuts = [cut % (len(arrived) + 1) for cut in cuts]
    assert len(kept(arrived, cuts, behind)) == len(said)


def test_a_message_that_waits_for_its_commit_is_known_when_it_comes_again() -> None:
    first = sent({"a": 1}, 1)
    again = msgspec.structs.replace(first, is_redelivery=True)
    assert kept([first, again, again], [1, 2], behind=3) == [{"a": 1}]


@given(st.lists(st.sampled_from([1, 2]), max_size=30), st.none() | st.integers(0, 3))
def test_what_is_not_said_to_come_again_is_another_reading(told: list[int], number: int | None) -> None:
    """Without a number, and with one that never moves."""
    book = Book()
    assert not any(book.takes(number, sent({"a": value}, 1)) for value in told)


@given(st.lists(st.integers(1, 30), max_size=8), st.integers(0, 1_000), st.sampled_from([1, 1, 7]))
def test_a_counter_that_begins_anew_repeats_nothing(lives: list[int], first: int, step: int) -> None:
    """However short the lives of the device are, and though it says the same in each."""
    book = Book()
    numbers = [first + step * place for length in lives for place in range(length)]
    assert not any(book.counted(numbers))


@given(st.integers(0, 1_000), st.integers(3, 60), st.data())
def test_a_number_that_came_before_is_known_while_the_counter_goes_on(
    first: int, count: int, data: st.DataObject
) -> None:
    book = Book()
    book.counted(range(first, first + count))
    depth = data.draw(st.integers(0, min(REMEMBERED, count - 1) - 1))
    number = first + count - 1 - depth
    if number > 1:
        assert book.counted([number]) == [True]
        assert book.counted([number + depth + 1]) == [False]


def test_the_same_number_with_something_else_is_another_reading() -> None:
    book = Book()
    book.counted([5, 6, 7])
    assert book.counted([6], value=2) == [False]
    # From there on it counts anew: what it said before says nothing.
    assert book.counted([7]) == [False]
    assert book.counted([7]) == [True]


def test_the_same_number_may_come_in_two_messages_each_of_which_may_come_again() -> None:
    book = Book()
    assert book.counted([4, 5]) == [False, False]
    assert book.counted([5], value="other") == [False]
    assert book.counted([5]) == [True]
    assert book.counted([5], value="other") == [True]


def test_a_number_from_far_back_began_anew() -> None:
    book = Book()
    book.counted([10, 11, 11 + LOOK_BACK])
    assert book.counted([11]) == [False]


def test_one_falls_back_to_the_first_numbers_from_above() -> None:
    book = Book()
    book.counted(range(10))
    assert book.counted([1]) == [False]


def test_what_came_before_the_counter_began_anew_says_nothing() -> None:
    book = Book()
    assert book.counted([5, 6, 7]) == [False] * 3
    assert book.counted([4, 8]) == [False] * 2
    assert book.counted([6]) == [False]


def test_only_the_newest_messages_are_known() -> None:
    book = Book()
    for identifier in range(1, REMEMBERED + 2):
        assert not book.takes(None, sent("x", identifier))
    assert book.takes(None, sent("x", 2, again=True))
    assert not book.takes(None, sent("x", 1, again=True))


def test_a_packet_identifier_says_nothing_of_another_payload() -> None:
    book = Book()
    assert not book.takes(None, sent("x", 1))
    assert not book.takes(None, sent("y", 1, again=True))
    assert not book.takes(None, sent("x", 2, again=True))
    assert book.takes(None, sent("x", 1, again=True))


def test_of_too_many_devices_those_are_forgotten_that_were_silent_for_longest() -> None:
    book = Book(devices_limit=2)
    for device_id in ("a", "b", "a", "c"):
        book.takes(None, sent("x", 1, device_id=device_id))
    assert book.takes(None, sent("x", 1, again=True, device_id="a"))
    assert not book.takes(None, sent("x", 1, again=True, device_id="b"))


def test_a_message_is_let_go_after_its_commit() -> None:
    book = Book()
    assert not book.takes(None, sent("x", 1))
    assert [recent.message for recent in book.known._devices.values()] == [None]


def test_what_memory_reaches_back_to_is_not_looked_for_elsewhere() -> None:
    book = Book()
    asked: list[tuple[Any, ...]] = []

    def held(*span: Any) -> tuple[()]:
        asked.append(span)
        return ()

    book.known.held = held
    for identifier in range(1, REMEMBERED + 2):
        book.takes(None, sent("x", identifier, again=True))
    assert asked == [(1, "pump", NOW - DAY_MS, NOW, REMEMBERED)] * (REMEMBERED - 1)


def test_what_could_not_be_told_takes_no_memory() -> None:
    overlay = Redeliveries().overlay()
    overlay.take(report(), message({"a": 1}))
    assert not overlay.devices


def test_what_was_not_committed_did_not_come_before() -> None:
    gateway = Gateway()
    told = sent({"a": 1}, 1)
    gateway.commit([sent({"a": 1}, 9)])
    gateway.decide([told])
    again = msgspec.structs.replace(told, is_redelivery=True)
    assert len(gateway.commit([again]).reports) == 1
    assert gateway.commit([msgspec.structs.replace(told, is_redelivery=True)]).reports == ()


def test_a_message_of_several_reports_comes_again_as_a_whole() -> None:
    gateway = Gateway()
    objects = [{"a": 1}, {"a": 1, "sequence": 9}, {"a": 2, "sequence": 8}, {"a": 3, "timestamp": NOW - 5}]
    assert len(gateway.commit([sent(objects, 1)]).reports) == len(objects)
    outcome = gateway.commit([sent(objects, 1, again=True)])
    assert outcome.reports == ()
    assert [one.is_duplicate for one in outcome.told] == [True] * len(objects)


def test_numbers_within_a_message_go_on_with_the_counter() -> None:
    gateway = Gateway()
    gateway.commit([sent([{"a": 1, "sequence": number} for number in (4, 6, 5)], 1)])
    gateway.commit([sent({"a": 1, "sequence": 7}, 2)])
    assert gateway.commit([sent({"a": 1, "sequence": 7}, 3)]).reports == ()
    assert len(gateway.commit([sent({"a": 2, "sequence": 8}, 3)]).reports) == 1


def test_a_device_with_a_clock_is_not_remembered_here() -> None:
    decision = Decision(Gateway().known)
    list(decision.deciding([sent({"a": 1, "timestamp": NOW, "sequence": 3}, 1)]))
    assert not decision.redelivered.devices


def test_what_memory_holds_of_a_device_is_asked_once_for_a_batch() -> None:
    gateway, asked = Gateway(), list[tuple[Any, ...]]()

    def held(*span: Any) -> tuple[()]:
        asked.append(span)
        return ()

    gateway.known.redeliveries.held = held
    gateway.commit([sent([{"a": value} for value in range(50)], 1, again=True)])
    assert len(asked) == 1


async def test_what_came_before_a_restart_is_known_by_what_it_says(tmp_path: Path) -> None:
    rounds = [
        [sent({"flow": 1}, 7, at=NOW)],
        [sent({"flow": 1}, 7, again=True, at=NOW + DAY_MS), sent({"flow": 2}, 8, again=True, at=NOW + DAY_MS)],
        [sent({"flow": 2}, 8, at=NOW + DAY_MS + 1)],
    ]
    for place, (told, expected_count) in enumerate(zip(rounds, (1, 2, 3), strict=True)):
        async with built(tmp_path) as gateway:
            gateway.now = told[0].arrived_at
            async with gateway.ingesting():
                gateway.ingestion.accept(turn(told, ["a"]))
                await gateway.broker.until(lambda broker: broker.receipts == ["a"])
            found = gateway.ingestion.quality.quality(1, "pump")
            assert found is not None
            assert found.duplicate_reports == (place == 1)
            assert gateway.messages_on_disk() == expected_count
