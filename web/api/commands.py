"""`/v1/commands` and `/v1/devices/{device_id}/commands`: what is wanted of devices, and how far each wish has come."""

import base64
import binascii
from typing import Annotated, Any

import msgspec
from litestar import Request, get, post
from litestar.datastructures import State as AppState
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter

from appliance.accounts.model import User
from appliance.commands.model import (
    JSON,
    Batch,
    Command,
    DialectName,
    InvalidCommandError,
    NewCommand,
    Selection,
    State,
)
from appliance.gateway import Gateway
from appliance.instant import to_text
from web.auth import Caller
from web.parameters import FURTHEST

HIGHEST_LIMIT = 1_000

AnyRequest = Request[User, Caller, AppState]
States = Annotated[list[State] | None, QueryParameter(name="state")]
Before = Annotated[int, QueryParameter(ge=1, le=FURTHEST)]
Limit = Annotated[int, QueryParameter(ge=1, le=HIGHEST_LIMIT)]


class CommandIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command. Either `parameters`, as the device type describes them, or a `payload` (JSON), or `payload_base64`."""

    name: str
    parameters: dict[str, Any] | None = None
    payload: Any = None
    payload_base64: str | None = None
    content_type: str = JSON
    dialect: DialectName = DialectName.ANY
    qos: int | None = None
    priority: int = 0
    expires_in_s: int | None = None
    start_timeout_s: int | None = None
    finish_timeout_s: int | None = None
    retries: int = 0
    may_repeat: bool | None = None


class ManyIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command for many devices: exactly one of `group`, `zone`, `type`, `query` and `device_ids`."""

    command: CommandIn
    group: str = ""
    zone: str = ""
    type: str = ""
    query: str = ""
    device_ids: list[str] = []


class CommandOut(msgspec.Struct, frozen=True):
    """A command. Moments are ISO 8601, UTC; null is not yet. `payload` is null where it is no JSON."""

    command_number: int
    execution_id: str
    batch_id: str | None
    device_id: str
    name: str
    payload: Any
    payload_base64: str | None
    content_type: str
    dialect: str
    qos: int
    priority: int
    state: str
    version: int
    attempt: int
    retries_left: int
    may_repeat: bool
    is_repeated: bool
    created_at: str
    expires_at: str
    offered_at: str | None
    sent_at: str | None
    acknowledged_at: str | None
    started_at: str | None
    ended_at: str | None
    ended_by: str
    reason_code: str
    reason: str
    result: Any
    author: str


class CommandsOut(msgspec.Struct, frozen=True):
    """Commands, newest first. `next_before` asks for the page after this one; it is null on the last."""

    commands: list[CommandOut]
    next_before: int | None


class BatchOut(msgspec.Struct, frozen=True):
    """What was sent to many, and how many of them are in each state."""

    batch_number: int
    batch_id: str
    name: str
    selection: str
    device_count: int
    author: str
    created_at: str
    is_complete: bool
    """Whether all of its commands are written down: one that was cut short goes on when it is sent again."""
    counts: dict[str, int]


class BatchesOut(msgspec.Struct, frozen=True):
    """What was sent to many, newest first."""

    batches: list[BatchOut]
    next_before: int | None


class CancelledOut(msgspec.Struct, frozen=True):
    """How many commands were taken back; what was written to a device cannot be."""

    cancelled_count: int


@post("/v1/devices/{device_id:str}/commands", tags=["commands"], summary="Send a command to a device")
async def send(
    device_id: FromPath[str], data: JSONBody[CommandIn], request: AnyRequest, gateway: NamedDependency[Gateway]
) -> CommandOut:
    """Queue a command; it is on disk when this answers. The same `Idempotency-Key` sends it once."""
    command = await gateway.commands.send(request.user.tenant_id, device_id, _new(data, _key(request)))
    return _out(command)


@get("/v1/devices/{device_id:str}/commands", tags=["commands"], summary="The commands of a device")
async def list_of_device(
    device_id: FromPath[str],
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
    states: States = None,
    before: Before = FURTHEST,
    limit: Limit = 100,
) -> CommandsOut:
    """A page of commands whose `command_number` is below `before`, in these states only where some are told."""
    found = await gateway.commands.commands(
        request.user.tenant_id, device_id=device_id, states=states or (), before=before, limit=limit
    )
    return _page(found, limit)


@post("/v1/commands", tags=["commands"], summary="Send a command to many devices")
async def send_to_many(data: JSONBody[ManyIn], request: AnyRequest, gateway: NamedDependency[Gateway]) -> BatchOut:
    """Queue a command for every device in service that is meant; all is on disk when this answers."""
    selection = Selection(data.group, data.zone, data.type, data.query, tuple(dict.fromkeys(data.device_ids)))
    new = _new(data.command, _key(request))
    return _batch_out(await gateway.commands.send_to_many(request.user.tenant_id, selection, new))


@get("/v1/commands", tags=["commands"], summary="Commands of all devices")
async def list_commands(
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
    batch: FromQuery[str] = "",
    states: States = None,
    before: Before = FURTHEST,
    limit: Limit = 100,
) -> CommandsOut:
    """A page of commands, of one `batch` where that is told."""
    found = await gateway.commands.commands(
        request.user.tenant_id, batch_id=batch, states=states or (), before=before, limit=limit
    )
    return _page(found, limit)


