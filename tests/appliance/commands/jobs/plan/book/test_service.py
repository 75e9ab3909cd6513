"""Jobs as they are kept, one change after the other."""

import asyncio
import sqlite3
from typing import Any

import msgspec
import pytest

from appliance.commands.jobs.model import ExecutionState
from appliance.commands.jobs.plan.model import Job, UnknownJobError
from appliance.commands.jobs.plan.service import JobPlans
from appliance.registry.model import DeviceState
from appliance.store.database import Database, Select
from tests.appliance.commands.jobs.plan.fleet import Fleet, wanted


def book_of(plans: JobPlans):  # type: ignore[no-untyped-def]  # it is what the plans have
    return plans._book


async def test_a_change_sees_what_the_one_before_has_made(fleet: Fleet) -> None:
    book = book_of(fleet.plans)
    await fleet.create()

    def longer(job: Job, _: sqlite3.Connection, _now: int) -> Job:
        return msgspec.structs.replace(job, comment=job.comment + "x")

    for _ in range(3):
        await book.change(1, "night", longer)
    assert (await book.job(1, "night")).comment == "xxx"
    with pytest.raises(UnknownJobError):
        await book.change(1, "day", longer)


async def test_what_is_known_of_devices_is_looked_up_again_once_they_change(fleet: Fleet) -> None:
    book = book_of(fleet.plans)
    devices = await fleet.add(2)
    job = await fleet.create()
    view = await book.view(job)
    assert view.waiting == tuple(devices)
    assert await book.view(job) is view
    await fleet.registry.set_state(1, devices[0], DeviceState.SUSPENDED)
    assert (await book.view(job)).waiting == tuple(devices[1:])
    view = await book.view(job)
    book.forget(job.job_number)
    assert await book.view(job) is not view
    book.forget_all_but(set())
    assert not book._views


class SlowReader:
    """A database whose answers are on their way until they are let through."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.is_asked = asyncio.Event()
        self.are_through = asyncio.Event()

    async def read(self, select: Select[Any]) -> list[Any]:
        found = await self._database.read(select)
        self.is_asked.set()
        await self.are_through.wait()
        return found


@pytest.mark.parametrize("is_known", [False, True])
async def test_what_ends_while_it_is_counted_is_counted_after_all(fleet: Fleet, *, is_known: bool) -> None:
    book = book_of(fleet.plans)
    devices = await fleet.add(3)
    job = await fleet.create()
    await fleet.go_on()
    if is_known:
        await book.view(job)
        await fleet.say(devices[:1], "SUCCEEDED")
    reader = SlowReader(fleet.database)
    book.database = reader
    looking = asyncio.create_task(book.view(job))
    await reader.is_asked.wait()
    await fleet.say(devices[1:], "SUCCEEDED")
    reader.are_through.set()
    # Read before they ended, and by nobody to be taken for what is.
    assert (await looking).progress.queued > 0
    view = await book.view(job)
    assert view.progress.succeeded == (3 if is_known else 2)


async def test_that_one_has_ended_changes_nothing_but_the_counts(fleet: Fleet) -> None:
    book = book_of(fleet.plans)
    devices = await fleet.add(3)
    job = await fleet.create(wanted(per_minute=2))
    await fleet.go_on()
    before = await book.view(job)
    await fleet.say(devices[:1], "FAILED")
    after = await book.view(job)
    assert (after.progress.failed, after.progress.queued) == (1, 1)
    # Who waits was not asked for again.
    assert after.waiting is before.waiting


class NotedReader:
    """A database of which it is noted what was read."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.found: list[Any] = []

    async def read(self, select: Select[Any]) -> list[Any]:
        found = await self._database.read(select)
        self.found += found
        return found


@pytest.mark.parametrize("word", ["nonsense", "x\udcc1"])
async def test_of_states_that_nobody_knows_only_those_of_open_executions_are_looked_at(fleet: Fleet, word: str) -> None:
    book = book_of(fleet.plans)
    devices = await fleet.add(4)
    job = await fleet.create()
    await fleet.go_on()
    await fleet.say(devices[:1], "SUCCEEDED")

    def spoil(connection: sqlite3.Connection, device_id: str) -> None:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        sql = "UPDATE job_execution SET state = CAST(? AS TEXT) WHERE tenant_id = 1 AND device_id = ?"
        connection.execute(sql, (word.encode(errors="surrogateescape"), device_id))
        connection.execute("PRAGMA ignore_check_constraints = OFF")

    aside = fleet.jobs.aside
    aside._database = reader = NotedReader(fleet.database)  # type: ignore[assignment]
    await fleet.database.write(spoil, devices[0])
    counts = await book.counts(job)
    assert (counts, reader.found) == ({ExecutionState.QUEUED: 3, ExecutionState.CANCELLED: 1}, [])
    await fleet.database.write(spoil, devices[1])
    await book.counts(job)
    assert (len(reader.found), aside.count) == (1, 1)
    [execution] = await fleet.jobs.executions_of_device(1, devices[1])
    assert execution.ended_at is not None
    # Now it has ended, and as such it can be read.
    await book.counts(job)
    assert (len(reader.found), aside.count) == (1, 1)


async def test_who_was_full_longest_ago_is_asked_first_also_after_others_were_given_work(fleet: Fleet) -> None:
    book = book_of(fleet.plans)
    devices = await fleet.add(4)
    job = await fleet.create()
    book.put_off(job.job_number, [devices[1], devices[0]])
    book.forget(job.job_number)
    assert (await book.view(job)).waiting == (devices[2], devices[3], devices[1], devices[0])
    book.put_off(job.job_number, [devices[1]])
    book.forget(job.job_number)
    assert (await book.view(job)).waiting == (devices[2], devices[3], devices[0], devices[1])


async def test_those_who_cannot_take_more_come_last(fleet: Fleet) -> None:
    book = book_of(fleet.plans)
    devices = await fleet.add(3)
    job = await fleet.create()
    book.put_off(job.job_number, devices[:1])
    await book.view(job)
    book.put_off(job.job_number, devices[:1])
    assert (await book.view(job)).waiting == (*devices[1:], devices[0])


async def test_members_of_a_continuous_job_are_found_anew(fleet: Fleet) -> None:
    book = book_of(fleet.plans)
    await fleet.add(1)
    job = await fleet.create(wanted(is_continuous=True))
    assert len((await book.view(job)).waiting) == 1
    await fleet.add(1, "yard")
    assert len((await book.view(job)).waiting) == 1
    assert book.refusal(1, "nobody") == "the device is not known any more"
    assert book.refusal(1, "hall-0000") == ""


async def test_a_clock_that_is_wrong_tells_no_moment(fleet: Fleet) -> None:
    book = book_of(fleet.plans)
    assert book.believed_at() == fleet.clock.now
    fleet.clock.now = 0
    assert book.believed_at() is None
