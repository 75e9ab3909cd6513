"""The certificates of one device: which there are, a new one as a zip or for a request, and the end of one."""

from typing import Annotated

import msgspec
from litestar import Response, get, post
from litestar.datastructures import UploadFile
from litestar.di import NamedDependency
from litestar.enums import RequestEncodingType
from litestar.params import Body, FromPath
from litestar.response import Template

from appliance.errors import ApplianceError, NotFoundError
from appliance.gateway import Gateway
from appliance.registry import bundle
from appliance.registry.model import Certificate, Device, DeviceState, Granted, UnknownCertificateError
from web.errors import status_of
from web.shell import Frame


class RequestForm(msgspec.Struct, frozen=True):
    """A certificate signing request: as text, or as a file."""

    request_text: str = ""
    request_file: UploadFile | None = None


class View(msgspec.Struct, frozen=True):
    """What the page shows besides its frame."""

    device: Device
    certificates: tuple[Certificate, ...]
    may_have_more: bool
    granted: Granted | None
    complaint: str


@get("/devices/{device_id:str}/certificates", include_in_schema=False)
async def show_certificates(
    device_id: FromPath[str], gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Template:
    """The page."""
    return await _page(gateway, frame, device_id)


@post("/devices/{device_id:str}/bundle", include_in_schema=False, status_code=200)
async def download_bundle(
    device_id: FromPath[str], gateway: NamedDependency[Gateway], frame: NamedDependency[Frame]
) -> Response[bytes] | Template:
    """Issue a certificate; this answer is the one time that its key is given out."""
    try:
        issued = await gateway.registry.issue_certificate(frame.user.tenant_id, device_id)
    except NotFoundError:
        raise
    except ApplianceError as error:
        return await _complaining(gateway, frame, device_id, error)
    name = bundle.folder_name(device_id)
    return Response(
        bundle.zipped(bundle.with_programs(issued, gateway.registry.address), name, frame.now),
        media_type="application/zip",
        headers={"content-disposition": f'attachment; filename="{name}.zip"'},
    )


@post("/devices/{device_id:str}/certificate-requests", include_in_schema=False, status_code=200)
async def grant_certificate(
    device_id: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
    data: Annotated[RequestForm, Body(media_type=RequestEncodingType.MULTI_PART)],
) -> Template:
    """Issue a certificate for a key that only the device has."""
    content = b""
    if data.request_file is not None:
        content = await data.request_file.read()
        await data.request_file.close()
    try:
        granted = await gateway.registry.grant_certificate(
            frame.user.tenant_id, device_id, content or data.request_text.encode()
        )
    except NotFoundError:
        raise
    except ApplianceError as error:
        return await _complaining(gateway, frame, device_id, error)
    return await _page(gateway, frame, device_id, granted=granted)


@get("/devices/{device_id:str}/certificates/{fingerprint:str}/revoke", include_in_schema=False)
async def ask_revocation(
    device_id: FromPath[str],
    fingerprint: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
) -> Template:
    """The question before a certificate is revoked, for there is no way back."""
    tenant_id = frame.user.tenant_id
    known = await gateway.registry.certificates(tenant_id, device_id)
    certificate = next((one for one in known if one.fingerprint == fingerprint), None)
    if certificate is None:
        raise UnknownCertificateError(f"{device_id} has no certificate with the fingerprint {fingerprint[:64]}")
    good = [one for one in known if one.revoked_at is None and one.expires_at > frame.now]
    context = {
        "frame": frame,
        "now": frame.now,
        "device": gateway.registry.device(tenant_id, device_id),
        "certificate": certificate,
        "is_last": good == [certificate],
        "is_connected": gateway.registry.presence(tenant_id, device_id).connected,
    }
    return Template("pages/certificate_revoke.html", context=context)


@post("/devices/{device_id:str}/certificates/{fingerprint:str}/revoke", include_in_schema=False, status_code=303)
async def revoke_certificate(
    device_id: FromPath[str],
    fingerprint: FromPath[str],
    gateway: NamedDependency[Gateway],
    frame: NamedDependency[Frame],
) -> Response[None]:
    """Let a certificate open nothing any more, and go back."""
    await gateway.renewal.revoke(frame.user.tenant_id, device_id, fingerprint)
    return Response(None, headers={"location": f"/devices/{device_id}/certificates"})


async def _complaining(gateway: Gateway, frame: Frame, device_id: str, error: ApplianceError) -> Template:
    page = await _page(gateway, frame, device_id, complaint=str(error))
    page.status_code = status_of(error)
    return page


async def _page(
    gateway: Gateway, frame: Frame, device_id: str, *, granted: Granted | None = None, complaint: str = ""
) -> Template:
    tenant_id = frame.user.tenant_id
    device = gateway.registry.device(tenant_id, device_id)
    certificates = tuple(await gateway.registry.certificates(tenant_id, device_id))
    view = View(device, certificates, device.state is not DeviceState.RETIRED, granted, complaint)
    return Template("pages/certificates.html", context={"frame": frame, "now": frame.now, "view": view})


HANDLERS = (show_certificates, download_bundle, grant_certificate, ask_revocation, revoke_certificate)
