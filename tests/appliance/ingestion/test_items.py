"""Whether a message is read as soon as it comes or when it is decided, the same comes of it."""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.ingestion.decide import Decision
from appliance.ingestion.items import EARLY_BYTES, EARLY_MESSAGES, read, unread
from appliance.ingestion.usual import OFTEN
from appliance.telemetry.sheaf import Sheaf
from broker.message import Message
from tests.appliance.ingestion.deciding import BROKEN, Gateway, untold
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
    # Two of these are about rules.
    st.sampled_from([{"pressure": 9.0}, {"pressure": 6}, {"flow": 1.5}, {"flow": 2}, {"flow": "?"}, {"flow": [1]}]),
    st.sampled_from([1, 1, 1, 2]),
)


def usual_gateway() -> Gateway:
    """One to which what the devices send is usual."""
    gateway = Gateway()
    for topic in TOPICS:
        for number in range(2 * OFTEN):
            gateway.decide([message({"timestamp": NOW - 60_000 - number, "readings": {"flow": 1.0}}, topic=topic)])
    return gateway


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
    stamped = [message({"timestamp": NOW - step, "readings": {"flow": 1.0}}) for step in range(3)]
    other, without_clock = message({"flow": {"value": 1}}), message({"readings": {"flow": 1.0}})
    elsewhere = msgspec.structs.replace(stamped[0], tenant_id=2)
    items, kept = read([*stamped, other, stamped[0], elsewhere, without_clock], usual)
    assert [len(item) if isinstance(item, Sheaf) else item[0] for item in items if not isinstance(item, Message)] == [
        3,
        other,
        1,
        1,
        without_clock,
    ]
    assert kept == [other, without_clock]
    assert unread(stamped) == (stamped, stamped)


def test_neither_large_messages_nor_very_many_are_read_in_one_go() -> None:
    usual = usual_gateway().known.usual.told
    one = message({"timestamp": NOW, "readings": {"flow": 1.0}})
    large = msgspec.structs.replace(one, payload=one.payload + b" " * EARLY_BYTES)
    items, kept = read([one, large, one], usual)
    assert [len(item) if isinstance(item, Sheaf) else item for item in items] == [1, large, 1]
    assert kept == [large]
    items, kept = read([one] * (EARLY_MESSAGES + 2), usual)
    assert [len(item) if isinstance(item, Sheaf) else item for item in items] == [EARLY_MESSAGES, one, one]
    assert kept == [one, one]


def test_a_message_that_cannot_be_read_stops_no_other() -> None:
    gateway = usual_gateway()

    def told_of(sent: Message) -> None:
        if sent.topic == TOPICS[1]:
            raise LookupError

    messages = [
        message({"timestamp": NOW - place, "readings": {"flow": 1.0}}, topic=topic)
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
        message({"timestamp": NOW - place, "readings": {"flow": 1.0}}, topic=topic)
        for place, topic in enumerate(TOPICS)
    ]
    decision = Decision(gateway.known)
    list(decision.deciding(read(messages, gateway.known.usual.told).items))
    outcome = decision.outcome()
    assert [report.device_id for report in outcome.reports] == ["pump", "valve"]
    assert [(mishap.device_id, mishap.kind) for mishap in outcome.mishaps] == [(BROKEN, "defect")]
