"""The page that an enrolment code opens, on a phone or elsewhere: the device's bundle, or a certificate for its key.

Nobody is signed in here: the code is what opens it. Looking at the page uses nothing up.
"""

import msgspec
from litestar import MediaType, Request, Response, get, post
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, URLEncodedBody
from litestar.response import Template

from appliance.enrolment.codes.model import Code
from appliance.errors import ApplianceError
from appliance.gateway import Gateway
from appliance.registry import bundle as bundles
from web.auth import OPEN, VISIT_COOKIE, form_secret, form_token, host_cookie, new_visit
from web.errors import status_of
from web.shell import moment

StrangersRequest = Request[None, None, State]


class EnrolForm(msgspec.Struct, frozen=True):
    """What the page asks for."""

    device_id: str = ""
    request: str = ""
    """A certificate signing request, PEM; empty when the gateway is to make the key."""


@get("/enrol/{code:str}", opt={**OPEN}, include_in_schema=False)
async def show_enrol(code: FromPath[str], request: StrangersRequest, gateway: NamedDependency[Gateway]) -> Template:
    """What the code is good for, and the two ways to use it."""
    try:
        known = await gateway.codes.opened(code, _address(request))
    except ApplianceError as error:
        return _page(request, code, None, EnrolForm(), error)
    return _page(request, code, known, EnrolForm(), None)


@post("/enrol/{code:str}/bundle", opt={**OPEN}, include_in_schema=False, status_code=200)
async def download_bundle(
    code: FromPath[str],
    request: StrangersRequest,
    gateway: NamedDependency[Gateway],
    data: URLEncodedBody[EnrolForm],
) -> Response[bytes] | Template:
    """Use the code up and give key, certificate and CA as one file. This answer is the one time."""
    try:
        bundle = await gateway.codes.bundle(code, data.device_id.strip(), _address(request))
    except ApplianceError as error:
        return await _again(request, gateway, code, data, error)
    name = bundles.folder_name(bundle.device_id)
    packed = bundles.zipped(bundles.with_programs(bundle, gateway.registry.address), name, moment())
    return _attachment(packed, "application/zip", f"{name}.zip")


@post("/enrol/{code:str}/certificate", opt={**OPEN}, include_in_schema=False, status_code=200)
async def download_certificate(
    code: FromPath[str],
    request: StrangersRequest,
    gateway: NamedDependency[Gateway],
    data: URLEncodedBody[EnrolForm],
) -> Response[bytes] | Template:
    """Use the code up and give a certificate for the key of a signing request, with the CA that signed it."""
    device_id = data.device_id.strip()
    try:
        address = _address(request)
        known = await gateway.codes.opened(code, address)
        device_id = device_id or ("" if known.is_pattern else known.target)
        granted = await gateway.codes.enrol(code, device_id, data.request.encode(), address)
    except ApplianceError as error:
        return await _again(request, gateway, code, data, error)
    return _attachment(
        granted.chain_pem.encode(), "application/x-pem-file", f"{bundles.folder_name(granted.device_id)}.pem"
    )


async def _again(
    request: StrangersRequest, gateway: Gateway, code: str, form: EnrolForm, error: ApplianceError
) -> Template:
    """The page with what was wrong; without its forms when the code opens nothing any more."""
    try:
        known = await gateway.codes.opened(code, _address(request))
    except ApplianceError as worse:
        return _page(request, code, None, form, worse)
    return _page(request, code, known, form, error)


def _page(
    request: StrangersRequest, code: str, known: Code | None, form: EnrolForm, error: ApplianceError | None
) -> Template:
    secret = form_secret(request)
    visit = secret or new_visit()
    context = {
        "known": known,
        "code": code,
        "form": form,
        "complaint": "" if error is None else str(error),
        "form_token": form_token(visit),
    }
    return Template(
        "pages/enrol.html",
        context=context,
        status_code=200 if error is None else status_of(error),
        media_type=MediaType.HTML,
        cookies=[] if secret else [host_cookie(VISIT_COOKIE, visit)],
    )


def _address(request: StrangersRequest) -> str:
    client = request.scope.get("client")
    return client[0] if client else ""


def _attachment(content: bytes, media_type: str, name: str) -> Response[bytes]:
    # A device id is made of letters, digits, `:`, `_` and `-`: nothing in it can leave the quotes.
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)


HANDLERS = (show_enrol, download_bundle, download_certificate)
