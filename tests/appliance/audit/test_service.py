"""The audit log on a real database, also under the hands of somebody who changes it there."""

import asyncio
import sqlite3

import pytest

from appliance.audit import queries, service
from appliance.audit.acting import acting_as
from appliance.audit.model import GATEWAY, Entry, Head, Wanted
from appliance.audit.service import Audit
from appliance.errors import InvalidInputError
from appliance.store.database import Database, UnwritableError
from tests.appliance.full_disk import full_disk

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


@pytest.mark.parametrize("column", [None, *COLUMNS])
@pytest.mark.parametrize("place", [1, 3, ENTRY_COUNT])
async def test_a_row_that_is_changed_or_deleted_in_the_file_is_found(
    audit: Audit, database: Database, place: int, column: str | None
) -> None:
    def tamper(connection: sqlite3.Connection) -> None:
        if column is None:
            connection.execute("DELETE FROM audit_entry WHERE tenant_id = 1 AND position = ?", (place,))
        else:
            sql = f"UPDATE audit_entry SET {column} = {column} || '7' WHERE tenant_id = 1 AND position = ?"
            connection.execute(sql, (place,))

    await database.write(tamper)
    assert (await audit.verify(1)).fault


async def test_bytes_that_are_no_text_are_found_and_break_nothing(audit: Audit, database: Database) -> None:
    def tamper(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE audit_entry SET actor = CAST(x'ff' AS TEXT) WHERE position = 2")

    await database.write(tamper)
    assert (await audit.verify(1)).fault == "entry 2 was changed"


async def test_a_head_that_is_set_back_or_gone_is_found(audit: Audit, database: Database) -> None:
    [_, second, *_] = (await anext(audit.since(1)))[:2]
    for sql, values in (
        ("UPDATE audit_head SET position = 2, hash = ?", (second.hash,)),
        ("UPDATE audit_head SET hash = CAST(x'ff' AS TEXT)", ()),
        ("DELETE FROM audit_head", ()),
    ):
        await database.write(lambda connection, *told: connection.execute(*told).rowcount, sql, values)
        assert "the log ends with" in (await audit.verify(1)).fault, sql


async def test_a_check_in_slices_goes_through_all_of_them(database: Database) -> None:
    audit = Audit(database, lambda: 1_000)
    count = 2 * service.SLICE_COUNT + 1
    await audit.recorded(1, [Entry("test", str(number)) for number in range(count)], lambda _: None)
    verdict = await audit.verify(1)
    assert (verdict.entry_count, verdict.fault) == (count, "")
    read = [len(found) async for found in audit.since(1)]
    assert read == [service.SLICE_COUNT, service.SLICE_COUNT, 1]


async def test_a_check_goes_on_where_another_ended(audit: Audit, database: Database) -> None:
    first = await audit.verify(1)
    noted = Head(first.entry_count, first.hash)
    await audit.record(1, Entry("test", "later"))
    second = await audit.verify(1, since=noted)
    assert (second.entry_count, second.fault) == (ENTRY_COUNT + 1, "")

    def rewrite(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM audit_entry")
        connection.execute("DELETE FROM audit_head")
        queries.insert_entries(connection, 1, [Entry("test", str(number)) for number in range(9)], 1_000, GATEWAY)

    # A whole chain made anew is well in itself: only what was noted elsewhere tells.
    await database.write(rewrite)
    assert (await audit.verify(1)).fault == ""
    assert "another than when its hash was noted" in (await audit.verify(1, since=noted)).fault


async def test_entries_that_come_while_it_is_checked_are_no_fault(audit: Audit) -> None:
    async def write() -> None:
        for number in range(50):
            await audit.record(1, Entry("test", f"meanwhile {number}"))

    async with asyncio.TaskGroup() as tasks:
        writing = tasks.create_task(write())
        while not writing.done():
            assert (await audit.verify(1)).fault == ""
    assert (await audit.verify(1)).entry_count == ENTRY_COUNT + 50


async def test_a_search_gives_what_is_wanted_and_nothing_else(audit: Audit) -> None:
    with acting_as("ann", "192.0.2.7"):
        await audit.record(1, Entry("door.open", "cellar"))
        await audit.record(1, Entry("door.close", "cellar"))
    await audit.record(1, Entry("door.open", "cellar"))
    for wanted, positions in (
        (Wanted(actor="ann"), [7, 6]),
        (Wanted(subject="cellar"), [8, 7, 6]),
        (Wanted(action="door.open"), [8, 6]),
        (Wanted("ann", "cellar", "door.open"), [6]),
        (Wanted(actor="ann' OR 1=1 --"), []),
    ):
        page = await audit.page(1, wanted=wanted)
        assert ([one.position for one in page.entries], page.next_before) == (positions, None), wanted
    assert (await audit.page(1, wanted=Wanted(subject="cellar"), limit=2)).next_before == 7
    with pytest.raises(InvalidInputError, match="300 characters"):
        await audit.page(1, wanted=Wanted("a" * 301))


async def test_a_search_looks_at_so_many_entries_and_tells_where_to_look_on(database: Database) -> None:
    audit = Audit(database, lambda: 1_000)
    looked_at = service.WINDOW_COUNT * service.WINDOWS_LIMIT
    await audit.recorded(1, [Entry("test", str(number)) for number in range(looked_at + 5)], lambda _: None)
    page = await audit.page(1, wanted=Wanted(subject="2"))
    assert (page.entries, page.next_before) == ((), 6)
    page = await audit.page(1, wanted=Wanted(subject="2"), before=6)
    assert ([one.position for one in page.entries], page.next_before) == ([3], None)


async def test_the_end_cannot_be_cut_off_unseen(audit: Audit, database: Database) -> None:
    def cut(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM audit_entry WHERE position >= 4")

    await database.write(cut)
    assert "ends with entry 3, expected 5" in (await audit.verify(1)).fault


async def test_what_was_done_while_the_disk_was_full_is_appended_in_its_order_once_it_is_not(
    database: Database,
) -> None:
    moments = iter(range(1_000, 9_000, 1_000))
    audit = Audit(database, lambda: next(moments))
    async with full_disk(database):
        with acting_as("ann@example.com", "192.0.2.7"):
            await audit.surely(1, Entry("root.remove", "root"))
        await audit.surely(1, Entry("root.restore", "root"))
        with pytest.raises(UnwritableError):
            await audit.catch_up()
        assert await audit.entries(1) == []
    await asyncio.gather(audit.surely(1, Entry("issuer.use", "issuer")), audit.catch_up())
    await audit.catch_up()
    told = [(one.actor, one.address, one.action, one.recorded_at) for one in reversed(await audit.entries(1))]
    assert told == [
        ("ann@example.com", "192.0.2.7", "root.remove", 1_000),
        ("gateway", "", "root.restore", 2_000),
        ("gateway", "", "issuer.use", 3_000),
    ]
    assert (await audit.verify(1)).fault == ""
