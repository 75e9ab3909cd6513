import json
from typing import Any

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.ingestion.gathered import TEXT_LIMIT
from appliance.ingestion.model import Mishap
from appliance.ingestion.payload import ENVELOPE, METRICS_LIMIT, OBJECTS_LIMIT, Envelope
from appliance.instant import to_text
from appliance.telemetry import log_record
from appliance.telemetry.model import Report, TimeSource, Value
from tests.appliance.ingestion.examples import FUTURE_MS, NOW, PAST_MS, envelope, read_reports

YEAR_2000 = 946_684_800_000

moments = st.integers(0, 4_000_000_000_000)
huge = st.integers(-(10**400), 10**400)
scalars = st.none() | st.booleans() | st.integers() | huge | st.floats() | st.text(max_size=8)
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=8,
)
stamps = st.one_of(
    moments,
    moments.map(lambda at: at / 1_000),
    moments.map(to_text),
    st.datetimes().map(lambda moment: moment.isoformat() + "-23:59"),
    scalars,
)
objects = st.fixed_dictionaries(
    {},
    optional={
        "deviceId": st.just("pump") | scalars,
        "timestamp": stamps,
        "sequence": st.integers(-1, 2**64) | scalars,
        "readings": st.dictionaries(st.text(max_size=130), trees, max_size=3) | trees,
        "pressure": trees,
        "": scalars,
    },
)
payloads = trees | objects | st.lists(objects | trees, max_size=4)


def json_of(value: object) -> bytes:
    """JSON with numbers of any size, which the encoder of the product refuses to write."""
    if isinstance(value, dict):
        pairs = (msgspec.json.encode(key) + b":" + json_of(inner) for key, inner in value.items())
        return b"{" + b",".join(pairs) + b"}"
    if isinstance(value, list):
        return b"[" + b",".join(map(json_of, value)) + b"]"
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value).encode()
    return msgspec.json.encode(value)


def read_object(**fields: Any) -> tuple[list[Report], list[Mishap]]:
    return read_reports(msgspec.json.encode(fields), envelope())


def one(**fields: Any) -> Report:
    (report,), mishaps = read_object(**fields)
    assert mishaps == []
    return report


def refused(payload: bytes) -> Mishap:
    reports, (mishap,) = read_reports(payload, envelope())
    assert reports == []
    return mishap


def check(payload: bytes, sent: Envelope) -> None:
    """Whatever comes, what is given is consistent and can be kept."""
    reports, mishaps = read_reports(payload, sent)
    assert reports or mishaps
    for report in reports:
        check_report(report, sent)
    for mishap in mishaps:
        assert (mishap.tenant_id, mishap.device_id, mishap.at) == (sent.tenant_id, sent.device_id, sent.arrived_at)
        assert mishap.kind.isidentifier()
        assert mishap.reason
        assert len(mishap.reason) < 1_000
        mishap.reason.encode()
    # By their text: NaN is not equal to itself.
    assert repr(log_record.decode(log_record.encode(reports), sent.tenant_id)) == repr(reports)


def check_report(report: Report, sent: Envelope) -> None:
    assert (report.tenant_id, report.device_id, report.topic) == (sent.tenant_id, sent.device_id, sent.topic)
    assert (report.client_id, report.arrived_at) == (sent.client_id, sent.arrived_at)
    assert report.values
    assert all(isinstance(value, float | int | bool | str | None) for value in report.values.values())
    if report.time_source is TimeSource.DEVICE:
        assert sent.arrived_at - PAST_MS <= report.at <= sent.arrived_at + FUTURE_MS
    else:
        assert report.at == sent.arrived_at


@settings(deadline=None)
@given(st.binary(max_size=200), moments)
@example(b'{"a":' + b"[" * 5_000 + b"]" * 5_000 + b"}", NOW)
@example(b'{"deviceId":' + b"[" * 900 + b"]" * 900 + b"}", NOW)
@example(b'{"a":"\\ud800"}', NOW)
@example(b'{"a":"\xff"}', NOW)
@example(b"1" + b"0" * 5_000, NOW)
def test_no_bytes_raise_and_whatever_they_give_is_consistent(payload: bytes, arrived_at: int) -> None:
    check(payload, envelope(arrived_at=arrived_at))


