"""What the command line may ask of readings, of a gateway that runs."""

import base64
from collections.abc import Mapping
from typing import Any

import msgspec

from appliance.audit.acting import acting_as
from appliance.control import Call
from appliance.gateway import Gateway
from appliance.ingestion.importing.model import InvalidReadingsError, Tally
from appliance.registry.model import DEFAULT_TENANT, Device
from appliance.telemetry.exporting.model import Asked, Mark, Piece

NAME = "the command line"
"""Who the audit log says has done it."""


class Selected(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which devices are meant: those that every list lets through that is not empty."""

    device_ids: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    types: tuple[str, ...] = ()


def calls(gateway: Gateway) -> Mapping[str, Call]:
    """Each call by its name."""

    async def begin(arguments: dict[str, Any]) -> str:
        """The name of an export: of which devices it is, and which columns it has, is settled here."""
        asked = msgspec.convert(arguments["asked"], Asked)
        devices = selected(gateway, msgspec.convert(arguments["selected"], Selected))
        return gateway.exporting.begin(await gateway.exporting.wanted(DEFAULT_TENANT, asked, devices))

    async def export(arguments: dict[str, Any]) -> Piece:
        """The text that comes next of an export that was begun."""
        return await gateway.exporting.further(str(arguments["name"]), msgspec.convert(arguments["mark"], Mark))

    async def import_(arguments: dict[str, Any]) -> Tally:
        """Take a part of a table, with its heading."""
        with acting_as(NAME):
            return await gateway.importing.table(
                DEFAULT_TENANT,
                _decoded(arguments["content"]),
                device_id=str(arguments["device_id"]),
                first_line=int(arguments["first_line"]),
                is_dry_run=bool(arguments["dry_run"]),
            )

    return {"telemetry.export_begin": begin, "telemetry.export": export, "telemetry.import": import_}


def selected(gateway: Gateway, told: Selected) -> list[Device]:
    """The devices that are meant. Raises `UnknownDeviceError`."""
    registry = gateway.registry
    named = [registry.device(DEFAULT_TENANT, device_id) for device_id in dict.fromkeys(told.device_ids)]
    return [
        device
        for device in named or registry.devices(DEFAULT_TENANT)
        if (not told.zones or device.zone in told.zones)
        and (not told.types or device.type in told.types)
        and (not told.groups or not set(told.groups).isdisjoint(device.groups))
    ]


def _decoded(content: str) -> str:
    try:
        return base64.b64decode(content).decode("utf-8")
    except UnicodeDecodeError:
        raise InvalidReadingsError("the file is not UTF-8: save it as CSV in UTF-8") from None
