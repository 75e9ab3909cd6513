"""Work that is due by the clock.

The clock may be set, by decades: work that is due meanwhile is done once, and then goes on by the new time.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

Work = Callable[[], Awaitable[object]]

LOOK_S = 15.0
"""How often it is looked at whether the clock was set."""


@contextlib.asynccontextmanager
async def running(
    jobs: Mapping[str, tuple[str, Work]], failed: Callable[[str, BaseException], None]
) -> AsyncIterator[None]:
    """Do each job by its crontab line (UTC) while the block lasts: name → (crontab, work).

    `failed(name, error)` hears of work that raised; the other jobs go on. Raises `ValueError` when a
    line is no crontab line.
    """
    scheduler = _scheduler(jobs, failed)
    scheduler.start()
    try:
        async with asyncio.TaskGroup() as tasks:
            looking = tasks.create_task(_follow_clock(scheduler), name="schedule")
            try:
                yield
            finally:
                looking.cancel()
    finally:
        scheduler.shutdown(wait=False)


class _FromNow(CronTrigger):  # type: ignore[misc]  # the library has no types
    """A crontab line that asks for nothing of the past.

    The library's own goes through every moment that was missed: one minute by another, decades took it minutes.
    """

    def get_next_fire_time(self, _previous: datetime | None, now: datetime) -> datetime | None:
        following: datetime | None = super().get_next_fire_time(None, now + timedelta(microseconds=1))
        return following


async def _follow_clock(scheduler: AsyncIOScheduler) -> None:
    while True:
        await asyncio.sleep(LOOK_S)
        _bring_forward(scheduler, datetime.now(UTC))
        # And what is due since it was set forward: the timer still runs to the moment of before.
        scheduler.wakeup()


def _bring_forward(scheduler: AsyncIOScheduler, now: datetime) -> None:
    """Have work due by the present time that waits for a moment of before the clock was set back."""
    for job in scheduler.get_jobs():
        due = job.trigger.get_next_fire_time(None, now)
        if job.next_run_time > due:
            job.modify(next_run_time=due)


def _scheduler(jobs: Mapping[str, tuple[str, Work]], failed: Callable[[str, BaseException], None]) -> AsyncIOScheduler:
    scheduler = AsyncIOScheduler(timezone="UTC")

    def hear(event: JobExecutionEvent) -> None:
        failed(event.job_id, event.exception)

    scheduler.add_listener(hear, EVENT_JOB_ERROR)
    for name, (crontab, work) in jobs.items():
        scheduler.add_job(
            work,
            _FromNow.from_crontab(crontab, timezone="UTC"),
            id=name,
            max_instances=1,
            coalesce=True,
            # However late, because the machine slept or the clock was set: it is due, and done once.
            misfire_grace_time=None,
        )
    return scheduler
