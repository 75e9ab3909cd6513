import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.alerts.model import AlertState, Phase
from appliance.ingestion.decide import Decision, newest_of, telemetry_device
from appliance.ingestion.model import Outcome
from appliance.ingestion.usual import OFTEN, Usual
from appliance.registry.catalogue.model import DeviceType, MetricKind, MetricRule, Violation
from broker.message import Message
from broker.packets import Properties
from tests.appliance.ingestion.deciding import BROKEN, LIMITS, Gateway, pieces_of, untold
from tests.appliance.ingestion.examples import NOW, TOLERANCES, message


class Sent(NamedTuple):
    """A reading: by whom, how long after the one before, and what."""

    device_id: str
    gap_ms: int
    value: object


devices = st.sampled_from(["pump", "valve"])
sent = st.lists(
    st.builds(Sent, devices, st.integers(-2, 6), st.integers(0, 10) | st.none() | st.just("dry")), max_size=30
)
bad = st.sampled_from([b"{", b"[]", b"7", b'{"pressure": 9, "deviceId": "other"}', b'{"pressure": Nan}', b'{"": 1}'])


def messages_of(steps: Sequence[Sent]) -> list[Message]:
    moments = itertools.accumulate((step.gap_ms for step in steps), initial=NOW - 1_000)
    next(moments)
    return [
        message({"timestamp": at, "pressure": step.value, "flow": 1}, step.device_id)
        for at, step in zip(moments, steps, strict=True)
    ]


@settings(deadline=None, max_examples=60)
@given(sent, st.lists(st.integers(0, 30), max_size=5))
def test_a_batch_split_at_any_border_comes_to_the_same_as_the_whole(steps: list[Sent], borders: list[int]) -> None:
    messages = messages_of(steps)
    whole, parts = Gateway(), Gateway()
    whole.commit(messages)
    for start, end in itertools.pairwise([0, *sorted(borders), len(messages)]):
        parts.commit(messages[start:end])
    assert parts.total() == whole.total()
    assert parts.book.states() == whole.book.states()


@settings(deadline=None, max_examples=60)
@given(sent, st.lists(st.integers(0, 30), max_size=5), st.lists(st.integers(0, 3), min_size=6, max_size=6))
def test_a_batch_is_decided_on_those_that_wait_as_on_those_that_are_committed(
    steps: list[Sent], borders: list[int], behind: list[int]
) -> None:
    messages = messages_of(steps)
    prompt, slow = Gateway(), Gateway()
    for gateway in (prompt, slow):
        gateway.commit(messages_of([Sent(device_id, 1, 1) for device_id in ("pump", "valve") * (2 * OFTEN)]))
    for (start, end), waiting_count in zip(
        itertools.pairwise([0, *sorted(borders), len(messages)]), behind, strict=False
    ):
        # Some come twice.
        batch = messages[max(start - 2, 0) : end]
        prompt.commit(batch)
        slow.put(slow.decide(batch))
        while len(slow.waiting) > waiting_count:
            slow.remember()
    while slow.waiting:
        slow.remember()
    assert slow.outcomes == prompt.outcomes
    assert slow.book.states() == prompt.book.states()


@settings(deadline=None, max_examples=60)
@given(sent, st.lists(st.integers(0, 30), max_size=5))
def test_a_batch_taken_in_slices_comes_to_the_same_as_at_once(steps: list[Sent], borders: list[int]) -> None:
    messages = messages_of(steps)
    gateway = Gateway()
    sliced = Decision(gateway.known)
    for start, end in itertools.pairwise([0, *sorted(borders), len(messages)]):
        pieces_of(sliced, messages[start:end])
    assert sliced.outcome() == gateway.decide(messages).outcome()


@settings(deadline=None, max_examples=60)
@given(sent, sent)
def test_a_decision_that_is_not_merged_changes_nothing(before: list[Sent], steps: list[Sent]) -> None:
    gateway = Gateway()
    gateway.commit(messages_of(before))
    states = gateway.book.states()
    first = gateway.decide(messages_of(steps)).outcome()
    assert gateway.book.states() == states
    assert gateway.decide(messages_of(steps)).outcome() == first


