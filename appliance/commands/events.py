"""What the gateway tells everybody of a command: `$aws/events/commandExecution/{command}/{status}`."""

from collections.abc import Callable, Sequence

import msgspec

from appliance.commands.delivery.flight import Change
from appliance.commands.model import Command, State
from appliance.instant import SECOND_MS
from broker.message import Message
from broker.publication import Publication

PREFIX = "$aws/events/commandExecution/"
_STATUSES = {state: state.value.upper() for state in State} | {State.QUEUED: "CREATED"}
"""Our words in capitals, but for what AWS IoT calls otherwise."""


def publish_events(changes: Sequence[Change], now: int, publish: Callable[[Message], Publication | None]) -> None:
    """Publish the event of each change, as far as anybody hears of events like it: there may be thousands at once."""
    unheard: set[tuple[int, str]] = set()
    for before, after in changes:
        kind = (after.tenant_id, _topic(after))
        if kind in unheard:
            continue
        told = event(before, after, now)
        publication = None if told is None else publish(told)
        if publication is not None and not publication.is_taken:
            unheard.add(kind)


def event(before: Command | None, after: Command, now: int) -> Message | None:
    """The event that a change is; None where the state stays the same."""
    if not _is_news(before, after):
        return None
    status = _STATUSES[after.state]
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
    topic = _topic(after)
    return Message(after.tenant_id, "", "", topic, msgspec.json.encode(told), 1, retain=False, arrived_at=now)


def _is_news(before: Command | None, after: Command) -> bool:
    return before is None or (before.state, before.attempt) != (after.state, after.attempt)


def _topic(command: Command) -> str:
    return f"{PREFIX}{command.name}/{_STATUSES[command.state]}"
