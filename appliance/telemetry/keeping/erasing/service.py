"""Devices on their way out: of the log, of every day, of what was set aside, and of what was computed of them.

Rules:
- What was taken before is committed first: what gets its log id later is kept.
- A row in gateway.db is the promise. From then on nothing of a device is shown, and every start goes on.
- Each step may be done again: after a death it is.
- No day waits for it: what other devices send goes into its file meanwhile, but for the moment in which it is wiped.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path

from appliance.audit.model import Entry
from appliance.audit.service import Audit
from appliance.instant import Clock
from appliance.portions import portions_of
from appliance.registry.model import DEFAULT_TENANT
from appliance.store.database import Database, UnwritableError
from appliance.telemetry import log_record
from appliance.telemetry.keeping import erased_list, files, sealed_day
from appliance.telemetry.keeping import queries as keeping_queries
from appliance.telemetry.keeping.erasing import queries, record
from appliance.telemetry.keeping.model import Erasure, Listed
from appliance.telemetry.keeping.resealing import LeftOut
from appliance.telemetry.keeping.writing.service import Writing, noted, require_none
from appliance.telemetry.packing import ChunkError
from appliance.telemetry.service import Telemetry

log = logging.getLogger(__name__)

DEVICES_PER_TRANSACTION = 64

_LOG_ROWS_AT_ONCE = 64

SETTLE_TIMEOUT_S = 10.0
"""How long is waited for what was taken before; a disk that is slow takes less, one that is full may take for ever."""

Elsewhere = Callable[[Sequence[Erasure], Callable[[], bool]], Awaitable[None]]
"""Erases the same again, and raises `StoppedError` once it is told that the gateway stops."""


class Erasing:
    """The erasing of devices from a telemetry that is open."""

    def __init__(self, database: Database, telemetry: Telemetry, writing: Writing, clock: Clock) -> None:
        self._database = database
        self._telemetry = telemetry
        self._writing = writing
        self._clock = clock
        self._audit = Audit(database, clock)
        self.pending: tuple[Erasure, ...] = ()
        """What is being erased."""
        self.settled: Callable[[], Awaitable[None]] = _all_is_settled
        """Returns once everything that was taken from devices so far is committed and in memory."""
        self.settle_timeout_s = SETTLE_TIMEOUT_S
        self.elsewhere: tuple[Elsewhere, ...] = ()
        """Each erases the same where telemetry does not look."""

    async def resume(self) -> None:
        """Take up what was asked for before the start, and ask again for what came back out of a backup."""
        self.pending = tuple(await self._database.read(keeping_queries.select_erasures()))
        try:
            await self.ask_again()
        except UnwritableError as error:
            log.warning("what was erased before is here again, its erasing waits for the disk error=%s", error)

    async def ask_again(self) -> None:
        """Ask for what was erased once and came back out of a backup, of which nothing is shown meanwhile.

        Raises `UnwritableError`: what could not be written down is asked for the next time.
        """
        days = self._telemetry.day_files
        for tenant_id in {each.tenant_id for each in days.erased_before}:
            back = [each for each in days.erased_before if each.tenant_id == tenant_id]
            again = await self._audit.told(tenant_id, record.asked_again, keeping_queries.insert_again, tenant_id, back)
            days.erased_before = tuple(each for each in days.erased_before if each.tenant_id != tenant_id)
            self.pending += tuple(again)
            if again:
                log.warning("what was erased before is here again and erased again devices=%d", len(again))

    async def ask(self, tenant_id: int, device_ids: Sequence[str], search: str) -> None:
        """Let nobody see what was received of these devices up to now; when this returns, it is written down.

        `search` found them; empty when each was named. Raises `UnwritableError` while what was received last cannot be
        committed: then nothing is erased.
        """
        await self._settle()

        async def told() -> Sequence[Erasure]:
            now = self._clock()
            entries = record.asked(device_ids, search, now)
            return await self._audit.recorded(
                tenant_id, entries, keeping_queries.insert_erasures, tenant_id, device_ids, now
            )

        asked = tuple(await self._telemetry.forget(told))
        self.pending += asked
        # Where the disk has no room for it, it is tried again before anything counts as erased.
        with contextlib.suppress(OSError):
            await self._list(asked)

    async def steps(self) -> AsyncGenerator[None, None]:
        """Erase what is to be erased, step by step. What cannot be done keeps nothing else from it.

        Raises `UnwritableError` or `ChunkError` at the end, which tells of each trouble; all of it is pending then.
        """
        pending, troubles = self.pending, list[Exception]()
        if not pending:
            return
        with noted(troubles):
            await self._list(pending)
        # Of one device more than one may be pending, and the one that was written down last need not reach furthest.
        by_reach = sorted(pending, key=lambda each: each.through_log_id)
        left_out = {(each.tenant_id, each.device_id): each.through_log_id for each in by_reach}
        for erase in self.elsewhere:
            with noted(troubles):
                await erase(pending, lambda: self._writing.is_stopping)
            yield
        # After those who share the file of the log: of what they gave back, nothing is left either.
        with noted(troubles):
            await self._erase_log(left_out)
        yield
        for day in self._telemetry.day_files.numbers():
            with noted(troubles):
                await self._erase_open(day, left_out)
            yield
            with noted(troubles):
                await self._erase_sealed(day, left_out)
            yield
        with noted(troubles):
            await self._telemetry.rollups.forget(left_out.keys(), lambda: self._writing.is_stopping)
        yield
        # After all that may find a file damaged, and set it aside.
        with noted(troubles):
            await self._remove_set_aside(left_out)
        yield
        require_none(troubles)
        await self._finish(pending)

    async def _list(self, erasures: Sequence[Erasure]) -> None:
        """Have the list beside the day files say this: it outlives gateway.db, and what is put back from a backup."""
        folder = self._path(0).parent
        listed = await asyncio.to_thread(erased_list.read, folder)
        asked = [Listed(each.tenant_id, each.device_id, each.through_log_id, each.asked_at) for each in erasures]
        if missing := erased_list.beyond(erased_list.newest(asked), listed.reach):
            await asyncio.to_thread(erased_list.append, folder, missing)

    async def _settle(self) -> None:
        try:
            async with asyncio.timeout(self.settle_timeout_s):
                await self.settled()
        except TimeoutError as error:
            told = "what was received last does not get to the disk, so nothing is erased yet: ask for it again later"
            raise UnwritableError(told) from error

    async def _finish(self, pending: Sequence[Erasure]) -> None:
        for tenant_id in sorted({each.tenant_id for each in pending}):
            waiting = [each for each in pending if each.tenant_id == tenant_id]
            for some in portions_of(waiting, DEVICES_PER_TRANSACTION):
                done = keeping_queries.update_erasures_done
                await self._audit.recorded(tenant_id, record.erased(some), done, some, self._clock())
        for each in pending:
            log.info("readings erased device_id=%s", each.device_id)
        await self._database.maintain(keeping_queries.checkpoint)
        self.pending = self.pending[len(pending) :]
        erased = self._telemetry.day_files.erased
        # Whoever reads what a file held before must still be kept from showing it.
        async with self._telemetry.readers_kept_out():
            for each in pending:
                if erased.get((each.tenant_id, each.device_id)) == each.through_log_id:
                    del erased[each.tenant_id, each.device_id]

    async def _erase_log(self, left_out: LeftOut) -> None:
        """Take the reports of devices out of the log, each up to its log id."""
        for tenant_id in {tenant_id for tenant_id, _ in left_out}:
            through_of = {
                device_id: through for (tenant, device_id), through in left_out.items() if tenant == tenant_id
            }
            after, last = 0, max(through_of.values())
            wanted = keeping_queries.select_log_of
            while rows := await self._database.read(wanted(tenant_id, after, last, _LOG_ROWS_AT_ONCE)):
                changed = await asyncio.to_thread(_log_without, tenant_id, rows, through_of)
                if changed:
                    await self._database.write(keeping_queries.update_log, tenant_id, changed)
                after = rows[-1][0]
        await self._wipe_free_pages()

    async def _wipe_free_pages(self) -> None:
        """Leave nothing of the log in pages that it gave back before; others write in between."""
        [free] = await self._database.read(keeping_queries.select_free_pages())
        try:
            for _ in range(0, free, keeping_queries.ZERO_PAGES_AT_ONCE):
                await self._database.write(keeping_queries.insert_zeros, DEFAULT_TENANT)
        finally:
            while await self._database.write(keeping_queries.delete_some_zeros, DEFAULT_TENANT):
                pass

    async def _erase_open(self, day: int, left_out: LeftOut) -> None:
        """Delete devices from the open part of a day, and leave nothing of them between its rows."""
        if not await asyncio.to_thread(self._path(day).exists):
            return
        try:
            # What is missing there may be what names a device: of such a file nobody can say that it has nothing of it.
            self._writing.require_undamaged(day)
            for some in portions_of(left_out.items(), DEVICES_PER_TRANSACTION):
                await self._telemetry.changed(day, queries.delete_devices, dict(some))
            await self._writing.wipe(day)
        except ChunkError as error:
            log.warning("open day cannot be changed, saved instead day=%d error=%s", day, error)
            await self._writing.save(day, left_out)

    async def _erase_sealed(self, day: int, left_out: LeftOut) -> None:
        """Write the sealed part of a day anew without devices, if it has any of them."""
        try:
            if await asyncio.to_thread(_holds, sealed_day.sealed_path(self._path(day)), left_out):
                await self._writing.write_sealed(day, left_out)
        except ChunkError as error:
            log.warning("sealed day cannot be read, saved instead day=%d error=%s", day, error)
            await self._writing.save(day, left_out)

    async def _remove_set_aside(self, left_out: LeftOut) -> None:
        """Remove the damaged files that may hold any of the devices: from such a file nothing can be taken out."""
        rollups = self._telemetry.rollups.path("").parent
        aside = await asyncio.to_thread(_aside_with, self._path(0).parent, rollups, left_out)
        for path in aside:
            for tenant_id in {tenant_id for tenant_id, _ in left_out}:
                # Before it goes: afterwards nobody could tell any more.
                await self._audit.record(tenant_id, Entry("telemetry.remove_damaged", path.name))
            await asyncio.to_thread(files.remove_set_aside, path)
            log.warning("damaged file removed, it may have held what was erased name=%s", path.name)

    def _path(self, day: int) -> Path:
        return self._telemetry.day_files.path(day)


async def _all_is_settled() -> None:
    """Stand in while nobody takes anything from devices."""


def _aside_with(days: Path, rollups: Path, left_out: LeftOut) -> list[Path]:
    """What was set aside and may hold any of the devices. Roll-ups were computed again, theirs is not asked for."""
    return [path for path in files.set_aside(days) if queries.may_hold(path, left_out)] + files.set_aside(rollups)


def _holds(path: Path, left_out: LeftOut) -> bool:
    """Whether a sealed day has anything of what is to be left out. Raises `ChunkError` when that cannot be told."""
    with sealed_day.opened_if_there(path) as sealed:
        entries = [sealed.find(*key) for key in left_out] if sealed else []
        return any(entry is not None for entry in entries)


def _log_without(
    tenant_id: int, rows: Sequence[tuple[int, bytes]], through_of: Mapping[str, int]
) -> list[tuple[int, int, bytes]]:
    """The log records that change when devices are taken out of them, as they are to be."""
    changed = []
    for log_id, content in rows:
        try:
            reports = log_record.decode(content, tenant_id)
        except ChunkError:
            # Nobody can read it, and what it is has been told at the start.
            continue
        kept = [report for report in reports if log_id > through_of.get(report.device_id, 0)]
        if len(kept) < len(reports):
            changed.append((log_id, len(kept), log_record.encode(kept)))
    return changed
