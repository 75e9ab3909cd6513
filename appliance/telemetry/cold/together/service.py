"""What day files and the cold tier have of a device, looked at together: nothing is missed between them."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from appliance.store.readers import Readers
from appliance.telemetry.cold.reading import ColdReadings
from appliance.telemetry.rows import Rows

T = TypeVar("T")


async def together(
    readers: Readers,
    cold: ColdReadings,
    wanted: tuple[tuple[int, str], int, tuple[int, int]],
    memory: Sequence[Rows],
    function: Callable[..., T],
    **named: object,
) -> T:
    """What a function makes, in a thread, of all that there is of a device within a span of a day.

    `wanted` is the device, the day and the span. The function is told them by these names; as `memory` it gets what
    memory holds of that day and what the cold tier gave. Nobody waits for a place among the readers while something
    lies elsewhere and takes its time to come.
    """
    device, day, span = wanted
    held = [part for part in memory if part.day == day]
    while True:
        was_needed = cold.is_needed(day)
        parts = await cold.parts(device, day, span)
        async with readers.turn() as turn:
            # A day may have gone meanwhile that had everything before; while there is a turn, none goes.
            if was_needed or not cold.is_needed(day):
                return await turn.run(function, device=device, day=day, span=span, memory=[*held, *parts], **named)
