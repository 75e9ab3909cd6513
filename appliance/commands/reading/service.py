"""The ledger of commands as people read it, whatever has become of its rows.

Rules: a damaged row is told as far as it can be read, beside all others. Whoever looks after commands hears of it, for
it may not be due for long.
"""

from collections.abc import Callable, Sequence
from functools import partial

from msgspec.structs import replace

from appliance.commands.mishaps.service import Key
from appliance.commands.model import Batch, Command, State, UnknownBatchError, UnknownCommandError
from appliance.commands.reading import queries
from appliance.commands.reading.queries import Page
from appliance.registry.service import Registry
from appliance.store.database import FURTHEST, Database, Select

HIGHEST_LIMIT = 1_000


class Reading:
    """Tells what commands there are."""

    def __init__(self, database: Database, registry: Registry) -> None:
        self._database = database
        self._registry = registry
        self.damaged: Callable[[Sequence[Key]], None] = lambda _: None
        """Hears of commands that have not ended and whose rows are damaged."""

    async def command(self, tenant_id: int, execution_id: str) -> Command:
        """One command. Raises `UnknownCommandError`."""
        for found in await self._read(queries.select_command(tenant_id, execution_id)):
            return found
        raise UnknownCommandError(f"no command has the execution id {execution_id[:80]!r}")

    async def commands(
        self,
        tenant_id: int,
        *,
        device_id: str = "",
        batch_id: str = "",
        states: Sequence[State] = (),
        before: int = FURTHEST,
        limit: int = 100,
    ) -> list[Command]:
        """Commands with a number below `before`, the newest first. Raises `UnknownDeviceError`, `UnknownBatchError`."""
        page = Page(states, before, max(1, min(limit, HIGHEST_LIMIT)))
        if device_id:
            self._registry.device(tenant_id, device_id)
            return await self._read(queries.select_of_device(tenant_id, device_id, page))
        if batch_id:
            number = (await self.batch(tenant_id, batch_id)).batch_number
            return await self._read(queries.select_of_batch(tenant_id, number, page))
        return await self._read(queries.select_all(tenant_id, page))

    async def batch(self, tenant_id: int, batch_id: str) -> Batch:
        """What was sent to many, and how far they have come. Raises `UnknownBatchError`."""
        found = await self._counted(tenant_id, await self._database.read(queries.select_batch(tenant_id, batch_id)))
        if not found:
            raise UnknownBatchError(f"no batch has the identifier {batch_id[:80]!r}")
        return found[0]

    async def batches(self, tenant_id: int, *, before: int = FURTHEST, limit: int = 100) -> list[Batch]:
        """What was sent to many, with a number below `before`, the newest first."""
        limit = max(1, min(limit, HIGHEST_LIMIT))
        return await self._counted(
            tenant_id, await self._database.read(queries.select_batches(tenant_id, before, limit))
        )

    async def _read(self, select: Select[Command]) -> list[Command]:
        return await self._database.read_or(select, partial(self._salvaged, select))

    async def _salvaged(self, select: Select[Command]) -> list[Command]:
        found = await self._database.read(queries.salvaging(select))
        damaged = [one.command for one in found if one.is_damaged and one.command.ended_at is None]
        self.damaged([(one.tenant_id, one.command_number) for one in damaged])
        return [one.command for one in found]

    async def _counted(self, tenant_id: int, batches: Sequence[Batch]) -> list[Batch]:
        if not batches:
            return []
        counts: dict[int, dict[State, int]] = {}
        numbers = [batch.batch_number for batch in batches]
        for number, state, count in await self._database.read(queries.select_counts(tenant_id, numbers)):
            of_batch = counts.setdefault(number, {})
            of_batch[state] = of_batch.get(state, 0) + count
        return [replace(batch, counts=counts.get(batch.batch_number, {})) for batch in batches]
