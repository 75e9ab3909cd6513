"""Nothing is missed between day files and the cold tier, and nobody is kept from a place meanwhile."""

import asyncio
from collections.abc import Sequence

from appliance.instant import DAY_MS
from appliance.store.readers import Readers
from appliance.telemetry.cold.model import Arrivals
from appliance.telemetry.cold.together.service import together
from appliance.telemetry.rows import Rows
from tests.appliance.telemetry.reports import DAY, NOON, report


class _Leaving:
    """A day that is in both places, and goes from the day files while it is looked at."""

    def __init__(self, readers: Readers) -> None:
        self.readers = readers
        self.asked: list[bool] = []
        self.is_gone = False

    def days(self, start: int, end: int) -> Sequence[int]:
        return [DAY] if start < end else []

    async def parts(self, device: tuple[int, str], day: int, span: tuple[int, int]) -> Sequence[Rows]:
        del device, day, span
        # Whoever waits here keeps nobody from a place.
        async with asyncio.timeout(10), self.readers.kept_out():
            found = [Rows.of([report()], 1)] if self.is_gone else []
            self.asked.append(self.is_gone)
            self.is_gone = True
        return found

    def days_arrived(self, start: int, end: int) -> Sequence[int]:
        raise NotImplementedError

    async def arrived(self, day: int, asked: Arrivals) -> Sequence[Rows]:
        raise NotImplementedError

    def is_needed(self, day: int) -> bool:
        del day
        return self.is_gone


async def test_a_day_that_goes_while_it_is_looked_at_is_answered_from_where_it_lies_then() -> None:
    readers = Readers(1)
    async with readers.opened():
        cold = _Leaving(readers)
        memory = [Rows.of([report("b")], 2), Rows.of([report("b", NOON - DAY_MS)], 1)]
        found = await together(readers, cold, ((1, "a"), DAY, (0, 1)), memory, lambda _, **named: named["memory"])
    assert cold.asked == [False, True]
    assert [rows.device_id for rows in found] == ["b", report().device_id]