@settings(deadline=None, max_examples=60)
@given(sent, bad, st.integers(0, 30), devices | st.just(BROKEN))
def test_one_bad_message_changes_nothing_for_the_others(
    steps: list[Sent], payload: bytes, place: int, device_id: str
) -> None:
    messages = messages_of(steps)
    clean = Gateway()
    expected = clean.commit(messages)
    if device_id == BROKEN:
        payload = b'{"pressure": 9}'
    gateway = Gateway()
    outcome = gateway.commit([*messages[:place], message(payload, device_id), *messages[place:]])
    others = tuple(report for report in outcome.reports if report.device_id != BROKEN)
    assert (others, outcome.changes) == (expected.reports, expected.changes)
    assert [mishap.device_id for mishap in outcome.mishaps] == [device_id]
    assert gateway.book.states() == clean.book.states()


@settings(deadline=None, max_examples=40)
@given(sent, st.lists(st.tuples(bad, st.integers(0, 30)), max_size=3), st.lists(st.integers(0, 30), max_size=5))
def test_what_was_usual_before_changes_nothing_that_is_decided(
    steps: list[Sent], others: list[tuple[bytes, int]], again: list[int]
) -> None:
    before = messages_of([Sent(device_id, 1, 1) for device_id in ("pump", "valve") * (2 * OFTEN)])
    messages = messages_of(steps)
    for payload, place in others:
        messages.insert(place, message(payload))
    # Some come twice.
    messages += [messages[place] for place in again if place < len(messages)]
    used, fresh = Gateway(), Gateway()
    for gateway in (used, fresh):
        gateway.commit(before)
    assert used.known.usual.report(before[-1]) is not None
    fresh.known.usual = Usual(TOLERANCES)
    outcome = used.commit(messages)
    assert outcome == fresh.commit(messages)
    assert list(map(repr, outcome.reports)) == list(map(repr, fresh.outcomes[-1].reports))


def test_a_defect_is_told_to_the_owner_of_the_device_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    gateway = Gateway()
    gateway.known.type_of = untold
    outcome = gateway.commit([message({"pressure": 9}), message({"pressure": 9}, BROKEN)])
    assert [report.device_id for report in outcome.reports] == ["pump"]
    [mishap] = outcome.mishaps
    assert (mishap.kind, mishap.reason) == ("defect", "the gateway could not process it (LookupError)")
    assert "message not processed tenant_id=1 device_id=broken" in caplog.text
    assert "LookupError" in caplog.text


def test_readings_that_cannot_be_judged_are_kept_and_that_is_told() -> None:
    outcome = Gateway().commit([message({"pressure": 9}, BROKEN)])
    assert [report.values for report in outcome.reports] == [{"pressure": 9}]
    [mishap] = outcome.mishaps
    assert mishap.reason == (
        "the gateway could not process it (LookupError); its readings are kept, but rules may not have seen them"
    )


@settings(deadline=None)
@given(st.integers(1, 4), st.integers(1, 12), st.integers(1, 3))
def test_of_a_message_that_comes_again_after_a_defect_nothing_is_lost_and_nothing_is_kept_twice(
    object_count: int, failing_call: int, delivery_count: int
) -> None:
    gateway = Gateway()
    calls = itertools.count(1)

    def zone_of(*_: object) -> str:
        if next(calls) == failing_call:
            raise LookupError
        return ""

    gateway.known.zone_of = zone_of
    told = [{"timestamp": NOW + place, "sequence": place, "pressure": place} for place in range(object_count)]
    sent_ = message(told if object_count > 1 else told[0])
    outcome = gateway.commit([sent_] * delivery_count)
    assert [report.sequence for report in outcome.reports] == list(range(object_count))
    assert [observed.is_duplicate for observed in outcome.told].count(False) == object_count


def test_a_breach_shorter_than_its_hold_opens_nothing_and_a_longer_one_opens_once() -> None:
    gateway = Gateway()
    short = [Sent("pump", 0, 6), Sent("pump", 3, 6), Sent("pump", 1, 0)]
    assert not any(change.opened for change in gateway.commit(messages_of(short)).changes)
    long = [Sent("pump", 20, 6), Sent("pump", 2, 6), Sent("pump", 2, 6), Sent("pump", 2, 6)]
    opened = [change for change in gateway.commit(messages_of(long)).changes if change.opened]
    assert [(change.limit.rule_id, change.at - NOW) for change in opened] == [(1, -976)]


def test_a_late_reading_is_kept_and_moves_no_alert() -> None:
    gateway = Gateway()
    gateway.commit(messages_of([Sent("pump", 10, 0)]))
    outcome = gateway.commit(messages_of([Sent("pump", 9, 10)]))
    assert len(outcome.reports) == 1
    assert outcome.changes == ()


