"""The executions of jobs as people read them, whatever has become of their rows.

Rules: a damaged row is told as far as it can be read, beside all others. Whoever looks after executions hears whose it
is, for it may not be due for long.
"""

from collections.abc import Callable, Sequence
from functools import partial

from appliance.commands.jobs import queries as execution_queries
from appliance.commands.jobs.model import Execution, ExecutionState, UnknownExecutionError
from appliance.commands.jobs.reading import queries
from appliance.store.database import FURTHEST, Database, Select


class Reading:
    """Tells what executions there are."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.damaged: Callable[[int, str], object] = lambda _tenant_id, _device_id: None
        """Hears of devices of which an execution that has not ended is damaged."""

    async def executions_of_device(
        self,
        tenant_id: int,
        device_id: str,
        *,
        states: Sequence[ExecutionState] = (),
        before: int = FURTHEST,
        limit: int = 100,
    ) -> list[Execution]:
        """Executions of a device, newest first, of those in some states if any is named."""
        return await self._read(queries.select_of_device(tenant_id, device_id, states, before, limit))

    async def executions_of_job(
        self,
        tenant_id: int,
        job_id: str,
        *,
        states: Sequence[ExecutionState] = (),
        before: int = FURTHEST,
        limit: int = 100,
    ) -> list[Execution]:
        """Executions of a job, newest first, of those in some states if any is named."""
        return await self._read(queries.select_of_job(tenant_id, job_id, states, before, limit))

    async def tries(
        self, tenant_id: int, job_id: str, device_id: str, *, before: int = FURTHEST, limit: int = 100
    ) -> list[Execution]:
        """What became of a job on one device, newest first."""
        return await self._read(queries.select_tries(tenant_id, job_id, device_id, before, limit))

    async def execution(self, tenant_id: int, job_id: str, device_id: str, try_number: int | None = None) -> Execution:
        """One try of a job on a device, the latest where none is named. Raises `UnknownExecutionError`."""
        found = await self._read(execution_queries.select_execution(tenant_id, job_id, device_id, try_number))
        if not found:
            raise unknown(job_id, device_id)
        return found[0]

    async def _read(self, select: Select[Execution]) -> list[Execution]:
        return await self._database.read_or(select, partial(self._salvaged, select))

    async def _salvaged(self, select: Select[Execution]) -> list[Execution]:
        found = await self._database.read(queries.salvaging(select))
        for one in found:
            if one.is_damaged and one.execution.ended_at is None:
                self.damaged(one.execution.tenant_id, one.execution.device_id)
        return [one.execution for one in found]


def unknown(job_id: str, device_id: str) -> UnknownExecutionError:
    """There is no such execution."""
    return UnknownExecutionError(f"the device {device_id[:64]} has no execution of the job {job_id[:64]}")
