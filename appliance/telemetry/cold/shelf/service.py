"""The files of the cold tier: written beside their place, put on the disk, and noted in gateway.db.

The file comes first and what is known of it second, so a stop in between leaves a file that is looked at once more.
"""

import asyncio
import logging
from collections.abc import Collection, Sequence
from pathlib import Path

import msgspec

from appliance.instant import DAY_MS, Clock, day_of
from appliance.store.database import Database
from appliance.telemetry import chunk
from appliance.telemetry.cold import plan, queries
from appliance.telemetry.cold.model import ColdDay, ColdError, Erased
from appliance.telemetry.cold.plan import Device
from appliance.telemetry.cold.shelf import files
from appliance.telemetry.cold.worker.model import Describe, Export, Without, Written
from appliance.telemetry.cold.worker.service import Workers
from appliance.telemetry.keeping import sealed_day
from appliance.telemetry.rows import Rows

log = logging.getLogger(__name__)


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
        self.erased: Sequence[Erased] = ()
        self._checked: set[str] = set()
        """The files that were what they should be when they were first read."""

    async def load(self) -> None:
        """Take up what gateway.db and the disk know; of two that differ, the file is looked at again."""
        await asyncio.to_thread(files.remove_leftovers, self.folder)
        self.known = {each.day: each for each in await self._database.read(queries.select_days())}
        await self.look_at_erased()
        there = await asyncio.to_thread(files.days_in, self.folder)
        for day, size in there.items():
            known = self.known.get(day)
            if known is None or not known.is_local or known.file_bytes != size:
                await self._adopt(day)
        for known in list(self.known.values()):
            if known.is_local and known.sha256 and known.day not in there:
                # Somebody removed it: what it was made of may still be there.
                await self.note(msgspec.structs.replace(known, is_local=False, source=""))

    async def look_at_erased(self) -> None:
        """See what is to be erased."""
        self.erased = await self._database.read(queries.select_erased())

    async def sources(self) -> dict[int, str]:
        """The sealed days, and what each is."""
        return await asyncio.to_thread(lambda: dict(self._sources.all(self._days)))

    def source(self, day: int) -> str | None:
        """What the sealed day is that is there now."""
        return self._sources.of(self._days / f"{day_of(day * DAY_MS)}{sealed_day.SUFFIX}")

    def path(self, day: int) -> Path:
        """The file of a day."""
        return files.path_of(self.folder, day)

    async def note(self, known: ColdDay) -> None:
        """Write down what is known of a day."""
        await self._database.write(queries.put_day, known)
        self.known[known.day] = known

    async def forget(self, day: int) -> None:
        """Know nothing of a day any more."""
        await self._database.write(queries.delete_day, day)
        self.known.pop(day, None)

    async def export(self, day: int, source: str) -> None:
        """Write a sealed day; what only its file has stays in it. Raises `ColdError`."""
        known = self.known.get(day, ColdDay(day, ""))
        erasure_number = self._newest_erasure()
        path = self.path(day)
        target = await asyncio.to_thread(files.made_room, path)
        sealed = self._days / f"{day_of(day * DAY_MS)}{sealed_day.SUFFIX}"
        older = str(path) if await asyncio.to_thread(path.exists) else None
        left_out = tuple(sorted(plan.erased_since(known, self.erased)))
        request = Export(str(sealed), older, left_out, str(target), source, erasure_number)
        written = await self._written(target, request)
        await self._settled(target, path, written)
        await self.note(_with(known, written, source=source, erasure_number=erasure_number, exported_at=self._clock()))
        log.info(
            "day written as Parquet day=%s reading_count=%d file_bytes=%d damaged_chunks=%d",
            day_of(day * DAY_MS),
            written.reading_count,
            written.file_bytes,
            written.unreadable_count,
        )

    async def take_out(self, known: ColdDay, devices: Collection[Device]) -> None:
        """Write the file of a day anew without some devices. Raises `ColdError`."""
        erasure_number = self._newest_erasure()
        path = self.path(known.day)
        if devices and known.sha256:
            target = await asyncio.to_thread(files.made_room, path)
            request = Without(str(path), tuple(sorted(devices)), str(target), erasure_number)
            written = await self._written(target, request)
            if not written.is_unchanged:
                await self._settled(target, path, written)
                known = _with(known, written, source=known.source)
                log.info("devices taken out of a day of Parquet day=%s", day_of(known.day * DAY_MS))
        await self.note(msgspec.structs.replace(known, erasure_number=erasure_number))

    async def remove(self, known: ColdDay) -> None:
        """Let the file of a day go; what it was made of is known on."""
        await asyncio.to_thread(files.remove, self.path(known.day))
        gone = self.known[known.day] = msgspec.structs.replace(known, is_local=False)
        log.info("file of a day removed day=%s freed_bytes=%d", day_of(known.day * DAY_MS), known.file_bytes)
        await self.note(gone)

    async def require_whole(self, known: ColdDay) -> None:
        """Raise `ColdError` when a file is not what was written; it is written again if it can be."""
        found = await asyncio.to_thread(files.sha256_of, self.path(known.day))
        if found != known.sha256:
            await self.note(msgspec.structs.replace(known, source=""))
            raise ColdError(f"{files.key_of(known.day)} was damaged: it does not match its checksum")

    def days(self, start: int, end: int) -> list[int]:
        """The days of a range that have a file."""
        return [
            day
            for day, known in self.known.items()
            if known.is_local and known.sha256 and day * DAY_MS < end and (day + 1) * DAY_MS > start
        ]

    async def parts(self, device: Device, day: int, span: tuple[int, int]) -> list[Rows]:
        """What the file of a day has of a device, if the sealed day has not all of it. Raises `ColdError`."""
        known = self.known.get(day)
        if known is None or not known.is_local or not known.sha256:
            return []
        if plan.is_current(await asyncio.to_thread(self.source, day), known):
            return []
        await self.look_at_erased()
        if device in plan.erased_since(known, self.erased):
            return []
        if known.sha256 not in self._checked:
            # The end of a file, where everything hangs, has no checksum of its own.
            await self.require_whole(known)
            self._checked.add(known.sha256)
        blobs = await self._workers.read(str(self.path(day)), device, *span)
        return await asyncio.to_thread(lambda: list(map(chunk.decode, blobs)))

    async def _adopt(self, day: int) -> None:
        """Take a file as it is, of which nothing is known, or something else."""
        known = self.known.get(day, ColdDay(day, ""))
        try:
            written = await self._workers.written(Describe(str(self.path(day))))
        except ColdError as error:
            log.warning("file of a day cannot be read day=%s error=%s", day_of(day * DAY_MS), error)
            return
        await self.note(_with(known, written, source=written.source, erasure_number=written.erasure_number))

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

    def _newest_erasure(self) -> int:
        return max((each.erasure_number for each in self.erased), default=0)


def _with(known: ColdDay, written: Written, **changes: object) -> ColdDay:
    told = {
        "reading_count": written.reading_count,
        "file_bytes": written.file_bytes,
        "sha256": written.sha256,
        "extra_count": written.extra_count,
        "is_local": True,
    }
    return msgspec.structs.replace(known, **(told | changes))
