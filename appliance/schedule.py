"""Work that is due by the clock."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

from apscheduler.events import EVENT_JOB_ERROR, JobExecutionEvent
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger

Work = Callable[[], Awaitable[object]]

MISSED_BY_S = 3_600
"""Work that could not start in time, because the machine slept, is still done this much later."""


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
        yield
    finally:
        scheduler.shutdown(wait=False)


def _scheduler(jobs: Mapping[str, tuple[str, Work]], failed: Callable[[str, BaseException], None]) -> AsyncIOScheduler:
    scheduler = AsyncIOScheduler(timezone="UTC")

    def hear(event: JobExecutionEvent) -> None:
        failed(event.job_id, event.exception)

    scheduler.add_listener(hear, EVENT_JOB_ERROR)
    for name, (crontab, work) in jobs.items():
        scheduler.add_job(
            work,
            CronTrigger.from_crontab(crontab, timezone="UTC"),
            id=name,
            max_instances=1,
            coalesce=True,
            misfire_grace_time=MISSED_BY_S,
        )
    return scheduler
