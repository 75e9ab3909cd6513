"""What the stream asks of gateway.db, and what a database from before it looks like to it."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest

from appliance.instant import HOUR_MS
from appliance.store.database import Select
from appliance.store.migrate import migrations, run
from appliance.stream import queries
from appliance.stream.model import Batch, ConsumerExistsError, ConsumerGap, Position, Start, TooManyConsumersError
from appliance.telemetry.queries import insert_log
from tests.appliance.store.tables import up_to_date
from tests.appliance.telemetry.reports import NOON


@pytest.fixture
def gateway() -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        up_to_date(connection)
        yield connection


def asked(connection: sqlite3.Connection, select: Select[Any]) -> list[Any]:
    return [select.into(*row) for row in connection.execute(select.sql, select.parameters)]


def log(connection: sqlite3.Connection, count: int, at: int = NOON) -> list[int]:
    return [insert_log(connection, 1, at, 10, b"x" * 100) for _ in range(count)]


def test_a_piece_comes_with_how_far_the_log_was_trimmed(gateway: sqlite3.Connection) -> None:
    assert asked(gateway, queries.select_pieces(1, 0, 9)) == [(0, 0, None, None)]
    ids = log(gateway, 3)
    queries.trim(gateway, 1, ids[0], ids[0])
    assert [(each.trimmed_log_id, each.log_id) for each in asked(gateway, queries.select_pieces(1, 0, 9))] == [
        (ids[0], ids[1]),
        (ids[0], ids[2]),
    ]
    assert asked(gateway, queries.select_pieces(2, 0, 9)) == [(0, 0, None, None)]


def test_what_goes_is_counted_for_each_consumer_by_where_it_has_come(gateway: sqlite3.Connection) -> None:
    ids = log(gateway, 3)
    for name in ("first", "half", "done"):
        queries.insert_consumer(gateway, 1, name, Start.OLDEST, NOON)
    queries.update_position(gateway, 1, "half", Position(ids[1], 4), NOON)
    queries.update_position(gateway, 1, "done", Position(ids[2] + 1), NOON)
    lag = asked(gateway, queries.select_lag(1, Position(ids[1], 4)))[0]
    assert (lag.report_count, lag.size_bytes, lag.oldest_at) == (14, 200, NOON)
    losing = queries.trim(gateway, 1, ids[1], ids[2])
    assert [(each.name, each.gap and each.gap.report_count) for each in losing] == [("first", 20), ("half", 4)]
    losing = queries.trim(gateway, 1, ids[2], ids[2])
    assert [(each.name, each.gap and each.gap.report_count) for each in losing] == [("first", 30), ("half", 14)]
    trimmed = asked(gateway, queries.select_trimmed(1))[0]
    assert trimmed == (ids[2], ids[2], NOON)


def test_the_log_of_another_tenant_stays_as_it_is(gateway: sqlite3.Connection) -> None:
    gateway.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'b', 0)")
    ids = log(gateway, 2)
    other = insert_log(gateway, 2, NOON, 1, b"y")
    queries.insert_consumer(gateway, 2, "a", Start.OLDEST, NOON)
    assert queries.trim(gateway, 1, other, other) == ()
    assert asked(gateway, queries.select_pieces(2, 0, 9))[0].log_id == other
    assert asked(gateway, queries.select_trimmed(1))[0].log_id == ids[-1]


def test_what_day_files_have_beyond_a_restored_log_is_missing_for_everybody_and_nobody_knows_how_much(
    gateway: sqlite3.Connection,
) -> None:
    gateway.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'b', 0)")
    ids = log(gateway, 3)
    queries.insert_consumer(gateway, 1, "half", Start.OLDEST, NOON)
    queries.insert_consumer(gateway, 2, "done", Start.NOW, NOON)
    assert queries.begin_after(gateway, ids[-1], NOON + 9) == ()
    assert asked(gateway, queries.select_trimmed(1)) == [(0, 0, 0)]
    gap = ConsumerGap(50, None, NOON + 9)
    assert [(each.name, each.gap) for each in queries.begin_after(gateway, 50, NOON + 9)] == [
        ("half", gap),
        ("done", gap),
    ]
    for tenant_id in (1, 2):
        assert asked(gateway, queries.select_trimmed(tenant_id)) == [(0, 50, NOON + 9)]
    # What the log still has may go before anybody has heard of it.
    assert [each.gap for each in queries.trim(gateway, 1, ids[-1], ids[-1])] == [gap]
    assert asked(gateway, queries.select_trimmed(1)) == [(ids[-1], 50, NOON + 9)]
    assert log(gateway, 1) == [51]


def test_what_must_go_for_the_rest_to_fit_is_the_oldest(gateway: sqlite3.Connection) -> None:
    ids = log(gateway, 5)
    assert asked(gateway, queries.select_beyond(1, ids[4], 250)) == [ids[2]]
    assert asked(gateway, queries.select_beyond(1, ids[3], 0)) == [ids[3]]
    assert asked(gateway, queries.select_beyond(1, ids[4], 500)) == []


def test_marks_are_an_hour_apart_and_tell_what_was_there_before(gateway: sqlite3.Connection) -> None:
    first = log(gateway, 1, NOON)[0]
    queries.trim(gateway, 1, first, first)
    second = log(gateway, 1, NOON + HOUR_MS - 1)[0]
    queries.trim(gateway, 1, second, second)
    third = log(gateway, 1, NOON + HOUR_MS)[0]
    queries.trim(gateway, 1, third, third)
    assert asked(gateway, queries.select_mark(1, NOON)) == []
    assert asked(gateway, queries.select_mark(1, NOON + 1)) == [first]
    assert asked(gateway, queries.select_mark(1, NOON + 2 * HOUR_MS)) == [third]
    assert asked(gateway, queries.select_first(1, NOON)) == []


def test_a_mark_counts_what_a_clock_that_was_ahead_has_noted(gateway: sqlite3.Connection) -> None:
    ahead = log(gateway, 1, NOON + 9 * HOUR_MS)[0]
    after = log(gateway, 1, NOON)[0]
    queries.trim(gateway, 1, after, after)
    assert asked(gateway, queries.select_trimmed(1)) == [(after, after, NOON + 9 * HOUR_MS)]
    later = log(gateway, 1, NOON + HOUR_MS)[0]
    queries.trim(gateway, 1, later, later)
    assert asked(gateway, queries.select_trimmed(1)) == [(later, later, NOON + 9 * HOUR_MS)]
    # Up to none of the records everything was committed before that moment.
    assert asked(gateway, queries.select_mark(1, NOON + 9 * HOUR_MS)) == []
    assert asked(gateway, queries.select_mark(1, NOON + 9 * HOUR_MS + 1)) == [after]
    assert ahead < after


def test_a_name_is_one_consumers_and_there_may_not_be_too_many(gateway: sqlite3.Connection) -> None:
    made = queries.insert_consumer(gateway, 1, "a", Start.NOW, NOON)
    assert asked(gateway, queries.select_consumers()) == [made]
    assert asked(gateway, queries.select_consumer(1, "a")) == [made]
    with pytest.raises(ConsumerExistsError):
        queries.insert_consumer(gateway, 1, "a", Start.NOW, NOON)
    for number in range(queries.CONSUMERS_LIMIT - 1):
        queries.insert_consumer(gateway, 1, f"b{number}", Start.NOW, NOON)
    with pytest.raises(TooManyConsumersError):
        queries.insert_consumer(gateway, 1, "c", Start.NOW, NOON)
    queries.delete_consumer(gateway, 1, "a")
    assert asked(gateway, queries.select_consumer(1, "a")) == []


def test_what_was_in_hand_while_the_log_went_is_no_gap(gateway: sqlite3.Connection) -> None:
    ids = log(gateway, 3)
    queries.insert_consumer(gateway, 1, "a", Start.OLDEST, NOON)
    queries.trim(gateway, 1, ids[2], ids[2])
    some = Batch(Position(1), Position(ids[2], 3), counts=((ids[0], 10), (ids[1], 10), (ids[2], 7)))
    left = queries.update_committed(gateway, 1, "a", some, NOON).gap
    assert left is not None
    assert left.report_count == 3
    rest = Batch(some.end, Position(ids[2] + 1), counts=((ids[2], 3),))
    assert queries.update_committed(gateway, 1, "a", rest, NOON).gap is None
    assert asked(gateway, queries.select_end()) == [ids[2]]


@pytest.mark.parametrize(("count", "trimmed"), [(0, (0, 0, 0)), (3, (0, 2, NOON))])
def test_a_log_from_before_there_were_readers_counts_as_trimmed_up_to_its_oldest_record(
    count: int, trimmed: tuple[int, int, int]
) -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        steps = migrations()
        run(connection, [step for step in steps if step[0] < 20])
        connection.executemany(
            "INSERT INTO log (tenant_id, committed_at, message_count, record) VALUES (1, ?, 1, x'00')",
            [(NOON + place - 2,) for place in range(count)],
        )
        connection.execute("DELETE FROM log WHERE log_id <= 2")
        connection.executescript(dict(steps)[20])
        assert asked(connection, queries.select_trimmed(1)) == [trimmed]
