"""What the command line may ask of the gateway, running or not."""

from collections.abc import Mapping
from typing import Any

import msgspec

from appliance.accounts.service import Accounts
from appliance.control import Call
from appliance.registry.model import DEFAULT_TENANT, Bundle, NewDevice
from appliance.registry.service import Registry

EVERY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104  what a setting may say, nothing is bound here


def local_host(listening_host: str) -> str:
    """The host by which commands on this machine reach a listener."""
    return "localhost" if listening_host in EVERY_ADDRESS else listening_host


class Issued(msgspec.Struct, frozen=True):
    """Bundles, and where their devices connect."""

    bundles: tuple[Bundle, ...]
    host: str
    """For devices elsewhere in the LAN."""
    local_host: str
    """For commands on this machine."""
    port: int


class Console:
    """The calls of the command line."""

    def __init__(self, registry: Registry, accounts: Accounts, mqtt_host: str, mqtt_port: int) -> None:
        """`mqtt_host` and `mqtt_port` are where the gateway listens for devices."""
        self._registry = registry
        self._accounts = accounts
        self._mqtt_host = mqtt_host
        self._mqtt_port = mqtt_port

    def calls(self) -> Mapping[str, Call]:
        """Each call by its name."""
        return {
            "device.add": self._add_devices,
            "device.list": self._list_devices,
            "claim": self._open_claim,
            "token.add": self._add_token,
        }

    async def _add_devices(self, arguments: dict[str, Any]) -> Issued:
        """Register the devices that are not yet, and issue a certificate to each."""
        devices = msgspec.convert(arguments["devices"], list[NewDevice])
        bundles = await self._registry.issue_many(DEFAULT_TENANT, devices)
        host = self._registry.lan_host if self._mqtt_host in EVERY_ADDRESS else self._mqtt_host
        return Issued(tuple(bundles), host, local_host(self._mqtt_host), self._mqtt_port)

    async def _list_devices(self, _: dict[str, Any]) -> list[dict[str, Any]]:
        listed = []
        for device in self._registry.devices(DEFAULT_TENANT):
            presence = self._registry.presence(DEFAULT_TENANT, device.device_id)
            listed.append({**msgspec.to_builtins(device), "connected": presence.connected})
        return listed

    async def _open_claim(self, _: dict[str, Any]) -> str:
        return await self._accounts.open_claim(DEFAULT_TENANT)

    async def _add_token(self, arguments: dict[str, Any]) -> str:
        return await self._accounts.add_token(DEFAULT_TENANT, arguments["name"])
