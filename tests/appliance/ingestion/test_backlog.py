import itertools
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.ingestion.backlog import BATCH_BYTES, BYTES_LIMIT, CHANGES_PER_MESSAGE, Backlog, Batch
from appliance.ingestion.items import Items, unread
from appliance.telemetry.sheaf import Sheaf
from broker.changes import Change, ChangeKey, Delivery, DeliveryKept, IdentifierTaken, RetainedKept
from broker.message import Message
from broker.ports import Turn
from tests.appliance.ingestion.examples import NOW, message, turn
from tests.appliance.telemetry.reports import report

LIMIT = 10


def taken(*packet_ids: int, session_number: int = 1) -> dict[ChangeKey, Change]:
    return {
        ("identifier", session_number, packet_id): IdentifierTaken(session_number, packet_id)
        for packet_id in packet_ids
    }


@st.composite
def many_turns(draw: st.DrawFn) -> list[Turn]:
    """Turns whose messages, receipts and changes can be told apart by a number."""
    numbers = itertools.count()
    made = []
    for messages, receipts, rows in draw(
        st.lists(st.tuples(st.integers(0, 5), st.integers(0, 3), st.lists(st.integers(1, 6), max_size=40)), max_size=12)
    ):
        changes: dict[ChangeKey, Change] = {("identifier", 1, row): IdentifierTaken(next(numbers), row) for row in rows}
        made.append(turn([message(b"%d" % next(numbers)) for _ in range(messages)], range(receipts), changes))
    return made


def filled(turns: Sequence[Turn]) -> Backlog:
    backlog = Backlog(LIMIT)
    for number, each in enumerate(turns):
        backlog.add(each, NOW + number, unread(each.messages))
    return backlog


def taken_out(backlog: Backlog, weight: int, piece: int = 1_000_000) -> Batch:
    """A batch, taken in hand in pieces."""
    items: list[object] = []
    while more := backlog.begin(piece, weight):
        items += more
    batch = backlog.take()
    assert items == batch.items
    return batch


