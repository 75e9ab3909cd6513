"""What the ledger says, and never says, of a command."""

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.commands.model import By, Command, DialectName, State
from appliance.registry.model import Presence
from web import ledger

NOW = 1_782_900_000_000
AWAY = Presence(False, NOW, "", "")
THERE = Presence(True, NOW, "", "")
QUEUED = Command(
    command_number=1,
    tenant_id=1,
    execution_id="abc",
    batch_id=None,
    device_id="pump-1",
    name="reboot",
    payload=b'{"in":5}',
    content_type="application/json",
    dialect=DialectName.ANY,
    qos=1,
    priority=0,
    may_repeat=False,
    start_timeout_ms=10_000,
    finish_timeout_ms=10_000,
    state=State.QUEUED,
    version=1,
    attempt=1,
    retries_left=0,
    is_repeated=False,
    created_at=NOW,
    expires_at=NOW + 60_000,
    not_before=0,
    due_at=NOW + 60_000,
    offered_at=None,
    sent_at=None,
    acknowledged_at=None,
    started_at=None,
    ended_at=None,
    ended_by=By.NOBODY,
    reason_code="",
    reason="",
    result=None,
    author="maria@example.com",
)
SENT: dict[str, Any] = {"state": State.SENT, "offered_at": NOW + 1, "sent_at": NOW + 2}
DONE: dict[str, Any] = {
    **SENT,
    "state": State.SUCCEEDED,
    "acknowledged_at": NOW + 3,
    "started_at": NOW + 4,
    "ended_at": NOW + 5,
    "ended_by": By.DEVICE,
}


def command(**fields: Any) -> Command:
    return msgspec.structs.replace(QUEUED, **fields)


def said(found: Command, presence: Presence) -> str:
    entry = ledger.entry(found, None, presence)
    steps = " ".join(f"{step.word} {step.evidence}" for step in entry.steps)
    return f"{entry.word} {steps} {entry.waits} {entry.reason}".lower()


@given(
    st.sampled_from(State),
    st.booleans(),
    st.booleans(),
    st.sampled_from([None, NOW]),
    st.sampled_from([None, NOW]),
    st.sampled_from([None, NOW]),
)
def test_nothing_is_ever_said_to_be_delivered_and_what_is_said_has_its_moment(
    state: State, is_there: bool, is_repeated: bool, offered: int | None, sent: int | None, acknowledged: int | None
) -> None:
    found = command(
        state=state, is_repeated=is_repeated, offered_at=offered, sent_at=sent, acknowledged_at=acknowledged
    )
    told = said(found, THERE if is_there else AWAY)
    assert "delivered" not in told
    entry = ledger.entry(found, None, THERE if is_there else AWAY)
    assert [step.word for step in entry.steps].count("sent") == (sent is not None)
    assert [step.word for step in entry.steps].count("acknowledged") == (acknowledged is not None)
    assert bool(entry.waits) == (not found.is_over)
    assert entry.until is None or not found.is_over


def test_each_step_has_its_moment_and_what_shows_it() -> None:
    assert [(step.word, step.at - NOW, step.evidence) for step in ledger.steps(command(**DONE))] == [
        ("queued", 0, "by maria@example.com"),
        ("sent", 2, "written to its connection"),
        ("acknowledged", 3, "by PUBACK"),
        ("in progress", 4, "the device said so"),
        ("succeeded", 5, "the device said so"),
    ]


def test_an_attempt_beyond_the_first_says_so_and_exactly_once_has_another_receipt() -> None:
    told = said(command(**DONE, attempt=3, qos=2), THERE)
    assert "attempt 3, written to its connection" in told
    assert "by pubcomp or puback" in told