@settings(deadline=None)
@given(payloads, moments)
@example({"a": 10**400}, NOW)
@example({"a": 1, "timestamp": "9999-12-31T23:59:59-23:59"}, NOW)
@example({"a": 1, "sequence": 10**300}, NOW)
def test_no_json_raises_and_whatever_it_gives_is_consistent(payload: object, arrived_at: int) -> None:
    check(json_of(payload), envelope(arrived_at=arrived_at))


@settings(deadline=None, max_examples=50)
@given(st.lists(objects, min_size=1, max_size=5))
def test_objects_in_an_array_are_read_as_if_each_came_alone(items: list[dict[str, Any]]) -> None:
    alone = [read_reports(json_of(item), envelope()) for item in items]
    together = read_reports(json_of(items), envelope())
    if any(mishap.kind == "not_json" for _, mishaps in alone for mishap in mishaps):
        return
    assert together == (
        [report for reports, _ in alone for report in reports],
        [mishap for _, mishaps in alone for mishap in mishaps],
    )


@given(st.integers(NOW - PAST_MS, NOW + FUTURE_MS))
def test_a_moment_is_the_same_as_text_as_seconds_and_as_milliseconds(at: int) -> None:
    seconds = at // 1_000
    assert one(a=1, timestamp=to_text(at)).at == at
    assert one(a=1, timestamp=at).at == at
    assert one(a=1, timestamp=seconds).at == seconds * 1_000


def test_readings_stand_in_their_own_object_or_beside_the_envelope() -> None:
    nested = one(deviceId="pump", timestamp=NOW, sequence=7, readings={"pressure": 61.5, "open": True})
    flat = one(deviceId="pump", timestamp=NOW, sequence=7, pressure=61.5, open=True)
    assert nested == flat
    assert nested.values == {"pressure": 61.5, "open": True}
    assert (nested.at, nested.sequence, nested.time_source) == (NOW, 7, TimeSource.DEVICE)


def test_an_unknown_metric_is_kept_and_readings_win_over_what_stands_beside_them() -> None:
    assert one(readings={"pressure": 1}, pressure=2, firmware="1.2").values == {"pressure": 1, "firmware": "1.2"}


def test_what_is_nested_in_a_reading_is_kept_as_its_text() -> None:
    assert one(gps={"lat": 1.5, "lon": [2, None]}).values == {"gps": '{"lat":1.5,"lon":[2,null]}'}


@pytest.mark.parametrize("stamp", [None, 0, 1_000, "1999-12-31T23:59:59Z", -1, YEAR_2000 - 1])
def test_a_device_without_a_clock_is_filed_under_its_arrival(stamp: object) -> None:
    report = one(a=1, timestamp=stamp)
    assert (report.at, report.time_source) == (NOW, TimeSource.ARRIVAL_NO_CLOCK)
    assert one(a=1).time_source is TimeSource.ARRIVAL_NO_CLOCK


def test_a_late_reading_keeps_its_own_moment() -> None:
    assert one(a=1, timestamp=NOW - PAST_MS).at == NOW - PAST_MS


def test_a_clock_that_is_far_behind_is_said_and_arrival_is_taken_beyond_the_tolerance_only() -> None:
    assert one(a=1, timestamp=NOW - PAST_MS).time_source is TimeSource.DEVICE
    [report], [mishap] = read_object(a=1, timestamp=NOW - PAST_MS - 1)
    assert (report.at, report.time_source) == (NOW, TimeSource.ARRIVAL_CLOCK_BEHIND)
    assert mishap.kind == "clock_behind"
    assert "31,622,400 s behind the gateway" in mishap.reason


def test_a_clock_that_is_ahead_is_said_and_arrival_is_taken_beyond_the_tolerance_only() -> None:
    assert one(a=1, timestamp=NOW + FUTURE_MS).at == NOW + FUTURE_MS
    (report,), (mishap,) = read_object(a=1, timestamp=NOW + FUTURE_MS + 1)
    assert (report.at, report.time_source) == (NOW, TimeSource.ARRIVAL_CLOCK_AHEAD)
    assert mishap.kind == "clock_ahead"
    assert mishap.reason == "timestamp 2027-01-15T08:05:00.001Z is 300 s ahead of the gateway; filed under its arrival"


