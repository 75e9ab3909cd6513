"""`/v1/enrolment`: one-time codes, and those who knocked and wait."""

from typing import Annotated

import msgspec
from litestar import Request, delete, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import JSONBody

from appliance.accounts.model import User
from appliance.enrolment.codes import fitness
from appliance.enrolment.codes.model import LENGTH_MS, Code, NewCode
from appliance.enrolment.tray.model import Acceptance, Knock
from appliance.gateway import Gateway
from appliance.instant import SECOND_MS, to_text
from web.auth import Caller
from web.parameters import RowNumber
from web.shell import moment

SignedInRequest = Request[User, Caller, State]
Seconds = Annotated[int, msgspec.Meta(ge=0, le=2**31)]


class NewCodeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A code to be made. `target`: a device id, or a pattern with `*` that a device id or serial number fits."""

    target: str
    type: str = ""
    zone: str = ""
    valid_s: Seconds = LENGTH_MS // SECOND_MS


class CodeOut(msgspec.Struct, frozen=True):
    """An enrolment code; it is itself not told again. Moments are ISO 8601, UTC."""

    code_number: int
    target: str
    type: str
    zone: str
    created_at: str
    expires_at: str
    revoked_at: str | None
    used_at: str | None
    used_by: str
    is_open: bool


class CodesOut(msgspec.Struct, frozen=True):
    """The newest codes."""

    codes: list[CodeOut]


class MadeCodeOut(msgspec.Struct, frozen=True):
    """A new code: this answer is the one time that it is told. `path` opens on a phone."""

    code: str
    path: str
    code_number: int
    expires_at: str


class KnockOut(msgspec.Struct, frozen=True):
    """Somebody who waits. Everything but the key is only what they say of themselves."""

    knock_number: int
    subject: str
    key_kind: str
    key_fingerprint: str
    label: str
    address: str
    first_at: str
    last_at: str
    way: str
    """`request` or `certificate`: by what it has shown to have the key."""
    knock_count: int
    """How often it came; what is repeated is counted twice a minute at most."""
    serial_number: str
    wanted_id: str
    note: str


class KnocksOut(msgspec.Struct, frozen=True):
    """Everybody who waits, the newest first."""

    knocks: list[KnockOut]


class AcceptanceIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The device that somebody becomes who knocked; `is_registered` when it is one already."""

    device_id: str
    type: str = ""
    zone: str = ""
    is_registered: bool = False


@get("/v1/enrolment/codes", tags=["enrolment"], summary="Enrolment codes")
async def list_codes(request: SignedInRequest, gateway: NamedDependency[Gateway]) -> CodesOut:
    """The newest enrolment codes, spent ones too."""
    now = moment()
    return CodesOut([_code(code, now) for code in await gateway.codes.codes(request.user.tenant_id)])


@post("/v1/enrolment/codes", tags=["enrolment"], summary="Make an enrolment code")
async def add_code(
    data: JSONBody[NewCodeIn], request: SignedInRequest, gateway: NamedDependency[Gateway]
) -> MadeCodeOut:
    """A code that enrols one device, once. It is shown in this answer alone."""
    new = NewCode(data.target, data.type, data.zone, data.valid_s * SECOND_MS)
    made = await gateway.codes.add(request.user.tenant_id, new)
    path = f"/enrol/{fitness.canonical(made.secret)}"
    return MadeCodeOut(made.secret, path, made.known.code_number, to_text(made.known.expires_at))


@delete("/v1/enrolment/codes/{code_number:int}", tags=["enrolment"], summary="Revoke an enrolment code")
async def revoke_code(code_number: RowNumber, request: SignedInRequest, gateway: NamedDependency[Gateway]) -> None:
    """Let a code open nothing any more; one that was used stays used."""
    await gateway.codes.revoke(request.user.tenant_id, code_number)


@get("/v1/enrolment/knocks", tags=["enrolment"], summary="Devices that wait to be let in")
async def list_knocks(request: SignedInRequest, gateway: NamedDependency[Gateway]) -> KnocksOut:
    """Everybody who knocked without a code and waits."""
    return KnocksOut([_knock(knock) for knock in await gateway.tray.waiting(request.user.tenant_id)])


@post("/v1/enrolment/knocks/{knock_number:int}/accept", tags=["enrolment"], summary="Let a device in", status_code=204)
async def accept_knock(
    knock_number: RowNumber,
    data: JSONBody[AcceptanceIn],
    request: SignedInRequest,
    gateway: NamedDependency[Gateway],
) -> None:
    """Make a device of somebody who knocked; it gets its certificate when it asks again."""
    acceptance = Acceptance(data.device_id, data.type, data.zone, data.is_registered)
    await gateway.tray.accept(request.user.tenant_id, knock_number, acceptance)


@post("/v1/enrolment/knocks/{knock_number:int}/refuse", tags=["enrolment"], summary="Refuse a device", status_code=204)
async def refuse_knock(knock_number: RowNumber, request: SignedInRequest, gateway: NamedDependency[Gateway]) -> None:
    """Let somebody who knocked know that they are not let in."""
    await gateway.tray.refuse(request.user.tenant_id, knock_number)


def _code(code: Code, now: int) -> CodeOut:
    return CodeOut(
        code_number=code.code_number,
        target=code.target,
        type=code.type,
        zone=code.zone,
        created_at=to_text(code.created_at),
        expires_at=to_text(code.expires_at),
        revoked_at=None if code.revoked_at is None else to_text(code.revoked_at),
        used_at=None if code.used_at is None else to_text(code.used_at),
        used_by=code.used_by,
        is_open=fitness.refusal(code, now) is None,
    )


def _knock(knock: Knock) -> KnockOut:
    return KnockOut(
        knock_number=knock.knock_number,
        subject=knock.subject,
        key_kind=knock.key_kind,
        key_fingerprint=knock.key_fingerprint,
        label=knock.label,
        address=knock.address,
        first_at=to_text(knock.first_at),
        last_at=to_text(knock.last_at),
        way=knock.way.value,
        knock_count=knock.knock_count,
        serial_number=knock.serial_number,
        wanted_id=knock.wanted_id,
        note=knock.note,
    )


HANDLERS = (list_codes, add_code, revoke_code, list_knocks, accept_knock, refuse_knock)
