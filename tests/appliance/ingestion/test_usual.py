"""What is usual is told in one pass, and is what is told of any message that is looked at closely."""

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.ingestion.gathered import METRIC_NAME_LIMIT, TEXT_LIMIT
from appliance.ingestion.payload import METRICS_LIMIT
from appliance.ingestion.usual import LEFT_OUT_LIMIT, NAMES_LIMIT, OFTEN, SENDERS_LIMIT, SHAPES_LIMIT, Usual
from appliance.instant import to_text
from appliance.telemetry.model import Report, TimeSource
from broker.message import Message
from broker.packets import Properties
from tests.appliance.ingestion.examples import FUTURE_MS, NOW, PAST_MS, TOLERANCES, envelope, message, read_reports

TOPIC = "sensors/pump/telemetry"
TOLD = {"deviceId": "pump", "timestamp": NOW, "sequence": 7, "readings": {"flow": 1.5, "level": 3}, "battery": 85}

names = st.sampled_from(["flow", "level", "battery", "deviceId", "sequence", 'a"b', "\u00fc", "x" * 128, "x" * 129, ""])
plain = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
)
odd = st.one_of(
    st.integers(2**63 - 2, 2**65),
    st.integers(-(2**65), -(2**63) + 2),
    st.just("\U0001f4a7" * TEXT_LIMIT),
    st.just("x" * (TEXT_LIMIT + 1)),
    st.lists(st.integers(), max_size=1),
    st.dictionaries(st.sampled_from(["value", "unit"]), st.integers(), max_size=2),
)
values = plain | odd
stamps = st.one_of(
    st.integers(NOW - PAST_MS - 2, NOW - PAST_MS + 2),
    st.integers(NOW + FUTURE_MS - 2, NOW + FUTURE_MS + 2),
    st.integers(NOW - PAST_MS, NOW + FUTURE_MS).map(to_text),
    st.integers(NOW - PAST_MS, NOW + FUTURE_MS).map(lambda at: at / 1_000),
    st.sampled_from(["2027-01-15T08:00:00+01:00", "2027-01-15", "20270115T080000Z", "yesterday", "1999-01-01", 5]),
    values,
)
readings = st.dictionaries(names, values, max_size=3)
objects = st.fixed_dictionaries(
    {},
    optional={
        "deviceId": st.sampled_from(["pump", "valve", None, 7]),
        "timestamp": stamps,
        "sequence": st.integers(-1, 2**64) | values,
        "readings": readings | values,
    },
).flatmap(lambda told: readings.map(lambda beside: {**beside, **told}))
plain_objects = st.fixed_dictionaries(
    {"readings": st.dictionaries(st.sampled_from(["flow", "level", "deviceId"]), plain, min_size=1)},
    optional={
        "deviceId": st.just("pump"),
        "timestamp": st.integers(NOW - PAST_MS, NOW + FUTURE_MS).flatmap(lambda at: st.sampled_from([at, to_text(at)])),
        "sequence": st.none() | st.integers(0, 2**63 - 1),
        "battery": plain,
        "\u00fc": plain,
    },
)


def json_of(value: object) -> bytes:
    """JSON with numbers of any size, which the encoder of the product refuses to write."""
    if isinstance(value, dict):
        return b"{" + b",".join(msgspec.json.encode(key) + b":" + json_of(one) for key, one in value.items()) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(json_of, value)) + b"]"
    return str(value).encode() if value.__class__ is int else msgspec.json.encode(value)


def learned(told: Iterable[Mapping[str, Any]], times: int = OFTEN, senders: int = 9, shapes: int = 9) -> Usual:
    """What each of these objects made usual, one after the other."""
    usual = Usual(TOLERANCES, senders, shapes)
    for one in told:
        for _ in range(times):
            usual.learn(TOPIC, "pump", one)
    return usual


def followed(told: Mapping[str, Any], times: int = OFTEN + 1) -> Usual:
    """What became usual where a sender kept to all that it names, within its readings, too."""
    usual = learned([told])
    for _ in range(times):
        usual.report(message(json_of(told)))
    return usual


