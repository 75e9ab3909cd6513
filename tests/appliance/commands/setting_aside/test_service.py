"""Commands with which the gateway cannot go on."""

import sqlite3

import pytest

from appliance.commands import ruling
from appliance.commands.as_jobs.service import AsJobs
from appliance.commands.model import By, DialectName, NewCommand, State
from appliance.commands.setting_aside.queries import select_open_keys
from appliance.commands.setting_aside.service import SettingAside
from appliance.store.database import Afterwards, UnwritableError, Work, nothing_left
from tests.appliance.commands.as_jobs.test_service import AS_JOB, Both, both
from tests.appliance.commands.room import TENANT, Hall

__all__ = ["both"]


async def test_only_those_are_set_aside_with_which_it_fails(hall: Hall, caplog: pytest.LogCaptureFixture) -> None:
    made = [await hall.commands.send(TENANT, "lamp", NewCommand("blink", b'"secret"')) for _ in range(3)]
    numbers = [one.command_number for one in made]

    def work_of(key: tuple[int, int]) -> Work:
        def work(_connection: sqlite3.Connection, _now: int) -> Afterwards:
            if key[1] == numbers[1]:
                raise ValueError("secret")
            return nothing_left

        return work

    assert await hall.commands._aside.sort_out([(TENANT, number) for number in numbers], work_of)
    states = [(await hall.commands.command(TENANT, one.execution_id)).state for one in made]
    assert states == [State.QUEUED, State.CANCELLED, State.QUEUED]
    assert f"command set aside tenant_id=1 number={numbers[1]} error=ValueError" in caplog.text
    assert "secret" not in caplog.text.replace('ValueError("secret")', "")
    assert hall.commands.status().ok
    assert ", 1 set aside since the start" in hall.commands.status().summary


async def test_what_has_ended_stays_as_it_is(hall: Hall) -> None:
    sent = await hall.commands.send(TENANT, "lamp", NewCommand("blink"))
    over = await hall.commands.cancel(TENANT, sent.execution_id)
    assert await hall.commands._aside.put((TENANT, sent.command_number), ValueError())
    assert await hall.commands.command(TENANT, sent.execution_id) == over


async def test_its_job_is_called_back_with_it(both: Both) -> None:
    sent = await both.command(await both.send(AS_JOB))
    assert await both.hall.commands._aside.put((TENANT, sent.command_number), ValueError())
    assert await both.open() == []
    assert (await both.command(sent.execution_id)).reason_code == ruling.GATEWAY_ERROR
    await both.check()


async def test_a_job_that_nobody_can_read_costs_none_of_the_commands_of_its_device(both: Both) -> None:
    sent = [await both.send(NewCommand("blink", dialect=DialectName.JOBS, expires_in_s=5)) for _ in "ab"]
    await both.desk.offer("old", "lamp")

    def spoil(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE job_execution SET details = '{' WHERE tenant_id = 1 AND execution_id = 3")

    await both.desk.database.write(spoil)
    both.hall.clock.now += 5_000
    await both.hall.commands.tending.tend()
    assert [(await both.command(one)).reason_code for one in sent] == [ruling.EXPIRED] * 2
    assert (both.desk.jobs.aside.count, both.hall.commands.status().details["set_aside"]) == (1, 0)


async def test_where_its_job_cannot_be_called_back_its_row_ends_all_the_same(hall: Hall) -> None:
    class Broken(AsJobs):
        def keep(self, *_: object) -> object:  # type: ignore[override]
            raise ZeroDivisionError

    aside = SettingAside(Broken())
    aside.together = hall.together
    sent = await hall.commands.send(TENANT, "lamp", NewCommand("blink", dialect=DialectName.AWS))
    assert await aside.put((TENANT, sent.command_number), ValueError())
    over = await hall.commands.command(TENANT, sent.execution_id)
    assert (over.state, over.ended_by, aside.count) == (State.CANCELLED, By.GATEWAY, 1)


async def test_what_cannot_even_be_set_aside_is_said_and_a_full_disk_is_raised(hall: Hall) -> None:
    aside = SettingAside(AsJobs())

    async def broken(_work: object) -> None:
        raise ZeroDivisionError

    async def full(_work: object) -> None:
        raise UnwritableError("full")

    aside.together = broken
    assert not await aside.put((TENANT, 1), ValueError())
    aside.together = full
    with pytest.raises(UnwritableError):
        await aside.put((TENANT, 2), ValueError())
    assert aside.count == 0


async def test_of_a_row_of_which_nothing_can_be_read_the_row_ends(hall: Hall) -> None:
    sent = await hall.commands.send(TENANT, "lamp", NewCommand("blink"))

    def spoil(connection: sqlite3.Connection) -> None:
        sql = "UPDATE command SET execution_id = CAST(x'c1c1' AS TEXT) WHERE command_number = ?"
        connection.execute(sql, (sent.command_number,))

    await hall.database.write(spoil)
    assert await hall.commands._aside.put((TENANT, sent.command_number), ValueError())
    assert hall.commands._aside.count == 1
    assert await hall.database.read(select_open_keys(TENANT, "lamp")) == []
