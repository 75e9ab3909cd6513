import itertools
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.alerts.book import Book
from appliance.alerts.model import AlertState, Phase, Severity
from appliance.ingestion.decide import Decision, Known, ReadingKey, telemetry_device
from appliance.ingestion.model import Outcome
from broker.message import Message
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
        self.known = Known(self.book, self.zone_of, lambda *key: self.newest.get(key), TOLERANCES)
        self.outcomes: list[Outcome] = []

    @staticmethod
    def zone_of(_: int, device_id: str) -> str:
        if device_id == BROKEN:
            raise LookupError(device_id)
        return "north" if device_id == "valve" else ""

    def decide(self, messages: Sequence[Message]) -> Decision:
        decision = Decision(self.known)
        decision.take(messages)
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
        sliced.take(messages[start:end])
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
