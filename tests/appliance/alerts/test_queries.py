import itertools
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.alerts.book import Book, StateKey
from appliance.alerts.check import RuleExistsError, check_rule
from appliance.alerts.model import Alert, AlertEvent, AlertState, Phase
from appliance.alerts.queries import (
    save_changes,
    select_alert,
    select_alerts,
    select_rules,
    select_states,
    update_acknowledged,
    update_enabled,
)
from tests.appliance.alerts.examples import Steps, answer, keep_rules, loaded_book, new_database, readings, rule, timed

RULES = (
    check_rule(rule("held", threshold=5, hold_ms=4, clear_threshold=4)),
    check_rule(rule("at once", threshold=7, severity="low")),
    check_rule(rule("low", threshold=3, operator="LESS_THAN", zones=("north",))),
)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(new_database(tmp_path / "gateway.db")) as connection:
        keep_rules(connection, RULES)
        yield connection


def commit(
    connection: sqlite3.Connection, book: Book, steps: Sequence[tuple[int, float]], device_id: str = "pump"
) -> list[AlertEvent]:
    overlay = book.overlay()
    for at, value in steps:
        overlay.judge(1, device_id, "north", "pressure", value, at, late=False)
    connection.execute("BEGIN")
    events = save_changes(connection, overlay.changes())
    connection.execute("COMMIT")
    book.merge(overlay)
    return events


@settings(deadline=None, max_examples=40)
@given(readings, st.lists(st.integers(0, 40), max_size=4))
def test_stopping_at_any_point_and_going_on_from_the_disk_gives_what_not_stopping_gives(
    gaps: Steps, stops: list[int]
) -> None:
    steps = timed(gaps)
    borders = sorted({0, len(steps), *(min(stop, len(steps)) for stop in stops)})
    with tempfile.TemporaryDirectory() as folder:
        with closing(new_database(Path(folder) / "whole.db")) as connection:
            keep_rules(connection, RULES)
            whole = loaded_book(connection)
            events = commit(connection, whole, steps)
            alerts = answer(connection, select_alerts(1, "all", 1_000))
        events_in_parts = []
        for start, end in itertools.pairwise([0, *borders]):
            with closing(new_database(Path(folder) / "parts.db")) as connection:
                if start == end == 0:
                    keep_rules(connection, RULES)
                events_in_parts += commit(connection, loaded_book(connection), steps[start:end])
        with closing(new_database(Path(folder) / "parts.db")) as connection:
            assert loaded_book(connection).states() == whole.states()
            assert answer(connection, select_alerts(1, "all", 1_000)) == alerts
    assert events_in_parts == events


@settings(deadline=None, max_examples=40)
@given(readings)
def test_memory_and_disk_agree_after_every_batch(gaps: Steps) -> None:
    with tempfile.TemporaryDirectory() as folder, closing(new_database(Path(folder) / "gateway.db")) as connection:
        keep_rules(connection, RULES)
        book = loaded_book(connection)
        for step in timed(gaps):
            commit(connection, book, [step])
            assert dict(answer(connection, select_states())) == book.states()
            assert len(answer(connection, select_alerts(1, "firing", 100))) == book.firing_count(1)


def test_rules_come_back_as_they_were_kept(connection: sqlite3.Connection) -> None:
    limits = answer(connection, select_rules())
    assert [limit.name for limit in limits] == ["held", "at once", "low"]
    assert limits[2].zones == ("north",)
    assert limits[0].recipients == ("maria@example.com",)
    assert limits[0].clear_threshold == 4.0
    assert all(limit.enabled is True for limit in limits)


def test_a_name_is_taken_once_in_a_tenant(connection: sqlite3.Connection) -> None:
    with pytest.raises(RuleExistsError, match="already a rule named 'held'"):
        keep_rules(connection, RULES[:1])


