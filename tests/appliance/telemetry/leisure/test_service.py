"""Work is spread where nobody waits for it, and nowhere else."""

import asyncio
import time

from appliance.telemetry.leisure.service import SHARE, Leisure

WORK_S = 0.02


async def worked(leisure: Leisure, count: int = 3) -> float:
    """How long some pieces of work take, by the loop's clock."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    for _ in range(count):
        await leisure.aside(time.sleep, WORK_S)
    return loop.time() - begun


async def test_after_each_piece_there_is_a_pause_as_long_as_there_is_time() -> None:
    leisure = Leisure()
    leisure.begin(60)
    assert await worked(leisure) >= 3 * (1 + SHARE) * WORK_S
    leisure.begin(0)
    begun = asyncio.get_running_loop().time()
    assert await leisure.aside(lambda: 7) == 7
    # A pause of no time at all is none, however slow the machine: the turn that it takes has no length.
    assert leisure._until <= begun + 0.001


async def test_a_hurry_ends_the_pause_and_the_turn_goes_to_who_waits() -> None:
    leisure, turn, begun, told = Leisure(), asyncio.Lock(), asyncio.Event(), list[str]()
    leisure.begin(600)

    async def work() -> None:
        async with turn:
            begun.set()
            await leisure.aside(time.sleep, 0.2)
            told.append("piece")
            await leisure.aside(time.sleep, 0.2)
            told.append("done")

    async def ask() -> None:
        async with leisure.hurried(turn):
            told.append("asked")

    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        working = tasks.create_task(work())
        await begun.wait()
        tasks.create_task(ask())
        await working
    assert told == ["piece", "done", "asked"]
    assert not leisure._hurry.is_set()
