"""The ledger on the disk."""

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest

from appliance.commands import queries
from appliance.commands.model import By, Command, State
from appliance.commands.reading import queries as reading
from appliance.store.database import Select
from tests.appliance.commands.examples import NOW, command
from tests.appliance.store.tables import up_to_date


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    up_to_date(connection)
    yield connection
    connection.close()


def kept(connection: sqlite3.Connection, count: int = 1) -> list[Command]:
    made = [command(command_number=0, execution_id=f"e{number}") for number in range(count)]
    assert queries.insert_commands(connection, None, None, "d", made) == count
    return list(queries.by_executions(connection, 1, [one.execution_id for one in made]).values())


def test_a_command_is_read_as_it_was_written(connection: sqlite3.Connection) -> None:
    [made] = kept(connection)
    assert made == command(execution_id="e0", command_number=made.command_number)
    changed = msgspec.structs.replace(
        made,
        state=State.SUCCEEDED,
        version=5,
        attempt=2,
        retries_left=1,
        is_repeated=True,
        not_before=1,
        due_at=2,
        offered_at=3,
        sent_at=4,
        acknowledged_at=5,
        started_at=6,
        ended_at=7,
        ended_by=By.DEVICE,
        reason_code="OK",
        reason="fine",
        result="{}",
    )
    queries.update_commands(connection, [changed])
    assert queries.by_numbers(connection, 1, [made.command_number]) == {made.command_number: changed}
    assert queries.by_numbers(connection, 2, [made.command_number]) == {}
    queries.update_commands(connection, [])


def test_more_are_found_than_one_statement_binds(connection: sqlite3.Connection) -> None:
    made = kept(connection, 2 * queries.VALUES_LIMIT + 1)
    assert len(made) == 2 * queries.VALUES_LIMIT + 1
    assert queries.open_counts(connection, 1, ["lamp", "other"]) == {"lamp": len(made)}


def test_every_question_has_an_index_of_its_own(connection: sqlite3.Connection) -> None:
    page = reading.Page((), 9, 9)
    asked: list[tuple[str, Select[Any], str]] = [
        ("newest", reading.select_all(1, page), "INTEGER PRIMARY KEY"),
        ("device", reading.select_of_device(1, "lamp", page._replace(states=[State.QUEUED])), "command_of_device"),
        ("batch", reading.select_of_batch(1, 1, page), "command_of_batch"),
        ("counts", reading.select_counts(1, [1, 2]), "command_of_batch"),
        ("due", queries.select_next_due(), "command_due"),
        ("waiting", queries.select_waiting(), "command_open"),
    ]
    for name, select, index in asked:
        plan = connection.execute(f"EXPLAIN QUERY PLAN {select.sql}", select.parameters).fetchall()
        assert index in plan[0][3], (name, plan)


def test_a_clock_that_was_set_moves_open_commands_alone(connection: sqlite3.Connection) -> None:
    first, second, third = kept(connection, 3)
    over = msgspec.structs.replace(first, state=State.CANCELLED, ended_at=NOW)
    begun = msgspec.structs.replace(second, offered_at=NOW, started_at=NOW, not_before=NOW)
    queries.update_commands(connection, [over, begun])
    queries.shift(connection, 1_000)
    found = queries.by_executions(connection, 1, ["e0", "e1", "e2"])
    assert found["e0"] == over
    moved = found["e1"]
    assert (moved.offered_at, moved.started_at, moved.not_before) == (NOW + 1_000,) * 3
    assert (moved.expires_at, moved.due_at) == (second.expires_at + 1_000, second.due_at + 1_000)
    assert (found["e2"].not_before, found["e2"].offered_at) == (0, None)
    assert found["e2"].due_at == third.due_at + 1_000
