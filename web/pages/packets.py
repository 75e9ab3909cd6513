"""The form that switches the packet log of a device on and off. The log itself is on the device's page."""

import msgspec
from litestar import Response, post
from litestar.di import NamedDependency
from litestar.exceptions import PermissionDeniedException
from litestar.params import FromPath, URLEncodedBody

from appliance.accounts.model import Role
from web.packet_log import PacketLogs
from web.shell import Frame

ON = "yes"


class PacketsForm(msgspec.Struct, frozen=True):
    """What the log is to be from now on."""

    is_on: str = "no"


@post("/devices/{device_id:str}/packets", include_in_schema=False, status_code=303)
async def switch_packets(
    device_id: FromPath[str],
    packet_logs: NamedDependency[PacketLogs],
    frame: NamedDependency[Frame],
    data: URLEncodedBody[PacketsForm],
) -> Response[None]:
    """Switch it, and go back."""
    if frame.user.role is not Role.OWNER:
        raise PermissionDeniedException("Packet logs are for owners.")
    tenant_id = frame.user.tenant_id
    if data.is_on == ON:
        packet_logs.switch_on(tenant_id, device_id)
    else:
        packet_logs.switch_off(tenant_id, device_id)
    return Response(None, headers={"location": f"/devices/{device_id}#packets"})


HANDLERS = (switch_packets,)
