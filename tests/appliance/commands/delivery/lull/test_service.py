"""Whoever can wait waits for those in a hurry, and not for ever."""

import asyncio

import pytest

from appliance.commands.delivery.lull.service import Lull

LONG_S = 60.0


async def test_nobody_waits_while_nobody_is_in_a_hurry() -> None:
    assert await Lull().come(0)


async def test_what_can_wait_waits_for_the_last_who_is_in_a_hurry() -> None:
    lull = Lull()
    with lull.hurry():
        with lull.hurry():
            waiting = asyncio.create_task(lull.come(LONG_S))
            await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert not waiting.done()
    assert await waiting


async def test_it_waits_no_longer_than_it_was_told() -> None:
    lull = Lull()
    with lull.hurry():
        assert not await lull.come(0.001)


async def test_a_hurry_that_fails_is_over() -> None:
    lull = Lull()
    with pytest.raises(RuntimeError), lull.hurry():
        raise RuntimeError
    assert await lull.come(0)


@pytest.mark.parametrize("turns", range(4))
async def test_who_is_called_off_just_as_it_gets_quiet_is_called_off(turns: int) -> None:
    lull = Lull()
    with lull.hurry():
        waiting = asyncio.create_task(lull.come(9.0))
        for _ in range(4):
            await asyncio.sleep(0)
    for _ in range(turns):
        await asyncio.sleep(0)
    is_called_off = waiting.cancel()
    await asyncio.wait([waiting])
    assert waiting.cancelled() is is_called_off
