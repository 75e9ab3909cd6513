"""What is told to rules and dashboards of executions: `$aws/events/jobExecution/…`."""

from uuid import NAMESPACE_OID, uuid5

import msgspec

from appliance.commands.jobs.model import Execution, ExecutionState
from appliance.instant import SECOND_MS

DELETED = "deleted"

_WORDS = {
    ExecutionState.SUCCEEDED: "succeeded",
    ExecutionState.FAILED: "failed",
    ExecutionState.REJECTED: "rejected",
    ExecutionState.CANCELLED: "canceled",
    ExecutionState.TIMED_OUT: "timed_out",
    ExecutionState.REMOVED: "removed",
}


def word_of(state: ExecutionState) -> str | None:
    """What has happened, in the word of AWS; None while nothing that is told of."""
    return _WORDS.get(state)


def topic(job_id: str, word: str) -> str:
    """Where it is told."""
    return f"$aws/events/jobExecution/{job_id}/{word}"


def payload(execution: Execution, word: str, now: int) -> bytes:
    """What is told. The same event has the same id, also when it is told once more after a crash."""
    told = f"jobExecution/{execution.tenant_id}/{execution.execution_id}/{word}"
    return msgspec.json.encode(
        {
            "eventType": "JOB_EXECUTION",
            "eventId": str(uuid5(NAMESPACE_OID, told)),
            "timestamp": now // SECOND_MS,
            "operation": word,
            "jobId": execution.job_id,
            "thingArn": f"arn:aws:iot:local:{execution.tenant_id:012}:thing/{execution.device_id}",
            "status": execution.state.aws,
            "statusDetails": execution.details,
        }
    )
