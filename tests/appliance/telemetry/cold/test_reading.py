"""Without a cold tier nothing is there."""

from appliance.telemetry.cold.model import Arrivals
from appliance.telemetry.cold.reading import ColdReadings, NothingCold


async def test_nothing_cold_has_no_day_and_no_reading() -> None:
    cold: ColdReadings = NothingCold()
    assert cold.days(0, 1 << 60) == ()
    assert await cold.parts((1, "a"), 1, (0, 1)) == ()
    assert await cold.arrived(1, Arrivals(1, (), (0, 1), (0, 1), 0)) == ()
    assert not cold.is_needed(1)