def test_a_reading_of_the_same_moment_as_the_newest_is_not_late() -> None:
    gateway = Gateway()
    gateway.commit(messages_of([Sent("pump", 10, 0)]))
    assert gateway.commit(messages_of([Sent("pump", 10, 10)])).changes != ()


def test_readings_count_as_the_newest_also_while_no_rule_looks_at_them() -> None:
    gateway = Gateway()
    gateway.commit(messages_of([Sent("pump", 0, 0)]))
    gateway.book.load([], {})
    gateway.commit(messages_of([Sent("pump", 20, 0)]))
    gateway.book.load(LIMITS, {})
    assert gateway.commit(messages_of([Sent("pump", 10, 10)])).changes == ()
    assert gateway.commit(messages_of([Sent("pump", 21, 10)])).changes != ()


def test_a_clock_that_is_ahead_is_judged_at_its_arrival() -> None:
    gateway = Gateway()
    outcome = gateway.commit([message({"pressure": 8, "timestamp": NOW + 10_000_000})])
    assert {change.at for change in outcome.changes} == {NOW}
    assert [mishap.kind for mishap in outcome.mishaps] == ["clock_ahead"]


def test_rules_see_only_devices_of_their_zones() -> None:
    gateway = Gateway()
    gateway.commit(messages_of([Sent("pump", 0, 4), Sent("valve", 0, 4)]))
    firing = [key for key, state in gateway.book.states().items() if state.phase is Phase.FIRING]
    assert [(key.rule_id, key.device_id) for key in firing] == [(3, "valve")]


def test_another_tenants_device_of_the_same_name_is_another_device() -> None:
    gateway = Gateway()
    outcome = gateway.commit([message({"pressure": 8}, tenant_id=2)])
    assert [report.tenant_id for report in outcome.reports] == [2]
    assert outcome.changes == ()
    assert all(state != AlertState() for state in gateway.book.states().values())


def test_a_message_that_is_no_telemetry_comes_to_nothing() -> None:
    other = message({"pressure": 9}, topic="fw/pump/status")
    assert Gateway().commit([other]) == Outcome((), (), ())


@pytest.mark.parametrize(
    ("topic", "device_id"),
    [
        ("sensors/pump/telemetry", "pump"),
        ("sensors/a:b_c-1/telemetry", "a:b_c-1"),
        ("sensors//telemetry", None),
        ("sensors/telemetry", None),
        ("sensors/a/b/telemetry", None),
        ("sensors/pump/telemetry/", None),
        ("/sensors/pump/telemetry", None),
        ("sensors/pump/status", None),
        ("", None),
    ],
)
def test_the_device_of_a_topic_stands_between_two_words(topic: str, device_id: str | None) -> None:
    assert telemetry_device(topic) == device_id


def test_a_report_that_comes_again_is_kept_once_and_judged_once() -> None:
    gateway = Gateway()
    sent_ = {"timestamp": NOW, "sequence": 5, "pressure": 8}
    first = gateway.commit([message(sent_)])
    again = gateway.commit([message(sent_), message({**sent_, "pressure": 1, "flow": 2})])
    assert len(first.reports) == 1
    assert [report.values for report in again.reports] == [{"flow": 2}]
    assert again.changes == ()
    assert [mishap.kind for mishap in again.mishaps] == ["came_twice"]
    assert [observed.is_duplicate for observed in again.told] == [True, False]


def test_readings_are_judged_in_the_unit_of_their_type_and_without_what_it_rejects() -> None:
    gateway = Gateway()
    rule = MetricRule(MetricKind.NUMBER, 0, 9, Violation.REJECT)
    kind = DeviceType("px", units={"pressure": "kPa"}, metrics={"pressure": rule})
    gateway.known.type_of = lambda *_: kind
    low = {"pressure": {"value": 0.02, "unit": "bar"}}
    assert [change.limit.rule_id for change in gateway.commit([message(low)]).changes] == []
    outcome = gateway.commit([message({"pressure": {"value": 0.08, "unit": "bar"}}), message({"pressure": 10})])
    assert [report.values for report in outcome.reports] == [{"pressure": 8.0}]
    assert {change.limit.rule_id for change in outcome.changes} == {1, 2}
    assert [mishap.kind for mishap in outcome.mishaps] == ["schema_rejected"]
    assert [observed.rejected_count for observed in outcome.told] == [0, 1]


