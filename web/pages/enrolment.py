"""Enrolment: one-time codes, and the tray of those who knocked and wait."""

from urllib.parse import urlsplit

import msgspec
import segno
from litestar import Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import URLEncodedBody
from litestar.response import Template

from appliance.accounts.model import User
from appliance.enrolment.codes import fitness
from appliance.enrolment.codes.model import Code, NewCode
from appliance.enrolment.tray import waiting
from appliance.enrolment.tray.model import Acceptance, Knock
from appliance.errors import ApplianceError
from appliance.gateway import Gateway
from appliance.instant import DAY_MS, HOUR_MS
from web.auth import Caller
from web.errors import status_of
from web.pages import own_authorities
from web.parameters import RowNumber
from web.shell import Frame, moment

PageRequest = Request[User, Caller, State]

LENGTHS = {"1": "1 hour", "24": "1 day", "168": "7 days", "720": "30 days"}
"""How long a code may be good: in hours, and in words."""


class CodeForm(msgspec.Struct, frozen=True):
    """A code as it is asked for."""

    target: str = ""
    type: str = ""
    zone: str = ""
    hours: str = "24"


class AcceptForm(msgspec.Struct, frozen=True):
    """Whom a person lets in, as whom."""

    device_id: str = ""
    type: str = ""
    zone: str = ""
    is_registered: str = ""
    """Filled in when it is a device that is registered already."""


class CodeView(msgspec.Struct, frozen=True):
    """A code in the list."""

    code: Code
    standing: str
    """`open`, `used`, `revoked` or `expired`."""
    answers_until: int | None
    """When it was used and still answers the same device: until when."""


class KnockView(msgspec.Struct, frozen=True):
    """Somebody who waits."""

    knock: Knock
    suggested_id: str
    is_registered: bool
    """Whether a device of the suggested name is registered already: then one click lets nobody in."""


class Shown(msgspec.Struct, frozen=True):
    """A new code at the one moment when it is shown."""

    secret: str
    target: str
    address: str
    """Of the page for a phone."""
    picture: str
    """Its QR code, a data URI."""
    expires_at: int


@get("/enrolment", include_in_schema=False)
async def show_enrolment(gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]) -> Template:
    """The page."""
    return await _page(gateway, frame)


@post("/enrolment/codes", include_in_schema=False, status_code=200)
async def make_code(
    request: PageRequest,
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[CodeForm],
) -> Template:
    """Make a code. This answer is the one time that it is shown."""
    hours = int(data.hours) if data.hours in LENGTHS else DAY_MS // HOUR_MS
    new = NewCode(data.target.strip(), data.type.strip(), data.zone.strip(), hours * HOUR_MS)
    try:
        made = await gateway.codes.add(frame.user.tenant_id, new)
    except ApplianceError as error:
        page = await _page(gateway, frame, form=data, complaint=str(error))
        page.status_code = status_of(error)
        return page
    address = f"{_origin(request, gateway)}/enrol/{fitness.canonical(made.secret)}"
    # As a data URI it needs no script, and the code is in no address that is kept.
    picture = segno.make(address, error="m").svg_data_uri(scale=5, border=4, light="#fff", dark="#000")
    shown = Shown(made.secret, made.known.target, address, picture, made.known.expires_at)
    return await _page(gateway, frame, shown=shown)


@post("/enrolment/codes/{code_number:int}/revoke", include_in_schema=False, status_code=303)
async def revoke_code(
    code_number: RowNumber, gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Response[None]:
    """Let a code open nothing any more."""
    await gateway.codes.revoke(frame.user.tenant_id, code_number)
    return Response(None, headers={"location": "/enrolment"})


@get("/enrolment/knocks/{knock_number:int}", include_in_schema=False)
async def show_knock(
    knock_number: RowNumber, gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Template:
    """All that is known of somebody who knocked, and the form that lets them in."""
    view = _view(gateway, await gateway.tray.one(frame.user.tenant_id, knock_number))
    return _knock_page(frame, view, AcceptForm(view.suggested_id, view.knock.label), "")


@post("/enrolment/knocks/{knock_number:int}/accept", include_in_schema=False, status_code=303)
async def accept_knock(
    knock_number: RowNumber,
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[AcceptForm],
) -> Response[None] | Template:
    """Let somebody in; or the form again, with what was wrong."""
    tenant_id = frame.user.tenant_id
    acceptance = Acceptance(data.device_id.strip(), data.type.strip(), data.zone.strip(), bool(data.is_registered))
    try:
        await gateway.tray.accept(tenant_id, knock_number, acceptance)
    except ApplianceError as error:
        page = _knock_page(frame, _view(gateway, await gateway.tray.one(tenant_id, knock_number)), data, str(error))
        page.status_code = status_of(error)
        return page
    return Response(None, status_code=303, headers={"location": "/enrolment"})


@post("/enrolment/knocks/{knock_number:int}/refuse", include_in_schema=False, status_code=303)
async def refuse_knock(
    knock_number: RowNumber, gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Response[None]:
    """Let nobody in."""
    await gateway.tray.refuse(frame.user.tenant_id, knock_number)
    return Response(None, headers={"location": "/enrolment"})


async def _page(
    gateway: Gateway,
    frame: Frame,
    *,
    form: CodeForm | None = None,
    complaint: str = "",
    shown: Shown | None = None,
) -> Template:
    tenant_id, now = frame.user.tenant_id, moment()
    context = {
        "frame": frame,
        "now": now,
        "certificates": own_authorities.waiting(gateway, tenant_id),
        "knocks": [_view(gateway, knock) for knock in await gateway.tray.waiting(tenant_id)],
        "is_open": gateway.tray.is_open,
        "codes": [_code_view(code, now) for code in await gateway.codes.codes(tenant_id)],
        "lengths": LENGTHS,
        "form": form or CodeForm(),
        "complaint": complaint,
        "shown": shown,
    }
    return Template("pages/enrolment.html", context=context)


def _knock_page(frame: Frame, view: KnockView, form: AcceptForm, complaint: str) -> Template:
    context = {"frame": frame, "now": frame.now, "view": view, "form": form, "complaint": complaint}
    return Template("pages/knock.html", context=context)


def _view(gateway: Gateway, knock: Knock) -> KnockView:
    suggested_id = waiting.suggested_id(knock)
    return KnockView(knock, suggested_id, gateway.registry.has_device(knock.tenant_id, suggested_id))


def _code_view(code: Code, now: int) -> CodeView:
    return CodeView(code, _standing(code, now), fitness.answers_until(code, now))


def _standing(code: Code, now: int) -> str:
    if code.used_at is not None:
        return "used"
    if code.revoked_at is not None:
        return "revoked"
    return "expired" if code.expires_at <= now else "open"


def _origin(request: PageRequest, gateway: Gateway) -> str:
    """Where a phone reaches this page: as the person does, unless they sit at the gateway itself."""
    asked = urlsplit(f"//{request.headers.get('host', '')}")
    host = asked.hostname or ""
    if host in ("", "localhost", "::1") or host.startswith("127."):
        host = gateway.registry.lan_host
    shown = f"[{host}]" if ":" in host else host
    return f"https://{shown}:{asked.port}" if asked.port else f"https://{shown}"


HANDLERS = (show_enrolment, make_code, revoke_code, show_knock, accept_knock, refuse_knock)