@pytest.mark.parametrize(
    ("fields", "presence", "words"),
    [
        ({}, AWAY, "waits: the device is not connected"),
        ({}, THERE, "has not subscribed to its commands or has others before this one"),
        ({"attempt": 2, "not_before": NOW + 5_000}, THERE, "waits a while before attempt 2"),
        ({"offered_at": NOW}, THERE, "it is being written to its connection"),
        (
            SENT,
            THERE,
            "waits for its puback, which a device that subscribed with qos 0 never sends: whether it arrived is not",
        ),
        (SENT, AWAY, "it may have arrived, or not"),
        ({**SENT, "offered_at": None, "is_repeated": True}, AWAY, "is written once more when the device connects"),
        ({**SENT, "offered_at": None, "is_repeated": True}, THERE, "it is written once more"),
        ({**SENT, "state": State.ACKNOWLEDGED}, THERE, "it has the message, and has not said what it does with it"),
        ({**SENT, "state": State.IN_PROGRESS}, THERE, "waits for the device to finish"),
    ],
)
def test_what_is_waited_for_is_told_in_words_that_promise_nothing(
    fields: dict[str, Any], presence: Presence, words: str
) -> None:
    assert words in said(command(**fields), presence)


def test_only_what_was_not_written_can_be_called_back() -> None:
    assert ledger.is_untouched(QUEUED)
    for fields in (SENT, DONE, {"offered_at": NOW}, {"is_repeated": True}, {"state": State.CANCELLED}):
        assert not ledger.is_untouched(command(**fields))


def test_a_job_waits_until_the_device_begins_it_and_can_be_called_back_until_then() -> None:
    queued = command(dialect=DialectName.JOBS, offered_at=NOW)
    assert ledger.is_untouched(queued)
    assert "it is among the jobs of the device, which has not begun it" in ledger.waits_for(queued, THERE)
    assert "a job of AWS IoT" in ledger.entry(queued, None, AWAY).terms
    assert not ledger.is_untouched(command(dialect=DialectName.JOBS, offered_at=NOW, state=State.IN_PROGRESS))


def test_who_ended_it_is_told_with_the_reason() -> None:
    gave_up = {"state": State.TIMED_OUT, "ended_at": NOW, "ended_by": By.GATEWAY, "reason_code": "EXPIRED"}
    assert "the gateway gave up" in said(command(**gave_up, reason="it had expired"), AWAY)
    assert "expired: it had expired" in said(command(**gave_up, reason="it had expired"), AWAY)


def test_how_it_is_sent_is_told() -> None:
    found = command(priority=5, retries_left=1, is_repeated=True, dialect=DialectName.AWS, attempt=2)
    assert ledger.entry(found, None, AWAY).terms == (
        "execution abc-2, topics of AWS IoT, QoS 1, priority 5, 1 more attempt, "
        "written more than once, or it may have been"
    )
    # In which dialect it went is known only where it was asked for.
    assert ledger.entry(command(), None, AWAY).terms == "execution abc, QoS 1"


@pytest.mark.parametrize(
    ("content", "kind", "text"),
    [
        (b'{"a":1}', "application/json", '{\n  "a": 1\n}'),
        ('{"a":"ü"}'.encode(), "application/json", '{\n  "a": "ü"\n}'),
        (b"{broken", "application/json", "{broken"),
        (b"plain", "text/plain", "plain"),
        (b"\xff\x00", "application/cbor", "2 bytes of application/cbor"),
        (b"", "application/json", ""),
        (b"x" * 5_000, "text/plain", "x" * 4_000 + "…"),
    ],
)
def test_payloads_are_shown_as_somebody_reads_them(content: bytes, kind: str, text: str) -> None:
    assert ledger.shown(content, kind) == text


def test_states_are_meant_by_their_names_and_by_whether_they_are_over() -> None:
    assert set(ledger.states_of("open")) | set(ledger.states_of("closed")) == set(State)
    assert not set(ledger.states_of("open")) & set(ledger.states_of("closed"))
    assert ledger.states_of("failed") == (State.FAILED,)
    assert ledger.states_of("") == ledger.states_of("nonsense") == ()
    assert ledger.open_count({State.QUEUED: 2, State.SENT: 1, State.FAILED: 5}) == 3
    assert set(ledger.STATE_WORDS) == set(ledger.PILLS) == set(State)
