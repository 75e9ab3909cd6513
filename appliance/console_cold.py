"""What the command line may ask of the cold tier, of a gateway that runs."""

from collections.abc import Mapping
from typing import Any

from appliance.control import Call
from appliance.gateway import Gateway
from appliance.telemetry.cold.model import ColdUsage, Uploaded


def calls(gateway: Gateway) -> Mapping[str, Call]:
    """Each call by its name."""

    async def status(_: dict[str, Any]) -> ColdUsage:
        """How it stands."""
        return gateway.cold.usage()

    async def upload(_: dict[str, Any]) -> Uploaded:
        """Write and upload what is due, and tell what that was."""
        return await gateway.cold.upload_now()

    async def upload_soon(_: dict[str, Any]) -> None:
        """Have what is due uploaded as if it were time for it."""
        await gateway.cold.upload_soon()

    return {"cold.status": status, "cold.upload": upload, "cold.upload-soon": upload_soon}
