"""Computes roll-ups when their hours are over, and again when something came late.

Rules:
- A roll-up is computed from the chunks of its hour, never added to.
- What is to be computed is known in memory. After a crash it is found out: a day file that knows of later log records
  than the roll-ups of its day puts the day in doubt until its newer chunks were looked at.
- A file that is missing or damaged is made again, day by day, out of the day files. Of days that have none, and had
  roll-ups in a file that was set aside, nobody knows any more what there was: they are named as missing.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Collection, Container, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from appliance.instant import DAY_MS, HOUR_MS, SECOND_MS, Clock, day_of
from appliance.portions import portions_of
from appliance.store.database import UnwritableError
from appliance.store.folder import DatabaseFolder, FileSettings
from appliance.store.readers import Readers
from appliance.telemetry.days.service import Days
from appliance.telemetry.keeping import files as day_files
from appliance.telemetry.keeping.model import StoppedError
from appliance.telemetry.open_chunk import OpenChunk
from appliance.telemetry.open_chunks import OpenChunks, hours_of
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.rollups import computing, months, queries
from appliance.telemetry.rollups.looking import Looking
from appliance.telemetry.rollups.model import DamagedRollUpsError, Found, HourRow, MonthFile, Progress
from appliance.telemetry.rollups.reading import queries as reading
from appliance.telemetry.rollups.stale import Device, DeviceHour, Stale, by_device
from appliance.telemetry.wanted import Check, is_wanted

log = logging.getLogger(__name__)

T = TypeVar("T")

ROLL_INTERVAL_MS = 60 * SECOND_MS
"""How often hours that are over are looked for."""
OPEN_FILES_LIMIT = 2
"""This month's file, and one more while late readings come in."""
KEPT_READERS_LIMIT = 4
"""The two months that a chart reaches into, for two who ask at once."""
DEVICES_PER_TRANSACTION = 64
CHECKED_AT_ONCE_BYTES = 64 * 1024 * 1024
"""A file that is not larger is looked at whole before its first use: that takes a tenth of a second of processor."""
PATIENCE_MS = 6 * HOUR_MS
"""A day is rolled up as a whole when nothing of it is stale any more, or when it has been over for this long."""