def batches(backlog: Backlog, weights: Sequence[int]) -> list[Batch]:
    found = [taken_out(backlog, weight, weight // 3 + 1) for weight in weights]
    while backlog:
        found.append(taken_out(backlog, 1))
    return found


@given(
    st.lists(
        st.sampled_from(
            [
                "sensors/pump/telemetry",
                "cmd/pump/response/1",
                "$aws/commands/things/pump/executions/1/response/json",
                "$aws/things/pump/shadow/get",
            ]
        )
    ),
    st.lists(st.integers(0, 3)),
)
def test_who_asks_is_known_as_long_as_it_waits(topics: list[str], weights: list[int]) -> None:
    asking = [topic.endswith("/shadow/get") for topic in topics]
    backlog = filled([turn([message(b"", topic=topic)]) for topic in topics])
    gone = 0
    for weight in [0, *weights]:
        gone += len(taken_out(backlog, weight).messages)
        assert backlog.asked_at == next((NOW + place for place in range(gone, len(topics)) if asking[place]), None)


@settings(deadline=None)
@given(many_turns(), st.lists(st.integers(1, 20), max_size=5))
def test_batches_of_any_size_are_the_turns_in_their_order(turns: list[Turn], weights: list[int]) -> None:
    backlog = filled(turns)
    assert backlog.message_count == sum(len(each.messages) for each in turns)
    found = batches(backlog, weights)
    assert [each for batch in found for each in batch.messages] == [each for one in turns for each in one.messages]
    assert [each for batch in found for each in batch.receipts] == [each for one in turns for each in one.receipts]
    expected: dict[ChangeKey, Change] = {}
    for one in turns:
        expected.update(one.changes)
    merged: dict[ChangeKey, Change] = {}
    for batch in found:
        merged.update(batch.changes)
    assert merged == expected
    assert (len(backlog), backlog.weight, backlog.message_count, backlog.oldest_at) == (0, 0, 0, None)
    assert not backlog.is_filled(1_000_000)


@settings(deadline=None)
@given(many_turns(), st.integers(1, 20))
def test_a_turn_is_in_one_batch_whole(turns: list[Turn], weight: int) -> None:
    backlog = filled(turns)
    ends = {0, *itertools.accumulate(len(each.messages) for each in turns)}
    end = 0
    while backlog:
        oldest_at = backlog.oldest_at
        batch = taken_out(backlog, weight)
        assert batch.arrived_at == oldest_at
        end += len(batch.messages)
        assert end in ends


def test_a_batch_ends_with_the_turn_that_fills_it() -> None:
    backlog = filled([turn([message(b"1")] * 3), turn([message(b"2")] * 3), turn([message(b"3")])])
    assert [len(taken_out(backlog, weight).messages) for weight in (3, 2, 5)] == [3, 3, 1]
    assert taken_out(backlog, 5) == Batch([], {}, [], None, {})


def test_a_batch_ends_with_the_turn_that_makes_it_too_large() -> None:
    large = turn([message(b"x" * (BATCH_BYTES // 2))])
    backlog = filled([turn([message(b"1")]), large, large, turn([message(b"2")]), large])
    assert [len(taken_out(backlog, 100).messages) for _ in range(3)] == [3, 2, 0]


def test_there_is_enough_for_a_batch_by_weight_or_by_bytes() -> None:
    backlog = filled([turn([message(b"1")] * 3)])
    assert (backlog.is_batch(4), backlog.is_batch(3)) == (False, True)
    backlog.begin(3, 3)
    assert backlog.is_batch(3)
    backlog.add(turn([message(b"x" * BATCH_BYTES)]), NOW, unread([message(b"x" * BATCH_BYTES)]))
    assert backlog.is_batch(1_000)
    backlog.take()
    assert backlog.is_batch(1_000)


def test_what_a_later_turn_says_of_a_row_is_what_counts() -> None:
    first: dict[ChangeKey, Change] = {("identifier", 1, 5): IdentifierTaken(1, 5)}
    last: dict[ChangeKey, Change] = {("identifier", 1, 5): IdentifierTaken(2, 5)}
    given_turns = [turn(changes=first), turn(changes=last)]
    assert taken_out(filled(given_turns), 5).changes == last
    assert given_turns[0].changes == {("identifier", 1, 5): IdentifierTaken(1, 5)}


def test_changes_and_turns_with_nothing_but_receipts_fill_it_too() -> None:
    backlog = filled([turn(receipts=[1])] * (LIMIT - 2))
    assert not backlog.is_filled(1)
    backlog.add(turn(changes=taken(*range(1, 2 * CHANGES_PER_MESSAGE))), NOW, unread(()))
    assert (backlog.weight, backlog.is_filled(1), backlog.is_filled(2)) == (LIMIT - 1, False, True)
    backlog.add(turn(changes=taken(*range(2 * CHANGES_PER_MESSAGE))), NOW, unread(()))
    assert (backlog.weight, backlog.is_filled(1)) == (LIMIT + 1, True)


def large(parts: int) -> Message:
    return message(b" " * (BYTES_LIMIT // parts))


def test_a_payload_that_waits_for_many_counts_once_and_one_that_only_waits_counts_too() -> None:
    payload = large(2)
    waiting: dict[ChangeKey, Change] = {
        ("delivery", number, 7): DeliveryKept(number, Delivery(7, payload, 6, 1, False)) for number in range(3)
    }
    kept: dict[ChangeKey, Change] = {("retained", 1, "a"): RetainedKept(payload)}
    for of_one_message in (turn([payload], changes=waiting | kept), turn(changes=waiting), turn(changes=kept)):
        backlog = filled([of_one_message])
        assert (backlog.is_filled(1), backlog.is_filled(2)) == (False, True)
    assert filled([turn([payload]), turn(changes={("retained", 1, "a"): RetainedKept(large(2))})]).is_filled(1)


def test_what_was_read_counts_as_what_it_takes() -> None:
    backlog = Backlog(BYTES_LIMIT)
    sheaf = Sheaf(1, [report()] * (BYTES_LIMIT // 40 - 100))
    messages = [message(b"")] * len(sheaf)
    backlog.add(turn(messages), NOW, Items([sheaf], []))
    assert not backlog.is_filled(1)
    backlog.add(turn(messages), NOW, Items([Sheaf(1, [report()] * 100)], []))
    assert backlog.is_filled(1)
    batch = taken_out(backlog, 1)
    assert (batch.items, batch.message_count, batch.messages) == ([sheaf], len(sheaf), [])


def test_how_long_each_message_waits_is_known() -> None:
    backlog = filled([turn([message(b"", arrived_at=NOW - age) for age in (5, 3, 5)]), turn([message(b"")])])
    assert taken_out(backlog, 9).waits == {NOW - 5: 2, NOW - 3: 1, NOW: 1}
