"""The audit log at work: a record is written with what it tells of, read page by page, and checked whole."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from appliance.audit import chain, queries
from appliance.audit.acting import actor
from appliance.audit.model import Entry, RecordedEntry, Verdict
from appliance.errors import InvalidInputError
from appliance.instant import Clock
from appliance.store.database import Database

T = TypeVar("T")

HIGHEST_LIMIT = 1_000
FURTHEST = 2**63 - 1
"""A position that no log reaches."""


class Audit:
    """The audit log of every tenant."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    async def record(self, tenant_id: int, entry: Entry) -> None:
        """Append what was done outside the database, in a transaction of its own."""
        await self._database.write(queries.insert_entries, tenant_id, [entry], self._clock(), actor())

    async def recorded(
        self, tenant_id: int, entries: Sequence[Entry], function: Callable[..., T], *arguments: Any
    ) -> T:
        """Run a transaction and append these entries in the same one: either both stay, or neither."""
        return await self._database.write(
            queries.with_entries, (tenant_id, tuple(entries), self._clock(), actor()), function, *arguments
        )

    async def entries(self, tenant_id: int, *, before: int = FURTHEST, limit: int = 100) -> list[RecordedEntry]:
        """Entries with a position below `before`, newest first. Raises `InvalidInputError`."""
        if not 1 <= limit <= HIGHEST_LIMIT:
            raise InvalidInputError(f"limit is {limit}, expected 1 to {HIGHEST_LIMIT}")
        return await self._database.read(queries.select_entries(tenant_id, before, limit))

    async def verify(self, tenant_id: int) -> Verdict:
        """Check the chain of a tenant."""
        # Both in one transaction of the writer: an entry that comes in between would look like a fault.
        entries, head = await self._database.write(queries.select_whole, tenant_id)
        return chain.judged(tenant_id, entries, head)

    async def verify_all(self) -> list[Verdict]:
        """Check the chain of every tenant."""
        return [await self.verify(tenant_id) for tenant_id in await self._database.read(queries.select_tenants())]