def keeps_to(usual: Usual, told: Mapping[str, Any]) -> bool:
    """Whether the names in a message are not read anew."""
    first, second = (usual.report(message(json_of(told))) for _ in range(2))
    assert first is not None
    assert second is not None
    return all(one is other for one, other in zip(first.values, second.values, strict=True))


def exactly(report: Report) -> str:
    """With 1, 1.0 and true apart, and -0.0 from 0.0; the order of metrics means nothing."""
    return repr(msgspec.structs.replace(report, values=dict(sorted(report.values.items()))))


def check(usual: Usual, payload: bytes) -> Report | None:
    """What is told of a message at once, which is nothing else than what is told of it otherwise."""
    found = usual.report(message(payload))
    if found is not None:
        reports, mishaps = read_reports(payload, envelope())
        assert mishaps == []
        assert list(map(exactly, reports)) == [exactly(found)]
    return found


@settings(deadline=None)
@given(objects, st.data())
def test_what_is_told_at_once_is_what_is_told_otherwise(told: dict[str, Any], data: st.DataObject) -> None:
    usual = learned([told])
    check(usual, json_of(told))
    for name in told:
        check(usual, json_of({**told, name: data.draw(values | stamps)}))
    within = told.get("readings")
    if isinstance(within, dict):
        for name in within:
            check(usual, json_of({**told, "readings": {**within, name: data.draw(values)}}))
    check(usual, json_of(data.draw(objects)))


@settings(deadline=None)
@given(plain_objects)
def test_what_is_plain_is_told_at_once_when_it_was_met_often(told: dict[str, Any]) -> None:
    assert check(learned([told]), json_of(told)) is not None
    assert learned([told], OFTEN - 1).report(message(json_of(told))) is None


@settings(deadline=None)
@given(objects, st.data())
def test_what_is_told_of_a_sender_that_kept_to_its_readings_is_what_is_told_otherwise(
    told: dict[str, Any], data: st.DataObject
) -> None:
    within = told.get("readings")
    changed = [told, data.draw(objects), *({**told, name: data.draw(values | stamps)} for name in told)]
    if isinstance(within, dict):
        changed += [{**told, "readings": {**within, name: data.draw(values)}} for name in within]
        changed += [{**told, "readings": {**within, data.draw(names): data.draw(values)}}]
        changed += [{**told, "readings": {name: value for name, value in within.items() if name != "flow"}}]
    for one in changed:
        check(followed(told), json_of(one))
    usual = followed(told)
    for one in (*changed, *changed):
        check(usual, json_of(one))


@settings(deadline=None)
@given(plain_objects)
def test_the_names_are_not_read_anew_of_a_sender_that_keeps_to_them(told: dict[str, Any]) -> None:
    assert check(followed(told), json_of(told)) is not None
    # A name that stands both in the readings and beside them is looked at each time.
    assert keeps_to(followed(told), told) or not told["readings"].keys().isdisjoint(told)


def test_a_sender_keeps_to_its_readings_again_once_they_came_twice_in_a_row() -> None:
    usual, more = followed(TOLD), {**TOLD, "readings": {"flow": 1, "level": 2, "alarm": True}}
    assert keeps_to(usual, TOLD)
    for told in (more, TOLD) * OFTEN:
        assert check(usual, json_of(told)) is not None
    assert not keeps_to(usual, TOLD)
    assert keeps_to(usual, TOLD)
    for _ in range(2):
        assert check(usual, json_of(more)) is not None
    assert keeps_to(usual, more)


