"""The files of the cold tier: written beside their place, put on the disk, and noted in gateway.db.

The file comes first and what is known of it second, so a stop in between leaves a file that is looked at once more.
"""

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Sequence
from itertools import islice
from pathlib import Path

import msgspec

from appliance.instant import DAY_MS, Clock, day_of
from appliance.store.database import Database
from appliance.telemetry import chunk
from appliance.telemetry.cold import plan, queries
from appliance.telemetry.cold.model import Arrivals, ColdDay, ColdError, Erased, HinderedError
from appliance.telemetry.cold.plan import Device
from appliance.telemetry.cold.shelf import files
from appliance.telemetry.cold.shelf.arrivals import ArrivalBook
from appliance.telemetry.cold.worker.model import Describe, Export, Without, Written
from appliance.telemetry.cold.worker.service import Workers
from appliance.telemetry.keeping import sealed_day
from appliance.telemetry.rows import Rows

log = logging.getLogger(__name__)

LEARNT_AT_ONCE = 16
"""Of so many files that an earlier version wrote it is found out in one go when what is in them arrived."""


class Shelf:
    """The days of a data folder as Parquet. One task changes them; anybody may read."""

    def __init__(self, database: Database, folder: Path, workers: Workers, clock: Clock) -> None:
        self._database = database
        self._days = folder / "days"
        self.folder = folder / "cold"
        self._workers = workers
        self._clock = clock
        self._sources = files.Sources()
        self.known: dict[int, ColdDay] = {}
        self._arrivals = ArrivalBook(self.folder)
        self._unclear: set[str] = set()
        """The files of which nobody could tell when what is in them arrived."""
        self._checked: set[str] = set()
        """The files that were what they should be when they were first read."""
        self.is_elsewhere: Callable[[ColdDay], bool] = lambda _: False
        """Whether the file of a day, which is not here, is where it can be fetched from."""
        self.lend: Callable[[ColdDay], Awaitable[Path]] = _nowhere
        """Fetches such a file for a question; raises `ColdError`."""
        self.doubted: dict[int, str] = {}
        """The files that were found damaged by who read them, by their day: the checksum that they should have."""
        self.unseen: set[int] = set()
        """The days whose file is not the one that gateway.db knows: nothing is done with it before it is looked at."""

    async def load(self) -> None:
        """Take up what gateway.db and the disk know; of two that differ, the file is looked at soon.

        What is erased from now on gets numbers that no file names: gateway.db may be older than files, or new.
        """
        await asyncio.to_thread(files.remove_leftovers, self.folder)
        await asyncio.to_thread(self._arrivals.load)
        self.known = {each.day: each for each in await self._database.read(queries.select_days())}
        there = await asyncio.to_thread(files.days_in, self.folder)
        self.unseen = {day for day, size in there.items() if not _is_known(self.known.get(day), size)}
        named = await asyncio.to_thread(self._highest_erasure)
        if named:
            await self._database.write(queries.raise_erasures, named)
        await self.look_for_gone()

    async def adopt(self, day: int) -> None:
        """Take a file as it is, of which nothing was known, or something else. Raises `HinderedError`.

        One that cannot be read is left to whoever writes its day.
        """
        path = self.path(day)
        if await asyncio.to_thread(path.exists):
            known = self.known.get(day, ColdDay(day, ""))
            try:
                written = await self._workers.written(Describe(str(path)))
            except HinderedError:
                raise
            except ColdError as error:
                log.warning("file of a day cannot be read day=%s error=%s", day_of(day * DAY_MS), error)
            else:
                known = _with(known, written, source=written.source, erasure_number=written.erasure_number)
                await self.note(known)
                await self._note_arrivals(known, written)
        self.unseen.discard(day)

    async def look_for_gone(self) -> None:
        """See which files somebody removed: what they were made of may still be there."""
        there = await asyncio.to_thread(files.days_in, self.folder)
        for known in list(self.known.values()):
            if known.is_local and known.sha256 and known.day not in there:
                log.warning("file of a day is gone day=%s", day_of(known.day * DAY_MS))
                await self.note(msgspec.structs.replace(known, is_local=False, source=""))

    async def erased(self) -> Sequence[Erased]:
        """What was ever to be erased, as it stands now. Whoever acts on it stays with what this gave."""
        return await self._database.read(queries.select_erased())

    async def sources(self) -> dict[int, str]:
        """The sealed days, and what each is."""
        return await asyncio.to_thread(lambda: dict(self._sources.all(self._days)))

    def source(self, day: int) -> str | None:
        """What the sealed day is that is there now."""
        return self._sources.of(self._sealed(day))

    def surely_source(self, day: int) -> str | None:
        """The same, for who lets something go because there is none. Raises `OSError` when nobody can tell."""
        return self._sources.surely(self._sealed(day))

    def path(self, day: int) -> Path:
        """The file of a day."""
        return files.path_of(self.folder, day)

    async def needed_bytes(self, day: int) -> int:
        """The room that writing a day may take."""
        sealed = await asyncio.to_thread(self._sealed(day).stat)
        known = self.known.get(day)
        if known is None or not self._has_file(known):
            return plan.ROOM_SHARE * sealed.st_size
        # What is elsewhere comes here first.
        return plan.ROOM_SHARE * sealed.st_size + known.file_bytes * (1 if known.is_local else 2)

    async def note(self, known: ColdDay) -> None:
        """Write down what is known of a day."""
        await self._database.write(queries.put_day, known)
        self.known[known.day] = known

    async def forget(self, day: int) -> None:
        """Know nothing of a day any more."""
        await self._database.write(queries.delete_day, day)
        self.known.pop(day, None)

    async def export(self, day: int, source: str, erased: Sequence[Erased]) -> None:
        """Write a sealed day; what only its file has stays in it. Raises `ColdError`.

        `erased` was asked for after `source`, and all of it is done: then whatever the sealed day has is not to go.
        """
        known = self.known.get(day, ColdDay(day, ""))
        erasure_number = plan.newest_erasure(erased)
        path = self.path(day)
        target = await self._made_room(path)
        older = str(path) if await asyncio.to_thread(path.exists) else None
        is_doubted = older is not None and not await self.is_whole(known)
        left_out = tuple(sorted(plan.erased_since(known, erased)))
        request = Export(str(self._sealed(day)), older, left_out, str(target), source, erasure_number, is_doubted)
        written = await self._written(target, request)
        if written.lost_count and (known.extra_count or not known.sha256):
            aside = await asyncio.to_thread(files.set_aside, path, known.erasure_number)
            log.error("damaged file of a day set aside name=%s", aside.name)
        await self._settled(target, path, written)
        known = _with(known, written, source=source, erasure_number=erasure_number, exported_at=self._clock())
        await self.note(known)
        await self._note_arrivals(known, written)
        log.info(
            "day written as Parquet day=%s reading_count=%d file_bytes=%d damaged_chunks=%d",
            day_of(day * DAY_MS),
            written.reading_count,
            written.file_bytes,
            written.unreadable_count,
        )

    async def take_out(self, known: ColdDay, devices: Collection[Device], erasure_number: int) -> None:
        """Write the file of a day anew without some devices, among them all that are erased up to a number.

        Of a file that was damaged only what can be read stays. Raises `ColdError`.
        """
        path = self.path(known.day)
        if devices and known.sha256 and known.is_local:
            is_doubted = not await self.is_whole(known)
            target = await self._made_room(path)
            request = Without(str(path), tuple(sorted(devices)), str(target), erasure_number, is_doubted)
            written = await self._written(target, request)
            if not written.is_unchanged:
                await self._settled(target, path, written)
                # What was lost may be in the sealed day.
                known = _with(known, written, source="" if written.lost_count else known.source)
                await self._note_arrivals(known, written)
                log.info(
                    "devices taken out of a day of Parquet day=%s lost_parts=%d",
                    day_of(known.day * DAY_MS),
                    written.lost_count,
                )
        await self.note(msgspec.structs.replace(known, erasure_number=erasure_number))

    async def remove(self, known: ColdDay, *, is_for_good: bool = True) -> None:
        """Let the file of a day go; unless that is for good, it is written again when there is room."""
        await asyncio.to_thread(files.remove, self.path(known.day))
        self.unseen.discard(known.day)
        source = known.source if is_for_good else ""
        gone = self.known[known.day] = msgspec.structs.replace(known, is_local=False, source=source)
        log.info("file of a day removed day=%s freed_bytes=%d", day_of(known.day * DAY_MS), known.file_bytes)
        await self.note(gone)

    async def aside(self) -> list[files.Aside]:
        """What was set aside of any day."""
        return await asyncio.to_thread(files.aside, self.folder)

    async def remove_aside(self, aside: files.Aside) -> None:
        """Let go what was set aside."""
        await asyncio.to_thread(files.remove, aside.path)
        log.warning("damaged file of a day removed day=%s name=%s", day_of(aside.day * DAY_MS), aside.path.name)

    async def is_whole(self, known: ColdDay) -> bool:
        """Whether the file of a day is there and what was written."""
        try:
            return await asyncio.to_thread(files.sha256_of, self.path(known.day)) == known.sha256
        except FileNotFoundError:
            return False

    async def see_to_doubted(self) -> None:
        """Have the files that were found damaged written again, if they are still those."""
        doubted, self.doubted = self.doubted, {}
        for day, sha256 in doubted.items():
            known = self.known.get(day)
            if known and known.sha256 == sha256 and known.is_local and known.source:
                await self.note(msgspec.structs.replace(known, source=""))

    async def require_whole(self, known: ColdDay) -> None:
        """Raise `ColdError` when a file is not what was written; it is written again if it can be."""
        if not await self.is_whole(known) and self.known.get(known.day, known).sha256 == known.sha256:
            self.doubted[known.day] = known.sha256
            raise ColdError(f"{files.key_of(known.day)} was damaged: it does not match its checksum")

    def days(self, start: int, end: int) -> list[int]:
        """The days of a range that have a file, here or elsewhere."""
        there = self.unseen.union(day for day, known in self.known.items() if self._has_file(known))
        return [day for day in there if day * DAY_MS < end and (day + 1) * DAY_MS > start]

    def days_arrived(self, start: int, end: int) -> list[int]:
        """The days that have a file, here or elsewhere, in which something may have arrived in a span."""
        touched = (each.day for each in self.known.values() if self._arrivals.may_touch(each, start, end))
        return sorted(self.unseen.union(day for day in touched if self._has_file(self.known[day])))

    def is_out_of_sight(self, day: int) -> bool:
        """Whether nobody knows when what is in the file of a day arrived, and to find out it has to be fetched."""
        known = self.known.get(day)
        return known is not None and not known.is_local and not self._arrivals.is_known(known)

    async def learn_arrivals(self) -> None:
        """Find out of some files that are here when what is in them arrived. Raises `HinderedError`."""
        there = (each for each in self.known.values() if each.is_local and each.sha256 and each.day not in self.unseen)
        due = (each for each in there if not self._arrivals.is_known(each) and each.sha256 not in self._unclear)
        for known in list(islice(due, LEARNT_AT_ONCE)):
            try:
                written = await self._workers.written(Describe(str(self.path(known.day))))
            except HinderedError:
                raise
            except ColdError:
                # Whoever reads it names it.
                self._unclear.add(known.sha256)
            else:
                await self._note_arrivals(msgspec.structs.replace(known, sha256=written.sha256), written)
                if written.sha256 != known.sha256:
                    self._unclear.add(known.sha256)

    def is_needed(self, day: int) -> bool:
        """Whether the file of a day has, or had, something that its sealed day does not."""
        known = self.known.get(day)
        if day in self.unseen:
            return True
        return known is not None and bool(known.sha256) and not plan.is_current(self.source(day), known)

    async def parts(self, device: Device, day: int, span: tuple[int, int]) -> list[Rows]:
        """What the file of a day has of a device, if the sealed day has not all of it. Raises `ColdError`."""
        known = await self._needed(day)
        if known is None or device in plan.erased_since(known, await self.erased()):
            return []
        return await self._read(known, lambda path: self._workers.read(path, device, *span))

    async def arrived(self, day: int, asked: Arrivals) -> list[Rows]:
        """The same of many devices, by when it arrived. Raises `ColdError`."""
        known = await self._needed(day)
        if known is None:
            return []
        left_out = plan.erased_since(known, await self.erased())
        return await self._read(known, lambda path: self._workers.arrived(path, asked, left_out))

    async def _needed(self, day: int) -> ColdDay | None:
        """A day whose file is somewhere, if the sealed day has not all of it."""
        known = self.known.get(day)
        if known is None or not self._has_file(known):
            return None
        return None if plan.is_current(await asyncio.to_thread(self.source, day), known) else known

    async def _read(self, known: ColdDay, read: Callable[[str], Awaitable[list[bytes]]]) -> list[Rows]:
        """What is read of the file of a day. Raises `ColdError`."""
        path = self.path(known.day) if known.is_local else await self.lend(known)
        if known.is_local and known.sha256 not in self._checked:
            # The end of a file, where everything hangs, has no checksum of its own.
            await self.require_whole(known)
            self._checked.add(known.sha256)
        try:
            blobs = await read(str(path))
        except ColdError:
            # It may have been damaged since.
            self._checked.discard(known.sha256)
            raise
        return await asyncio.to_thread(lambda: list(map(chunk.decode, blobs)))

    def _has_file(self, known: ColdDay) -> bool:
        return bool(known.sha256) and (known.is_local or self.is_elsewhere(known))

    def _sealed(self, day: int) -> Path:
        return self._days / f"{day_of(day * DAY_MS)}{sealed_day.SUFFIX}"

    async def _note_arrivals(self, known: ColdDay, written: Written) -> None:
        self._arrivals.note(known, *written.arrivals)
        # On a full disk it is found out again after the next start.
        with contextlib.suppress(OSError):
            await asyncio.to_thread(self._arrivals.save, self.known)

    async def _made_room(self, path: Path) -> Path:
        try:
            return await asyncio.to_thread(files.made_room, path)
        except OSError as error:
            raise HinderedError(f"{path.parent} cannot be made: {error}") from error

    def _highest_erasure(self) -> int:
        """The newest erasing that a file names which is not the one that gateway.db knows, or one set aside."""
        named = [files.erasure_number_in(self.path(day)) for day in self.unseen]
        return max([*named, *(each.erasure_number for each in files.aside(self.folder))], default=0)

    async def _written(self, target: Path, request: Export | Without) -> Written:
        try:
            return await self._workers.written(request)
        except BaseException:
            await asyncio.to_thread(target.unlink, missing_ok=True)
            raise

    async def _settled(self, target: Path, path: Path, written: Written) -> None:
        """Let what was written take its place; without readings there is no file."""
        if written.reading_count:
            await asyncio.to_thread(sealed_day.settle, target, path)
        else:
            await asyncio.to_thread(files.remove, path)


async def _nowhere(known: ColdDay) -> Path:
    """Stand in while nobody fetches files."""
    raise ColdError(f"{files.key_of(known.day)} is not here")


def _is_known(known: ColdDay | None, size: int) -> bool:
    """Whether a file that is here, of so many bytes, may be the one that is known."""
    return known is not None and known.is_local and known.file_bytes == size


def _with(known: ColdDay, written: Written, **changes: object) -> ColdDay:
    told = {
        "reading_count": written.reading_count,
        "file_bytes": written.file_bytes,
        "sha256": written.sha256,
        "extra_count": written.extra_count,
        "is_local": True,
    }
    return msgspec.structs.replace(known, **(told | changes))
