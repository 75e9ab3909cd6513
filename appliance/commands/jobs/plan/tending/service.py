"""What jobs do by themselves: offer their work at their pace and in their windows, and end.

Rules:
- How far a job has come is in gateway.db and nowhere else: a death between two steps leaves nothing half done that is
  not gone on with.
- Moments that somebody has planned are by the clock on the wall, and only while it is believed; the pace is by a clock
  that nobody sets.
- One transaction touches a piece of a job's executions, so that no device waits long for the writer.
- What keeps one job from going on, such as a zone that the machine knows no more, keeps no other.
"""

import asyncio
import contextlib
import logging
import sqlite3
from collections.abc import Sequence
from functools import partial
from uuid import uuid4

import msgspec

from appliance.commands.jobs import queries as execution_queries
from appliance.commands.jobs.model import PIECE, JobState
from appliance.commands.jobs.plan import pace, queries, ruling, windows
from appliance.commands.jobs.plan.book.service import Book, Step
from appliance.commands.jobs.plan.events import Told
from appliance.commands.jobs.plan.membership import View
from appliance.commands.jobs.plan.model import Job, Sweep, UnknownJobError
from appliance.commands.jobs.ruling import removed
from appliance.commands.jobs.setting_aside.queries import select_open_keys, select_texts
from appliance.commands.mishaps.service import Key, Mishap, fails
from appliance.errors import ApplianceError, kind_of, place_of
from appliance.instant import SECOND_MS
from appliance.portions import portions_of
from appliance.store.database import Afterwards, UnwritableError
from appliance.telemetry.keeping.room.drops.service import boot_id, uptime_s
from broker.message import Message

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often it is looked at what is due."""
DEVICES = 10
"""Of so many at most everything is taken back in one transaction: each may have a hundred executions."""
LEFT = "the device is none of the job's any more"


Gone = tuple[int, str, str]
"""A tenant, a device that takes no part, and why."""


class Tending:
    """Goes on with every job of every tenant."""

    def __init__(self, book: Book) -> None:
        self.uptime_s = uptime_s
        self.boot_id = boot_id() or uuid4().hex
        """Where nothing tells boots apart, each start is taken for one."""
        self._book = book
        self._seen_count = -1
        """The count of changes of devices that was looked at last."""
        self._open_windows: dict[int, bool] = {}
        """By the numbers of jobs: what their devices were told last."""
        self.live_count = 0
        """How many jobs have not come to their end, as it was seen last."""
        self._stuck: dict[int, str] = {}
        """By the numbers of jobs: what keeps them from going on."""
        self.aside = book.aside
        self.mishap = Mishap("looking after jobs")

    async def tend(self) -> None:
        """Go on until it is cancelled."""
        while True:
            self._book.changed.clear()
            try:
                with self.mishap.tried():
                    await self.look_after()
            except UnwritableError as error:
                log.warning("jobs wait for the disk reason=%s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LOOK_S):
                    await self._book.changed.wait()

    @property
    def stuck_count(self) -> int:
        """How many jobs cannot go on; the log says why."""
        return len(self._stuck)

    def stuck(self, job_number: int) -> str:
        """Why a job cannot go on, as it was seen last; empty while it can."""
        return self._stuck.get(job_number, "")

    async def look_after(self) -> None:
        """Do once whatever is due. Raises `UnwritableError`."""
        with self.mishap.noted():
            await self._take_back()
        live = await self._book.aside.read(queries.select_live())
        for job in live:
            await self._tried(job)
        self.live_count = len(live)
        numbers = {job.job_number for job in live}
        self._stuck = {one: why for one, why in self._stuck.items() if one in numbers}
        self._book.forget_all_but(numbers)
        self._open_windows = {one: is_open for one, is_open in self._open_windows.items() if one in numbers}

    async def _tried(self, job: Job) -> None:
        """Go on with a job; one that cannot go on keeps no other from it."""
        try:
            await self._go_on(job)
        except UnwritableError:
            raise
        except ApplianceError as error:
            self._stick(job, str(error))
        except Exception as error:  # noqa: BLE001  one bad job keeps no other from going on
            if self._stick(job, f"the gateway failed ({kind_of(error)}): its log says where"):
                log.error("job failed error=%s where=\n%s", kind_of(error), place_of(error))  # noqa: TRY400  no words
                # What nobody can read, of this job or another of the same devices, must not keep the others from it.
                await self._book.jobs.aside.look_through(select_texts(job.tenant_id), error)
                await self.aside.check_targets(job, error)
        else:
            self._stuck.pop(job.job_number, None)

    def _stick(self, job: Job, reason: str) -> bool:
        """Remember why a job cannot go on; gives whether that is news."""
        is_news = self._stuck.get(job.job_number) != reason
        if is_news:
            log.warning("job cannot go on tenant_id=%s job_id=%s reason=%s", job.tenant_id, job.job_id, reason)
        self._stuck[job.job_number] = reason
        return is_news

    async def _go_on(self, job: Job) -> None:
        at = self._book.believed_at()
        if job.sweep is not Sweep.NONE:
            await self._sweep(job)
        elif job.state is JobState.SCHEDULED and ruling.begins(job, at):
            await self._step(job, lambda kept, _, now: ruling.begun(kept, now))
        elif job.state is JobState.IN_PROGRESS:
            view = await self._book.view(job)
            ending = ruling.over(job, view.progress, at)
            if ending is None:
                await self._offer(job, view, at)
            else:
                await self._step(job, lambda kept, _, now: ruling.ended(kept, ending, now))

    async def _offer(self, job: Job, view: View, at: int | None) -> None:
        """Offer work to those who wait for it, take it back from those who left, and see whether all is done."""
        if view.left:
            await self._remove(job, view.left)
        is_open = await self._is_open(job, at)
        waiting = view.waiting if is_open and not job.is_rollout_over else ()
        rate = pace.per_minute(job.config, view.progress)
        for some in portions_of(waiting, PIECE):
            if not await self._hand_out(job, some, rate):
                break
        if ruling.is_done(job, view):
            await self._step(job, self._completed)

    def _completed(self, job: Job, connection: sqlite3.Connection, now: int) -> Job:
        counts = self._book.jobs.ledger(connection, now).counts(job.tenant_id, job.job_number)
        return job if ruling.progress_of(counts).open else ruling.completed(job, now)

    async def _hand_out(self, job: Job, chosen: Sequence[str], rate: int) -> bool:
        """Queue a job for devices, as many as may be now; gives whether there may be more."""
        uptime_ms = int(self.uptime_s() * SECOND_MS)
        # What another boot noted is noted anew: a minute passes by this clock from here on.
        is_known = pace.resumed(job.starts, self.boot_id, uptime_ms) == job.starts
        if is_known and not pace.allowed(rate, job.starts, uptime_ms):
            return False
        may_be_more: list[bool] = []

        def work(connection: sqlite3.Connection, now: int) -> Afterwards:
            kept = queries.select_now(connection, job.tenant_id, job.job_id)
            if kept is None or not ruling.is_unchanged(kept, job):
                return partial(may_be_more.append, False)
            starts = pace.resumed(kept.starts, self.boot_id, uptime_ms)
            room = pace.allowed(rate, starts, uptime_ms)
            ledger = self._book.jobs.ledger(connection, now)
            handed = ledger.hand_out(job.tenant_id, job.job_number, chosen[:room])
            starts = pace.noted(starts, len(handed.device_ids), uptime_ms)
            if starts != kept.starts:
                queries.update_job(connection, msgspec.structs.replace(kept, starts=starts))
            close = ledger.close()

            def afterwards() -> None:
                # Those that are full come last from now on; the next look is for the others.
                may_be_more.append(room > len(chosen) and not handed.full)
                self._book.put_off(job.job_number, handed.full)
                if handed.device_ids:
                    self._book.forget(job.job_number)
                close()

            return afterwards

        await self._book.together(work)
        return may_be_more[0]

    async def _sweep(self, job: Job) -> None:
        """End, or forget, what is left of a job that has ended, piece by piece."""
        counts: list[int] = []

        def work(connection: sqlite3.Connection, now: int) -> Afterwards:
            kept = queries.select_now(connection, job.tenant_id, job.job_id)
            if kept is None or not ruling.is_unchanged(kept, job):
                return partial(counts.append, 0)
            ledger = self._book.jobs.ledger(connection, now)
            if kept.sweep is Sweep.DELETED:
                count = ledger.delete(job.tenant_id, job.job_number)
            else:
                count = ledger.cancel(job.tenant_id, job.job_number, kept.reason, force=kept.sweep is Sweep.ALL)
            messages = [] if count else [self._swept(kept, connection, now)]
            close = ledger.close()

            def afterwards() -> None:
                counts.append(count)
                close()
                self._book.tell(messages)

            return afterwards

        while not counts or counts[-1]:
            await self._book.together(work)
        log.info("job ended tenant_id=%s job_id=%s state=%s", job.tenant_id, job.job_id, job.state)

    def _swept(self, job: Job, connection: sqlite3.Connection, now: int) -> Message:
        """What is told once nothing is left."""
        if job.sweep is Sweep.DELETED:
            message = self._book.message(job, Told.DELETED, connection, now)
            queries.delete_job(connection, job.tenant_id, job.job_number)
            return message
        swept = msgspec.structs.replace(job, sweep=Sweep.NONE)
        queries.update_job(connection, swept)
        return self._book.message(swept, Told.CANCELLED, connection, now)

    async def _take_back(self) -> None:
        """Take back what devices have open that take no part any more."""
        count = self._book.registry.device_change_count
        if count == self._seen_count:
            return
        busy = await self._book.database.read(queries.select_busy())
        gone = [(*one, reason) for one in busy if (reason := self._book.refusal(*one))]
        for piece in portions_of(gone, DEVICES):
            if await fails(self._book.together, partial(self._taken_back, piece)):
                # One bad execution keeps no other from being taken back.
                for one in piece:
                    await self._take_back_alone(one)
        self._seen_count = count

    async def _take_back_alone(self, gone: Gone) -> None:
        tenant_id, device_id, reason = gone
        keys = await self._book.database.read(select_open_keys(tenant_id, device_id))
        await self._book.jobs.aside.sort_out(keys, lambda key: partial(self._removed, key, reason))

    def _removed(self, key: Key, reason: str, connection: sqlite3.Connection, now: int) -> Afterwards:
        ledger = self._book.jobs.ledger(connection, now)
        known = execution_queries.select_numbered(connection, *key)
        if known is not None and known.state.is_open:
            ledger.write(known, removed(known, reason, now))
        return ledger.close()

    def _taken_back(self, gone: Sequence[Gone], connection: sqlite3.Connection, now: int) -> Afterwards:
        ledger = self._book.jobs.ledger(connection, now)
        for tenant_id, device_id, reason in gone:
            ledger.remove_device(tenant_id, device_id, reason)
        return ledger.close()

    async def _remove(self, job: Job, device_ids: Sequence[str]) -> None:
        """Take a job back from devices that have not begun it."""

        def work(connection: sqlite3.Connection, now: int) -> Afterwards:
            ledger = self._book.jobs.ledger(connection, now)
            ledger.remove(job.tenant_id, job.job_number, pieces[0], LEFT)
            return ledger.close()

        pieces = list(portions_of(device_ids, PIECE))
        while pieces:
            await self._book.together(work)
            del pieces[0]
        self._book.forget(job.job_number)

    async def _is_open(self, job: Job, at: int | None) -> bool:
        """Whether a window is open; devices that have the job queued hear when that becomes otherwise."""
        schedule = job.config.schedule
        if not schedule.windows:
            return True
        is_open = at is not None and windows.is_open(schedule.windows, schedule.zone, at)
        was_open = self._open_windows.get(job.job_number)
        # Before a start nobody knows what devices were told last: hearing it twice harms none.
        if was_open is None or was_open is not is_open:
            await self._book.jobs.show(job.tenant_id, job.job_number)
        self._open_windows[job.job_number] = is_open
        return is_open

    async def _step(self, job: Job, change: Step) -> None:
        """Change a job unless it has been changed, or made anew, by somebody else."""

        def same(kept: Job, connection: sqlite3.Connection, now: int) -> Job:
            return change(kept, connection, now) if ruling.is_unchanged(kept, job) else kept

        with contextlib.suppress(UnknownJobError):
            stepped = await self._book.change(job.tenant_id, job.job_id, same)
            log.info("job went on tenant_id=%s job_id=%s state=%s", job.tenant_id, job.job_id, stepped.state)