def test_good_objects_are_kept_beside_one_that_is_not_understood() -> None:
    reports, mishaps = read_reports(b'[{"a": 1}, 7, {"a": 2}]', envelope())
    assert [report.values for report in reports] == [{"a": 1}, {"a": 2}]
    assert [mishap.kind for mishap in mishaps] == ["wrong_type"]


@pytest.mark.parametrize(
    ("payload", "kind", "words"),
    [
        (b"{pressure: 1}", "not_json", "not JSON"),
        (b"", "not_json", "not JSON"),
        (b'{"pressure": NaN, "flow": }', "not_json", "invalid character (byte 13); with NaN and Infinity as numbers: "),
        (b'{"pressure": NaN, "text": "\\ud800"}', "not_json", "surrogates not allowed"),
        (b'{"pressure": NaN, "text": "\xff"}', "not_json", "invalid start byte"),
        (b'{"pressure": NaN, "flow": -1e400}', "not_json", "a number beyond the greatest double"),
        (b'{"pressure": NaN, "flow": 1' + b"0" * 5_000 + b"}", "not_json", "limit (4300 digits)"),
        (b'{"pressure": NaN, "flow": 1' + b"0" * 310 + b"}", "number_too_large", "flow is larger than any number"),
        (b'{"pressure": NaN, "flow": ' + b"[" * 4_000 + b"]" * 4_000 + b"}", "not_json", "recursion"),
        (b'{"pressure": NaN', "not_json", "invalid character (byte 13)"),
        (b'{"pressure": nan}', "not_json", "not JSON"),
        (b'{"pressure": -NaN}', "not_json", "not JSON"),
        (b"NaN", "wrong_type", "an object with readings was expected, got the number nan"),
        (b'{"a": 1, "sequence": NaN}', "wrong_type", "sequence must be a whole number from 0, got the number nan"),
        (b'{"a": 1, "sequence": Infinity}', "wrong_type", "got the number inf"),
        (b'{"a": 1, "timestamp": NaN}', "wrong_timestamp", "got the number nan"),
        (b'{"a": 1, "timestamp": -Infinity}', "wrong_timestamp", "got the number -inf"),
        (b'{"a": 1, "deviceId": NaN}', "wrong_device", "deviceId is 'nan'"),
        (b'{"a": "' + b"x" * 200_000 + b'"}', "payload_too_large", "200,009 bytes, at most 10,000 are taken"),
        (b"7", "wrong_type", "an object with readings was expected, got the number 7"),
        (b"null", "wrong_type", "got null"),
        (b'{"readings": [1]}', "wrong_type", "readings must be an object, got an array"),
        (b'{"a": 1, "sequence": "x"}', "wrong_type", "sequence must be a whole number from 0, got a text"),
        (b'{"a": 1, "sequence": -1}', "wrong_type", "got the number -1"),
        (b'{"a": 1, "sequence": true}', "wrong_type", "got a boolean"),
        (b'{"a": 1, "timestamp": "yesterday"}', "wrong_timestamp", "'yesterday' is not ISO 8601"),
        (b'{"a": 1, "timestamp": true}', "wrong_timestamp", "got a boolean"),
        (b'{"a": 1, "timestamp": {}}', "wrong_timestamp", "got an object"),
        (b'{"a": 1, "timestamp": 1e18}', "wrong_timestamp", "got the number 1e+18"),
        (b'{"a": 1, "deviceId": null}', "wrong_device", "deviceId is 'None', but the topic belongs to 'pump'"),
        (b'{"a": 1, "deviceId": "valve"}', "wrong_device", "deviceId is 'valve', but the topic belongs to 'pump'"),
        (b"{}", "no_readings", "no reading in the message"),
        (b'{"timestamp": 1}', "no_readings", "no reading in the message"),
        (b"[]", "no_readings", "an empty array"),
        (b'{"": 1}', "wrong_name", "a metric name of 0 characters"),
        (b'{"a": 1' + b"0" * 310 + b"}", "number_too_large", "a is larger than any number that can be kept"),
    ],
)
def test_what_is_wrong_with_a_message_is_said_in_words_for_its_author(payload: bytes, kind: str, words: str) -> None:
    mishap = refused(payload)
    assert mishap.kind == kind
    assert words in mishap.reason


