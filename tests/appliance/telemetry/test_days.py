"""While a day is held nothing is written into its file, and nobody reads it while it goes: nothing late is lost."""

import asyncio
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.instant import DAY_MS
from appliance.telemetry import queries
from tests.appliance.telemetry.reports import DAY, NOON, report
from tests.appliance.telemetry.test_service import FOREVER, Gateway

DEADLINE_S = 10
NAME = queries.day_name(DAY)


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    async with Gateway(tmp_path).running() as running:
        yield running


class Slow(list[str]):
    """Names of metrics that a reader's thread waits at until it is let on."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(names)
        self.reached = threading.Event()
        self.goes_on = threading.Event()
        self.asked_count = 0

    def __contains__(self, name: object) -> bool:
        self.asked_count += 1
        self.reached.set()
        self.goes_on.wait(DEADLINE_S)
        return super().__contains__(name)


async def settled() -> None:
    """Let every task go on as far as it can."""
    for _ in range(30):
        await asyncio.sleep(0)


async def reading(gateway: Gateway) -> tuple[Slow, asyncio.Task[Any]]:
    """A question whose thread is inside a day file."""
    metrics = Slow(["pressure"])
    asked = asyncio.create_task(gateway.telemetry.series(1, "sensor-001", metrics, *FOREVER, 1_000))
    assert await asyncio.to_thread(metrics.reached.wait, DEADLINE_S)
    return metrics, asked


async def drop(gateway: Gateway, gone: asyncio.Event, begun: Callable[[], None] = lambda: None) -> None:
    async with gateway.telemetry.held(DAY, is_kept=False) as days:
        begun()
        async with gateway.telemetry.readers_kept_out():
            days.path(DAY).unlink(missing_ok=True)
            gone.set()


async def test_what_waited_to_be_sealed_is_not_written_into_a_file_that_is_about_to_go(tmp_path: Path) -> None:
    gateway, gone = Gateway(tmp_path), asyncio.Event()
    async with gateway.running():
        await gateway.take(report(at=NOON))
        await gateway.telemetry.seal_all()
        await gateway.take(report(at=NOON + 1))
        # As a write leaves it that met a full disk.
        gateway.telemetry._chunks.begin_sealing_all()
        metrics, asked = await reading(gateway)
        dropping = asyncio.create_task(drop(gateway, gone))
        await settled()
        await gateway.telemetry.seal_due()
        await gateway.take(report(at=NOON + 2))
        await gateway.telemetry.seal_all()
        assert not gone.is_set()
        assert len(await gateway.log_ids()) == 2
        metrics.goes_on.set()
        await asyncio.gather(asked, dropping)
        assert [at for at, _ in await gateway.stored()] == [NOON + 1, NOON + 2]
        await gateway.telemetry.seal_all()
        assert await gateway.log_ids() == []
    async with gateway.running():
        assert [at for at, _ in await gateway.stored()] == [NOON + 1, NOON + 2]


async def test_nobody_has_a_held_day_open_for_writing_while_readers_are_kept_out(gateway: Gateway) -> None:
    await gateway.take(report())
    await gateway.telemetry.seal_all()
    async with gateway.telemetry.held(DAY):
        await gateway.telemetry._files.writer(NAME)
        async with gateway.telemetry.readers_kept_out():
            assert NAME not in gateway.telemetry._files._open


async def test_a_day_goes_only_once_the_thread_of_a_question_that_was_given_up_is_out_of_it(gateway: Gateway) -> None:
    for tick in range(3):
        await gateway.take(report(at=NOON + tick, values={"pressure": tick}))
        await gateway.telemetry.seal_all()
    metrics, asked = await reading(gateway)
    asked.cancel()
    gone = asyncio.Event()
    dropping = asyncio.create_task(drop(gateway, gone))
    await settled()
    assert not gone.is_set()
    metrics.goes_on.set()
    await asyncio.wait_for(dropping, DEADLINE_S)
    await asyncio.wait([asked])
    assert asked.cancelled()
    # It did not look into the chunks after the one that it was in.
    assert metrics.asked_count == 1
    assert gateway.telemetry.status().ok


steps = st.lists(
    st.sampled_from(["take", "take", "seal_due", "seal_all", "let_wait", "drop", "read", "give_up", "go_on"]),
    max_size=16,
)


@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps)
def test_in_whatever_order_days_go_what_is_taken_after_that_stays(story: list[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(_lived(Path(folder), story))


class Story:
    """A day that goes again and again while reports of it come in, are sealed and are read."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        self.taken = 0
        self.kept_from = 0
        self.tasks: list[asyncio.Task[Any]] = []
        self.questions: list[asyncio.Task[Any]] = []
        self.readers: list[Slow] = []

    async def step(self, step: str) -> None:
        match step:
            case "take":
                self.gateway.now += DAY_MS
                values = {"pressure": self.taken}
                await self.gateway.take(report(at=NOON + self.taken, sequence=self.taken, values=values))
                self.taken += 1
            case "seal_due" | "seal_all":
                self.tasks.append(asyncio.create_task(getattr(self.gateway.telemetry, step)()))
            case "let_wait":
                self.gateway.telemetry._chunks.begin_sealing_all()
            case "drop":
                self.drop()
            case "read":
                self.readers.append(Slow(["pressure"]))
                question = self.gateway.telemetry.series(1, "sensor-001", self.readers[-1], *FOREVER, 1_000)
                self.questions.append(asyncio.create_task(question))
            case "give_up":
                for asked in self.questions[-1:]:
                    asked.cancel()
            case _:
                self.let_on()
        await settled()

    def drop(self) -> None:
        if not any(task.get_name() == "drop" and not task.done() for task in self.tasks):
            self.tasks.append(asyncio.create_task(drop(self.gateway, asyncio.Event(), self.begun), name="drop"))

    def begun(self) -> None:
        # What was taken before may go with the file; whatever comes from now on may not.
        self.kept_from = self.taken

    def let_on(self) -> None:
        for metrics in self.readers:
            metrics.goes_on.set()

    async def end(self) -> set[Any]:
        self.let_on()
        await asyncio.gather(*self.questions, return_exceptions=True)
        await asyncio.gather(*self.tasks)
        await self.gateway.telemetry.seal_all()
        return {value for _, value in await self.gateway.stored()}


async def _lived(folder: Path, steps: list[str]) -> None:
    gateway = Gateway(folder)
    async with asyncio.timeout(3 * DEADLINE_S), gateway.running():
        story = Story(gateway)
        for step in [*steps, "take"]:
            await story.step(step)
        found = await story.end()
        assert found >= set(range(story.kept_from, story.taken))
    async with gateway.running():
        assert {value for _, value in await gateway.stored()} == found