def test_readings_of_ever_new_names_do_not_fill_memory_and_cost_no_decoder_each() -> None:
    usual = learned([TOLD], shapes=4)
    for _ in range(OFTEN + 1):
        usual.report(message(TOLD))
    assert keeps_to(usual, TOLD)
    for number in range(100):
        assert check(usual, json_of({**TOLD, "readings": {f"m{number}": 1}})) is not None
    for number in range(3):
        for _ in range(OFTEN):
            assert usual.report(message({**TOLD, "readings": {f"n{number}": 1}})) is not None
    # There is no room for another, and those that are there stay until very many were left out.
    more = {**TOLD, "readings": {"one more": 1}}
    for _ in range(OFTEN * (LEFT_OUT_LIMIT - 1)):
        assert usual.report(message(more)) is not None
    assert not keeps_to(usual, more)
    for _ in range(2):
        assert check(usual, json_of(TOLD)) is not None
    assert keeps_to(usual, TOLD)
    for _ in range(OFTEN + 2):
        assert usual.report(message(more)) is not None
    assert keeps_to(usual, more)
    assert len(usual._patterns) == 1


def test_of_more_names_than_a_pattern_may_have_nothing_is_remembered() -> None:
    usual = learned([TOLD])
    wide = {**TOLD, "readings": {f"m{number}": 1 for number in range(NAMES_LIMIT + 1)}}
    for _ in range(2 * OFTEN):
        assert check(usual, json_of(wide)) is not None
    assert not usual._followed


def test_of_a_metric_in_the_readings_and_beside_them_the_one_in_the_readings_is_taken() -> None:
    told = {"readings": {"flow": 1, "level": 2}, "flow": 3}
    found = check(followed(told), json_of(told))
    assert found is not None
    assert found.values == {"flow": 1, "level": 2}


@settings(deadline=None)
@given(st.binary(max_size=60) | st.binary(max_size=9).map(lambda rest: msgspec.json.encode(TOLD) + rest))
@example(b'{"flow":1,"flow":[2]}')
@example(b'{"flow":[1],"flow":2}')
@example(b'{"flow":1,"\\u0066low":2,"level":3}')
@example(b'{"level":1e400,"flow":1}')
@example(b'{"level":-0,"flow":-0.0}')
@example(b' {"level":1E2,"flow":2.0}\n')
@example(b'{"level":"\\ud800","flow":1}')
@example(b'{"level":"\xff","flow":1}')
@example(b'[{"level":1,"flow":2}]')
@example(b'{"level":' + b"[" * 5_000 + b"]" * 5_000 + b',"flow":1}')
def test_no_bytes_raise_or_are_told_to_be_something_else(payload: bytes) -> None:
    check(learned([TOLD]), payload)
    check(learned([{"flow": 1, "level": 2}]), payload)
    check(followed({"flow": 1, "level": 2}), payload)
    check(followed({"readings": {"flow": 1, "level": 2}}), b'{"readings":' + payload + b"}")


@pytest.mark.parametrize(
    "changed",
    [
        {"sequence": 5.0},
        {"sequence": -1},
        {"sequence": 2**63},
        {"sequence": True},
        {"deviceId": "valve"},
        {"deviceId": None},
        {"timestamp": "yesterday"},
        {"timestamp": NOW + FUTURE_MS + 1},
        {"timestamp": NOW - PAST_MS - 1},
        {"timestamp": 5},
        {"readings": None},
        {"readings": {"flow": 1, "": 2}},
        {"readings": {str(number): number for number in range(METRICS_LIMIT)}},
        {"readings": {"flow": 1, "level": [2]}},
        {"readings": {"flow": 1, "level": "x" * (TEXT_LIMIT + 1)}},
        {"readings": {"flow": 1, "level": 2**63}},
        {"pressure": 1},
    ],
)
@pytest.mark.parametrize("kept_to", [False, True])
def test_what_is_not_plain_is_not_told_at_once(changed: dict[str, Any], *, kept_to: bool) -> None:
    usual = followed(TOLD) if kept_to else learned([TOLD])
    assert check(usual, json_of(TOLD)) is not None
    assert usual.report(message(json_of({**TOLD, **changed}))) is None


