"""Days whose readings were let go, as retention does it."""

from collections.abc import Collection

from appliance.telemetry.keeping.service import Keeping
from tests.web.house import House


async def let_go(house: House, *days: int) -> None:
    """Keep only the roll-ups of days that are over."""
    keeping = await _sealed(house)
    for day in days:
        assert await keeping.may_go(day)
        await keeping.drop(day)


async def take_out(house: House, day: int, devices: Collection[tuple[int, str]]) -> None:
    """Keep only the roll-ups of some devices of a day, as where a device has a number of days of its own."""
    await (await _sealed(house)).leave_out(day, devices)


async def _sealed(house: House) -> Keeping:
    telemetry, keeping = house.gateway.telemetry, house.gateway.room.keeping
    await telemetry.seal_all()
    await telemetry.rollups.roll()
    await keeping.seal_due()
    return keeping