def test_an_alert_is_written_with_its_opening_and_its_end(connection: sqlite3.Connection) -> None:
    book = loaded_book(connection)
    opened, resolved = commit(connection, book, [(0, 6), (4, 6.5), (9, 3.5)])
    assert opened.alert == Alert(
        alert_id=1,
        tenant_id=1,
        rule_id=1,
        device_id="pump",
        breached_at=0,
        opened_at=4,
        opened_value=6.5,
        resolved_at=None,
        acknowledged_at=None,
        acknowledged_by=None,
        rule_name="held",
        metric="pressure",
        operator=book.rules(1)[0].operator,
        threshold=5.0,
        severity=book.rules(1)[0].severity,
    )
    assert resolved.alert == msgspec.structs.replace(opened.alert, resolved_at=9)
    assert answer(connection, select_alert(1, 1)) == [resolved.alert]


def test_a_notice_that_was_held_back_names_the_alert_it_is_about(connection: sqlite3.Connection) -> None:
    book = loaded_book(connection)
    events = commit(connection, book, [(0, 8), (1, 4), (2, 8), (950, 8)])
    told = [event for event in events if event.change.notice and event.alert.rule_id == 2]
    assert [(event.alert.alert_id, event.change.opened) for event in told] == [(1, True), (2, False)]


def test_alerts_are_chosen_by_their_state_newest_first(connection: sqlite3.Connection) -> None:
    book = loaded_book(connection)
    for device_id in ("a", "b", "c"):
        commit(connection, book, [(0, 8)], device_id)
    commit(connection, book, [(1, 4.5)], "a")
    update_acknowledged(connection, 1, 2, "maria@example.com", 77)

    def numbers(state: str, limit: int = 100, tenant_id: int = 1) -> list[int]:
        return [alert.alert_id for alert in answer(connection, select_alerts(tenant_id, state, limit))]

    assert numbers("all") == [3, 2, 1]
    assert numbers("firing") == [3, 2]
    assert numbers("acknowledged") == [2]
    assert numbers("resolved") == [1]
    assert numbers("all", limit=2) == [3, 2]
    assert numbers("all", tenant_id=2) == []
    assert answer(connection, select_alert(2, 1)) == []


def test_the_first_acknowledgement_stays(connection: sqlite3.Connection) -> None:
    commit(connection, loaded_book(connection), [(0, 8)])
    update_acknowledged(connection, 2, 1, "eve@example.com", 70)
    update_acknowledged(connection, 1, 1, "maria@example.com", 77)
    update_acknowledged(connection, 1, 1, "juan@example.com", 99)
    (alert,) = answer(connection, select_alert(1, 1))
    assert (alert.acknowledged_by, alert.acknowledged_at) == ("maria@example.com", 77)


def test_disabling_a_rule_resolves_its_alerts_and_forgets_what_is_pending(connection: sqlite3.Connection) -> None:
    book = loaded_book(connection)
    commit(connection, book, [(0, 8)])
    update_enabled(connection, 1, 2, 50, enabled=False)
    update_enabled(connection, 1, 1, 50, enabled=False)
    assert [alert.resolved_at for alert in answer(connection, select_alerts(1, "all", 9))] == [50]
    assert dict(answer(connection, select_states())) == {StateKey(1, 2, "pump"): AlertState(noticed_at=0)}
    assert [limit.enabled for limit in answer(connection, select_rules())] == [False, False, True]


def test_a_batch_that_was_judged_before_its_rule_was_disabled_opens_nothing(connection: sqlite3.Connection) -> None:
    overlay = loaded_book(connection).overlay()
    overlay.judge(1, "pump", "", "pressure", 8, 0, late=False)
    update_enabled(connection, 1, 2, 50, enabled=False)
    assert save_changes(connection, overlay.changes()) == []
    assert answer(connection, select_alerts(1, "all", 9)) == []


def test_a_batch_that_was_judged_on_an_older_state_is_left_out(connection: sqlite3.Connection) -> None:
    book = loaded_book(connection)
    commit(connection, book, [(0, 8)])
    overlay = book.overlay()
    overlay.judge(1, "pump", "", "pressure", 4, 1, late=False)
    update_enabled(connection, 1, 2, 50, enabled=False)
    update_enabled(connection, 1, 2, 51, enabled=True)
    assert not any(event.alert.rule_id == 2 for event in save_changes(connection, overlay.changes()))
    assert dict(answer(connection, select_states()))[StateKey(1, 2, "pump")].phase is Phase.NORMAL
