"""What is offered next, on disk before it is written."""

from appliance.commands.delivery.claiming.service import all_waiting, claim
from appliance.commands.delivery.flight import Claimant, Wants
from appliance.commands.dialects.plain import Plain
from appliance.commands.model import DialectName, NewCommand
from tests.appliance.commands.room import TENANT, Hall

WANTS = Wants({"cmd/lamp/request/+": 1})


def usual(*_: object) -> DialectName:
    return DialectName.ANY


async def test_the_most_urgent_is_taken_as_far_as_there_is_room(hall: Hall) -> None:
    made = [
        await hall.commands.send(TENANT, "lamp", NewCommand("blink", priority=priority, dialect=dialect))
        for priority, dialect in ((0, DialectName.ANY), (9, DialectName.AWS), (5, DialectName.ANY))
    ]
    claimant = Claimant(TENANT, "lamp", "lamp", object(), WANTS, 1, "light")

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
