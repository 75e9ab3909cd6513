"""The audit log at work: a record is written with what it tells of, read page by page, and checked in slices."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, TypeVar

from appliance.audit import chain, queries
from appliance.audit.acting import actor
from appliance.audit.model import Actor, Entry, Head, Page, RecordedEntry, Verdict, Wanted
from appliance.errors import InvalidInputError
from appliance.instant import Clock
from appliance.store.database import FURTHEST, Database, UnwritableError

log = logging.getLogger(__name__)

T = TypeVar("T")

HIGHEST_LIMIT = 1_000
SLICE_COUNT = 5_000
"""How many entries are read and checked at a time: others get their turn in between."""
WINDOW_COUNT = 5_000
"""How many entries a search looks at in one question."""
WINDOWS_LIMIT = 10
"""How many such questions a page of a search may take; whoever wants to look on asks for the next page."""
WANTED_LENGTH = 300

EVERY = Wanted()


class Audit:
    """The audit log of every tenant."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock
        self._waiting: list[tuple[int, Entry, int, Actor]] = []
        """What was done while the disk was full, in its order: the tenant, the entry, when, and who."""
        self._catching_up = asyncio.Lock()

    async def record(self, tenant_id: int, entry: Entry) -> None:
        """Append what was done outside the database, in a transaction of its own."""
        await self._database.write(queries.insert_entries, tenant_id, [entry], self._clock(), actor())

    async def surely(self, tenant_id: int, entry: Entry) -> None:
        """Append what was done outside the database and cannot be undone: if the disk is full, once it is not.

        Only for what is rare: nothing but its own rarity limits how much waits.
        """
        self._waiting.append((tenant_id, entry, self._clock(), actor()))
        try:
            await self.catch_up()
        except UnwritableError as error:
            told = (actor().name, entry.action, entry.subject, error)
            log.warning("audit entry waits for the disk actor=%s action=%s subject=%s reason=%s", *told)

    async def catch_up(self) -> None:
        """Append what waits for the disk, with the moment at which it was done. Raises `UnwritableError`."""
        async with self._catching_up:
            while self._waiting:
                # Taken out before: a caller that is cancelled does not undo the transaction.
                tenant_id, entry, done_at, by = self._waiting.pop(0)
                try:
                    await self._database.write(queries.insert_entries, tenant_id, [entry], done_at, by)
                except UnwritableError:
                    self._waiting.insert(0, (tenant_id, entry, done_at, by))
                    raise

    async def recorded(
        self, tenant_id: int, entries: Sequence[Entry], function: Callable[..., T], *arguments: Any
    ) -> T:
        """Run a transaction and append these entries in the same one: either both stay, or neither."""
        return await self.told(tenant_id, lambda _: entries, function, *arguments)

    async def told(
        self, tenant_id: int, telling: Callable[[T], Sequence[Entry]], function: Callable[..., T], *arguments: Any
    ) -> T:
        """Run a transaction and append in the same one what `telling` makes of its result; it must be pure."""
        # Who acts is asked here: the writer's thread does not know its caller.
        told = (tenant_id, telling, self._clock(), actor())
        return await self._database.write(queries.with_entries, told, function, *arguments)

    async def page(self, tenant_id: int, *, wanted: Wanted = EVERY, before: int = FURTHEST, limit: int = 100) -> Page:
        """Entries with a position below `before`, newest first: all, or those that are wanted.

        A search looks at no more than 50,000 entries: its page may then hold fewer than `limit`, or none,
        and still tell where to look on. Raises `InvalidInputError`.
        """
        if not 1 <= limit <= HIGHEST_LIMIT:
            raise InvalidInputError(f"limit is {limit}, expected 1 to {HIGHEST_LIMIT}")
        if max(map(len, (wanted.actor, wanted.subject, wanted.action))) > WANTED_LENGTH:
            raise InvalidInputError(f"a search in the audit log is for at most {WANTED_LENGTH} characters")
        end = await self._database.read(queries.select_end(tenant_id))
        start = min(before, end[0].newest + 1) if end else 1
        found: list[RecordedEntry] = []
        for _ in range(WINDOWS_LIMIT):
            window = queries.select_window(tenant_id, start, WINDOW_COUNT, wanted, limit - len(found))
            found += await self._database.read(window)
            start = found[-1].position if len(found) == limit else max(start - WINDOW_COUNT, 1)
            if len(found) == limit or start == 1:
                break
        return Page(tuple(found), start if start > 1 else None)

    async def entries(self, tenant_id: int, *, before: int = FURTHEST, limit: int = 100) -> list[RecordedEntry]:
        """Entries with a position below `before`, newest first. Raises `InvalidInputError`."""
        return list((await self.page(tenant_id, before=before, limit=limit)).entries)

    async def since(self, tenant_id: int, after: int = 0) -> AsyncIterator[list[RecordedEntry]]:
        """Every entry with a position above `after`, oldest first, slice by slice, up to where the log ends now."""
        for end in await self._database.read(queries.select_end(tenant_id)):
            while after < end.newest:
                found = await self._database.read(queries.select_after(tenant_id, after, SLICE_COUNT))
                found = [entry for entry in found if entry.position <= end.newest]
                if not found:
                    break
                yield found
                after = found[-1].position

    async def verify(self, tenant_id: int, since: Head = chain.START) -> Verdict:
        """Check the chain of a tenant, or what came after an entry of it that was good when it was noted.

        What is appended meanwhile is left to the next check, which may begin where this one ended.
        """
        last, fault = since, ""
        if since != chain.START:
            fault = await self._anchor_fault(tenant_id, since)
        for end in await self._database.read(queries.select_end(tenant_id)):
            while not fault and last.position < end.head.position:
                rows = await self._database.read(
                    queries.select_rows(tenant_id, last.position, end.head.position, SLICE_COUNT)
                )
                if not rows:
                    break
                last, fault = await asyncio.to_thread(chain.followed_rows, last, rows)
            fault = fault or chain.end_fault(last, end)
        return Verdict(tenant_id, last.position, last.hash, fault)

    async def verify_all(self) -> list[Verdict]:
        """Check the chain of every tenant."""
        return [await self.verify(tenant_id) for tenant_id in await self._database.read(queries.select_tenants())]

    async def _anchor_fault(self, tenant_id: int, since: Head) -> str:
        """Why an entry is not what it was when its position and hash were noted; empty when it is."""
        rows = await self._database.read(queries.select_rows(tenant_id, since.position - 1, since.position, 1))
        hashes = [row[-1] for row in rows]
        if hashes != [since.hash.encode()]:
            return f"entry {since.position} is missing, or another than when its hash was noted"
        return ""
