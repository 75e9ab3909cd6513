"""Days at work: written anew beside themselves, wiped, unlinked, and saved when a part of them was damaged.

One day at a time, in a thread that takes no more than half of a processor, but for the time in which SQLite looks at
every page of an open part. What was written takes its place when it is whole and on the disk, so a power cut leaves the
day before or the day after.
"""

import asyncio
import contextlib
import errno
import logging
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from io import FileIO
from itertools import chain
from pathlib import Path
from typing import NamedTuple

from appliance.config import TelemetryConfig
from appliance.instant import DAY_MS, day_of
from appliance.store.database import UnwritableError
from appliance.telemetry import queries as telemetry_queries
from appliance.telemetry.keeping import files, sealed_day, wiping
from appliance.telemetry.keeping import queries as keeping_queries
from appliance.telemetry.keeping.model import CrowdedError, DamagedOpenDayError, StoppedError
from appliance.telemetry.keeping.resealing import LeftOut, Parts, kept_devices
from appliance.telemetry.keeping.room.reserve import MEGABYTE, low_bytes
from appliance.telemetry.keeping.sealed_day import SealedDay
from appliance.telemetry.keeping.writing import queries
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.service import Telemetry

log = logging.getLogger(__name__)

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
_NAP_S = 0.1
"""So long nobody looks at whether the gateway stops."""


class _Saved(NamedTuple):
    """What could be read of a damaged day."""

    unfinished: Path | None
    damaged: list[Path]
    chunk_count: int


class _Trouble(NamedTuple):
    """What is wrong with the open part of a day; empty when nothing is."""

    told: str
    is_damage: bool
    """Whether that is what lies on the disk; else it may be read the next time."""


