import itertools
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.alerts.book import Book
from appliance.alerts.model import AlertState, Phase, Severity
from appliance.ingestion.decide import (
    PIECE_BYTES,
    PIECE_MESSAGES,
    PIECE_OBJECTS,
    Decision,
    Known,
    ReadingKey,
    newest_of,
    telemetry_device,
)
from appliance.ingestion.model import Outcome
from appliance.registry.catalogue.model import DeviceType, MetricKind, MetricRule, Violation
from appliance.telemetry.rows import Identity, identity_of
from broker.message import Message
from broker.packets import Properties
from tests.appliance.alerts.examples import COOLDOWNS, limit
from tests.appliance.ingestion.examples import NOW, TOLERANCES, message

LIMITS = (
    limit(rule_id=1, threshold=5, clear_threshold=4, hold_ms=4),
    limit(rule_id=2, threshold=7, severity=Severity.LOW),
    limit(rule_id=3, threshold=3, zones=("north",)),
)
BROKEN = "broken"
"""A device whose zone cannot be told: a defect of the gateway, not of the device."""


class Gateway:
    """What deciding knows, and what came of every batch."""

    def __init__(self) -> None:
        self.book = Book(COOLDOWNS)
        self.book.load(LIMITS, {})
        self.newest: dict[ReadingKey, int] = {}
        self.known = Known(self.book, self.zone_of, lambda *key: self.newest.get(key), TOLERANCES, self.held_at)
        self.outcomes: list[Outcome] = []

    @staticmethod
    def zone_of(_: int, device_id: str) -> str:
        if device_id == BROKEN:
            raise LookupError(device_id)
        return "north" if device_id == "valve" else ""

    def held_at(self, *moment: object) -> list[Identity]:
        reports = [report for outcome in self.outcomes for report in outcome.reports]
        return [identity_of(report) for report in reports if (report.tenant_id, report.device_id, report.at) == moment]

    def decide(self, messages: Sequence[Message]) -> Decision:
        decision = Decision(self.known)
        pieces_of(decision, messages)
        return decision

    def commit(self, messages: Sequence[Message]) -> Outcome:
        decision = self.decide(messages)
        outcome = decision.outcome()
        self.known.merge(decision)
        for report in outcome.reports:
            for metric in report.values:
                key = (report.tenant_id, report.device_id, metric)
                self.newest[key] = max(self.newest.get(key, 0), report.at)
        self.outcomes.append(outcome)
        return outcome

    def total(self) -> Outcome:
        return Outcome(
            tuple(report for outcome in self.outcomes for report in outcome.reports),
            tuple(mishap for outcome in self.outcomes for mishap in outcome.mishaps),
            tuple(change for outcome in self.outcomes for change in outcome.changes),
        )


def pieces_of(decision: Decision, messages: Sequence[Message]) -> int:
    """Let a batch decide about messages, and count after how many pieces the loop would get its turn."""
    return sum(1 for _ in decision.deciding(messages))


class Sent(NamedTuple):
    """A reading: by whom, how long after the one before, and what."""

    device_id: str
    gap_ms: int
    value: object


devices = st.sampled_from(["pump", "valve"])
sent = st.lists(
    st.builds(Sent, devices, st.integers(-2, 6), st.integers(0, 10) | st.none() | st.just("dry")), max_size=30
)
bad = st.sampled_from([b"{", b"[]", b"7", b'{"pressure": 9, "deviceId": "other"}', b'{"pressure": NaN}', b'{"": 1}'])


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
    assert (outcome.reports, outcome.changes) == (expected.reports, expected.changes)
    assert [mishap.device_id for mishap in outcome.mishaps] == [device_id]
    assert gateway.book.states() == clean.book.states()


