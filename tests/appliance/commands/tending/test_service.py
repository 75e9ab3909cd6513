"""What time does to commands, and to those of devices that are gone."""

import sqlite3

import pytest

from appliance.commands import ruling
from appliance.commands.mishaps.service import BEFORE_ALL, SLICES, Key
from appliance.commands.model import By, NewCommand, State
from appliance.commands.setting_aside.queries import select_due_keys
from appliance.commands.tending import service
from appliance.commands.tending.service import JUMP_MS
from appliance.registry.model import DeviceState
from appliance.registry.service import Registry
from appliance.store.database import Database, UnwritableError
from tests.appliance.commands.room import TENANT, Hall, until
from tests.appliance.registry.examples import FakeClock

BLINK = NewCommand("blink", b'{"times": 3}')


async def test_what_is_due_is_found_and_a_retry_is_offered_again(hall: Hall, clock: FakeClock) -> None:
    line = hall.connect("lamp")
    sent = await hall.commands.send(TENANT, "lamp", NewCommand("blink", retries=1, start_timeout_s=10))
    await hall.until(sent.execution_id, lambda one: one.state is State.ACKNOWLEDGED)
    await hall.settled()
    clock.now += 10_000
    await hall.commands.tending.tend()
    again = await hall.commands.command(TENANT, sent.execution_id)
    assert (again.state, again.attempt, again.reason_code) == (State.QUEUED, 2, ruling.NOT_STARTED)
    clock.now += 5_000
    await hall.commands.tending.tend()
    await hall.until(sent.execution_id, lambda one: one.state is State.ACKNOWLEDGED)
    assert [message.topic.rpartition("/")[2] for message in line.written] == [
        sent.execution_id,
        f"{sent.execution_id}-2",
    ]


async def test_what_expires_is_never_sent(hall: Hall, clock: FakeClock) -> None:
    sent = await hall.commands.send(TENANT, "lamp", NewCommand("blink", expires_in_s=5))
    clock.now += 5_000
    line = hall.connect("lamp")
    await hall.commands.tending.tend()
    over = await hall.commands.command(TENANT, sent.execution_id)
    assert (over.state, over.reason_code, over.sent_at) == (State.TIMED_OUT, ruling.EXPIRED, None)
    await hall.settled()
    assert line.written == []


async def test_a_clock_that_is_set_moves_what_is_due(hall: Hall, clock: FakeClock) -> None:
    sent = await hall.commands.send(TENANT, "lamp", NewCommand("blink", expires_in_s=60))
    hall.commands.tending.jump_ms = JUMP_MS
    clock.now += 3_600_000
    moved = await hall.until(sent.execution_id, lambda one: one.expires_at != sent.expires_at or one.is_over)
    assert moved.state is State.QUEUED
    assert abs(moved.expires_at - sent.expires_at - 3_600_000) < 5_000


async def test_nothing_is_left_for_a_device_that_is_gone(hall: Hall) -> None:
    sent = await hall.commands.send(TENANT, "lamp", BLINK)
    await hall.registry.set_state(TENANT, "lamp", DeviceState.SUSPENDED)
    hall.commands.gone(TENANT, "lamp")
    over = await hall.until(sent.execution_id, lambda one: one.is_over)
    assert (over.state, over.reason_code, over.ended_by) == (State.CANCELLED, ruling.DEVICE_GONE, By.GATEWAY)


async def test_a_device_that_went_while_the_gateway_was_away_is_noticed(
    database: Database, registry: Registry, clock: FakeClock
) -> None:
    hall = Hall(database, registry, clock)
    await hall.add("lamp")
    async with hall.commands.running(hall.exchange):
        sent = await hall.commands.send(TENANT, "lamp", BLINK)
    await registry.set_state(TENANT, "lamp", DeviceState.RETIRED)
    again = Hall(database, registry, clock)
    async with again.commands.running(again.exchange):
        await again.until(sent.execution_id, lambda one: one.state is State.CANCELLED)


async def test_a_clock_that_is_set_while_the_disk_is_full_moves_what_is_due_once_there_is_room(
    hall: Hall, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "RETRY_S", 0.01)
    sent = await hall.commands.send(TENANT, "lamp", NewCommand("blink", expires_in_s=60))
    tending, refused = hall.commands.tending, [0]

    async def full(_work: object) -> None:
        refused[0] += 1
        raise UnwritableError("full")

    tending.together, tending.jump_ms = full, JUMP_MS
    clock.now += 3_600_000
    await until(lambda: refused[0] >= 2)
    tending.together = hall.together
    moved = await hall.until(sent.execution_id, lambda one: one.expires_at != sent.expires_at or one.is_over)
    assert moved.state is State.QUEUED
    assert abs(moved.expires_at - sent.expires_at - 3_600_000) < 5_000


def _spoil(connection: sqlite3.Connection, execution_id: str) -> None:
    sql = "UPDATE command SET state = 'nonsense' WHERE tenant_id = ? AND execution_id = ?"
    connection.execute(sql, (TENANT, execution_id))


