import asyncio
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

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


@pytest.mark.timeout(20)
async def test_a_clock_that_goes_from_1970_to_today_has_work_done_once_and_at_once() -> None:
    done: list[datetime] = []
    has_done = asyncio.Event()

    async def work() -> None:
        done.append(datetime.now(UTC))
        has_done.set()

    scheduler = schedule._scheduler({"each minute": ("* * * * *", work)}, lambda *_: None)
    scheduler.start(paused=True)
    scheduler.modify_job("each minute", next_run_time=datetime(1970, 1, 1, 0, 1, tzinfo=UTC))
    scheduler.resume()
    try:
        await has_done.wait()
        (job,) = scheduler.get_jobs()
        assert len(done) == 1
        assert done[0] < job.next_run_time <= done[0] + timedelta(minutes=1)
    finally:
        scheduler.shutdown(wait=False)


async def test_a_clock_that_is_set_back_by_decades_does_not_stop_what_is_due_each_minute() -> None:
    async def work() -> None:
        """Not done here."""

    scheduler = schedule._scheduler({"each minute": ("* * * * *", work)}, lambda *_: None)
    scheduler.start(paused=True)
    try:
        schedule._bring_forward(scheduler, datetime(2000, 1, 1, 5, 30, 10, tzinfo=UTC))
        (job,) = scheduler.get_jobs()
        assert job.next_run_time == datetime(2000, 1, 1, 5, 31, tzinfo=UTC)
    finally:
        scheduler.shutdown(wait=False)


@pytest.mark.parametrize("before", [None, datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)])
def test_the_next_moment_is_after_now_whatever_was_before(before: datetime | None) -> None:
    trigger = schedule._FromNow.from_crontab("* * * * *", timezone="UTC")
    now = datetime(2026, 3, 29, 1, 0, tzinfo=UTC)
    assert trigger.get_next_fire_time(before, now) == now + timedelta(minutes=1)


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