class RollUps:
    """Hourly and daily roll-ups. `folder` is the gateway's data folder; their files lie in `rollups` inside it."""

    def __init__(
        self,
        folder: Path,
        days: Days,
        chunks: OpenChunks,
        unsynced: Mapping[int, int],
        readers: Readers,
        clock: Clock,
    ) -> None:
        self._files = DatabaseFolder(
            folder / "rollups",
            FileSettings(queries.prepare, queries.PAGE_BYTES, cache_kb=4_000, kept_readers_limit=KEPT_READERS_LIMIT),
            OPEN_FILES_LIMIT,
        )
        self._days = days
        self._chunks = chunks
        self._unsynced = unsynced
        """By day: the oldest log id whose chunks are in the day file, but perhaps not on disk yet."""
        self._readers = readers
        self._clock = clock
        self._rolling = asyncio.Lock()
        self.stale = Stale()
        self._changed: set[int] = set()
        """Days whose progress is to be written down."""
        self._partial: set[int] = set()
        """Days that have roll-ups of hours, and not of the day yet."""
        self._unsynced_months: set[str] = set()
        """Months of whose file something may not be on disk yet."""
        self._broken: set[str] = set()
        """Months whose file cannot be used."""
        self._checked: set[str] = set()
        """Months of whose file every page was looked at since the start."""

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[None]:
        """Make the folder if it is missing, and close every file at the end."""
        async with self._files.opened():
            yield

    async def recover(self, last_log_ids: Mapping[int, int]) -> int:
        """Find out what is not rolled up, from the newest log id that each day file knows.

        Gives the newest log id that any roll-up knows of.
        """
        progress = await asyncio.to_thread(self._all_progress)
        for day, last_log_id in last_log_ids.items():
            known = progress[day].last_log_id if day in progress else 0
            if last_log_id > known or day not in progress:
                self.stale.doubts[day] = known
        self._partial = {day for day, each in progress.items() if not each.is_whole}
        self._unsynced_months = await asyncio.to_thread(lambda: queries.left_unsynced(self._paths()))
        await asyncio.to_thread(self._name_what_was_set_aside, progress)
        return max((each.last_log_id for each in progress.values()), default=0)

    def sealed(self, chunks: Iterable[OpenChunk]) -> None:
        """Take note of chunks that are in their day file now and about to leave memory."""
        for chunk in chunks:
            self.stale.mark(chunk.device.key, hours_of(chunk.parts), chunk.first_log_id)

    async def is_complete(self, day: int) -> bool:
        """Whether the roll-ups of a day know all that is known of it, and are on disk."""
        month = months.month_of(day)
        if month in self._unsynced_months or not self.stale.is_clean(day):
            return False
        return day not in self._chunks.oldest_needed_by_day() and day in await asyncio.to_thread(self._progress, month)

    async def close_day(self, day: int) -> None:
        """Let the roll-ups of a day that is complete stay as they are for good: its readings are about to go.

        Waits for what is being rolled up, so it must not be called while readers are kept out. Raises `ChunkError`
        when there are none: the file may have been set aside as it was opened.
        """
        async with self._rolling:
            if not await self._write(day, queries.close_day, day):
                self.stale.doubts[day] = 0
                raise ChunkError(f"the roll-ups of {day_of(day * DAY_MS)} are gone, and are made again")
            await self._checkpoint(months.month_of(day))

    async def forget(self, devices: Collection[Device], is_stopping: Callable[[], bool]) -> None:
        """Erase whatever is there of devices, and compute anew what day files still give: each file once for all.

        Waits for what is being rolled up, so it must not be called while readers are kept out. Raises `StoppedError`.
        """
        async with self._rolling:
            for path in await asyncio.to_thread(self._paths):
                try:
                    for some in portions_of(sorted(devices), DEVICES_PER_TRANSACTION):
                        if is_stopping():
                            raise StoppedError
                        await self._write(months.first_day(path.stem), queries.delete_devices, some)
                    await self._checkpoint(path.stem)
                except DamagedRollUpsError:
                    await self._make_again(path.stem)
            for day in await asyncio.to_thread(self._days.numbers):
                if is_stopping():
                    raise StoppedError
                try:
                    there = (await asyncio.to_thread(self._days.last_log_ids, day)).keys() & devices
                except ChunkError as error:
                    self._days.note_damage(str(error))
                    continue
                for some in portions_of(sorted(there), DEVICES_PER_TRANSACTION):
                    if is_stopping():
                        raise StoppedError
                    await self._look_at(day, 0, some)

    async def roll_until(self, stop: asyncio.Event, interval_ms: int) -> None:
        """Compute what is due again and again."""

        def check() -> None:
            if stop.is_set():
                raise StoppedError

        trouble, is_due = "", False
        while not stop.is_set():
            try:
                # At once after the start: before they were looked at, files of roll-ups answer slowly.
                await self.check_files(stop.is_set)
                if is_due:
                    await self.roll(check)
            # What the disk does not give now, or no file descriptor is left for, it may give later.
            except (OSError, UnwritableError) as error:
                if not trouble:
                    log.error("rolling up failed, tried again later error=%s", error)  # noqa: TRY400  no traceback
                trouble = str(error)
            else:
                trouble = ""
            is_due = True
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), interval_ms / SECOND_MS)

    async def roll(self, check: Check = is_wanted) -> None:
        """Compute every roll-up that is due, or as many as there is time for until the check raises `StoppedError`."""
        async with self._rolling:
            try:
                for month in list(self._broken):
                    await self._make_again(month)
                with contextlib.suppress(StoppedError):
                    await self._roll_what_is_over(check)
                    for day in sorted(self.stale.doubts, reverse=True):
                        await self._settle(day, check)
                await self._note_progress()
                with contextlib.suppress(StoppedError):
                    await self._roll_days(check)
                for month in sorted(self._unsynced_months):
                    await self._checkpoint(month)
            except DamagedRollUpsError as error:
                log.error("roll-ups were damaged, made again error=%s", error)  # noqa: TRY400  no traceback
            except ChunkError as error:
                self._days.note_damage(str(error))

    async def check_files(self, is_stopping: Callable[[], bool]) -> None:
        """Look at every page of each file once: by a damaged one hours may be empty, and no reader would know."""
        for path in await asyncio.to_thread(self._paths):
            if path.stem in self._checked:
                continue
            try:
                if not await asyncio.to_thread(reading.require_whole, path, is_stopping):
                    return
            except DamagedRollUpsError:
                self.damaged(path.stem)
            except ChunkError as error:
                self._days.note_damage(str(error))
            self._checked.add(path.stem)

    def file(self, month: str) -> MonthFile:
        """The file of a month, to be read. Runs in a thread. Raises `ChunkError` when it cannot be used."""
        path = self.path(month)
        if month in self._broken:
            raise DamagedRollUpsError(f"{path.name} was damaged, and is soon made again")
        if month not in self._checked and path.exists() and path.stat().st_size <= CHECKED_AT_ONCE_BYTES:
            reading.require_whole(path, lambda: False)
            self._checked.add(month)
        return MonthFile(path, self._files.readers.reader, is_whole=month in self._checked)

    def damaged(self, month: str) -> None:
        """Take note that the file of a month cannot be used; it is made again."""
        self._broken.add(month)

    def note_lost(self, month: str, known: Container[int] = ()) -> bool:
        """Name the days of a month of which a damaged file of roll-ups may have held all there was; False when none.

        These are the days that are over, have no day file, and are not known otherwise. Runs in a thread.
        """
        there = set(self._days.numbers())
        over = range(months.first_day(month), min(months.end_day(month), self._clock() // DAY_MS))
        lost = [day for day in over if day not in there and day not in known]
        for day in lost:
            self._days.missing.note(day)
        return bool(lost)

    def path(self, month: str) -> Path:
        """Where the file of a month lies, whether or not it exists."""
        return self._files.path(months.file_name(month))

    async def _roll_what_is_over(self, check: Check) -> None:
        """Compute what is stale of hours that are over and of which memory holds nothing."""
        now = self._clock()
        for day in self.stale.days_over(now):
            for batch in await self._readers.run(self._batches, day, self.stale.over(day, now)):
                held = {device: self._chunks.hours(*device) for device in batch}
                free = {device: hours - held[device] for device, hours in batch.items() if hours - held[device]}
                check()
                if free:
                    await self._roll_batch(day, free)

    async def _roll_batch(self, day: int, wanted: Mapping[Device, Collection[int]]) -> None:
        taken = [DeviceHour(device, hour) for device, hours in wanted.items() for hour in hours]
        self.stale.begin(taken)
        try:
            rows = await self._readers.run_leisurely(self._computed, day, wanted)
            await self._write(day, queries.insert_hours, day, rows)
        except BaseException:
            self.stale.fail(taken)
            raise
        self.stale.finish(taken)
        self._changed.add(day)

    async def _settle(self, day: int, check: Check) -> None:
        """Look at the chunks of a day that is in doubt, and compute what they reach into."""
        known = self.stale.doubts[day]
        try:
            last_log_ids = await asyncio.to_thread(self._days.last_log_ids, day)
        except ChunkError as error:
            # It stays in doubt: what can be read of it answers.
            self._days.note_damage(str(error))
            return
        devices = [device for device, log_id in last_log_ids.items() if log_id > known]
        for some in portions_of(sorted(devices), DEVICES_PER_TRANSACTION):
            check()
            await self._look_at(day, known, some)
        del self.stale.doubts[day]
        self._changed.add(day)
        log.info("roll-ups brought up to date day=%s devices=%d", day_of(day * DAY_MS), len(devices))

    async def _look_at(self, day: int, known: int, devices: Sequence[Device]) -> None:
        """Compute what chunks that are newer than a log id reach into, as far as that is due."""
        open_from = self._clock() // HOUR_MS
        held = {device: self._chunks.hours(*device) for device in devices}
        found = await self._readers.run_leisurely(self._looked_at, day, known, held, open_from)
        await self._write(day, queries.insert_hours, day, [row for each in found for row in each.rows])
        for each in found:
            self.stale.mark(each.device, each.left, each.log_id)

    async def _note_progress(self) -> None:
        """Write down up to which log id the days that changed are rolled up."""
        in_memory = self._chunks.oldest_needed_by_day()
        for day in sorted(self._changed):
            needed = [in_memory.get(day), self._unsynced.get(day), self.stale.oldest_log_id(day)]
            known = min([log_id - 1 for log_id in needed if log_id is not None], default=self._chunks.last_log_id)
            if not await self._write(day, queries.update_progress, day, known):
                self._partial.add(day)
        self._changed.clear()

    async def _checkpoint(self, month: str) -> None:
        file = await self._files.writer(months.file_name(month))
        if await file.maintain(queries.checkpoint):
            self._unsynced_months.discard(month)

    async def _roll_days(self, check: Check) -> None:
        """Compute the roll-ups of days that are over."""
        now = self._clock()
        for day in sorted(self._partial):
            over_for = now - (day + 1) * DAY_MS
            if over_for < 0 or not (self.stale.is_clean(day) or over_for > PATIENCE_MS):
                continue
            number: int | None = 0
            while number is not None:
                check()
                number = await self._write(day, queries.insert_days, day, number, DEVICES_PER_TRANSACTION)
            self._partial.discard(day)

    async def _write(self, day: int, function: Callable[..., T], *arguments: object) -> T:
        month = months.month_of(day)
        self._unsynced_months.add(month)
        file = await self._files.writer(months.file_name(month))
        try:
            return await file.write(function, *arguments)
        except DamagedRollUpsError:
            self._broken.add(month)
            raise

    async def _make_again(self, month: str) -> None:
        """Put a file that cannot be used aside, and its days in doubt."""
        name = months.file_name(month)
        await self._files.set_aside(name)
        # What it said of days that were let go is in no other file.
        self._days.note_damage(
            f"{name} of roll-ups was damaged and set aside, and made again from the readings there are"
        )
        self._broken.discard(month)
        await asyncio.to_thread(self.note_lost, month)
        for day in await asyncio.to_thread(self._days.numbers):
            if months.month_of(day) == month:
                self.stale.doubts[day] = 0
        self._partial = {day for day in self._partial if months.month_of(day) != month}

    def _batches(self, check: Check, day: int, over: Mapping[int, Iterable[Device]]) -> list[dict[Device, set[int]]]:
        """The hours of devices, some devices at a time that lie side by side in the day. Runs in a thread."""
        hours = by_device(over, check)
        order = self._days.in_order(check, day, hours)
        starts = range(0, len(order), DEVICES_PER_TRANSACTION)
        return [{each: hours[each] for each in order[start : start + DEVICES_PER_TRANSACTION]} for start in starts]

    def _computed(self, check: Check, day: int, wanted: Mapping[Device, Collection[int]]) -> list[HourRow]:
        """The roll-ups of hours of some devices. Runs in a thread."""
        span = (min(map(min, wanted.values())) * HOUR_MS, (max(map(max, wanted.values())) + 1) * HOUR_MS)
        rows = []
        for device, parts, is_whole in self._days.glances(check, wanted, day, span):
            rows += computing.hour_rows(device, parts, wanted[device], is_certain=is_whole)
        return rows

    def _looked_at(
        self, check: Check, day: int, known: int, held: Mapping[Device, Collection[int]], open_from: int
    ) -> list[Found]:
        """The roll-ups of hours that chunks reach into which are newer than a log id. Runs in a thread."""
        looking, (start, end) = Looking(known, held, open_from), (day * DAY_MS, (day + 1) * DAY_MS)
        headers = self._days.headers(check, held, day, (start, end))
        return looking.found(headers, lambda due, first: self._days.glances(check, due, day, (first, end)))

    def _paths(self) -> list[Path]:
        """Every file of a month, the last month first."""
        return [path for path in self._files.paths(months.NAMES) if months.is_month(path.stem)]

    def _name_what_was_set_aside(self, known: Container[int]) -> None:
        """Name the files that were set aside before this start and for which days are missing. Runs in a thread."""
        for path in day_files.set_aside(self._files.folder):
            month = day_files.stem_of(path)
            if months.is_month(month) and self.note_lost(month, known):
                self._days.note_damage(f"{path.name} of roll-ups was damaged and set aside")

    def _all_progress(self) -> dict[int, Progress]:
        return {day: each for path in self._paths() for day, each in self._progress(path.stem).items()}

    def _progress(self, month: str) -> dict[int, Progress]:
        try:
            return {each.day: each for each in reading.read_progress(self.path(month))}
        except DamagedRollUpsError:
            self._broken.add(month)
        except ChunkError as error:
            self._days.note_damage(str(error))
        return {}
