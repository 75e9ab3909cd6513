"""Whether a command can be sent as it is asked for, and what it is then."""

import hashlib
from typing import NamedTuple

import msgspec

from appliance.commands.catalogue.check import NAME, payload_of
from appliance.commands.catalogue.model import CommandType
from appliance.commands.model import (
    JSON,
    By,
    Command,
    DialectName,
    InvalidCommandError,
    NewCommand,
    Selection,
    State,
)
from appliance.commands.ruling import GATEWAY_ERROR
from appliance.instant import DAY_MS, SECOND_MS
from appliance.plane_settings import PAYLOAD_BYTES, CommandsConfig

CONTENT_TYPE_LENGTH = 128
PRIORITY_LIMIT = 100
RETRIES_LIMIT = 20
LONGEST_S = 90 * DAY_MS // SECOND_MS
KEY_LENGTH = 128
AT_LEAST_ONCE = 1
DEVICES_LIMIT = 100_000
TOO_MANY = "TOO_MANY_OPEN"


class Wish(NamedTuple):
    """What all commands of one wish have in common."""

    new: NewCommand
    author: str
    now: int
    config: CommandsConfig


def checked(new: NewCommand) -> NewCommand:
    """Give back a command that can be sent. Raises `InvalidCommandError`."""
    if not NAME.fullmatch(new.name):
        raise InvalidCommandError(
            f"a command is named by 1 to 128 letters, digits, '_', '-', '.' or ':', not {new.name[:80]!r}"
        )
    if new.qos not in {None, 1, 2}:
        raise InvalidCommandError(f"qos is {new.qos}, expected 1 or 2: at 0 nobody would answer for it")
    if not -PRIORITY_LIMIT <= new.priority <= PRIORITY_LIMIT:
        raise InvalidCommandError(f"priority is {new.priority}, expected -{PRIORITY_LIMIT} to {PRIORITY_LIMIT}")
    if not 0 <= new.retries <= RETRIES_LIMIT:
        raise InvalidCommandError(f"retries is {new.retries}, expected 0 to {RETRIES_LIMIT}")
    for field in ("expires_in_s", "start_timeout_s", "finish_timeout_s"):
        value = getattr(new, field)
        if value is not None and not 1 <= value <= LONGEST_S:
            raise InvalidCommandError(f"{field} is {value}, expected 1 to {LONGEST_S:,}")
    _check_payload(new)
    if new.idempotency_key is not None and not (
        0 < len(new.idempotency_key) <= KEY_LENGTH and new.idempotency_key.isprintable()
    ):
        raise InvalidCommandError(f"an idempotency key has 1 to {KEY_LENGTH} printable characters")
    return new


def told(new: NewCommand, kind: CommandType | None, type_name: str) -> NewCommand:
    """The command with its payload, and with what its description says besides. Raises `InvalidCommandError`."""
    if new.parameters is not None:
        if kind is None:
            raise InvalidCommandError(
                f"the command {new.name} is not described for devices of the type {type_name[:80]!r}: describe it, or"
                " send a payload instead of parameters"
            )
        new = msgspec.structs.replace(new, payload=payload_of(kind, new.parameters), content_type=JSON)
        if len(new.payload) > PAYLOAD_BYTES:
            raise InvalidCommandError(f"the payload of {new.name} has more than {PAYLOAD_BYTES:,} bytes")
    if kind is not None and kind.dialect is DialectName.JOBS and new.dialect is DialectName.ANY:
        new = msgspec.structs.replace(new, dialect=DialectName.JOBS)
    if new.may_repeat is None:
        new = msgspec.structs.replace(new, may_repeat=kind is not None and kind.may_repeat)
    return new


def command_of(wish: Wish, tenant_id: int, device_id: str, execution_id: str) -> Command:
    """The command as it begins."""
    new, config, now = wish.new, wish.config, wish.now
    expires_at = now + (config.expires_after_s if new.expires_in_s is None else new.expires_in_s) * SECOND_MS
    start_s = config.start_timeout_s if new.start_timeout_s is None else new.start_timeout_s
    finish_s = config.finish_timeout_s if new.finish_timeout_s is None else new.finish_timeout_s
    return Command(
        command_number=0,
        tenant_id=tenant_id,
        execution_id=execution_id,
        batch_id=None,
        device_id=device_id,
        name=new.name,
        payload=new.payload,
        content_type=new.content_type,
        dialect=new.dialect,
        qos=AT_LEAST_ONCE if new.qos is None else new.qos,
        priority=new.priority,
        may_repeat=bool(new.may_repeat),
        start_timeout_ms=start_s * SECOND_MS,
        finish_timeout_ms=finish_s * SECOND_MS,
        state=State.QUEUED,
        version=1,
        attempt=1,
        retries_left=new.retries,
        is_repeated=False,
        created_at=now,
        expires_at=expires_at,
        not_before=0,
        due_at=expires_at,
        offered_at=None,
        sent_at=None,
        acknowledged_at=None,
        started_at=None,
        ended_at=None,
        ended_by=By.NOBODY,
        reason_code="",
        reason="",
        result=None,
        author=wish.author,
    )


def beyond(command: Command, limit: int) -> Command:
    """The command of a batch as it ends at once, because too many of its device are open."""
    return msgspec.structs.replace(
        command,
        state=State.CANCELLED,
        ended_at=command.created_at,
        ended_by=By.GATEWAY,
        reason_code=TOO_MANY,
        reason=f"{limit} commands of this device were open already",
    )


def unsent(command: Command, kind: str) -> Command:
    """The command of a batch as it ends at once, because the gateway failed with it."""
    return msgspec.structs.replace(
        command,
        state=State.CANCELLED,
        ended_at=command.created_at,
        ended_by=By.GATEWAY,
        reason_code=GATEWAY_ERROR,
        reason=f"the gateway could not send it ({kind}): its log says where",
    )


def digest_of(new: NewCommand, target: str | Selection) -> str:
    """Tells whether the same was asked for before."""
    named = msgspec.structs.replace(new, idempotency_key=None)
    return hashlib.sha256(msgspec.msgpack.encode((named, target), order="deterministic")).hexdigest()


def described(selection: Selection) -> str:
    """Which devices, in words. Raises `InvalidCommandError` where not exactly one thing is told."""
    told_of = {name: value for name, value in msgspec.structs.asdict(selection).items() if value}
    if len(told_of) != 1:
        raise InvalidCommandError("say for whom, by exactly one of: group, zone, type, query, device_ids")
    [(name, value)] = told_of.items()
    if name == "device_ids":
        if len(value) > DEVICES_LIMIT:
            raise InvalidCommandError(f"{len(value):,} devices are named; at most {DEVICES_LIMIT:,}")
        return f"{len(value):,} devices by name"
    return f"{name}: {value}"


def _check_payload(new: NewCommand) -> None:
    if new.parameters is not None:
        return
    if len(new.payload) > PAYLOAD_BYTES:
        raise InvalidCommandError(f"the payload has {len(new.payload):,} bytes; at most {PAYLOAD_BYTES:,}")
    if not new.content_type or len(new.content_type) > CONTENT_TYPE_LENGTH or not new.content_type.isprintable():
        raise InvalidCommandError(f"content_type has 1 to {CONTENT_TYPE_LENGTH} printable characters")
    if new.content_type == JSON:
        try:
            msgspec.json.decode(new.payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidCommandError(f"the payload is no JSON: {error}") from error