def test_of_a_message_of_many_reports_the_newest_tells_the_time() -> None:
    told = [{"timestamp": NOW - ago, "flow": 1} for ago in (3_000, 20, 2_000)]
    observed_all = Gateway().commit([message(told)]).told
    assert [observed.behind_ms for observed in observed_all] == [None, 20, None]
    assert newest_of([]) is None


def test_a_clock_that_is_far_off_is_told_too() -> None:
    [observed] = Gateway().commit([message({"timestamp": NOW + 3_600_000, "flow": 1})]).told
    assert observed.behind_ms == -3_600_000
    [silent] = Gateway().commit([message({"flow": 1})]).told
    assert silent.behind_ms is None


def test_the_content_type_says_what_a_message_is() -> None:
    pack = msgspec.json.encode([{"n": "flow", "v": 1, "t": -2}])
    sent_ = msgspec.structs.replace(message(pack), properties=Properties(content_type="application/senml+json"))
    outcome = Gateway().commit([sent_])
    assert [(report.at, report.values) for report in outcome.reports] == [(NOW - 2_000, {"flow": 1})]
    # It says when, and nothing of the device's clock.
    assert outcome.told[0].behind_ms is None


def test_however_much_is_wrong_it_is_one_mishap_for_each_device_and_kind() -> None:
    wrong = message([1] * 1_000)
    outcome = Gateway().commit([wrong, message([1] * 9, "valve"), message(b"x" * 99), wrong])
    assert [(mishap.device_id, mishap.kind, mishap.count) for mishap in outcome.mishaps] == [
        ("pump", "wrong_type", 2_000),
        ("valve", "wrong_type", 9),
        ("pump", "not_json", 1),
    ]


objects_sent = st.dictionaries(
    st.sampled_from(["deviceId", "timestamp", "sequence", "readings", "pressure", "flow", ""]),
    st.sampled_from(["pump", "1", NOW - 5, NOW // 1_000, NOW + 10**8, 7, -1, 8.5, 2**63, True, None, [1], {"flow": 4}])
    | st.dictionaries(st.sampled_from(["pressure", "flow", "gps"]), st.sampled_from([9, 1.5, {"lat": 1, "lon": 2}])),
)


@settings(deadline=None)
@given(objects_sent)
def test_an_object_in_the_usual_form_comes_to_the_same_as_in_any_other(sent_: dict[str, Any]) -> None:
    encoded = msgspec.json.encode(sent_)
    usual = Gateway().commit([message(encoded)])
    named = msgspec.structs.replace(message(encoded), properties=Properties(content_type="application/json"))
    assert Gateway().commit([message(b" " + encoded)]) == usual
    assert Gateway().commit([message(b"[" + encoded + b"]")]) == usual
    assert Gateway().commit([named]) == usual


@settings(deadline=None)
@given(st.lists(objects_sent, min_size=2, max_size=5))
def test_a_message_of_several_objects_comes_to_the_same_as_one_message_for_each(told: list[dict[str, Any]]) -> None:
    together, apart = Gateway(), Gateway()
    whole, parts = together.commit([message(told)]), apart.commit([message(each) for each in told])
    assert (whole.reports, whole.changes) == (parts.reports, parts.changes)
    assert together.book.states() == apart.book.states()
    assert sorted(map(repr, whole.mishaps)) == sorted(map(repr, parts.mishaps))
    # The newest alone tells of the clock.
    observed = [msgspec.structs.replace(one, behind_ms=None) for one in parts.told]
    assert [msgspec.structs.replace(one, behind_ms=None) for one in whole.told] == observed
    assert sum(one.behind_ms is not None for one in whole.told) <= 1


def test_a_message_of_many_objects_is_taken_whole_or_not_at_all() -> None:
    gateway = Gateway()

    class Defective(dict[str, MetricRule]):
        def get(self, metric: str, default: Any = None) -> Any:
            return 1 / 0 if metric == "pressure" else default

    kind = DeviceType("px", metrics=Defective())
    gateway.known.type_of = lambda _, device_id: kind if device_id == BROKEN else None
    outcome = gateway.commit([message([{"flow": 1}, {"pressure": 9}], BROKEN), message([{"flow": 1}, 7, {"flow": 2}])])
    assert [report.values for report in outcome.reports] == [{"flow": 1}, {"flow": 2}]
    assert [(mishap.device_id, mishap.kind) for mishap in outcome.mishaps] == [
        (BROKEN, "defect"),
        ("pump", "wrong_type"),
    ]
    assert [observed.report.device_id for observed in outcome.told] == ["pump", "pump"]
