"""What went in a night is counted, told in the audit log, and known after a restart."""

from pathlib import Path

import pytest

from appliance.audit.model import Entry
from appliance.audit.service import Audit
from appliance.instant import DAY_MS
from appliance.registry.model import DEFAULT_TENANT
from appliance.telemetry.keeping import plan
from appliance.telemetry.keeping.plan import Cause, Drop, Spent
from appliance.telemetry.keeping.room.drops.service import Drops
from appliance.telemetry.packing import ChunkError
from tests.appliance.telemetry.keeping.room.test_service import RoomyGateway, damage, opened
from tests.appliance.telemetry.reports import DAY


def drops_of(gateway: RoomyGateway) -> Drops:
    return Drops(gateway.database, gateway.room.keeping, lambda: gateway.now)


async def test_what_went_in_a_night_is_known_after_a_restart_until_the_night_is_over(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:
        await gateway.fill(range(4))
        drops = drops_of(gateway)
        freed = [await drops.drop(Drop(DAY + number, cause)) for number, cause in enumerate(Cause)]
        assert all(freed)
        went = Spent(0, 1, freed[list(Cause).index(Cause.BUDGET)])
        assert drops.spent == went
        again = drops_of(gateway)
        for passed_ms, known in ((0, went), (plan.NIGHT_MS - 1, went), (plan.NIGHT_MS, Spent()), (-DAY_MS, Spent())):
            gateway.now += passed_ms
            await again.remember(7)
            assert again.spent == known._replace(began_ms=7)
            gateway.now -= passed_ms
        again.begin_night(plan.NIGHT_MS + 6)
        assert again.spent == Spent(7)
        again.begin_night(plan.NIGHT_MS + 7)
        assert again.spent == Spent(plan.NIGHT_MS + 7)


async def test_an_entry_that_says_something_else_keeps_no_gateway_from_starting(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:
        audit = Audit(gateway.database, lambda: gateway.now)
        for details in ({}, {"cause": "it was Tuesday", "freed_bytes": "5"}, {"cause": Cause.CLOCK, "freed_bytes": ""}):
            await audit.record(DEFAULT_TENANT, Entry("telemetry.drop", "2026-01-31", details))
        drops = drops_of(gateway)
        await drops.remember(0)
        assert drops.spent == Spent()


async def test_a_day_whose_roll_ups_cannot_be_closed_goes_only_for_a_full_disk(tmp_path: Path) -> None:
    async with opened(tmp_path).running() as gateway:
        await gateway.fill(range(2))
        [path] = (path for path in (tmp_path / "rollups").glob("2026-01*") if path.suffix == ".db")
        await damage(gateway, path)
        drops = drops_of(gateway)
        with pytest.raises(ChunkError):
            await drops.drop(Drop(DAY, Cause.AGE))
        assert await gateway.days() == [0, 1]
        assert await drops.drop(Drop(DAY, Cause.FULL)) > 0
        assert await gateway.days() == [1]
        await drops.catch_up()
        [entry] = await Audit(gateway.database, lambda: 0).entries(1)
        assert (entry.action, entry.subject) == ("telemetry.drop", "2026-01-31")
