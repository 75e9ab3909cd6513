"""Whether a message is read as soon as it comes or when it is decided, the same comes of it."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.ingestion.decide import Decision
from appliance.ingestion.items import EARLY_BYTES, EARLY_MESSAGES, FEW, KEPT_VALUES, Item, read, unread
from appliance.ingestion.pieces import OBJECT_WEIGHT, PIECE_WEIGHT
from appliance.ingestion.repeats import NothingHeld
from appliance.ingestion.usual import OFTEN
from appliance.registry.catalogue.model import DeviceType
from appliance.telemetry import log_record
from appliance.telemetry.rows import Identity
from appliance.telemetry.sheaf import Sheaf
from broker.message import Message
from tests.appliance.ingestion.deciding import BROKEN, Gateway, pieces_of, untold
from tests.appliance.ingestion.examples import NOW, message

TOPICS = [f"sensors/{device_id}/telemetry" for device_id in ("pump", "valve", BROKEN)]
told = st.builds(
    lambda topic, stamp, sequence, rest, values, tenant_id: msgspec.structs.replace(
        message({**stamp, **sequence, **rest, "readings": values}, topic=topic), tenant_id=tenant_id
    ),
    st.sampled_from([*TOPICS, "sensors/pump/telemetry", "cmd/pump/response/1", "elsewhere"]),
    st.sampled_from([*[{"timestamp": NOW + step} for step in range(-3, 1)], {}]),
    st.sampled_from([{}, {"sequence": 7}, {"sequence": 8}]),
    st.sampled_from([*[{}] * 5, {"battery": 5}]),
    # Rules are about this metric.
    st.sampled_from(
        [*[{"pressure": number} for number in (9.0, 6.0, 1.0, 6, True, "?")], {"flow": 1.5}, {"flow": [1]}]
    ),
    st.sampled_from([1, 1, 1, 2]),
)


def usual_gateway() -> Gateway:
    """One to which what the devices send is usual."""
    gateway = Gateway()
    for topic in TOPICS:
        for number in range(4 * OFTEN):
            gateway.decide([message({"timestamp": NOW - 60_000 - number, "readings": {"pressure": 1.0}}, topic=topic)])
    return gateway


def seen(item: Item) -> object:
    """How many reports a sheaf has; a message, and whether it was read."""
    if isinstance(item, Sheaf):
        return len(item)
    return (item, False) if isinstance(item, Message) else (item[0], True)


def sliced(messages: Sequence[Message], ends: Sequence[int]) -> list[Sequence[Message]]:
    """Messages as several turns brought them."""
    places = [0, *sorted(min(end, len(messages)) for end in ends), len(messages)]
    return [messages[first:end] for first, end in pairwise(places)]


@settings(deadline=None, max_examples=150)
@given(st.lists(st.tuples(st.lists(told, max_size=12), st.lists(st.integers(0, 12), max_size=4)), max_size=3))
def test_the_same_comes_of_messages_whenever_they_are_read(
    batches: list[tuple[list[Message], list[int]]],
) -> None:
    early, late = usual_gateway(), usual_gateway()
    for messages, ends in batches:
        items = [item for turn in sliced(messages, ends) for item in read(turn, early.known.usual.told).items]
        outcome = early.commit(items)
        assert outcome == late.commit(messages)
        assert list(map(repr, outcome.reports)) == list(map(repr, late.outcomes[-1].reports))


def test_reports_of_usual_messages_wait_in_sheaves_and_others_whole() -> None:
    usual = usual_gateway().known.usual.told
    stamped = [message({"timestamp": NOW - step, "readings": {"pressure": 1.0}}) for step in range(3)]
    other, without_clock = message({"flow": {"value": 1}}, "valve"), message({"readings": {"pressure": 1.0}})
    elsewhere = msgspec.structs.replace(stamped[0], tenant_id=2)
    items, kept = read([*stamped, other, stamped[0], elsewhere, without_clock], usual)
    assert list(map(seen, items)) == [3, (other, True), 1, 1, (without_clock, True)]
    assert kept == [other, without_clock]
    items, kept = read(stamped, usual)
    assert list(map(seen, items)) == [(one, True) for one in stamped]
    assert kept == stamped
    assert unread(stamped) == (stamped, stamped)


def test_neither_large_messages_nor_very_many_are_read_in_one_go() -> None:
    usual = usual_gateway().known.usual.told
    one = message({"timestamp": NOW, "readings": {"pressure": 1.0}})
    large = msgspec.structs.replace(one, payload=one.payload + b" " * EARLY_BYTES)
    items, kept = read([one, one, large, one], usual)
    assert list(map(seen, items)) == [2, (large, False), 1]
    assert kept == [large]
    items, kept = read([one] * (EARLY_MESSAGES + 2), usual)
    assert list(map(seen, items)) == [EARLY_MESSAGES, (one, False), (one, False)]
    assert kept == [one, one]


def test_what_takes_more_memory_read_than_as_it_came_waits_as_it_came() -> None:
    usual = usual_gateway().known.usual.told
    many: dict[str, object] = {f"m{number}": 1.0 for number in range(KEPT_VALUES)}
    few = ({"pressure": "?"}, {"pressure": 1.0, "level": None}, {"new": 1.0}, many)
    for readings, is_read in [*((each, True) for each in few), (many | {"one": 1.0}, False)]:
        one = message({"timestamp": NOW, "readings": readings})
        assert list(map(seen, read([one] * FEW, usual).items)) == [(one, is_read)] * FEW


def test_a_client_is_the_one_that_sent_even_without_a_name() -> None:
    gateway = usual_gateway()
    one = message({"timestamp": NOW, "readings": {"pressure": 1.0}})
    clients = ["", "", "other", "pump", "other"]
    messages = [msgspec.structs.replace(one, client_id=client, tenant_id=2) for client in clients]
    # Of a tenant each: none of them came before.
    messages = [msgspec.structs.replace(each, tenant_id=place) for place, each in enumerate(messages, 1)]
    told_of = gateway.known.usual.told
    one_by_one = [item for each in messages for item in read([each], told_of).items]
    for items in (read(messages, told_of).items, one_by_one, messages):
        outcome = gateway.decide(items).outcome()
        assert [report.client_id for report in outcome.reports] == clients
        for sheaf in outcome.sheaves:
            assert log_record.decode(log_record.encode(sheaf), sheaf.tenant_id) == list(sheaf)


@pytest.mark.parametrize("is_typed", [False, True])
def test_very_many_that_came_before_are_looked_at_piece_by_piece(is_typed: bool) -> None:
    gateway = usual_gateway()
    if is_typed:
        gateway.known.type_of = lambda *_: DeviceType("", "pump")
    messages = [message({"timestamp": NOW, "readings": {"pressure": 1.0}})] * EARLY_MESSAGES
    decision = Decision(gateway.known)
    [sheaf] = read(messages, gateway.known.usual.told).items
    assert isinstance(sheaf, Sheaf)
    assert pieces_of(decision, [sheaf]) >= EARLY_MESSAGES * (OBJECT_WEIGHT + 1) // PIECE_WEIGHT
    assert len(decision.outcome().reports) == 1


def test_what_cannot_be_compared_costs_no_other_anything() -> None:
    gateway = usual_gateway()

    class Failing(NothingHeld):
        def identities_at(self, tenant_id: int, device_id: str, at: int) -> Sequence[Identity]:
            if device_id == "valve":
                raise LookupError
            return super().identities_at(tenant_id, device_id, at)

    gateway.known.held = Failing()
    topics = [TOPICS[0], TOPICS[1], TOPICS[0], TOPICS[0]]
    messages = [
        message({"timestamp": NOW - place, "readings": {"pressure": 1.0}}, topic=topic)
        for place, topic in enumerate(topics)
    ]
    outcome = gateway.decide(read(messages, gateway.known.usual.told).items).outcome()
    assert [report.at for report in outcome.reports] == [NOW, NOW - 2, NOW - 3]
    assert [(mishap.device_id, mishap.kind) for mishap in outcome.mishaps] == [("valve", "defect")]


def test_a_message_that_cannot_be_read_stops_no_other() -> None:
    gateway = usual_gateway()

    def told_of(sent: Message) -> None:
        if sent.topic == TOPICS[1]:
            raise LookupError

    messages = [
        message({"timestamp": NOW - place, "readings": {"pressure": 1.0}}, topic=topic)
        for place, topic in enumerate(TOPICS)
    ]
    items, kept = read(messages, told_of)
    assert items == [(messages[0], None), messages[1], (messages[2], None)]
    assert kept == messages
    decision = Decision(gateway.known)
    list(decision.deciding(items))
    assert len(decision.outcome().reports) == len(messages)


def test_a_device_whose_type_cannot_be_told_costs_no_other_anything() -> None:
    gateway = usual_gateway()
    gateway.known.type_of = untold
    messages = [
        message({"timestamp": NOW - place, "readings": {"pressure": 1.0}}, topic=topic)
        for place, topic in enumerate(TOPICS)
    ]
    decision = Decision(gateway.known)
    list(decision.deciding(read(messages, gateway.known.usual.told).items))
    outcome = decision.outcome()
    assert [report.device_id for report in outcome.reports] == ["pump", "valve"]
    assert [(mishap.device_id, mishap.kind) for mishap in outcome.mishaps] == [(BROKEN, "defect")]
