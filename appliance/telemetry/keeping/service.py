"""Day files at work: sealed at night, checked once they are read, and written anew without what is to be erased.

One task does all of it, one step after the other, each for itself: what one day or one step fails at is told, and
keeps no other from being done. What was asked for is gone on with after the next start.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from pathlib import Path

from appliance.audit.service import Audit
from appliance.config import TelemetryConfig
from appliance.health import Status
from appliance.instant import DAY_MS, MINUTE_MS, SECOND_MS, Clock
from appliance.store.database import Database, UnwritableError
from appliance.telemetry import queries as day_queries
from appliance.telemetry.day_file import day_number, is_day
from appliance.telemetry.keeping import files, plan, queries, sealed_day
from appliance.telemetry.keeping.erasing import record
from appliance.telemetry.keeping.erasing.service import Elsewhere, Erasing
from appliance.telemetry.keeping.model import DamagedOpenDayError, Erasure, StoppedError
from appliance.telemetry.keeping.plan import DayUse
from appliance.telemetry.keeping.resealing import EVERYTHING, LeftOut
from appliance.telemetry.keeping.writing.service import Writing, noted, require_none
from appliance.telemetry.service import Telemetry

log = logging.getLogger(__name__)

RETRY_MS = MINUTE_MS
"""How long after a failure the same is tried again; what was read meanwhile is checked as often."""

Step = Callable[[], Awaitable[object]]


async def erased_at_next_start(
    database: Database, clock: Clock, tenant_id: int, device_ids: Sequence[str], search: str
) -> None:
    """Have what was received of devices erased by a gateway that does not run: it begins when it starts."""
    now = clock()
    entries = record.asked(device_ids, search, now)
    await Audit(database, clock).recorded(tenant_id, entries, queries.insert_erasures, tenant_id, device_ids, now)


class Keeping:
    """The day files of a telemetry that is open."""

    def __init__(self, database: Database, telemetry: Telemetry, config: TelemetryConfig, clock: Clock) -> None:
        self._telemetry = telemetry
        self._config = config
        self._clock = clock
        self._writing = Writing(telemetry, config)
        self._erasing = Erasing(database, telemetry, self._writing, clock)
        self._asked = asyncio.Event()
        self._is_night = False
        self._due: list[Step] = []
        """What is left of the night."""
        self._trouble = ""
        self._trouble_of_night: list[Exception] = []
        """What is not tried again before the next night."""
        self.sealed: Callable[[], Awaitable[None]] = _nothing
        """What is done at night once days are sealed."""
        self.let_go: Callable[[int], bool] = lambda _: True
        """Whether nobody else needs the chunks of a day any more."""
        self.erased: Callable[[], None] = lambda: None
        """Hears that something was erased here, which others may have, too."""

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Go on with what was being erased; while running, do what is asked for and what is due."""
        self._writing.is_stopping = False
        await self._erasing.resume()
        await self._name_what_was_set_aside()
        await self._tell_of_strays()
        # A gateway that is switched off every night would never come to it.
        a_day_ago = self._clock() - DAY_MS
        self._is_night = bool(plan.due_for_sealing(await self.uses(), a_day_ago, self._config.late_grace_ms))
        if self.pending or self._telemetry.day_files.erased_before or self._is_night:
            self._asked.set()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._work_until_stopped(), name="keeping")
            try:
                yield
            finally:
                self._writing.is_stopping = True
                self._asked.set()

    def follow(self, settled: Callable[[], Awaitable[None]]) -> None:
        """Erase only once all that was taken before is committed: `settled` returns when it is."""
        self._erasing.settled = settled

    def follow_erasing(self, elsewhere: Elsewhere) -> None:
        """Erase elsewhere, too: nothing counts as erased before that is."""
        self._erasing.elsewhere += (elsewhere,)

    @property
    def pending(self) -> tuple[Erasure, ...]:
        """What is being erased."""
        return self._erasing.pending

    async def tend(self) -> None:
        """Say that it is night: what is due is done soon."""
        self._is_night = True
        self._asked.set()

    async def erase(self, tenant_id: int, device_ids: Sequence[str], search: str = "") -> None:
        """Let nobody see what was received of these devices up to now, and have it erased from the disk soon.

        `search` found them, for the audit log; empty when each was named. What they send from now on is kept. When
        this returns, it is written down and outlives a restart. Raises `UnwritableError` while what was received last
        cannot be committed: then nothing is erased.
        """
        await self._erasing.ask(tenant_id, device_ids, search)
        self._asked.set()

    async def uses(self) -> list[DayUse]:
        """What each day takes on the disk, the oldest first."""
        return await asyncio.to_thread(self._uses)

    async def seal_due(self) -> list[int]:
        """Seal every day that is over and of which something is not sealed; give those that were.

        A day that cannot be sealed keeps no other from it. Raises `UnwritableError` or `ChunkError` that tells of
        each.
        """
        troubles: list[Exception] = []
        done = []
        for day in plan.due_for_sealing(await self.uses(), self._clock(), self._config.late_grace_ms):
            with noted(troubles):
                await self._seal(day)
                done.append(day)
        require_none(troubles)
        return done

    async def holding(self, day: int, devices: Collection[tuple[int, str]]) -> frozenset[tuple[int, str]]:
        """Those of some devices of which a day has anything. Raises `ChunkError` when that cannot be told."""
        return await asyncio.to_thread(_held, self._telemetry.day_files.path(day), devices)

    async def leave_out(self, day: int, devices: Collection[tuple[int, str]]) -> None:
        """Write a day anew without some devices. Raises as `write_anew` does."""
        await self.write_anew(day, dict.fromkeys(devices, EVERYTHING))

    async def write_anew(self, day: int, left_out: LeftOut) -> None:
        """Seal what there is of a day, without what is left out or being erased.

        Raises `UnwritableError` when there is no room, `ChunkError` when what is there cannot be read.
        """
        await self._writing.write_anew(day, left_out)

    async def may_go(self, day: int) -> bool:
        """Whether everything that outlives a day was computed of it and is on the disk."""
        return self.let_go(day) and await self._telemetry.rollups.is_complete(day)

    async def drop(self, day: int) -> int:
        """Unlink a day whose roll-ups stay, and give how many bytes that freed."""
        # On a full disk they cannot be told; they stay all the same, unless readings come late for that day.
        with contextlib.suppress(UnwritableError):
            await self._telemetry.rollups.close_day(day)
        return await self.unlink(day)

    async def unlink(self, day: int) -> int:
        """Unlink a day, and give how many bytes that freed. Nothing is written to any file."""
        return await self._writing.unlink(day)

    @contextlib.asynccontextmanager
    async def nothing_written(self) -> AsyncIterator[None]:
        """Write no day meanwhile: nothing unfinished takes room."""
        async with self._writing.lock:
            yield

    async def check_opened(self) -> None:
        """Check every page of the sealed days that were read since the start, each once; name what is damaged."""
        for day in sorted(self._telemetry.day_files.touched - self._writing.checked, reverse=True):
            await self._writing.check(day)

    async def save_unwritable(self) -> None:
        """Save every day into whose damaged open part nothing can be written, and name what was set aside.

        Raises `UnwritableError` or `ChunkError` that tells of each that could not be; what comes for it waits on.
        """
        troubles: list[Exception] = []
        with noted(troubles):
            troubles += await self._writing.close_damaged()
        for day in list(self._telemetry.unwritable):
            with noted(troubles):
                await self._writing.save(day, {})
        await self._name_what_was_set_aside()
        require_none(troubles)

    async def erase_pending(self) -> None:
        """Erase what is to be erased from the log, from every day and from what was computed of them.

        Raises `UnwritableError` or `ChunkError` that tells of everything that could not be done; it is pending then.
        """
        async for _ in self._erasing.steps():
            pass
        self.erased()

    @property
    def damages(self) -> tuple[str, ...]:
        """Everything that was found damaged since the start, in words."""
        return tuple(sorted(self._telemetry.day_files.damages))

    def status(self) -> Status:
        """What keeping says of itself."""
        damages = self._telemetry.day_files.damages
        details = {"erasing": len(self.pending), "damaged": len(damages)}
        if self._trouble:
            return Status(ok=False, summary=self._trouble, details=details, is_serving=True)
        if self.pending:
            # Not which: every tenant reads this.
            return Status(ok=True, summary="readings of devices are being erased", details=details)
        return Status(ok=True, summary="days are sealed at night", details=details)

    async def _work_until_stopped(self) -> None:
        while not self._writing.is_stopping:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RETRY_MS / SECOND_MS):
                    await self._asked.wait()
            self._asked.clear()
            if not self._writing.is_stopping:
                await self._tried()

    async def _tried(self) -> None:
        """Do what is due. What fails is told and tried again: none of it keeps readings from being taken."""
        troubles: list[Exception] = []
        try:
            for step in (self.save_unwritable, self.check_opened, self._erasing.ask_again, self.erase_pending):
                with noted(troubles):
                    await step()
            troubles += await self._night_tried()
        except StoppedError:
            log.info("keeping of days broken off, gone on with after the next start")
            return
        told = "; ".join(dict.fromkeys(str(error) for error in [*troubles, *self._trouble_of_night]))
        if told and told != self._trouble:
            log.error("keeping of days failed, tried again later error=%s", told)
        self._trouble = told

    async def _night_tried(self) -> list[Exception]:
        """Do what is left of the night, and give what failed and is tried again soon."""
        if self._is_night:
            self._is_night = False
            self._due = [self.seal_due, self._do_what_comes_after]
            self._trouble_of_night = []
        again, passing = list[Step](), list[Exception]()
        for step in self._due:
            troubles: list[Exception] = []
            with noted(troubles):
                await step()
            if any(isinstance(error, UnwritableError | OSError) for error in troubles):
                again.append(step)
                passing += troubles
            else:
                self._trouble_of_night += troubles
        self._due = again
        return passing

    async def _do_what_comes_after(self) -> None:
        await self.sealed()

    async def _seal(self, day: int) -> None:
        try:
            await self._writing.write_anew(day, {})
        except DamagedOpenDayError as error:
            log.warning("open day was damaged, saved instead day=%d error=%s", day, error)
            await self._writing.save(day, {})

    async def _name_what_was_set_aside(self) -> None:
        days = self._telemetry.day_files
        for day, path in await asyncio.to_thread(_days_set_aside, days.path(0).parent):
            if not any(path.name in told for told in days.damages):
                days.note_damage(f"{path.name} was damaged and set aside", day)

    async def _tell_of_strays(self) -> None:
        names = await asyncio.to_thread(_stray_names, self._telemetry.day_files.path(0).parent)
        if names:
            log.warning("files passed over, they are named for no day names=%s", ", ".join(names))

    def _uses(self) -> list[DayUse]:
        days = self._telemetry.day_files
        aside: dict[int, list[Path]] = {day: [] for day in days.numbers()}
        for day, path in _days_set_aside(days.path(0).parent):
            aside.setdefault(day, []).append(path)
        return [files.use(day, days.path(day), aside[day]) for day in sorted(aside)]


def _days_set_aside(folder: Path) -> list[tuple[int, Path]]:
    """The files that were damaged and set aside, each with its day."""
    named = [(Path(files.stem_of(path)), path) for path in files.set_aside(folder)]
    return [(day_number(day), path) for day, path in named if is_day(day)]


def _stray_names(folder: Path) -> list[str]:
    """The files of a folder that look like those of days, and are none."""
    aside = [path.name for path in files.set_aside(folder) if not is_day(Path(files.stem_of(path)))]
    return sorted([*day_queries.stray_names(folder), *aside])


def _held(path: Path, devices: Collection[tuple[int, str]]) -> frozenset[tuple[int, str]]:
    """Those of some devices of which a day has anything."""
    with queries.opened_day(path) as part, sealed_day.opened_if_there(sealed_day.sealed_path(path)) as sealed:
        known = {(each.tenant_id, each.device_id) for each in part.devices()} if part else set()
        return frozenset(
            key for key in devices if key in known or (sealed is not None and sealed.find(*key) is not None)
        )


async def _nothing() -> None:
    """Nothing more is done at night."""
