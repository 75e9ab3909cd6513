"""What the command line may ask of the gateway, running or not."""

import base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from appliance.accounts.model import Role
from appliance.accounts.service import Accounts
from appliance.audit.acting import acting_as
from appliance.audit.model import Verdict
from appliance.control import Call
from appliance.registry.bundle import Address
from appliance.registry.catalogue.model import Fate
from appliance.registry.catalogue.service import Catalogue
from appliance.registry.clock.model import ClockReport
from appliance.registry.keys import AuthorityStatus
from appliance.registry.model import DEFAULT_TENANT, Bundle, NewDevice
from appliance.registry.own_authorities.model import OwnAuthority
from appliance.registry.own_authorities.model import Settings as OwnSettings
from appliance.registry.own_authorities.service import OwnAuthorities
from appliance.registry.revocation.issuers import Issuer, Succession
from appliance.registry.service import Registry
from appliance.telemetry.keeping.erasing.agreement import Agreement, require_agreed

NAME = "the command line"
"""Who the audit log says has done it."""

Erase = Callable[[int, Sequence[str], str], Awaitable[None]]
"""Takes a tenant, device ids, and the search that found them; empty when each was named."""

EVERY_ADDRESS = ("0.0.0.0", "::", "")  # noqa: S104  what a setting may say, nothing is bound here


def local_host(listening_host: str) -> str:
    """The host by which commands on this machine reach a listener."""
    return "localhost" if listening_host in EVERY_ADDRESS else listening_host


def reached(listening_host: str, mqtt_port: int, shared_port: int | None, web_port: int) -> Address:
    """Where devices are told to connect; without a host, by the name in the LAN."""
    return Address("" if listening_host in EVERY_ADDRESS else listening_host, mqtt_port, shared_port, web_port)


class Issued(msgspec.Struct, frozen=True):
    """Bundles, and where their devices connect."""

    bundles: tuple[Bundle, ...]
    address: Address
    """For devices elsewhere in the LAN."""
    local_host: str
    """For commands on this machine."""


class ImportedRow(msgspec.Struct, frozen=True):
    """What became of a row of a table, or would."""

    line: int
    device_id: str
    fate: str
    reason: str


class ImportReport(msgspec.Struct, frozen=True):
    """What an import did, or would do."""

    rows: tuple[ImportedRow, ...]
    counts: dict[str, int]
    issued: Issued


class Console:
    """The calls of the command line."""

    def __init__(
        self, registry: Registry, accounts: Accounts, mqtt_host: str, catalogue: Catalogue, erase: Erase
    ) -> None:
        """`mqtt_host` is where the gateway listens for devices; `erase` has what devices have sent erased."""
        self._registry = registry
        self._catalogue = catalogue
        self._accounts = accounts
        self._mqtt_host = mqtt_host
        self._erase = erase

    def calls(self) -> Mapping[str, Call]:
        """Each call by its name."""
        known = {
            "device.add": self._add_devices,
            "device.list": self._list_devices,
            "device.import": self._import_devices,
            "device.erase": self._erase_devices,
            "device.find": self._find_devices,
            "device.erase_found": self._erase_found,
            "claim": self._open_claim,
            "token.add": self._add_token,
            **_ca_calls(self._registry),
            **_own_ca_calls(self._registry.own_authorities),
            **_machine_calls(self._registry),
            **_issuer_calls(self._registry),
        }
        return {name: _signed(call) for name, call in known.items()}

    async def _add_devices(self, arguments: dict[str, Any]) -> Issued:
        """Register the devices that are not yet, and issue a certificate to each."""
        devices = msgspec.convert(arguments["devices"], list[NewDevice])
        return self._issued(await self._registry.issue_many(DEFAULT_TENANT, devices))

    async def _import_devices(self, arguments: dict[str, Any]) -> ImportReport:
        """Add and change devices by a table, or tell what that would do."""
        content = base64.b64decode(arguments["content"])
        bundles: Sequence[Bundle] = ()
        if arguments["dry_run"]:
            plan = await self._catalogue.plan(DEFAULT_TENANT, content)
        else:
            with_certificates = bool(arguments["certificates"])
            imported = await self._catalogue.import_table(DEFAULT_TENANT, content, with_certificates=with_certificates)
            plan, bundles = imported.plan, imported.bundles
        rows = tuple(ImportedRow(row.line, row.device_id, row.fate.value, row.reason) for row in plan.rows)
        return ImportReport(rows, {fate.value: plan.count(fate) for fate in Fate}, self._issued(bundles))

    def _issued(self, bundles: Sequence[Bundle]) -> Issued:
        return Issued(tuple(bundles), self._registry.address, local_host(self._mqtt_host))

    async def _list_devices(self, _: dict[str, Any]) -> list[dict[str, Any]]:
        listed = []
        for device in self._registry.devices(DEFAULT_TENANT):
            presence = self._registry.presence(DEFAULT_TENANT, device.device_id)
            listed.append({**msgspec.to_builtins(device), "connected": presence.connected})
        return listed

    async def _erase_devices(self, arguments: dict[str, Any]) -> list[str]:
        """Erase what devices have sent up to now."""
        asked = msgspec.convert(arguments["device_ids"], list[str])
        device_ids = [self._registry.device(DEFAULT_TENANT, device_id).device_id for device_id in asked]
        await self._erase(DEFAULT_TENANT, device_ids, "")
        return device_ids

    async def _find_devices(self, arguments: dict[str, Any]) -> list[str]:
        """The devices that a search finds."""
        return [device.device_id for device in self._catalogue.find_some(DEFAULT_TENANT, str(arguments["search"]))]

    async def _erase_found(self, arguments: dict[str, Any]) -> list[str]:
        """Erase what the devices that a search finds have sent up to now, if they are those that were expected."""
        device_ids = await self._find_devices(arguments)
        require_agreed(device_ids, msgspec.convert(arguments["agreed"], Agreement))
        await self._erase(DEFAULT_TENANT, device_ids, str(arguments["search"]))
        return device_ids

    async def _open_claim(self, _: dict[str, Any]) -> str:
        return await self._accounts.open_claim(DEFAULT_TENANT)

    async def _add_token(self, arguments: dict[str, Any]) -> str:
        role = msgspec.convert(arguments.get("role", Role.OPERATOR), Role)
        return await self._accounts.add_token(DEFAULT_TENANT, arguments["name"], role)


