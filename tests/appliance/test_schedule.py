import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime

import pytest

from appliance import schedule


class JobBrokenError(Exception):
    """Raised by work that fails."""


@contextmanager
def due_now(
    jobs: Mapping[str, tuple[str, schedule.Work]], failed: Callable[[str, BaseException], None]
) -> Iterator[None]:
    """The schedule as it is when the moment of every job has come."""
    scheduler = schedule._scheduler(jobs, failed)
    scheduler.start(paused=True)
    for name in jobs:
        scheduler.modify_job(name, next_run_time=datetime.now(UTC))
    scheduler.resume()
    try:
        yield
    finally:
        scheduler.shutdown(wait=False)


async def test_work_is_done_when_its_moment_has_come() -> None:
    done = asyncio.Event()

    async def work() -> None:
        done.set()

    with due_now({"renew": ("17 * * * *", work)}, lambda *_: None):
        await done.wait()


async def test_work_that_fails_is_told_by_name_and_the_other_work_goes_on() -> None:
    done = asyncio.Event()
    told = asyncio.Event()
    failures: list[tuple[str, BaseException]] = []

    async def work() -> None:
        done.set()

    async def fail() -> None:
        raise JobBrokenError

    def hear(name: str, error: BaseException) -> None:
        failures.append((name, error))
        told.set()

    with due_now({"broken": ("0 0 * * *", fail), "sound": ("0 0 * * *", work)}, hear):
        await done.wait()
        await told.wait()
    assert [(name, type(error)) for name, error in failures] == [("broken", JobBrokenError)]


async def test_nothing_is_done_before_its_moment() -> None:
    async def work() -> None:
        raise AssertionError

    async with schedule.running({"yearly": ("0 0 1 1 *", work)}, lambda *_: None):
        await asyncio.sleep(0)
    assert len(asyncio.all_tasks()) == 1


@pytest.mark.parametrize(
    ("line", "due"),
    [("17 * * * *", (2026, 3, 29, 1, 17)), ("30 2 * * *", (2026, 3, 29, 2, 30))],
)
def test_the_crontab_line_is_read_in_utc_on_the_day_clocks_change_too(line: str, due: tuple[int, ...]) -> None:
    async def work() -> None:
        """Not done here."""

    scheduler = schedule._scheduler({"job": (line, work)}, lambda *_: None)
    (job,) = scheduler.get_jobs()
    year, month, day, hour, minute = due
    now = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert job.trigger.get_next_fire_time(None, now) == datetime(year, month, day, hour, minute, tzinfo=UTC)


async def test_a_line_that_is_no_crontab_line_is_refused_at_the_start() -> None:
    async def work() -> None:
        """Not done here."""

    async def body() -> None:
        async with schedule.running({"job": ("every now and then", work)}, lambda *_: None):
            raise AssertionError

    with pytest.raises(ValueError, match="Wrong number of fields"):
        await body()
