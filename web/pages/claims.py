"""Claims: certificates by which new devices enrol themselves, and the templates that name them."""

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Template

from appliance.enrolment import claims, leaflet
from appliance.enrolment.model import DEFAULT_TEMPLATE, NewClaim
from appliance.errors import ApplianceError, InvalidInputError
from appliance.gateway import Gateway
from appliance.instant import DAY_MS
from appliance.registry import bundle
from web.errors import status_of
from web.parameters import RowNumber
from web.shell import Frame

LONGEST_DAYS = 3_650


class ClaimForm(msgspec.Struct, frozen=True):
    """A claim as it is typed in."""

    name: str = ""
    template: str = DEFAULT_TEMPLATE
    days: str = "30"
    use_limit: str = "100"
    serial_pattern: str = ""
    serials: str = ""


class TemplateForm(msgspec.Struct, frozen=True):
    """A template as it is typed in."""

    name: str = ""
    body: str = ""


@get("/claims", include_in_schema=False)
async def show_claims(gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]) -> Template:
    """The page."""
    return _page(gateway, frame)


@post("/claims", include_in_schema=False, status_code=200)
async def add_claim(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], data: URLEncodedBody[ClaimForm]
) -> Response[bytes] | Template:
    """Make a claim. This answer, a zip file, is the one time that its key is given."""
    try:
        new = new_claim(data, frame.now)
        claim, made = await gateway.enrolment.add_claim(frame.user.tenant_id, new)
    except ApplianceError as error:
        return _page(gateway, frame, error, claim_form=data)
    folder = f"claim-{claim.claim_number}"
    files = leaflet.as_files(claim, made, gateway.registry.address)
    headers = {"content-disposition": f'attachment; filename="{folder}.zip"', "cache-control": "no-store"}
    return Response(bundle.zipped(files, folder, frame.now), media_type="application/zip", headers=headers)


@post("/claims/{claim_number:int}/revoke", include_in_schema=False, status_code=303)
async def revoke_claim(
    claim_number: RowNumber, gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Response[None]:
    """Let a claim open nothing any more."""
    await gateway.enrolment.revoke_claim(frame.user.tenant_id, claim_number)
    return _back()


@post("/provisioning-templates", include_in_schema=False, status_code=200)
async def add_template(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], data: URLEncodedBody[TemplateForm]
) -> Template:
    """Keep a template, and say what of it is left out."""
    try:
        left_out = await gateway.enrolment.add_template(frame.user.tenant_id, data.name, data.body)
    except ApplianceError as error:
        return _page(gateway, frame, error, template_form=data)
    return _page(gateway, frame, notes=(f"The template {data.name} was added.", *left_out))


@post("/provisioning-templates/{name:str}/remove", include_in_schema=False, status_code=303)
async def remove_template(
    name: FromPath[str], gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Response[None]:
    """Remove a template that no good claim names."""
    await gateway.enrolment.remove_template(frame.user.tenant_id, name)
    return _back()


def new_claim(form: ClaimForm, now: int) -> NewClaim:
    """The claim that was typed in. Raises `InvalidInputError` for what is not a whole number."""
    days = _whole("the number of days", form.days)
    if days > LONGEST_DAYS:
        raise InvalidInputError(f"a claim is good for at most {LONGEST_DAYS} days")
    return NewClaim(
        name=form.name.strip(),
        template=form.template,
        expires_at=now + days * DAY_MS,
        use_limit=_whole("the number of uses", form.use_limit),
        serial_pattern=form.serial_pattern.strip(),
        serials=tuple(dict.fromkeys(form.serials.split())),
    )


def _page(
    gateway: Gateway,
    frame: Frame,
    error: ApplianceError | None = None,
    *,
    claim_form: ClaimForm | None = None,
    template_form: TemplateForm | None = None,
    notes: tuple[str, ...] = (),
) -> Template:
    tenant_id = frame.user.tenant_id
    listed = gateway.enrolment.claims(tenant_id)
    context = {
        "frame": frame,
        "now": frame.now,
        "claims": [(claim, claims.refusal(claim, frame.now)) for claim in listed],
        "templates": gateway.enrolment.templates(tenant_id),
        "form": claim_form or ClaimForm(),
        "template_form": template_form or TemplateForm(),
        "claim_complaint": str(error) if error and template_form is None else "",
        "template_complaint": str(error) if error and template_form is not None else "",
        "notes": notes,
        "longest_days": LONGEST_DAYS,
    }
    page = Template("pages/claims.html", context=context)
    if error is not None:
        page.status_code = status_of(error)
    return page


def _whole(name: str, text: str) -> int:
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) < len("10000000")):
        raise InvalidInputError(f"{name} is {text[:40]!r}, expected a whole number")
    return int(text)


def _back() -> Response[None]:
    return Response(None, headers={"location": "/claims"})


HANDLERS = (show_claims, add_claim, revoke_claim, add_template, remove_template)
