"""What is forgotten of commands."""

import asyncio

import pytest

from appliance.commands.model import NewCommand, State
from tests.appliance.commands.room import TENANT, Hall, until
from tests.appliance.registry.examples import FakeClock


async def test_of_an_erased_device_goes_what_has_ended_and_what_it_said_of_the_rest(
    hall: Hall, clock: FakeClock
) -> None:
    await hall.add("other")
    for device_id in ("lamp", "other"):
        hall.connect(device_id)
    ended = await hall.commands.send(TENANT, "lamp", NewCommand("blink"))
    begun = await hall.commands.send(TENANT, "lamp", NewCommand("glow"))
    foreign = await hall.commands.send(TENANT, "other", NewCommand("blink"))
    for sent, state in ((ended, "succeeded"), (begun, "in_progress"), (foreign, "succeeded")):
        await hall.until(sent.execution_id, lambda one: one.state is State.ACKNOWLEDGED)
        told = b'{"status": "%s", "reason": "r", "result": 7}' % state.encode()
        await hall.respond(f"cmd/{sent.device_id}/response/{sent.execution_id}", told, sent.device_id)
    asked_at = clock.now
    clock.now += 1
    later = await hall.commands.send(TENANT, "lamp", NewCommand("later"))
    await hall.until(later.execution_id, lambda one: one.state is State.ACKNOWLEDGED)
    await hall.respond(f"cmd/lamp/response/{later.execution_id}", b"7")
    await hall.commands.forgetting.erase(TENANT, "lamp", asked_at)
    left = {one.name: one for one in await hall.commands.commands(TENANT, device_id="lamp")}
    assert set(left) == {"glow", "later"}
    assert (left["glow"].state, left["glow"].result, left["glow"].reason) == (State.IN_PROGRESS, None, "")
    assert left["later"].result == "7"
    assert (await hall.commands.command(TENANT, foreign.execution_id)).result == "7"


async def test_an_error_ends_nothing_and_is_told(hall: Hall, monkeypatch: pytest.MonkeyPatch) -> None:
    forgetting = hall.commands.forgetting

    async def broken(_before: int) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(forgetting, "trim", broken)
    task = asyncio.create_task(forgetting.run())
    await until(lambda: not hall.commands.status().ok)
    assert "forgetting old commands failed (ZeroDivisionError)" in hall.commands.status().summary
    assert not task.done()
    task.cancel()