def test_a_message_of_another_form_or_size_or_topic_is_not_told_at_once() -> None:
    usual = learned([TOLD])
    sent = message(TOLD)
    assert usual.report(sent) is not None
    assert usual.report(typed(sent, "application/json")) == usual.report(sent)
    assert usual.report(typed(sent, "application/cbor")) is None
    assert usual.report(msgspec.structs.replace(sent, topic="sensors/valve/telemetry")) is None
    blank = b" " * TOLERANCES.payload_bytes
    assert usual.report(message(sent.payload + blank[len(sent.payload) :])) is not None
    assert usual.report(message(sent.payload + blank)) is None


def test_without_a_timestamp_a_report_is_filed_under_its_arrival() -> None:
    told = {"flow": 1}
    found = check(learned([told]), json_of(told))
    assert found is not None
    assert (found.at, found.time_source) == (NOW, TimeSource.ARRIVAL_NO_CLOCK)


def test_readings_in_their_own_object_come_and_go_and_stay_what_they_are_beside_it() -> None:
    usual = learned([TOLD])
    for within in ({"flow": 1}, {"battery": 1}, {"battery": None, "level": True, "deviceId": "valve"}):
        assert check(usual, json_of({**TOLD, "readings": within})) is not None
    told = {name: value for name, value in TOLD.items() if name != "readings"}
    assert check(usual, json_of(told)) is not None


def test_what_comes_now_and_then_only_leaves_usual_what_comes_mostly() -> None:
    rare = {"flow": 1, "alarm": True}
    usual = learned([rare, TOLD], OFTEN + 1)
    for _ in range(3):
        assert usual.report(message(TOLD)) is not None
        assert usual.report(message(rare)) is None
        usual.learn(TOPIC, "pump", rare)
        assert usual.report(message(TOLD)) is not None
        usual.learn(TOPIC, "pump", TOLD)
    usual.learn(TOPIC, "pump", rare)
    usual.learn(TOPIC, "pump", rare)
    assert usual.report(message(rare)) is not None


@pytest.mark.parametrize(
    "told",
    [
        {"deviceId": "pump"},
        {"readings": {}},
        {"": 1},
        {"readings": 5},
        {'a"b': 1},
        {"a\\b": 1},
        {"a\nb": 1},
        {"x" * (METRIC_NAME_LIMIT + 1): 1},
        {"flow": [1]},
        {"readings": {"flow": {"value": 1, "unit": "bar"}}},
        {str(number): number for number in range(NAMES_LIMIT + 1)},
    ],
)
def test_what_needs_a_close_look_never_becomes_usual(told: dict[str, Any]) -> None:
    assert learned([told]).report(message(told)) is None


def test_ever_new_names_do_not_fill_memory_and_what_is_usual_comes_back() -> None:
    assert SHAPES_LIMIT <= 1_000
    usual = learned([TOLD], shapes=4)
    for number in range(4):
        assert usual.report(message(TOLD)) is not None
        for _ in range(OFTEN):
            usual.learn(f"sensors/{number}/telemetry", str(number), {f"m{number}": 1})
    assert usual.report(message(TOLD)) is None
    # Nor do those that never come often.
    for number in range(100):
        usual.learn(TOPIC, "pump", {f"n{number}": 1})
    for _ in range(OFTEN):
        usual.learn(TOPIC, "pump", TOLD)
    assert usual.report(message(TOLD)) is not None


def test_of_too_many_topics_the_first_are_forgotten() -> None:
    assert SENDERS_LIMIT >= 100_000
    usual = learned([TOLD], senders=2)
    for name in ("valve", "tank"):
        usual.learn(f"sensors/{name}/telemetry", name, TOLD)
    told = {name: value for name, value in TOLD.items() if name != "deviceId"}
    found = [usual.report(message(told, name)) is not None for name in ("pump", "valve", "tank")]
    assert found == [False, True, True]


def typed(sent: Message, content_type: str) -> Message:
    return msgspec.structs.replace(sent, properties=Properties(content_type=content_type))
