import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.alerts.message import SUBJECT_LIMIT, announcements, length_text, write_notice
from appliance.alerts.model import (
    Alert,
    AlertEvent,
    AlertOpened,
    AlertResolved,
    AlertState,
    Change,
    Limit,
    Operator,
    Phase,
    Severity,
)
from tests.appliance.alerts.examples import limit


def change(rule: Limit | None = None, device_id: str = "sensor-001", **fields: bool) -> Change:
    said: dict[str, bool] = {"opened": True, "resolved": False, "notice": True} | fields
    return Change(
        limit=rule or limit(hold_ms=300_000),
        device_id=device_id,
        before=AlertState(Phase.PENDING, 0),
        after=AlertState(Phase.FIRING, 0, 300_000, 300_000),
        value=71.5,
        at=300_000,
        **said,
    )


@given(st.text(), st.text(), st.text(), st.text())
def test_no_name_can_add_a_line(rule_name: str, metric: str, device_id: str, device_name: str) -> None:
    named = Limit(1, 1, rule_name, metric, Operator.LESS_THAN, 1, 1, 0, Severity.LOW, (), ())
    subject, body = write_notice(change(named, device_id), device_name, 7)
    plain = write_notice(change(limit(operator=Operator.LESS_THAN, threshold=1), "d"), "n", 7)[1]
    assert len(subject.splitlines()) <= 1
    assert len(subject) <= SUBJECT_LIMIT
    assert len(body.splitlines()) == len(plain.splitlines())
    (subject + body).encode()


def test_a_notice_says_what_is_wrong_where_and_since_when() -> None:
    subject, body = write_notice(change(), "Feed pump", 12)
    assert subject == "[HIGH] Alert 12, Feed pump (sensor-001): pressure is 71.5 (rule 1)"
    assert "pressure of Feed pump (sensor-001) is 71.5." in body
    assert "The limit is above 60 for 5 min." in body
    assert "Breached:  since 1970-01-01T00:00:00.000Z" in body
    assert "Opened:    1970-01-01T00:05:00.000Z" in body
    assert "Alert:     12" in body


def test_a_device_without_a_name_is_called_by_its_identifier() -> None:
    for name in ("", "sensor-001"):
        assert write_notice(change(), name, 1)[0].startswith("[HIGH] Alert 1, sensor-001: pressure")


def test_a_rule_without_a_hold_says_nothing_of_it() -> None:
    assert "The limit is above 60.\n" in write_notice(change(limit()), "", 1)[1]


@pytest.mark.parametrize(
    ("length_ms", "text"),
    [(0, "0 s"), (999, "0 s"), (300_000, "5 min"), (3_900_000, "1 h 5 min"), (90_061_000, "1 d 1 h 1 min 1 s")],
)
def test_lengths_of_time_are_written_for_people(length_ms: int, text: str) -> None:
    assert length_text(length_ms) == text


def test_openings_and_resolutions_are_announced_and_mere_notices_are_not() -> None:
    alert = Alert(1, 1, 1, "d", 0, 0, 1.0, None, None, None, "r", "m", Operator.LESS_THAN, 1.0, Severity.LOW)
    events = [
        AlertEvent(change(), alert),
        AlertEvent(change(opened=False), alert),
        AlertEvent(change(opened=False, resolved=True, notice=False), alert),
    ]
    assert announcements(events) == [AlertOpened(alert), AlertResolved(alert)]
