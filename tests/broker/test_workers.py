"""Steps are made away from the loop, and come back to it."""

import asyncio
import os
import threading
from collections.abc import Callable
from typing import cast

import pytest

from broker.workers import TOGETHER, Workers, usual_thread_count
from tests.broker.doorway import turns_until


class Walk:
    """Remembers where its steps were made; a step may stumble."""

    def __init__(self, *, stumbles: bool = False, until: threading.Event | None = None) -> None:
        self.stumbles = stumbles
        self.until = until
        self.threads: list[str] = []

    def step(self) -> None:
        self.threads.append(threading.current_thread().name)
        if self.until is not None:
            assert self.until.wait(30)
        if self.stumbles:
            raise ZeroDivisionError


class Path:
    """Workers, and who came back from them."""

    def __init__(self, count: int) -> None:
        self.back: list[Walk] = []
        self.changed = asyncio.Event()
        self.workers: Workers[Walk] = Workers(count, asyncio.get_running_loop(), self._take)

    def _take(self, walk: Walk) -> None:
        assert threading.current_thread() is threading.main_thread()
        self.back.append(walk)
        self.changed.set()

    async def until(self, count: int) -> None:
        async with asyncio.timeout(30):
            while len(self.back) < count:
                self.changed.clear()
                await self.changed.wait()


async def test_every_step_is_made_in_a_thread_and_comes_back_once() -> None:
    path = Path(2)
    walks = [Walk() for _ in range(200)]
    for walk in walks:
        path.workers.give(walk)
    await path.until(len(walks))
    path.workers.stop()
    assert sorted(map(id, path.back)) == sorted(map(id, walks))
    assert {name for walk in walks for name in walk.threads} <= {"tls handshakes 0", "tls handshakes 1"}


async def test_as_many_steps_as_threads_are_made_at_once() -> None:
    path, go = Path(3), threading.Event()
    walks = [Walk(until=go) for _ in range(4)]
    for walk in walks:
        path.workers.give(walk)
    await turns_until(lambda: sum(bool(walk.threads) for walk in walks) >= 3)
    assert not walks[3].threads
    go.set()
    await path.until(4)
    path.workers.stop()


async def test_stopping_finishes_what_was_given_and_tells_of_it() -> None:
    path, walk = Path(1), Walk()
    path.workers.give(walk)
    path.workers.stop()
    assert path.back == [walk]
    assert not any(thread.name.startswith("tls handshakes") for thread in threading.enumerate())


async def test_the_loop_is_woken_once_for_all_that_came_back_while_it_was_busy() -> None:
    path = Path(2)
    for _ in range(50):
        path.workers.give(Walk())
    path.workers.stop()
    assert len(path.back) == 50
    assert len(asyncio.get_running_loop()._ready) == 1  # type: ignore[attr-defined]


class Telling:
    """The way to a loop, which counts how often it is taken."""

    def __init__(self) -> None:
        self.count = 0
        self._loop = asyncio.get_running_loop()

    def call_soon_threadsafe(self, call: Callable[..., object], *args: object) -> None:
        self.count += 1
        self._loop.call_soon_threadsafe(call, *args)


class Watchful(Walk):
    """Remembers how often the loop had been told of others when its step was made."""

    def __init__(self, telling: Telling, until: threading.Event) -> None:
        super().__init__(until=until)
        self._telling = telling
        self.told = 0

    def step(self) -> None:
        super().step()
        self.told = self._telling.count


async def test_while_there_are_more_the_loop_is_told_of_several_at_once_and_of_the_last_at_any_rate() -> None:
    path, telling, may_begin = Path(1), Telling(), threading.Event()
    path.workers._loop = cast("asyncio.AbstractEventLoop", telling)
    walks = [Watchful(telling, may_begin) for _ in range(TOGETHER + 2)]
    for walk in walks:
        path.workers.give(walk)
    may_begin.set()
    await path.until(len(walks))
    path.workers.stop()
    assert [walk.told for walk in walks] == [0] * TOGETHER + [1, 1]


async def test_workers_that_were_given_nothing_have_no_threads() -> None:
    path = Path(2)
    assert not path.workers._threads
    path.workers.stop()


async def test_a_defect_in_a_step_gives_back_what_it_was_made_on_and_ends_no_thread(
    caplog: pytest.LogCaptureFixture,
) -> None:
    path, walk = Path(1), Walk(stumbles=True)
    path.workers.give(walk)
    await path.until(1)
    path.workers.give(Walk())
    await path.until(2)
    path.workers.stop()
    assert path.back[0] is walk
    assert [each.getMessage() for each in caplog.records] == ["a step failed"]


def test_one_core_is_left_to_the_loop() -> None:
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert usual_thread_count() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert usual_thread_count() == max(1, min(4, len(before) - 1))