class Writing:
    """The files of the days of a telemetry that is open."""

    def __init__(self, telemetry: Telemetry, config: TelemetryConfig) -> None:
        self._telemetry = telemetry
        self._low_bytes = low_bytes(config.reserve_mb * MEGABYTE)
        self.lock = asyncio.Lock()
        """Whoever writes a day has it."""
        self.is_stopping = False
        self.checked: set[int] = set()
        """Days of which every page was looked at since they were written."""
        self._damaged: dict[int, str] = {}
        """Days whose open part was found damaged by looking, and what is wrong with it; until they are written anew."""
        self._closed: set[int] = set()
        """Those of them that take nothing because of that. One into which nothing could be written is none of these."""

    async def write_anew(self, day: int, left_out: LeftOut) -> None:
        """Seal what there is of a day, without what is left out or being erased.

        Raises `UnwritableError` when there is no room, `CrowdedError` when too much came for it meanwhile,
        `ChunkError` when what is there cannot be read.
        """
        async with self.lock, self._telemetry.held(day) as days:
            path = days.path(day)
            unfinished = await asyncio.to_thread(self._written, path, day, {**days.erased, **left_out})
            async with self._telemetry.readers_kept_out():
                await asyncio.to_thread(files.settle, path, unfinished)
            self._forget(day)
        log.info("day sealed day=%s", day_of(day * DAY_MS))

    async def write_sealed(self, day: int, left_out: LeftOut) -> None:
        """Write the sealed part of a day anew without what is left out. Whatever comes for the day is taken meanwhile.

        Raises as `write_anew` does.
        """
        async with self.lock:
            path = self._telemetry.day_files.path(day)
            unfinished = await asyncio.to_thread(self._sealed_written, path, day, left_out)
            async with self._telemetry.readers_kept_out():
                await asyncio.to_thread(files.settle_sealed, path, unfinished)
            self.checked.discard(day)
        log.info("sealed day written anew day=%s", day_of(day * DAY_MS))

    async def wipe(self, day: int) -> None:
        """Overwrite what is left in the open part of a day of rows that are gone; remove it when it has none.

        Raises `UnwritableError` while somebody else reads the file, `ChunkError` when it was damaged.
        """
        async with self.lock, self._telemetry.held(day) as days:
            path = days.path(day)
            if not await asyncio.to_thread(_has_devices, path):
                async with self._telemetry.readers_kept_out():
                    await asyncio.to_thread(files.remove_open_day, path)
                return
            file = await asyncio.to_thread(path.open, "r+b", 0)
            try:
                await asyncio.to_thread(self._wiped, file, path)
            finally:
                # To close the file lets go of every lock that the process has on it, those of readers too.
                async with self._telemetry.readers_kept_out():
                    file.close()

    async def save(self, day: int, left_out: LeftOut) -> None:
        """Seal what can still be read of a day, and keep the parts of it that were damaged under other names.

        What waited for the day in memory goes into a new open part afterwards. Raises `UnwritableError` when there is
        no room.
        """
        async with self.lock, self._telemetry.held_to_save(day) as days:
            path = days.path(day)
            saved = await asyncio.to_thread(self._saved, path, day, {**days.erased, **left_out})
            async with self._telemetry.readers_kept_out():
                aside = await asyncio.to_thread(files.settle_saved, path, saved.unfinished, saved.damaged)
            self._forget(day)
            for part, name in zip(saved.damaged, aside, strict=True):
                days.note_damage(
                    f"{part.name} was damaged: what can be read was saved, the file is kept as {name.name}", day
                )
        log.warning("damaged day saved day=%s chunks_of_open_part=%d", day_of(day * DAY_MS), saved.chunk_count)

    async def unlink(self, day: int) -> int:
        """Unlink a day with what was set aside of it, and give how many bytes that freed."""
        async with self.lock, self._telemetry.held(day, is_kept=False) as days:
            self._forget(day)
            async with self._telemetry.readers_kept_out():
                return await asyncio.to_thread(files.drop, days.path(day))

    async def check(self, day: int) -> None:
        """Check every page of a day, both parts of it, and name what is damaged."""
        days = self._telemetry.day_files
        trouble, damages = await asyncio.to_thread(self._damages, days.path(day))
        if trouble.is_damage:
            self._damaged[day] = trouble.told
        for damage in damages:
            days.note_damage(damage, day)
        self.checked.add(day)
        await self.close_damaged()

    def require_undamaged(self, day: int) -> None:
        """Raise `DamagedOpenDayError` when the open part of a day was found damaged by looking."""
        if day in self._damaged:
            raise DamagedOpenDayError(self._damaged[day])

    async def close_damaged(self) -> list[UnwritableError]:
        """Have damaged open parts take no more where there is room to save them: what comes might not be found there.

        Without room nobody knows how long it would wait in memory: then it is written where it can be. Gives what
        tells of each such day.
        """
        unwritable = self._telemetry.unwritable
        paths = {day: self._telemetry.day_files.path(day) for day in self._damaged}
        without_room = await asyncio.to_thread(self._without_room, paths)
        # A day may have been written anew, or have gone, meanwhile.
        for day in self._damaged.keys() & paths.keys():
            if day in without_room and day in self._closed:
                self._closed.discard(day)
                unwritable.pop(day, None)
            elif day not in without_room and day not in unwritable:
                self._closed.add(day)
                unwritable[day] = self._damaged[day]
        return [without_room[day] for day in without_room.keys() & self._damaged.keys()]

    def _forget(self, day: int) -> None:
        """Know nothing any more of the pages of a day: other ones take their place."""
        self.checked.discard(day)
        self._damaged.pop(day, None)
        self._closed.discard(day)

    def _written(self, path: Path, day: int, left_out: LeftOut) -> Path | None:
        """The day written beside itself; None when nothing of it is left. Runs in a thread."""
        self._require_room(path)
        target = sealed_day.sealed_path(path)
        with keeping_queries.opened_day(path) as part, sealed_day.opened_if_there(target) as sealed:
            if part:
                part.require_whole(path.name, lambda: self.is_stopping, partial(self._breather, None))
            taken = part.identity if part else sealed.taken if sealed else 0
            return self._written_of(path, day, Parts(part, sealed), left_out, taken)

    def _sealed_written(self, path: Path, day: int, left_out: LeftOut) -> Path | None:
        """The same of the sealed part alone."""
        self._require_room(path)
        with sealed_day.opened_if_there(sealed_day.sealed_path(path)) as sealed:
            return self._written_of(path, day, Parts(None, sealed), left_out, sealed.taken if sealed else 0)

    def _saved(self, path: Path, day: int, left_out: LeftOut) -> _Saved:
        """The same of what can be read of a day."""
        self._require_room(path)
        # Not given up because memory is crowded: nothing else would let go of what waits there for this day.
        breathe = self._breather(path, is_patient=True)
        target = sealed_day.sealed_path(path)
        damaged = [target] if target.exists() and not _is_readable(target) else []
        with contextlib.ExitStack() as stack:
            sealed: SealedDay | None = None
            with contextlib.suppress(ChunkError):
                sealed = stack.enter_context(sealed_day.opened_if_there(target))
            part = stack.enter_context(queries.saved_day(path, breathe)) if path.exists() else None
            damaged += [path] if part and (day in self._telemetry.unwritable or not self._is_whole(path)) else []
            taken = part.identity if part else sealed.taken if sealed else 0
            unfinished = self._written_of(path, day, Parts(part, sealed, is_damaged=True), left_out, taken)
            return _Saved(unfinished, damaged, part.chunk_count if part else 0)

    def _written_of(self, path: Path, day: int, parts: Parts, left_out: LeftOut, taken: int) -> Path | None:
        breathe = self._breather(path, is_patient=parts.is_damaged)
        devices = kept_devices(parts, left_out, breathe)
        first = next(devices, None)
        if first is None:
            return None
        try:
            written = sealed_day.write(sealed_day.sealed_path(path), day, taken, chain([first], devices))
            return sealed_day.require_whole(written, breathe)
        except OSError as error:
            if error.errno not in _NO_ROOM:
                raise
            raise UnwritableError(f"{path.stem} cannot be sealed: {error.strerror}") from error

    def _wiped(self, file: FileIO, path: Path) -> None:
        with keeping_queries.opened_day(path) as part:
            roots = part.root_pages() if part else ()
        wiping.wipe(file, roots, self._breather(None))

    def _damages(self, path: Path) -> tuple["_Trouble", list[str]]:
        """What is wrong with the open part of a day, and all that is damaged of the day, in words. Runs in a thread."""
        # A damaged page of the open part may say that there is nothing, and no reader would know.
        trouble = self._trouble_of(path)
        told = [trouble.told] if trouble.told else []
        target = sealed_day.sealed_path(path)
        try:
            with sealed_day.opened_if_there(target) as sealed:
                found = sealed.damages(self._breather(None)) if sealed else []
                return trouble, told + [damage.told(target.name) for damage in found]
        except ChunkError as error:
            return trouble, [*told, str(error)]

    def _is_whole(self, path: Path) -> bool:
        return not self._trouble_of(path).told

    def _trouble_of(self, path: Path) -> "_Trouble":
        """What is wrong with the open part of a day; nothing when it is whole, or when there is none."""
        try:
            with keeping_queries.opened_day(path) as part:
                if part:
                    part.require_whole(path.name, lambda: self.is_stopping, partial(self._breather, None))
        except ChunkError as error:
            cause = error.__cause__
            return _Trouble(str(error), is_damage=cause is None or telemetry_queries.is_damage(cause))
        return _Trouble("", is_damage=False)

    def _require_room(self, path: Path) -> None:
        """Raise `UnwritableError` when the day might not find room beside itself. It never takes more than before."""
        needed, free = files.length(path), files.free_bytes(path.parent)
        if free - needed < self._low_bytes:
            told = f"that may take {needed // MEGABYTE + 1} MB, and {free // MEGABYTE} MB are free"
            raise UnwritableError(f"{path.stem} is not sealed: {told}")

    def _without_room(self, paths: Mapping[int, Path]) -> dict[int, UnwritableError]:
        """What tells of each day that might not find room beside itself. Runs in a thread."""
        found = {}
        for day, path in paths.items():
            try:
                self._require_room(path)
            except UnwritableError as error:
                found[day] = error
        return found

    def _breather(self, path: Path | None, *, is_patient: bool = False) -> Callable[[], None]:
        """Sleeps as long as was worked since it was called last, and raises when the work is to be broken off.

        With the day that is being written: also when the disk gets full and, unless one is patient, memory by what
        comes for that day.
        """
        last = time.perf_counter()

        def breathe() -> None:
            nonlocal last
            self._require_not_stopping()
            if path is not None:
                self._require_that_it_may_go_on(path, is_patient=is_patient)
            self._sleep(time.perf_counter() - last)
            last = time.perf_counter()

        return breathe

    def _sleep(self, seconds: float) -> None:
        """Sleep, unless the gateway stops. Raises `StoppedError`."""
        end = time.perf_counter() + seconds
        while (left_s := end - time.perf_counter()) > 0:
            time.sleep(min(left_s, _NAP_S))
            self._require_not_stopping()

    def _require_not_stopping(self) -> None:
        if self.is_stopping:
            raise StoppedError

    def _require_that_it_may_go_on(self, path: Path, *, is_patient: bool) -> None:
        if files.free_bytes(path.parent) < self._low_bytes:
            raise UnwritableError(f"{path.stem} is not sealed: the disk got full meanwhile")
        if self._telemetry.is_crowded and not is_patient:
            raise CrowdedError(f"{path.stem} is sealed another night: too much came for it meanwhile")


@contextlib.contextmanager
def noted(troubles: list[Exception]) -> Iterator[None]:
    """Take note of what keeps one day from being worked on: others are gone on with."""
    try:
        yield
    except (UnwritableError, CrowdedError, ChunkError, OSError) as error:
        troubles.append(error)


def require_none(troubles: list[Exception]) -> None:
    """Raise what tells of every trouble: `UnwritableError` when any of it may pass, else `ChunkError`."""
    if not troubles:
        return
    told = "; ".join(dict.fromkeys(map(str, troubles)))
    if any(isinstance(each, UnwritableError | OSError) for each in troubles):
        raise UnwritableError(told) from troubles[0]
    raise ChunkError(told) from troubles[0]


def _has_devices(path: Path) -> bool:
    with keeping_queries.opened_day(path) as part:
        return part is not None and bool(part.devices())


def _is_readable(path: Path) -> bool:
    """Whether every entry of a sealed day can be read."""
    try:
        with sealed_day.opened(path) as sealed:
            return all(True for _ in sealed.entries())
    except ChunkError:
        return False
