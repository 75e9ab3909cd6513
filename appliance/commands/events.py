"""What the gateway tells everybody of a command: `$aws/events/commandExecution/{command}/{status}`."""

import msgspec

from appliance.commands.model import Command, State
from appliance.instant import SECOND_MS
from broker.message import Message

PREFIX = "$aws/events/commandExecution/"
_WORDS = {State.QUEUED: "CREATED"}
"""What AWS IoT calls another name; the others have ours, in capitals."""


def event(before: Command | None, after: Command, now: int) -> Message | None:
    """The event that a change is; None where the state stays the same."""
    if before is not None and (before.state, before.attempt) == (after.state, after.attempt):
        return None
    status = _WORDS.get(after.state, after.state.value.upper())
    told: dict[str, object] = {
        "executionId": after.execution_id,
        "commandId": after.name,
        "deviceId": after.device_id,
        "status": status,
        "version": after.version,
        "timestamp": now // SECOND_MS,
    }
    if after.reason_code or after.reason:
        told["statusReason"] = {"reasonCode": after.reason_code, "reasonDescription": after.reason}
    if after.batch_id is not None:
        told["batchId"] = after.batch_id
    topic = f"{PREFIX}{after.name}/{status}"
    return Message(after.tenant_id, "", "", topic, msgspec.json.encode(told), 1, retain=False, arrived_at=now)
