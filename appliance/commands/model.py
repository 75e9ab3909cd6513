"""The nouns of commands."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from appliance.errors import ConflictError, InvalidInputError, NotFoundError

JSON = "application/json"
CBOR = "application/cbor"
ATTEMPT_DIGITS = 4


class UnknownCommandError(NotFoundError):
    """No command of that execution id, or not for this caller."""

    code = "unknown_command"


class UnknownBatchError(NotFoundError):
    """Nothing was sent to many under that name, or not for this caller."""

    code = "unknown_command_batch"


class InvalidCommandError(InvalidInputError):
    """This is no command that could be sent; the message says why."""

    code = "invalid_command"


class CommandSentError(ConflictError):
    """What was written to a device cannot be called back."""

    code = "command_sent"


class CommandEndedError(ConflictError):
    """It is over: nothing of it can be changed."""

    code = "command_ended"


class TooManyCommandsError(ConflictError):
    """As many commands of this device are open as may be."""

    code = "too_many_commands"


class DeviceGoneError(ConflictError):
    """The device is suspended or retired: nothing is sent to it."""

    code = "device_not_in_service"


class OtherContentError(ConflictError):
    """The same idempotency key was used before, for something else."""

    code = "idempotency_key_reused"


class State(StrEnum):
    """How far a command has come, as far as there is evidence."""

    QUEUED = "queued"
    SENT = "sent"
    """Written to a live connection of the device."""
    ACKNOWLEDGED = "acknowledged"
    """The device has answered for the message (PUBACK, PUBCOMP)."""
    IN_PROGRESS = "in_progress"
    """The device says that it has begun."""
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"


FINAL = frozenset((State.SUCCEEDED, State.FAILED, State.REJECTED, State.TIMED_OUT, State.CANCELLED))


class By(StrEnum):
    """Who ended a command."""

    NOBODY = ""
    DEVICE = "device"
    GATEWAY = "gateway"
    OPERATOR = "operator"


class DialectName(StrEnum):
    """How a device is spoken to."""

    ANY = ""
    """Whatever the device has subscribed to."""
    PLAIN = "plain"
    AWS = "aws"
    JOBS = "jobs"


class NewCommand(msgspec.Struct, frozen=True):
    """A command to be sent."""

    name: str
    payload: bytes = b"{}"
    content_type: str = JSON
    parameters: Mapping[str, object] | None = None
    """Instead of a payload: what the command's description in the device type asks for."""
    dialect: DialectName = DialectName.ANY
    qos: int | None = None
    priority: int = 0
    """From -100 to 100; the highest goes first, and among equals the oldest."""
    expires_in_s: int | None = None
    """After so long it is not sent any more."""
    start_timeout_s: int | None = None
    """How long after it was offered the device has to say something."""
    finish_timeout_s: int | None = None
    """How long after its first word the device has to come to an end."""
    retries: int = 0
    may_repeat: bool | None = None
    """Whether it may be written once more under the same execution id when it is not known whether it arrived."""
    idempotency_key: str | None = None


class Command(msgspec.Struct, frozen=True, gc=False):
    """One command for one device, as the ledger has it. Moments are UTC milliseconds."""

    command_number: int
    tenant_id: int
    execution_id: str
    batch_id: str | None
    device_id: str
    name: str
    payload: bytes
    content_type: str
    dialect: DialectName
    qos: int
    priority: int
    may_repeat: bool
    start_timeout_ms: int
    finish_timeout_ms: int
    state: State
    version: int
    """Grows with every change."""
    attempt: int
    """From 1; each retry is another attempt, under an execution id of its own on the wire."""
    retries_left: int
    is_repeated: bool
    """Whether this attempt was, or may have been, written more than once."""
    created_at: int
    expires_at: int
    not_before: int
    due_at: int
    offered_at: int | None
    """When the gateway began to write it: on disk before the first byte is written."""
    sent_at: int | None
    acknowledged_at: int | None
    started_at: int | None
    ended_at: int | None
    ended_by: By
    reason_code: str
    reason: str
    result: str | None
    """What the device told besides its state, JSON."""
    author: str

    @property
    def is_over(self) -> bool:
        """Whether it has come to an end."""
        return self.state in FINAL

    @property
    def wire_id(self) -> str:
        """The execution id of this attempt, as the device is told."""
        return wire_id(self.execution_id, self.attempt)


class Batch(msgspec.Struct, frozen=True):
    """A command that went to many devices, and how far they have come."""

    batch_number: int
    batch_id: str
    name: str
    selection: str
    device_count: int
    author: str
    created_at: int
    completed_at: int | None
    counts: Mapping[State, int] = {}


class Selection(msgspec.Struct, frozen=True):
    """Which devices: exactly one of these is told."""

    group: str = ""
    zone: str = ""
    type: str = ""
    query: str = ""
    """A search of the catalogue, such as `zone:hall-2 connected:yes`."""
    device_ids: tuple[str, ...] = ()


class CommandsChanged(msgspec.Struct, frozen=True):
    """Commands of these devices are new, or have come further."""

    tenant_id: int
    device_ids: tuple[str, ...]


def wire_id(execution_id: str, attempt: int) -> str:
    """The execution id of an attempt, as the device is told: no two attempts share one."""
    return execution_id if attempt == 1 else f"{execution_id}-{attempt}"


def read_wire_id(text: str) -> tuple[str, int]:
    """The execution id and the attempt that a device tells of; attempt 0 is none that was ever made."""
    execution_id, dash, number = text.partition("-")
    if not dash:
        return execution_id, 1
    if not (number.isascii() and number.isdigit() and len(number) <= ATTEMPT_DIGITS):
        return execution_id, 0
    return execution_id, int(number) if int(number) > 1 else 0
