import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import TypeVar

import pytest

from appliance.notifications.model import Notice
from appliance.notifications.queries import (
    insert_notice,
    select_notices,
    select_upcoming,
    select_waiting_channels,
    update_attempted,
)
from appliance.notifications.retry import after_failure, after_success
from appliance.store.database import Select
from tests.appliance.store.tables import up_to_date

T = TypeVar("T")


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(tmp_path / "gateway.db", isolation_level=None)) as connection:
        up_to_date(connection)
        connection.execute("INSERT INTO tenant (name, created_at) VALUES ('other', 0)")
        yield connection


def answer(connection: sqlite3.Connection, select: Select[T]) -> list[T]:
    return [select.into(*row) for row in connection.execute(select.sql, select.parameters)]


def insert(connection: sqlite3.Connection, now: int, channel: str = "email", tenant_id: int = 1) -> int:
    return insert_notice(connection, tenant_id, None, channel, "maria@example.com", "subject", "body", now)


def upcoming(connection: sqlite3.Connection) -> list[int]:
    return [notice.notice_id for notice in answer(connection, select_upcoming("email", 10))]


def test_a_new_notice_is_due_at_once(connection: sqlite3.Connection) -> None:
    notice_id = insert(connection, 5)
    assert answer(connection, select_notices(1, None, 10)) == [
        Notice(notice_id, 1, None, "email", "maria@example.com", "subject", "body", 5, 5, 0, None, None, None)
    ]


def test_the_one_that_is_due_first_comes_first_and_each_channel_has_its_own(connection: sqlite3.Connection) -> None:
    assert [insert(connection, now) for now in (30, 10, 20)] == [1, 2, 3]
    insert(connection, 1, channel="mailbox")
    assert upcoming(connection) == [2, 3, 1]
    assert len(answer(connection, select_upcoming("email", 2))) == 2
    assert answer(connection, select_waiting_channels()) == ["email", "mailbox"]


def test_what_was_sent_or_given_up_is_kept_and_waits_no_more(connection: sqlite3.Connection) -> None:
    for now in (1, 2, 3):
        insert(connection, now)
    third, second, first = answer(connection, select_notices(1, None, 10))
    update_attempted(connection, after_success(first, 50))
    update_attempted(connection, after_failure(second, "no such mailbox", 50, permanent=True))
    update_attempted(connection, after_failure(third, "busy", 50, permanent=False))
    assert upcoming(connection) == [3]
    assert answer(connection, select_notices(1, None, 10)) == [
        after_failure(third, "busy", 50, permanent=False),
        after_failure(second, "no such mailbox", 50, permanent=True),
        after_success(first, 50),
    ]


def test_what_was_sent_is_never_due_again(connection: sqlite3.Connection) -> None:
    insert(connection, 1)
    (notice,) = answer(connection, select_notices(1, None, 10))
    update_attempted(connection, after_success(notice, 50))
    update_attempted(connection, after_failure(notice, "busy", 60, permanent=False))
    assert answer(connection, select_notices(1, None, 10)) == [after_success(notice, 50)]


def test_notices_are_asked_for_by_tenant_and_by_alert_the_newest_first(connection: sqlite3.Connection) -> None:
    connection.execute(
        """
        INSERT INTO alert_rule (tenant_id, name, metric, operator, threshold, clear_threshold, hold_ms, severity,
                                created_at)
        VALUES (1, 'r', 'm', 'GREATER_THAN', 1, 1, 0, 'low', 0)
        """
    )
    connection.execute(
        """
        INSERT INTO alert (tenant_id, rule_id, device_id, breached_at, opened_at, opened_value)
        VALUES (1, 1, 'd', 0, 0, 1)
        """
    )
    insert(connection, 1)
    insert_notice(connection, 1, 1, "email", "maria@example.com", "subject", "body", 2)
    insert(connection, 3, tenant_id=2)
    numbers = [
        [notice.notice_id for notice in answer(connection, select)]
        for select in (select_notices(1, None, 10), select_notices(1, 1, 10), select_notices(2, None, 10))
    ]
    assert numbers == [[2, 1], [2], [3]]
    assert len(answer(connection, select_notices(1, None, 1))) == 1