whole = st.integers(-(2**63), 2**63 - 1)
unicode_texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
sent_values = st.none() | st.booleans() | whole | st.floats() | unicode_texts
metric_names = unicode_texts.filter(lambda name: name and name not in ENVELOPE)


@given(st.dictionaries(metric_names, sent_values, min_size=1, max_size=5), st.booleans(), st.booleans())
@example({"a": float("nan"), "b": float("inf"), "c": -float("inf"), "d": -0.0, "e": 1, "f": "NaN"}, True, False)
def test_what_python_writes_as_json_is_kept_exactly(values: dict[str, Value], is_ascii: bool, is_nested: bool) -> None:
    said = {"readings": values} if is_nested else values
    payload = json.dumps(said, allow_nan=True, ensure_ascii=is_ascii).encode()
    [report], mishaps = read_reports(payload, envelope())
    assert mishaps == []
    # By their text: NaN is not equal to itself, 1 is to 1.0, and 0.0 is to -0.0.
    assert repr(report.values) == repr(values)
    [whole_of_array], _ = read_reports(b"[" + payload + b"]", envelope(content_type="application/json"))
    assert repr(whole_of_array.values) == repr(values)
    assert repr(log_record.decode(log_record.encode([report]), 1)[0].values) == repr(values)


@given(trees.map(lambda tree: json.dumps({"a": tree, "b": float("nan")}).encode()))
def test_beside_a_nan_the_same_is_kept_as_without(payload: bytes) -> None:
    with_nan, without = (read_reports(each, envelope()) for each in (payload, payload.replace(b"NaN", b"null")))
    if b"NaN" in payload.replace(b'"b": NaN', b"") or b"Infinity" in payload:
        return
    assert [mishap.kind for mishap in with_nan[1]] == [mishap.kind for mishap in without[1]]
    assert [{**report.values, "b": None} for report in with_nan[0]] == [report.values for report in without[0]]


def test_a_nan_that_is_nested_stays_in_the_text_and_null_is_null() -> None:
    [report], _ = read_reports(b'{"bins": [1.5, NaN, -Infinity, null, "NaN"], "gone": [null]}', envelope())
    assert report.values == {"bins": '[1.5,NaN,-Infinity,null,"NaN"]', "gone": "[null]"}


def test_no_depth_raises() -> None:
    for depth in range(800, 1_010):
        for inner in (b"", b"NaN"):
            check(b'{"a":' + b"[" * depth + inner + b"]" * depth + b"}", envelope())


def test_more_than_the_limits_is_refused_and_the_limits_themselves_are_taken() -> None:
    assert len(one(**{f"metric_{number}": 0 for number in range(METRICS_LIMIT)}).values) == METRICS_LIMIT
    assert refused(json_of({f"metric_{number}": 0 for number in range(METRICS_LIMIT + 1)})).kind == "too_many_metrics"
    assert len(str(one(a="x" * TEXT_LIMIT).values["a"])) == TEXT_LIMIT
    assert refused(json_of({"a": "x" * (TEXT_LIMIT + 1)})).kind == "text_too_long"
    assert refused(json_of({"x" * 129: 1})).kind == "wrong_name"
    small = b'{"a":1}'
    assert len(read_reports(b"[" + b",".join([small] * OBJECTS_LIMIT) + b"]", envelope())[0]) == OBJECTS_LIMIT
    assert refused(b"[" + b",".join([small] * (OBJECTS_LIMIT + 1)) + b"]").kind == "too_many_objects"


@pytest.mark.parametrize(
    ("written", "kept"),
    [(2**63 - 1, 2**63 - 1), (-(2**63), -(2**63)), (2**63, float(2**63)), (10**30, 1e30), (None, None), (False, False)],
)
def test_whole_numbers_stay_whole_as_long_as_they_can_be_kept_so(written: Value, kept: Value) -> None:
    (report,), _ = read_reports(json_of({"a": written}), envelope())
    assert report.values["a"] == kept
    assert type(report.values["a"]) is type(kept)
