import asyncio
import os
import signal
from typing import Any

import pytest

from appliance.lifetime import defects_end_the_process, stop_requested, wall_clock


class PartBrokenError(Exception):
    """Raised by a callback of the loop."""


def test_moments_are_milliseconds_that_do_not_stand_still() -> None:
    first = wall_clock()
    assert first > 1_700_000_000_000
    while wall_clock() == first:
        pass


async def test_a_callback_that_raises_ends_what_runs_with_its_error() -> None:
    def fail() -> None:
        raise PartBrokenError

    async def body() -> None:
        async with defects_end_the_process():
            asyncio.get_running_loop().call_soon(fail)
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await body()
    assert caught.group_contains(PartBrokenError)


async def test_what_the_loop_complains_of_without_an_error_ends_what_runs_too() -> None:
    async def body() -> None:
        async with defects_end_the_process():
            context: dict[str, Any] = {"message": "a transport was lost"}
            asyncio.get_running_loop().call_exception_handler(context)
            asyncio.get_running_loop().call_exception_handler(context)
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await body()
    assert caught.group_contains(RuntimeError, match="a transport was lost")


@pytest.mark.parametrize("key", ["socket", "transport", "protocol"])
async def test_a_connection_that_fails_ends_nothing_and_is_logged(key: str, caplog: pytest.LogCaptureFixture) -> None:
    async with defects_end_the_process():
        asyncio.get_running_loop().call_exception_handler(
            {
                "message": "socket.accept() out of system resource",
                "exception": OSError(24, "Too many open files"),
                key: 1,
            }
        )
        await asyncio.sleep(0)
    assert "connection failed reason=socket.accept() out of system resource" in caplog.text


async def test_after_the_parts_have_ended_defects_are_the_loops_own_again() -> None:
    async with defects_end_the_process():
        pass
    assert asyncio.get_running_loop().get_exception_handler() is None


async def test_without_defects_nothing_is_left_running() -> None:
    async with defects_end_the_process():
        await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_first_signal_asks_to_stop_and_the_second_would_end_the_process(number: signal.Signals) -> None:
    before = signal.getsignal(signal.SIGINT)
    stop = stop_requested()
    try:
        os.kill(os.getpid(), number)
        await stop.wait()
        assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == [signal.SIG_DFL] * 2
    finally:
        signal.signal(signal.SIGINT, before)
