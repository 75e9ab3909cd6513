"""CAs that a tenant brings along: registered, set and removed; and their certificates that wait for a person."""

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import URLEncodedBody
from litestar.response import Template

from appliance.errors import ApplianceError, InvalidInputError
from appliance.gateway import Gateway
from appliance.registry.own_authorities.model import (
    DAILY_LIMIT,
    Acceptance,
    Mode,
    OwnAuthority,
    OwnCertificate,
    Settings,
)
from web.errors import status_of
from web.parameters import RowNumber
from web.shell import Frame

MODES = {
    Mode.REGISTER.value: "waits until a person accepts it",
    Mode.PROVISION.value: "becomes a device at once",
    Mode.INACTIVE.value: "is refused: the CA is switched off",
}
"""What becomes of a new certificate, by mode."""


class SettingsForm(msgspec.Struct, frozen=True):
    """What is decided of a CA, as it is typed in."""

    mode: str = Mode.REGISTER.value
    template: str = ""
    daily_limit: str = str(DAILY_LIMIT)


class AuthorityForm(SettingsForm, frozen=True):
    """A CA as it is typed in."""

    certificate: str = ""
    proof: str = ""


class AcceptForm(msgspec.Struct, frozen=True):
    """Whom a person lets in, as whom."""

    device_id: str = ""
    type: str = ""
    zone: str = ""
    is_registered: str = ""
    """Filled in when it is a device that is registered already."""


class AuthorityView(msgspec.Struct, frozen=True):
    """A CA in the list."""

    authority: OwnAuthority
    device_count: int


class CertificateView(msgspec.Struct, frozen=True):
    """A certificate that waits."""

    certificate: OwnCertificate
    authority: OwnAuthority
    is_registered: bool
    """Whether it names a device that is registered: then one click lets nobody in."""


@get("/own-authorities", include_in_schema=False)
async def show_authorities(gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]) -> Template:
    """The page."""
    return _page(gateway, frame)


@post("/own-authorities/codes", include_in_schema=False, status_code=200)
async def make_code(gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]) -> Template:
    """Make a registration code. This answer is the one time that it is shown."""
    code = await gateway.registry.own_authorities.make_code(frame.user.tenant_id)
    return _page(gateway, frame, code=code)


@post("/own-authorities", include_in_schema=False, status_code=303)
async def register(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], data: URLEncodedBody[AuthorityForm]
) -> Response[None] | Template:
    """Register a CA; or the form again, with what was wrong."""
    try:
        await gateway.registry.own_authorities.register(
            frame.user.tenant_id, data.certificate.encode(), data.proof.encode(), _settings(data)
        )
    except ApplianceError as error:
        return _page(gateway, frame, form=data, error=error)
    return _back()


@post("/own-authorities/{authority_number:int}", include_in_schema=False, status_code=303)
async def change(
    authority_number: RowNumber,
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[SettingsForm],
) -> Response[None] | Template:
    """Decide anew what becomes of the certificates of a CA."""
    try:
        await gateway.registry.own_authorities.change(frame.user.tenant_id, authority_number, _settings(data))
    except ApplianceError as error:
        return _page(gateway, frame, error=error)
    return _back()


@post("/own-authorities/{authority_number:int}/remove", include_in_schema=False, status_code=303)
async def remove(
    authority_number: RowNumber, gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Response[None]:
    """Remove a CA and revoke all of its certificates."""
    await gateway.registry.own_authorities.remove(frame.user.tenant_id, authority_number)
    return _back()


@post("/own-authorities/certificates/{certificate_number:int}/accept", include_in_schema=False, status_code=303)
async def accept_certificate(
    certificate_number: RowNumber,
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[AcceptForm],
) -> Response[None] | Template:
    """Let the bearer of a certificate in; or the page again, with what was wrong."""
    acceptance = Acceptance(data.device_id.strip(), data.type.strip(), data.zone.strip(), bool(data.is_registered))
    try:
        await gateway.registry.own_authorities.accept(frame.user.tenant_id, certificate_number, acceptance)
    except ApplianceError as error:
        return _page(gateway, frame, error=error)
    return _back()


@post("/own-authorities/certificates/{certificate_number:int}/refuse", include_in_schema=False, status_code=303)
async def refuse_certificate(
    certificate_number: RowNumber, gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Response[None]:
    """Let nobody in by a certificate."""
    await gateway.registry.own_authorities.refuse(frame.user.tenant_id, certificate_number)
    return _back()


@post("/own-authorities/certificates/{certificate_number:int}/reconsider", include_in_schema=False, status_code=303)
async def reconsider_certificate(
    certificate_number: RowNumber, gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Response[None] | Template:
    """Let a refused certificate wait again; or the page again, with what was wrong."""
    try:
        await gateway.registry.own_authorities.reconsider(frame.user.tenant_id, certificate_number)
    except ApplianceError as error:
        return _page(gateway, frame, error=error)
    return _back()


def waiting(gateway: Gateway, tenant_id: int) -> list[CertificateView]:
    """The certificates that wait for a person, the newest first."""
    own = gateway.registry.own_authorities
    return [
        CertificateView(
            each,
            own.authority(tenant_id, each.authority_number),
            gateway.registry.has_device(tenant_id, each.device_id),
        )
        for each in own.undecided(tenant_id)
    ]


def _settings(form: SettingsForm) -> Settings:
    if form.mode not in MODES:
        raise InvalidInputError(f"{form.mode[:40]!r} is no mode of a CA")
    if not (form.daily_limit.isascii() and form.daily_limit.isdigit() and len(form.daily_limit) < len("10000000")):
        raise InvalidInputError(f"{form.daily_limit[:40]!r} certificates a day: expected a whole number")
    return Settings(Mode(form.mode), form.template, int(form.daily_limit))


def _page(
    gateway: Gateway,
    frame: Frame,
    *,
    code: str = "",
    form: AuthorityForm | None = None,
    error: ApplianceError | None = None,
) -> Template:
    own, tenant_id = gateway.registry.own_authorities, frame.user.tenant_id
    context = {
        "frame": frame,
        "now": frame.now,
        "authorities": [
            AuthorityView(each, own.device_count(each.authority_number)) for each in own.authorities(tenant_id)
        ],
        "certificates": waiting(gateway, tenant_id),
        "refused": own.refused(tenant_id),
        "templates": [each.name for each in gateway.enrolment.templates(tenant_id)],
        "modes": MODES,
        "code": code,
        "form": form or AuthorityForm(),
        "complaint": str(error) if error else "",
    }
    status = status_of(error) if error else 200
    return Template("pages/own_authorities.html", context=context, status_code=status)


def _back() -> Response[None]:
    return Response(None, status_code=303, headers={"location": "/own-authorities"})


HANDLERS = (
    show_authorities,
    make_code,
    register,
    change,
    remove,
    accept_certificate,
    refuse_certificate,
    reconsider_certificate,
)