async def test_a_command_that_cannot_be_seen_to_keeps_no_other_waiting(hall: Hall, clock: FakeClock) -> None:
    await hall.add("other")
    bad, good = [
        await hall.commands.send(TENANT, name, NewCommand("blink", expires_in_s=5)) for name in ("lamp", "other")
    ]
    await hall.database.write(_spoil, bad.execution_id)
    clock.now += 5_000
    await hall.commands.tending.tend()
    assert (await hall.commands.command(TENANT, good.execution_id)).reason_code == ruling.EXPIRED
    over = await hall.commands.command(TENANT, bad.execution_id)
    assert (over.state, over.reason_code, over.ended_by) == (State.CANCELLED, ruling.GATEWAY_ERROR, By.GATEWAY)
    assert over.reason == "the gateway could not go on with it (KeyError): its log says where"
    assert hall.commands.status().details["set_aside"] == 1
    assert hall.told[-1].topic == "$aws/events/commandExecution/blink/CANCELLED"


async def test_of_a_device_that_is_gone_the_others_end_though_one_cannot_be_read(hall: Hall) -> None:
    bad, good = [await hall.commands.send(TENANT, "lamp", BLINK) for _ in range(2)]
    await hall.database.write(_spoil, bad.execution_id)
    hall.commands.gone(TENANT, "lamp")
    assert (await hall.until(good.execution_id, lambda one: one.is_over)).reason_code == ruling.DEVICE_GONE
    over = await hall.until(bad.execution_id, lambda one: one.is_over)
    assert (over.state, over.reason_code) == (State.CANCELLED, ruling.GATEWAY_ERROR)


async def test_an_error_that_is_no_command_s_ends_nothing_and_is_told(
    hall: Hall, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "RETRY_S", 0.01)
    sent = await hall.commands.send(TENANT, "lamp", NewCommand("blink", expires_in_s=5))
    look_after = hall.commands.courier.look_after

    def broken(now: int) -> None:
        raise ZeroDivisionError(now)

    hall.commands.courier.look_after = broken  # type: ignore[method-assign]
    await until(lambda: not hall.commands.status().ok)
    told = hall.commands.status()
    assert (told.is_serving, "looking after commands failed (ZeroDivisionError)" in told.summary) == (True, True)
    hall.commands.courier.look_after = look_after  # type: ignore[method-assign]
    clock.now += 5_000
    assert (await hall.until(sent.execution_id, lambda one: one.is_over)).reason_code == ruling.EXPIRED
    await until(lambda: hall.commands.status().ok)


@pytest.mark.parametrize("column", ["name", "state", "reason", "execution_id"])
async def test_a_command_whose_row_is_no_text_ends_and_no_other_waits(
    hall: Hall, clock: FakeClock, column: str
) -> None:
    bad, good = [await hall.commands.send(TENANT, "lamp", NewCommand("blink", expires_in_s=5)) for _ in range(2)]

    def spoil(connection: sqlite3.Connection) -> None:
        sql = f"UPDATE command SET {column} = CAST(x'c1c1' AS TEXT) WHERE command_number = ?"
        connection.execute(sql, (bad.command_number,))

    await hall.database.write(spoil)
    clock.now += 5_000
    await hall.commands.tending.tend()
    assert (await hall.commands.command(TENANT, good.execution_id)).reason_code == ruling.EXPIRED
    assert hall.commands.status().details["set_aside"] == 1
    assert await hall.database.read(select_due_keys(clock(), BEFORE_ALL, 9)) == []


async def test_what_can_neither_be_seen_to_nor_set_aside_keeps_nothing_behind_it_waiting(
    hall: Hall, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service, "PIECE", 2)
    bad = [await hall.commands.send(TENANT, "lamp", NewCommand("blink", expires_in_s=5)) for _ in range(2 * SLICES + 1)]
    good = await hall.commands.send(TENANT, "lamp", NewCommand("blink", expires_in_s=6))
    for one in bad:
        await hall.database.write(_spoil, one.execution_id)
    tried: list[Key] = []

    async def stubborn(key: Key, _error: Exception) -> bool:
        tried.append(key)
        return False

    monkeypatch.setattr(hall.commands._aside, "put", stubborn)
    clock.now += 6_000
    await hall.commands.tending.tend()
    # One turn has an end.
    assert len(tried) <= 2 * SLICES
    for _ in range(3):
        await hall.commands.tending.tend()
    assert (await hall.commands.command(TENANT, good.execution_id)).reason_code == ruling.EXPIRED


async def test_commands_of_a_device_that_nobody_can_name_keep_the_gateway_from_no_start(
    database: Database, registry: Registry, clock: FakeClock
) -> None:
    hall = Hall(database, registry, clock)
    await hall.add("lamp")
    async with hall.commands.running(hall.exchange):
        await hall.commands.send(TENANT, "lamp", BLINK)

    def spoil(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE command SET device_id = CAST(x'c1' AS TEXT), offered_at = 1, may_repeat = 1")

    await database.write(spoil)
    again = Hall(database, registry, clock)
    async with again.commands.running(again.exchange):
        sent = await again.commands.send(TENANT, "lamp", BLINK)
        again.connect("lamp")
        await again.until(sent.execution_id, lambda one: one.state is State.ACKNOWLEDGED)
