"""What is offered next, on disk before it is written."""

import pytest

from appliance.commands import ruling
from appliance.commands.delivery.claiming.service import all_waiting, claim
from appliance.commands.delivery.flight import Claimant, Wants
from appliance.commands.dialects.dialect import Wanted, Wire
from appliance.commands.dialects.plain import Plain
from appliance.commands.model import Command, DialectName, NewCommand, Selection, State
from broker.deliveries import Budget
from broker.limits import Limits
from broker.ports import Principal
from broker.session import Session
from tests.appliance.commands.room import TENANT, Hall, until

WANTS = Wants({"cmd/lamp/request/+": 1})
SESSION = Session(1, Principal(TENANT, "lamp"), "lamp", Limits(), Budget(0))


def usual(*_: object) -> DialectName:
    return DialectName.ANY


async def test_the_most_urgent_is_taken_as_far_as_there_is_room(hall: Hall) -> None:
    made = [
        await hall.commands.send(TENANT, "lamp", NewCommand("blink", priority=priority, dialect=dialect))
        for priority, dialect in ((0, DialectName.ANY), (9, DialectName.AWS), (5, DialectName.ANY))
    ]
    claimant = Claimant(TENANT, "lamp", SESSION, object(), WANTS, 1, "light")

    async def claimed() -> tuple[list[str], bool]:
        now = hall.clock()
        claims, unfit, done = await hall.database.write(
            lambda connection: claim([claimant], all_waiting, [Plain()], usual, connection, now)
        )
        assert unfit == []
        for one in claims:
            kept = await hall.commands.command(TENANT, one.command.execution_id)
            assert kept.offered_at == now
        return [one.command.execution_id for one in claims], bool(done)

    # What it does not want keeps nothing else back.
    assert await claimed() == ([made[2].execution_id], False)
    assert await claimed() == ([made[0].execution_id], False)
    assert await claimed() == ([], False)
    await hall.commands.cancel(TENANT, made[1].execution_id)
    assert await claimed() == ([], True)


async def test_of_a_command_to_many_one_that_cannot_be_written_keeps_no_other_from_being_sent(
    hall: Hall, monkeypatch: pytest.MonkeyPatch
) -> None:
    wire = Plain.wire

    def broken(self: Plain, command: Command, wants: Wanted) -> Wire | None:
        if command.device_id == "lamp":
            raise ZeroDivisionError
        return wire(self, command, wants)

    monkeypatch.setattr(Plain, "wire", broken)
    await hall.add("other", groups=("choir",))
    lines = {name: hall.connect(name) for name in ("lamp", "other")}
    batch = await hall.commands.send_to_many(TENANT, Selection(group="choir"), NewCommand("blink"))
    assert batch.device_count == 2
    assert [len(lines[name].written) for name in ("lamp", "other")] == [0, 1]
    await until(lambda: hall.commands.status().details["set_aside"] == 1)
    found = {one.device_id: one for one in await hall.commands.commands(TENANT, batch_id=batch.batch_id)}
    assert found["lamp"].reason_code == ruling.GATEWAY_ERROR
    await hall.until(found["other"].execution_id, lambda one: one.state is State.ACKNOWLEDGED)
