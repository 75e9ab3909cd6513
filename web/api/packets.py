"""`/v1/devices/{device_id}/packets`: the packet log of a device."""

import msgspec
from litestar import Request, delete, get, put
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath

from appliance.accounts.model import User
from appliance.instant import to_text
from web.auth import Caller
from web.packet_log import LoggedPacket, PacketLogs


class PacketOut(msgspec.Struct, frozen=True):
    """One packet. `size` is that of the payload, in bytes; payloads are not kept."""

    number: int
    at: str
    direction: str
    """`in` from the device, `out` to it."""
    client_id: str
    type: str
    topic: str
    size: int
    detail: str


class PacketLogOut(msgspec.Struct, frozen=True):
    """The log as it is now, the newest packet first."""

    on: bool
    connected: bool
    ends_at: str | None
    packet_count: int
    packets: list[PacketOut]


AnyRequest = Request[User, Caller, State]


@get("/v1/devices/{device_id:str}/packets", tags=["devices"], summary="The packet log of a device")
async def get_packets(
    device_id: FromPath[str], request: AnyRequest, packet_logs: NamedDependency[PacketLogs]
) -> PacketLogOut:
    """What was logged since it was switched on last, the newest 200 packets at most."""
    return _out(packet_logs, request.user.tenant_id, device_id)


@put("/v1/devices/{device_id:str}/packets", tags=["devices"], summary="Switch the packet log of a device on")
async def switch_packets_on(
    device_id: FromPath[str], request: AnyRequest, packet_logs: NamedDependency[PacketLogs]
) -> PacketLogOut:
    """Begin a new log; it is on for five minutes. Four devices may be logged at once."""
    packet_logs.switch_on(request.user.tenant_id, device_id)
    return _out(packet_logs, request.user.tenant_id, device_id)


@delete("/v1/devices/{device_id:str}/packets", tags=["devices"], summary="Switch the packet log of a device off")
async def switch_packets_off(
    device_id: FromPath[str], request: AnyRequest, packet_logs: NamedDependency[PacketLogs]
) -> None:
    """Log nothing more; what was logged can still be asked for."""
    packet_logs.view(request.user.tenant_id, device_id)
    packet_logs.switch_off(request.user.tenant_id, device_id)


def _out(packet_logs: PacketLogs, tenant_id: int, device_id: str) -> PacketLogOut:
    view = packet_logs.view(tenant_id, device_id)
    return PacketLogOut(
        on=view.is_on,
        connected=view.is_connected,
        ends_at=None if view.ends_at is None else to_text(view.ends_at),
        packet_count=view.packet_count,
        packets=[_packet(packet) for packet in view.packets],
    )


def _packet(packet: LoggedPacket) -> PacketOut:
    entry = packet.entry
    return PacketOut(
        number=packet.number,
        at=to_text(entry.at),
        direction="in" if entry.is_from_client else "out",
        client_id=packet.client_id,
        type=entry.type,
        topic=entry.topic,
        size=entry.size_bytes,
        detail=entry.detail,
    )


HANDLERS = (get_packets, switch_packets_on, switch_packets_off)