def test_a_defect_is_told_to_the_owner_of_the_device_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    outcome = Gateway().commit([message({"pressure": 9}, BROKEN)])
    assert outcome.reports == ()
    [mishap] = outcome.mishaps
    assert (mishap.kind, mishap.reason) == ("defect", "the gateway could not process it (LookupError)")
    assert "message not processed tenant_id=1 device_id=broken" in caplog.text
    assert "LookupError" in caplog.text


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
    assert [observed.is_duplicate for observed in again.observations] == [True, False]


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
    assert [observed.rejected_count for observed in outcome.observations] == [0, 1]


def test_of_a_message_of_many_reports_the_newest_tells_the_time() -> None:
    told = [{"timestamp": NOW - ago, "flow": 1} for ago in (3_000, 20, 2_000)]
    observations = Gateway().commit([message(told)]).observations
    assert [observed.behind_ms for observed in observations] == [None, 20, None]
    assert newest_of([]) is None


def test_a_clock_that_is_far_off_is_told_too() -> None:
    [observed] = Gateway().commit([message({"timestamp": NOW + 3_600_000, "flow": 1})]).observations
    assert observed.behind_ms == -3_600_000
    [silent] = Gateway().commit([message({"flow": 1})]).observations
    assert silent.behind_ms is None


def test_the_content_type_says_what_a_message_is() -> None:
    pack = msgspec.json.encode([{"n": "flow", "v": 1, "t": -2}])
    sent_ = msgspec.structs.replace(message(pack), properties=Properties(content_type="application/senml+json"))
    outcome = Gateway().commit([sent_])
    assert [(report.at, report.values) for report in outcome.reports] == [(NOW - 2_000, {"flow": 1})]
    # It says when, and nothing of the device's clock.
    assert outcome.observations[0].behind_ms is None


@given(st.lists(st.sampled_from([0, 1, PIECE_BYTES // 3, PIECE_BYTES - 1, PIECE_BYTES, 2 * PIECE_BYTES]), max_size=8))
def test_a_piece_is_never_much_too_heavy(sizes: list[int]) -> None:
    messages = [message(b"x" * size, topic="other") for size in sizes]
    taken: list[int] = []
    pieces: list[list[int]] = [[]]

    class Counted(list[Message]):
        """Notes which message is asked for."""

        def __iter__(self) -> Iterator[Message]:
            for one in super().__iter__():
                pieces[-1].append(len(one.payload))
                taken.append(len(one.payload))
                yield one

    deciding = Decision(Gateway().known).deciding(Counted(messages))
    while next(deciding, "end") is None:
        pieces.append([])
    assert taken == sizes
    assert all(sum(piece[:-1]) < PIECE_BYTES for piece in pieces)


def test_a_piece_has_not_too_many_messages_and_within_one_not_too_many_objects() -> None:
    few, many = [message(b"7")], [message([{"flow": 1}] * PIECE_OBJECTS * 3)]
    assert pieces_of(Decision(Gateway().known), few * (PIECE_MESSAGES - 1)) == 0
    assert pieces_of(Decision(Gateway().known), few * PIECE_MESSAGES) == 1
    # They are read, then looked at for repeats, then judged.
    assert pieces_of(Decision(Gateway().known), many) == 9


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
    observed = [msgspec.structs.replace(one, behind_ms=None) for one in parts.observations]
    assert [msgspec.structs.replace(one, behind_ms=None) for one in whole.observations] == observed
    assert sum(one.behind_ms is not None for one in whole.observations) <= 1


def test_a_message_of_many_objects_is_taken_whole_or_not_at_all() -> None:
    gateway = Gateway()
    outcome = gateway.commit([message([{"flow": 1}, {"pressure": 9}], BROKEN), message([{"flow": 1}, 7, {"flow": 2}])])
    assert [report.values for report in outcome.reports] == [{"flow": 1}, {"flow": 2}]
    assert [(mishap.device_id, mishap.kind) for mishap in outcome.mishaps] == [
        (BROKEN, "defect"),
        ("pump", "wrong_type"),
    ]
    assert [observed.report.device_id for observed in outcome.observations] == ["pump", "pump"]
