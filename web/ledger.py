"""The ledger of commands in words: how far each has come, and what shows that it has. Pure.

Rule: what is said of a command is what there is evidence of. What waits is said to wait, and why; nothing that was
written to a connection is said to have arrived before the device has answered for it.
"""

import json
from collections.abc import Iterable, Mapping, Sequence

import msgspec

from appliance.commands import ruling
from appliance.commands.model import FINAL, By, Command, DialectName, State
from appliance.registry.model import Device, Presence

PREVIEW_LENGTH = 4_000
"""Characters of a payload or a result that are shown."""

STATE_WORDS: Mapping[State, str] = {
    State.QUEUED: "queued",
    State.SENT: "sent",
    State.ACKNOWLEDGED: "acknowledged",
    State.IN_PROGRESS: "in progress",
    State.SUCCEEDED: "succeeded",
    State.FAILED: "failed",
    State.REJECTED: "rejected",
    State.TIMED_OUT: "timed out",
    State.CANCELLED: "cancelled",
}
PILLS: Mapping[State, str] = {
    State.QUEUED: "",
    State.SENT: "info",
    State.ACKNOWLEDGED: "info",
    State.IN_PROGRESS: "info",
    State.SUCCEEDED: "ok",
    State.FAILED: "crit",
    State.REJECTED: "crit",
    State.TIMED_OUT: "warn",
    State.CANCELLED: "warn",
}
"""The colour of each state."""

OPEN = tuple(state for state in State if state not in FINAL)
CLOSED = tuple(state for state in State if state in FINAL)

_DIALECTS = {
    DialectName.PLAIN: "plain topics",
    DialectName.AWS: "topics of AWS IoT",
    DialectName.JOBS: "a job of AWS IoT",
}
_ENDED_BY = {By.DEVICE: "the device said so", By.GATEWAY: "the gateway gave up", By.OPERATOR: "somebody called it off"}
_EXACTLY_ONCE = 2


class Step(msgspec.Struct, frozen=True):
    """One thing that happened to a command."""

    word: str
    at: int
    evidence: str
    """What shows it."""


class Entry(msgspec.Struct, frozen=True):
    """One command of the ledger."""

    execution_id: str
    name: str
    device_id: str
    title: str
    """Of the device."""
    is_device_told: bool
    state: str
    """A value of `State`."""
    word: str
    pill: str
    steps: tuple[Step, ...]
    waits: str
    """What it waits for; empty when it waits for nothing."""
    until: int | None
    """When what it waits for is too late."""
    reason: str
    payload: str
    result: str
    terms: str
    """How it is sent, in words."""
    batch_id: str
    may_cancel: bool


def entry(command: Command, device: Device | None, presence: Presence, *, is_device_told: bool = False) -> Entry:
    """A command as the ledger shows it. `device` is None when it is not registered any more."""
    return Entry(
        execution_id=command.execution_id,
        name=command.name,
        device_id=command.device_id,
        title=(device.name if device else "") or command.device_id,
        is_device_told=is_device_told,
        state=command.state.value,
        word=STATE_WORDS[command.state],
        pill=PILLS[command.state],
        steps=tuple(steps(command)),
        waits=waits_for(command, presence),
        until=_until(command),
        reason=_reason(command),
        payload=shown(command.payload, command.content_type),
        result=shown((command.result or "").encode(), "application/json"),
        terms=", ".join(_terms(command)),
        batch_id=command.batch_id or "",
        may_cancel=is_untouched(command),
    )


def steps(command: Command) -> Iterable[Step]:
    """What happened to a command, as far as there is evidence, in order."""
    yield Step("queued", command.created_at, f"by {command.author}" if command.author else "")
    told = "" if command.attempt == 1 else f"attempt {command.attempt}, "
    if command.sent_at is not None:
        yield Step("sent", command.sent_at, told + "written to its connection")
    if command.acknowledged_at is not None:
        yield Step("acknowledged", command.acknowledged_at, f"by {_receipt(command.qos)}")
    if command.started_at is not None:
        yield Step("in progress", command.started_at, "the device said so")
    if command.ended_at is not None:
        yield Step(STATE_WORDS[command.state], command.ended_at, _ENDED_BY.get(command.ended_by, ""))


def waits_for(command: Command, presence: Presence) -> str:
    """What an open command waits for, in words that promise nothing; empty when it is over."""
    match command.state:
        case State.QUEUED:
            return _waits_queued(command, presence)
        case State.SENT:
            return _waits_sent(command, presence)
        case State.ACKNOWLEDGED:
            return "waits for the device to begin: it has the message, and has not said what it does with it"
        case State.IN_PROGRESS:
            return "waits for the device to finish"
        case _:
            return ""


def is_untouched(command: Command) -> bool:
    """Whether nothing of it was written or begun yet, so that it can be called back."""
    return ruling.may_be_called_back(command)


def shown(content: bytes, content_type: str) -> str:
    """A payload or a result as somebody reads it: JSON on several lines, text as it is; how many bytes otherwise."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return f"{len(content):,} bytes of {content_type}"
    if "json" in content_type:
        try:
            text = json.dumps(json.loads(text), indent=2, ensure_ascii=False)
        except (ValueError, RecursionError):
            # It is shown as it came: whoever sent it wants to see what is wrong with it.
            text = content.decode()
    return text if len(text) <= PREVIEW_LENGTH else f"{text[:PREVIEW_LENGTH]}…"


def open_count(counts: Mapping[State, int]) -> int:
    """How many are not over."""
    return sum(counts.get(state, 0) for state in OPEN)


def states_of(text: str) -> Sequence[State]:
    """Which states a tab or a filter means: `open`, `closed` or one of them; none of them means all."""
    if text == "open":
        return OPEN
    if text == "closed":
        return CLOSED
    return (State(text),) if text in list(State) else ()


def _waits_queued(command: Command, presence: Presence) -> str:
    if ruling.is_ordered(command):
        return "waits: it is among the jobs of the device, which has not begun it"
    if command.offered_at is not None:
        return "waits: it is being written to its connection"
    if not presence.connected:
        return "waits: the device is not connected"
    if command.not_before:
        return f"waits a while before attempt {command.attempt}"
    return "waits: the device is connected, and has not subscribed to its commands or has others before this one"


def _waits_sent(command: Command, presence: Presence) -> str:
    if command.offered_at is None:
        again = "it is written once more" if presence.connected else "it is written once more when the device connects"
        return f"waits: the connection ended before the device had answered for it; {again}"
    if not presence.connected:
        return "waits: the connection ended before the device had answered for it; it may have arrived, or not"
    receipt = _receipt(command.qos)
    never = "which a device that subscribed with QoS 0 never sends"
    return f"waits for its {receipt}, {never}: whether it arrived is not known"


def _until(command: Command) -> int | None:
    if command.is_over:
        return None
    return command.due_at


def _reason(command: Command) -> str:
    return ": ".join(part for part in (command.reason_code, command.reason) if part)


def _terms(command: Command) -> Iterable[str]:
    yield f"execution {command.wire_id}"
    if command.dialect in _DIALECTS:
        yield _DIALECTS[command.dialect]
    yield f"QoS {command.qos}"
    if command.priority:
        yield f"priority {command.priority}"
    if command.retries_left:
        yield f"{command.retries_left} more attempt{'' if command.retries_left == 1 else 's'}"
    if command.is_repeated:
        yield "written more than once, or it may have been"


def _receipt(qos: int) -> str:
    """What a device answers with. Its subscription may lower the QoS."""
    return "PUBCOMP or PUBACK" if qos == _EXACTLY_ONCE else "PUBACK"
