"""The question before what the devices of a search have sent is erased."""

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromQuery, URLEncodedBody
from litestar.response import Template

from appliance.errors import ApplianceError, InvalidInputError
from appliance.gateway import Gateway
from appliance.registry.model import Device
from appliance.telemetry.keeping.erasing.agreement import Agreement, counted, require_agreed
from web.errors import status_of
from web.shell import Frame


class EraseFoundForm(msgspec.Struct, frozen=True):
    """The search, the devices that were shown, and how many these are, typed by whoever means it."""

    q: str = ""
    devices: str = ""
    count: str = ""


@get("/device-erase", include_in_schema=False)
async def ask_erasing(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], q: FromQuery[str] = ""
) -> Template:
    """The page: which devices the search finds now."""
    return _question(gateway, frame, q, "")


@post("/device-erase", include_in_schema=False, status_code=303)
async def erase_found(
    gateway: NamedDependency[Gateway], frame: NamedDependency[Frame], data: URLEncodedBody[EraseFoundForm]
) -> Response[None] | Template:
    """Erase what the devices that were shown have sent, if the search still finds them and no others."""
    tenant_id, shown = frame.user.tenant_id, frozenset(data.devices.split())
    try:
        found = [device.device_id for device in gateway.catalogue.find_some(tenant_id, data.q)]
        if data.count.strip() != str(len(shown)):
            raise InvalidInputError(f"nothing was erased: the number typed is not {len(shown)}")
        require_agreed(found, Agreement(device_ids=shown))
        await gateway.room.keeping.erase(tenant_id, found, data.q.strip())
    except ApplianceError as error:
        page = _question(gateway, frame, data.q, str(error))
        page.status_code = status_of(error)
        return page
    return Response(None, headers={"location": "/storage"})


def _question(gateway: Gateway, frame: Frame, search: str, complaint: str) -> Template:
    found = list[Device]()
    try:
        found = gateway.catalogue.find_some(frame.user.tenant_id, search)
        # Whatever they are, these are what is asked about now.
        device_ids = [device.device_id for device in found]
        require_agreed(device_ids, Agreement(count=len(device_ids)))
    except ApplianceError as error:
        found, complaint = [], complaint or str(error)
    context = {
        "frame": frame,
        "now": frame.now,
        "search": search.strip(),
        "devices": found,
        "counted": counted(len(found)),
        "complaint": complaint,
    }
    return Template("pages/device_erase.html", context=context)


HANDLERS = (ask_erasing, erase_found)
