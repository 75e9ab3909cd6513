"""What is asked of executions for people: nothing is changed by it, and one damaged row hides no other."""

from collections.abc import Sequence

from appliance.commands.jobs.model import Execution, ExecutionState
from appliance.commands.jobs.row import EXECUTION, EXECUTION_BYTES, Salvaged, execution_of, salvaged
from appliance.store.database import Select


def salvaging(select: Select[Execution]) -> Select[Salvaged]:
    """The same question, of each row what can be read of it."""
    return Select(select.sql.replace(EXECUTION, EXECUTION_BYTES), select.parameters, salvaged)


def select_of_device(
    tenant_id: int, device_id: str, states: Sequence[ExecutionState], before_id: int, limit: int
) -> Select[Execution]:
    """Executions of a device in some states, in any if none is named, newest first, before one of them."""
    sql = f"""{EXECUTION}
        WHERE job_execution.tenant_id = ? AND job_execution.device_id = ? AND job_execution.execution_id < ?
            {_in(states)}
        ORDER BY job_execution.execution_id DESC LIMIT ?
    """
    return Select(sql, (tenant_id, device_id, before_id, *states, limit), execution_of)


def select_of_job(
    tenant_id: int, job_id: str, states: Sequence[ExecutionState], before_id: int, limit: int
) -> Select[Execution]:
    """Executions of a job in some states, in any if none is named, newest first, before one of them."""
    sql = f"""{EXECUTION}
        WHERE job.tenant_id = ? AND job.job_id = ? AND job_execution.execution_id < ? {_in(states)}
        ORDER BY job_execution.execution_id DESC LIMIT ?
    """
    return Select(sql, (tenant_id, job_id, before_id, *states, limit), execution_of)


def select_tries(tenant_id: int, job_id: str, device_id: str, before_id: int, limit: int) -> Select[Execution]:
    """Tries of a job on a device, newest first, before one of them."""
    sql = f"""{EXECUTION}
        WHERE job.tenant_id = ? AND job.job_id = ? AND job_execution.device_id = ? AND job_execution.execution_id < ?
        ORDER BY job_execution.execution_id DESC LIMIT ?
    """
    return Select(sql, (tenant_id, job_id, device_id, before_id, limit), execution_of)


def _in(states: Sequence[ExecutionState]) -> str:
    return f"AND job_execution.state IN ({', '.join('?' * len(states))})" if states else ""
