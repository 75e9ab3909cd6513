"""What devices publish on topics of their own comes to what they would report on their telemetry topics."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.ingestion import cbor
from appliance.ingestion.decide import Decision
from appliance.ingestion.mapping.book import MappingBook
from appliance.ingestion.mapping.turning import Turning, of_no_device
from appliance.ingestion.model import Outcome
from appliance.instant import from_text
from broker.message import Message
from broker.packets import Properties
from tests.appliance.ingestion.deciding import Gateway, pieces_of
from tests.appliance.ingestion.examples import NOW, TOLERANCES, message
from tests.appliance.ingestion.mapping.examples import (
    BY_FIELD,
    BY_SECOND_LEVEL,
    WEARABLE,
    book_of,
    come_of,
    kept,
    rule,
)

PUMP_ONLY: dict[str, Any] = {"topic": "iot/#"}
RULES: tuple[dict[str, Any], ...] = (
    PUMP_ONLY,
    {**PUMP_ONLY, "device": BY_SECOND_LEVEL, "publishers": ["pump"]},
    {**PUMP_ONLY, "device": {"from": "payload", "path": "a.0"}, "timestamp": "b.a", "timestamp_unit": "us"},
    {**PUMP_ONLY, "device": {"from": "payload", "path": "a"}, "publishers": ["pump"], "sequence": "b"},
    {**PUMP_ONLY, "metrics": {"x": "a.b", "y": {"path": "b.0", "unit": "V"}}, "timestamp": "a"},
    {**PUMP_ONLY, "value": {"metric": "x", "unit": "V"}},
    {**PUMP_ONLY, "value": {"metric": {"from": "topic", "level": 3}, "kind": "number"}, "device": BY_SECOND_LEVEL},
    {**PUMP_ONLY, "value": {"metric": "x", "kind": "text"}},
)
KINDS = {
    *("no_device", "other_device", "unknown_device", "wrong_device", "no_readings", "wrong_name", "wrong_type"),
    *("text_too_long", "number_too_large", "wrong_timestamp", "clock_ahead", "clock_behind", "not_json", "not_cbor"),
    *("not_text", "came_twice", "too_many_objects", "too_many_metrics", "payload_too_large"),
}
names = st.sampled_from(["a", "b", "timestamp", "sequence", "readings", "deviceId", "value", "unit", "lat", "lon", ""])
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**400), 10**400)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=8)
    | st.sampled_from(["pump", "valve", "2026-01-31T10:30:00Z", NOW, NOW * 1_000])
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4), max_leaves=15
)
topics = st.sampled_from(["iot", "iot/pump", "iot/valve/x", "iot//x", "iot/pump/", "iot/fan/" + "x" * 130])


def said(outcome: Outcome) -> list[tuple[str, int, int | None, dict[str, Any]]]:
    return [(each.device_id, each.at, each.sequence, dict(each.values)) for each in outcome.reports]


def come(payload: object, on: str = WEARABLE, device_id: str = "pump", **document: Any) -> Outcome:
    return come_of([message(payload, device_id, topic=on)], kept(**document))


def refused(outcome: Outcome) -> tuple[str, str, str]:
    """The one refusal of a message of which nothing is kept: whose it is, its kind and its reason."""
    assert outcome.reports == ()
    [mishap] = outcome.mishaps
    return mishap.device_id, mishap.kind, mishap.reason


def sent_as(payload: bytes, topic: str, content_type: str) -> Message:
    return msgspec.structs.replace(message(payload, topic=topic), properties=Properties(content_type=content_type))


@settings(deadline=None, max_examples=400)
@given(
    st.sampled_from(RULES),
    topics,
    values.map(lambda value: json.dumps(value).encode()) | st.binary(max_size=40),
    st.sampled_from(["", "application/json", "application/cbor", "application/senml+json", "text/plain"]),
)
def test_whatever_is_published_becomes_readings_or_a_refusal_that_is_explained(
    document: dict[str, Any], topic: str, payload: bytes, content_type: str
) -> None:
    outcome = come_of([sent_as(payload, topic, content_type)], kept(**document))
    assert outcome.reports or outcome.mishaps
    for mishap in outcome.mishaps:
        # No exception that nobody thought of: that would be a defect.
        assert mishap.kind in KINDS
        assert mishap.reason
        assert mishap.device_id in ("pump", "valve")
    for report in outcome.reports:
        assert report.device_id in ("pump", "valve")
        assert report.topic == topic


@given(st.dictionaries(st.sampled_from(["x", "y", "z"]), st.integers(-99, 99), min_size=1), st.booleans())
def test_a_rule_that_says_nothing_reads_what_the_telemetry_topic_would(readings: dict[str, Any], is_cbor: bool) -> None:
    told = {"timestamp": NOW - 5_000, "sequence": 7, **readings}
    payload = cbor.encode(told) if is_cbor else json.dumps(told).encode()
    assert said(come(payload)) == said(come(payload, on="sensors/pump/telemetry"))


def test_the_telemetry_message_of_the_house_is_read_by_the_id_in_it() -> None:
    told = {"deviceId": "pump", "timestamp": NOW - 1, "readings": {"flowRate": 125.5}, "batteryLevel": 85}
    assert said(come(told, device=BY_FIELD)) == [("pump", NOW - 1, None, {"flowRate": 125.5, "batteryLevel": 85})]


def test_metrics_are_found_by_paths_with_their_units_and_nothing_else_is_taken() -> None:
    told = {"t": {"us": (NOW - 2_000) * 1_000}, "n": 4, "v": {"hr": 72, "c": [36.6, 99]}, "noise": "x" * 9_000}
    outcome = come(
        told,
        timestamp="t.us",
        timestamp_unit="us",
        sequence="n",
        metrics={"heartRate": "v.hr", "temperature": {"path": "v.c.0", "unit": "Cel"}, "steps": "v.steps"},
    )
    assert said(outcome) == [("pump", NOW - 2_000, 4, {"heartRate": 72, "temperature": 36.6})]
    assert dict(outcome.told[0].units) == {"temperature": "Cel"}
    assert outcome.mishaps == ()


def test_where_nothing_is_at_its_path_the_usual_field_tells_the_moment() -> None:
    told = {"timestamp": "2026-12-31T10:30:00Z", "x": 1}
    at = from_text("2026-12-31T10:30:00Z")
    assert said(come(told, timestamp="meta.ts", timestamp_unit="ms"))[0][:2] == ("pump", at)
    assert said(come({"x": 1}, timestamp="meta.ts"))[0][1] == NOW


def test_a_level_of_the_topic_names_the_device_and_another_the_metric() -> None:
    document: dict[str, Any] = {
        "topic": "home/+/+",
        "device": BY_SECOND_LEVEL,
        "value": {"metric": {"from": "topic", "level": 3}, "unit": "Cel"},
    }
    outcome = come(b"21.5", "home/pump/inlet", **document)
    assert said(outcome) == [("pump", NOW, None, {"inlet": 21.5})]
    assert dict(outcome.told[0].units) == {"inlet": "Cel"}
    assert said(come(b"open", "home/pump/door", **document)) == [("pump", NOW, None, {"door": "open"})]


def test_a_publisher_of_the_rule_reports_for_every_device_in_its_message() -> None:
    told = [{"deviceId": "valve", "x": 1}, {"deviceId": "pump", "x": 2}, {"deviceId": "valve", "x": 3, "sequence": 2}]
    outcome = come(told, device=BY_FIELD, publishers=["pump"])
    assert {(device_id, values["x"]) for device_id, _, _, values in said(outcome)} == {
        ("valve", 1),
        ("pump", 2),
        ("valve", 3),
    }


def test_of_a_message_what_can_be_read_is_kept() -> None:
    told = [{"deviceId": "pump", "x": 1}, {"deviceId": "valve", "x": 2}, {"x": 3}, 4, {"deviceId": "pump", "x": 5}]
    outcome = come(told, device=BY_FIELD)
    assert [values for *_, values in said(outcome)] == [{"x": 1}, {"x": 5}]
    assert {(mishap.device_id, mishap.kind, mishap.count) for mishap in outcome.mishaps} == {
        ("pump", "other_device", 1),
        ("pump", "no_device", 2),
    }


@pytest.mark.parametrize(
    ("document", "payload", "kind", "reason"),
    [
        (
            {"device": BY_FIELD},
            b'{"deviceId": "valve", "x": 1}',
            "other_device",
            "finds the device 'valve', but 'pump' published it and may report for itself only",
        ),
        (
            {"device": BY_FIELD, "publishers": ["pump"]},
            b'{"deviceId": "fan", "x": 1}',
            "unknown_device",
            "finds the device 'fan', which is not registered here, or suspended or retired",
        ),
        ({"device": BY_FIELD}, b'{"x": 1}', "no_device", "at deviceId in the payload, and nothing is there"),
        ({"device": BY_FIELD}, b'{"deviceId": "", "x": 1}', "no_device", "and nothing is there"),
        ({"device": BY_FIELD}, b'{"deviceId": 1.5, "x": 1}', "no_device", "neither a text nor a whole number"),
        ({"device": BY_FIELD}, b'{"deviceId": true, "x": 1}', "no_device", "neither a text nor a whole number"),
        ({"metrics": {"x": "a"}}, b'{"y": 1}', "no_readings", "'wearables' finds none of its metrics in it"),
        ({"metrics": {"x": "a"}}, b"7", "wrong_type", "an object with readings was expected"),
        ({"timestamp_unit": "s"}, b'{"timestamp": 1e12, "x": 1}', "wrong_timestamp", "no moment in s"),
        ({}, b"{", "not_json", "not JSON"),
        ({}, b"[]", "no_readings", "an empty array"),
        ({"value": {"metric": "x", "kind": "number"}}, b"ON", "wrong_type", "a number was expected, got 'ON'"),
    ],
)
def test_what_a_rule_cannot_read_is_refused_with_why(
    document: dict[str, Any], payload: bytes, kind: str, reason: str
) -> None:
    device_id, told, why = refused(come(payload, **document))
    assert (device_id, told) == ("pump", kind)
    assert reason in why


def test_a_topic_that_has_no_such_level_names_nothing() -> None:
    document: dict[str, Any] = {"topic": "home/#", "device": BY_SECOND_LEVEL}
    assert refused(come({"x": 1}, "home", **document))[1] == "no_device"
    assert refused(come({"x": 1}, "home//x", **document))[1] == "no_device"
    value = {"metric": {"from": "topic", "level": 2}}
    assert refused(come(b"1", "home", topic="home/#", value=value))[1] == "wrong_name"


def test_a_device_id_that_is_a_whole_number_is_its_text() -> None:
    assert Turning(rule(device=BY_FIELD)).device_of({"deviceId": 17}, WEARABLE, "pump") == "17"


def test_who_is_no_device_reports_nothing() -> None:
    # It may have been one until just now.
    wrong = "mapping rule 'wearables' takes what devices publish, and"
    why = f"{wrong} 'stranger' is not registered here, or suspended or retired"
    assert refused(come({"x": 1}, device_id="stranger")) == ("", "no_device", why)
    by_operator = msgspec.structs.replace(message({"x": 1}, topic=WEARABLE), is_operators=True)
    assert refused(come_of([by_operator], kept())) == ("", "no_device", f"{wrong} 'pump' is none")
    assert of_no_device(Turning(rule()), "x" * 141, is_operators=True).reason == f"{wrong} '{'x' * 140}' is none"


@pytest.mark.parametrize("payload", [b'{"x": 1}', b'[{"x": 1}]', b"7"])
def test_the_rule_of_a_message_is_looked_for_once(payload: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    turning = MappingBook.turning

    def counted(self: MappingBook, tenant_id: int, topic: str) -> Turning | None:
        asked.append(topic)
        return turning(self, tenant_id, topic)

    monkeypatch.setattr(MappingBook, "turning", counted)
    come(payload)
    assert asked == [WEARABLE]


def test_a_message_of_another_tenant_is_none_of_the_rules_business() -> None:
    outcome = come_of([message({"x": 1}, topic=WEARABLE, tenant_id=2)], kept())
    assert (outcome.reports, outcome.mishaps) == ((), ())


def test_a_message_of_many_devices_is_read_in_pieces() -> None:
    told = [{"deviceId": name, "x": number} for number in range(450) for name in ("pump", "valve")]
    gateway = Gateway()
    gateway.known.tolerances = msgspec.structs.replace(TOLERANCES, payload_bytes=100_000)
    gateway.known.mapping = book_of(kept(device=BY_FIELD, publishers=["pump"]))
    decision = Decision(gateway.known)
    assert pieces_of(decision, [message(told, topic=WEARABLE)]) > 5
    assert len(decision.outcome().reports) == 900


def test_a_topic_that_no_rule_is_about_stays_plain() -> None:
    outcome = come({"x": 1}, on="iot/wearable/other")
    assert (outcome.reports, outcome.mishaps) == ((), ())