@get("/v1/commands/{execution_id:str}", tags=["commands"], summary="One command")
async def get_command(
    execution_id: FromPath[str], request: AnyRequest, gateway: NamedDependency[Gateway]
) -> CommandOut:
    """How far a command has come."""
    return _out(await gateway.commands.command(request.user.tenant_id, execution_id))


@post("/v1/commands/{execution_id:str}/cancel", tags=["commands"], summary="Take a command back", status_code=200)
async def cancel(execution_id: FromPath[str], request: AnyRequest, gateway: NamedDependency[Gateway]) -> CommandOut:
    """Cancel what was not written to the device; anything else is refused with 409."""
    return _out(await gateway.commands.cancel(request.user.tenant_id, execution_id))


@get("/v1/command-batches", tags=["commands"], summary="What was sent to many")
async def list_batches(
    request: AnyRequest, gateway: NamedDependency[Gateway], before: Before = FURTHEST, limit: Limit = 100
) -> BatchesOut:
    """A page of batches whose `batch_number` is below `before`."""
    found = await gateway.commands.batches(request.user.tenant_id, before=before, limit=limit)
    return BatchesOut([_batch_out(one) for one in found], found[-1].batch_number if len(found) == limit else None)


@get("/v1/command-batches/{batch_id:str}", tags=["commands"], summary="How far a command to many has come")
async def get_batch(batch_id: FromPath[str], request: AnyRequest, gateway: NamedDependency[Gateway]) -> BatchOut:
    """How many devices are in each state."""
    return _batch_out(await gateway.commands.batch(request.user.tenant_id, batch_id))


@post(
    "/v1/command-batches/{batch_id:str}/cancel",
    tags=["commands"],
    summary="Take a command to many back",
    status_code=200,
)
async def cancel_batch(batch_id: FromPath[str], request: AnyRequest, gateway: NamedDependency[Gateway]) -> CancelledOut:
    """Cancel what was not written to any device yet."""
    return CancelledOut(await gateway.commands.cancel_batch(request.user.tenant_id, batch_id))


def _key(request: AnyRequest) -> str | None:
    return request.headers.get("idempotency-key")


def _new(told: CommandIn, key: str | None) -> NewCommand:
    fields = msgspec.structs.asdict(told)
    parameters, payload, encoded = (fields.pop(name) for name in ("parameters", "payload", "payload_base64"))
    if sum(one is not None for one in (parameters, payload, encoded)) > 1:
        raise InvalidCommandError("tell one of parameters, payload and payload_base64")
    if encoded is not None:
        try:
            body = base64.b64decode(encoded, validate=True)
        except (binascii.Error, ValueError) as error:
            raise InvalidCommandError("payload_base64 is no base64") from error
    else:
        if told.content_type != JSON:
            raise InvalidCommandError(f"a payload of the type {told.content_type[:80]!r} is told as payload_base64")
        body = b"{}" if payload is None else msgspec.json.encode(payload)
    return NewCommand(**fields, payload=body, parameters=parameters, idempotency_key=key)


def _page(found: list[Command], limit: int) -> CommandsOut:
    return CommandsOut([_out(one) for one in found], found[-1].command_number if len(found) == limit else None)


def _out(command: Command) -> CommandOut:
    is_json = command.content_type == JSON
    return CommandOut(
        command_number=command.command_number,
        execution_id=command.execution_id,
        batch_id=command.batch_id,
        device_id=command.device_id,
        name=command.name,
        payload=_json(command.payload) if is_json else None,
        payload_base64=None if is_json else base64.b64encode(command.payload).decode(),
        content_type=command.content_type,
        dialect=command.dialect.value,
        qos=command.qos,
        priority=command.priority,
        state=command.state.value,
        version=command.version,
        attempt=command.attempt,
        retries_left=command.retries_left,
        may_repeat=command.may_repeat,
        is_repeated=command.is_repeated,
        created_at=to_text(command.created_at),
        expires_at=to_text(command.expires_at),
        offered_at=_text(command.offered_at),
        sent_at=_text(command.sent_at),
        acknowledged_at=_text(command.acknowledged_at),
        started_at=_text(command.started_at),
        ended_at=_text(command.ended_at),
        ended_by=command.ended_by.value,
        reason_code=command.reason_code,
        reason=command.reason,
        result=None if command.result is None else _json(command.result.encode()),
        author=command.author,
    )


def _json(text: bytes) -> msgspec.Raw | str:
    """JSON as it is kept; what damage has made of it is told as text, or nobody could read the whole answer."""
    try:
        msgspec.json.decode(text)
    except RecursionError:
        return msgspec.Raw(text)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return text.decode(errors="replace")
    return msgspec.Raw(text)


def _batch_out(batch: Batch) -> BatchOut:
    return BatchOut(
        batch_number=batch.batch_number,
        batch_id=batch.batch_id,
        name=batch.name,
        selection=batch.selection,
        device_count=batch.device_count,
        author=batch.author,
        created_at=to_text(batch.created_at),
        is_complete=batch.completed_at is not None,
        counts={state.value: count for state, count in batch.counts.items()},
    )


def _text(at: int | None) -> str | None:
    return None if at is None else to_text(at)


HANDLERS = (
    send,
    list_of_device,
    send_to_many,
    list_commands,
    get_command,
    cancel,
    list_batches,
    get_batch,
    cancel_batch,
)
