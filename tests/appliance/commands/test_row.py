"""The rows of commands, whole and damaged."""

import sqlite3
from collections.abc import Iterator

import pytest

from appliance.commands import queries
from appliance.commands.jobs.row import DAMAGED
from appliance.commands.model import By, Command, DialectName, State
from appliance.commands.row import READ, READ_BYTES, Salvaged, batch_of, command_of, counted_state, salvaged
from appliance.commands.ruling import GATEWAY_ERROR
from tests.appliance.commands.examples import command
from tests.appliance.store.tables import up_to_date

FROM = "FROM command LEFT JOIN command_batch USING (batch_number)"


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    up_to_date(connection)
    yield connection
    connection.close()


def _kept(connection: sqlite3.Connection, **fields: object) -> Command:
    queries.insert_commands(connection, None, None, "d", [command(**fields)])
    return command_of(*connection.execute(f"SELECT {READ} {FROM}").fetchone())


def _salvaged(connection: sqlite3.Connection) -> Salvaged:
    return salvaged(*connection.execute(f"SELECT {READ_BYTES} {FROM}").fetchone())


@pytest.mark.parametrize("fields", [{}, {"dialect": DialectName.JOBS, "is_repeated": True, "may_repeat": True}])
def test_what_is_salvaged_of_a_whole_row_is_all_of_it(
    connection: sqlite3.Connection, fields: dict[str, object]
) -> None:
    kept = _kept(connection, **fields)
    assert _salvaged(connection) == (kept, False)


@pytest.mark.parametrize("column", ["execution_id", "device_id", "name", "content_type", "author", "reason_code"])
def test_words_that_are_no_text_are_told_as_far_as_they_are(connection: sqlite3.Connection, column: str) -> None:
    kept = _kept(connection)
    connection.execute(f"UPDATE command SET {column} = CAST('a' || x'c1' AS TEXT)")
    found, is_damaged = _salvaged(connection)
    assert is_damaged
    told = {"reason_code": GATEWAY_ERROR}.get(column, "a\ufffd")
    assert (getattr(found, column), found.reason, found.state) == (told, DAMAGED, kept.state)


def test_an_end_that_is_known_stays_told(connection: sqlite3.Connection) -> None:
    _kept(connection, reason="the lamp is broken", reason_code="BROKEN", state=State.FAILED, ended_by=By.DEVICE)
    connection.execute("UPDATE command SET author = CAST(x'c1' AS TEXT)")
    found, is_damaged = _salvaged(connection)
    assert (found.state, found.ended_by, found.reason_code, is_damaged) == (State.FAILED, By.DEVICE, "BROKEN", True)


@pytest.mark.parametrize("value", ["'nonsense'", "CAST(x'c1' AS TEXT)"])
@pytest.mark.parametrize("column", ["state", "dialect", "ended_by"])
def test_a_word_that_is_none_of_ours_is_told_as_damaged(
    connection: sqlite3.Connection, column: str, value: str
) -> None:
    _kept(connection)
    connection.execute(f"UPDATE command SET {column} = {value}")
    found, is_damaged = _salvaged(connection)
    expected = State.CANCELLED if column == "state" else State.QUEUED
    assert (found.state, found.reason_code, found.dialect, is_damaged) == (
        expected,
        GATEWAY_ERROR,
        DialectName.ANY,
        True,
    )
    assert counted_state("nonsense") is State.CANCELLED


def test_a_batch_is_told_as_far_as_it_can_be_read() -> None:
    found = batch_of(1, b"b", b"\xc1", b"all", 3, b"maria", 7, None)
    assert (found.name, found.selection, found.author, found.device_count) == ("\ufffd", "all", "maria", 3)