def _ca_calls(registry: Registry) -> Mapping[str, Call]:
    """What the commands `ca` and `audit` ask."""
    authorities = registry.authorities

    async def status(_: dict[str, Any]) -> AuthorityStatus:
        return authorities.status()

    async def export_root(arguments: dict[str, Any]) -> str:
        return await authorities.export_root(arguments["passphrase"])

    async def confirm_export(arguments: dict[str, Any]) -> None:
        await authorities.confirm_export(arguments["exported"], arguments["passphrase"])

    async def remove_root(_: dict[str, Any]) -> None:
        await authorities.remove_root()

    async def restore_root(arguments: dict[str, Any]) -> None:
        await authorities.restore_root(arguments["exported"], arguments["passphrase"])

    async def use_issuer(arguments: dict[str, Any]) -> AuthorityStatus:
        certificates, key = (base64.b64decode(arguments[name]) for name in ("certificates", "key"))
        return await authorities.use_issuer(certificates, key)

    async def verify_audit(_: dict[str, Any]) -> list[Verdict]:
        return await registry.audit.verify_all()

    return {
        "ca.status": status,
        "ca.export-root": export_root,
        "ca.confirm-export": confirm_export,
        "ca.remove-root": remove_root,
        "ca.restore-root": restore_root,
        "ca.use-issuer": use_issuer,
        "audit.verify": verify_audit,
    }


def _machine_calls(registry: Registry) -> Mapping[str, Call]:
    """What is asked of the machine's clock and of the token that it has."""
    authorities = registry.authorities

    async def use_hardware(arguments: dict[str, Any]) -> AuthorityStatus:
        return await authorities.use_hardware(base64.b64decode(arguments["certificates"]))

    async def hardware_request(_: dict[str, Any]) -> str:
        return await authorities.hardware_request()

    async def remove_issuer_keys(_: dict[str, Any]) -> list[str]:
        return await authorities.remove_issuer_keys()

    async def clock_report(_: dict[str, Any]) -> ClockReport:
        return registry.time.report()

    async def reset_clock(_: dict[str, Any]) -> ClockReport:
        return await registry.time.reset()

    return {
        "ca.use-hsm": use_hardware,
        "ca.hsm-request": hardware_request,
        "ca.remove-issuer-keys": remove_issuer_keys,
        "clock.status": clock_report,
        "clock.reset": reset_clock,
    }


def _issuer_calls(registry: Registry) -> Mapping[str, Call]:
    """What is asked of the CAs that have issued."""

    async def list_issuers(_: dict[str, Any]) -> list[Issuer]:
        return await registry.revocation.issuers(DEFAULT_TENANT)

    async def revoke_issuer(arguments: dict[str, Any]) -> Succession:
        return await registry.revocation.revoke_issuer(DEFAULT_TENANT, arguments["fingerprint"])

    return {"ca.issuers": list_issuers, "ca.revoke": revoke_issuer}


def _own_ca_calls(own: OwnAuthorities) -> Mapping[str, Call]:
    """What the commands `ca` ask of CAs that a tenant brings along."""

    async def listed(_: dict[str, Any]) -> list[dict[str, Any]]:
        return [
            {**msgspec.to_builtins(each), "device_count": own.device_count(each.authority_number)}
            for each in own.authorities(DEFAULT_TENANT)
        ]

    async def make_code(_: dict[str, Any]) -> str:
        return await own.make_code(DEFAULT_TENANT)

    async def register(arguments: dict[str, Any]) -> OwnAuthority:
        certificate, proof = (base64.b64decode(arguments[name]) for name in ("certificate", "proof"))
        settings = msgspec.convert(arguments["settings"], OwnSettings)
        return await own.register(DEFAULT_TENANT, certificate, proof, settings)

    async def change(arguments: dict[str, Any]) -> OwnAuthority:
        known = own.authority(DEFAULT_TENANT, arguments["authority_number"])
        settings = msgspec.convert({**msgspec.to_builtins(known.settings), **arguments["settings"]}, OwnSettings)
        return await own.change(DEFAULT_TENANT, known.authority_number, settings)

    async def remove(arguments: dict[str, Any]) -> int:
        return await own.remove(DEFAULT_TENANT, arguments["authority_number"])

    return {
        "ca.own": listed,
        "ca.code": make_code,
        "ca.register": register,
        "ca.change": change,
        "ca.remove": remove,
    }


def _signed(call: Call) -> Call:
    async def done(arguments: dict[str, Any]) -> Any:
        with acting_as(NAME):
            return await call(arguments)

    return done
