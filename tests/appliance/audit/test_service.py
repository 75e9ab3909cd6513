"""The audit log on a real database, also under the hands of somebody who changes it there."""

import sqlite3

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.audit import chain, queries
from appliance.audit.acting import acting_as
from appliance.audit.model import Entry
from appliance.audit.service import Audit
from appliance.errors import InvalidInputError
from appliance.store.database import Database

ENTRY_COUNT = 5
COLUMNS = ("position", "recorded_at", "actor", "address", "action", "subject", "result", "details", "hash")


@pytest.fixture
async def audit(database: Database) -> Audit:
    made = Audit(database, lambda: 1_000)
    for number in range(ENTRY_COUNT):
        await made.record(1, Entry("test", f"number {number}", {"key": "value"}))
    return made


async def test_the_newest_comes_first_page_by_page(audit: Audit) -> None:
    first = await audit.entries(1, limit=3)
    second = await audit.entries(1, before=first[-1].position, limit=3)
    assert [one.position for one in (*first, *second)] == [5, 4, 3, 2, 1]
    with pytest.raises(InvalidInputError, match="limit"):
        await audit.entries(1, limit=0)


async def test_who_acts_is_written_down(audit: Audit) -> None:
    with acting_as("ann@example.com", "192.0.2.7"):
        await audit.recorded(1, [Entry("door.open", "cellar")], lambda _: None)
    [entry] = await audit.entries(1, limit=1)
    assert (entry.actor, entry.address, entry.recorded_at) == ("ann@example.com", "192.0.2.7", 1_000)


async def test_an_untouched_log_is_found_well(audit: Audit) -> None:
    [verdict] = await audit.verify_all()
    assert (verdict.tenant_id, verdict.entry_count, verdict.fault) == (1, ENTRY_COUNT, "")


@given(place=st.integers(1, ENTRY_COUNT), column=st.sampled_from((None, *COLUMNS)))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30, deadline=None)
async def test_a_row_that_is_changed_or_deleted_in_the_file_is_found(
    audit: Audit, database: Database, place: int, column: str | None
) -> None:
    class UndoneError(Exception):
        """Leaves the log as it was for the next example."""

    def tamper(connection: sqlite3.Connection) -> None:
        if column is None:
            connection.execute("DELETE FROM audit_entry WHERE tenant_id = 1 AND position = ?", (place,))
        else:
            sql = f"UPDATE audit_entry SET {column} = {column} || '7' WHERE tenant_id = 1 AND position = ?"
            connection.execute(sql, (place,))
        entries, head = queries.select_whole(connection, 1)
        faults.append(chain.judged(1, entries, head).fault)
        raise UndoneError

    faults: list[str] = []
    with pytest.raises(UndoneError):
        await database.write(tamper)
    assert faults[0]


async def test_the_end_cannot_be_cut_off_unseen(audit: Audit, database: Database) -> None:
    def cut(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM audit_entry WHERE position >= 4")

    await database.write(cut)
    assert "ends with entry 3, expected 5" in (await audit.verify(1)).fault
