"""What ended long ago goes from the ledger of commands, and what is kept of a device when its data is erased."""

import asyncio
import contextlib

from appliance.commands import queries
from appliance.commands.mishaps.service import Mishap
from appliance.instant import DAY_MS
from appliance.registry.service import Registry
from appliance.store.database import Database, UnwritableError

TRIM_S = 3_600.0
PIECE = 500
"""Commands of one transaction."""


class Forgetting:
    """Deletes, piece by piece."""

    def __init__(self, database: Database, registry: Registry, ledger_days: int) -> None:
        self._database = database
        self._registry = registry
        self._ledger_days = ledger_days
        self.mishap = Mishap("forgetting old commands")

    async def run(self) -> None:
        """Forget what is too old, for ever."""
        while True:
            # By a clock that is wrong, everything would be old: what counts is what has passed for sure.
            surely_at = self._registry.time.reading().surely_at
            if surely_at is not None:
                with contextlib.suppress(UnwritableError), self.mishap.tried():
                    await self.trim(surely_at - self._ledger_days * DAY_MS)
            await asyncio.sleep(TRIM_S)

    async def trim(self, before: int) -> None:
        """Forget what ended before a moment."""
        for delete in (queries.delete_ended, queries.delete_batches):
            count = PIECE
            while count == PIECE:
                count = await self._database.write(delete, before, PIECE)

    async def erase(self, tenant_id: int, device_id: str, through_at: int) -> None:
        """Forget the commands of a device that were made up to a moment; of those that go on, what it said of them."""
        count = PIECE
        while count == PIECE:
            count = await self._database.write(queries.erase_ended, tenant_id, device_id, through_at, PIECE)
        await self._database.write(queries.erase_told, tenant_id, device_id, through_at)
