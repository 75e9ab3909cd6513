"""The commands that devices of a type understand: in memory, and changed by people."""

import contextlib
import logging
from collections.abc import AsyncIterator, Mapping
from typing import Self

from appliance.audit.change import changes, facts
from appliance.audit.model import Entry
from appliance.commands.catalogue import check, queries
from appliance.commands.catalogue.model import CommandType, UnknownTypeCommandError
from appliance.commands.model import InvalidCommandError
from appliance.registry.model import TEXT_LENGTH
from appliance.registry.service import Registry
from appliance.store.database import Database

log = logging.getLogger(__name__)

COMMANDS_LIMIT = 200
"""Of one type."""
TYPES_LIMIT = 1_000


class TypeCommands:
    """What is described of commands, by the type of the devices that understand them."""

    def __init__(self, database: Database, registry: Registry) -> None:
        self._database = database
        self._registry = registry
        self._known: dict[int, dict[str, dict[str, CommandType]]] = {}

    @contextlib.asynccontextmanager
    async def opened(self) -> AsyncIterator[Self]:
        """Have everything in memory."""
        for tenant_id, type_name, told in await self._database.read(queries.select_all()):
            self._known.setdefault(tenant_id, {}).setdefault(type_name, {})[told.name] = told
        yield self

    def commands(self, tenant_id: int, type_name: str) -> list[CommandType]:
        """What devices of a type understand, by name."""
        known = self._of(tenant_id, type_name)
        return [known[name] for name in sorted(known)]

    def command(self, tenant_id: int, type_name: str, name: str) -> CommandType:
        """One description. Raises `UnknownTypeCommandError`."""
        told = self.find(tenant_id, type_name, name)
        if told is None:
            raise UnknownTypeCommandError(f"devices of the type {type_name[:80]!r} have no command {name[:80]!r}")
        return told

    def find(self, tenant_id: int, type_name: str, name: str) -> CommandType | None:
        """The same; None where there is none."""
        return self._of(tenant_id, type_name).get(name)

    async def put(self, tenant_id: int, type_name: str, told: CommandType) -> CommandType:
        """Describe a command, or describe it otherwise. Raises `InvalidCommandError`."""
        check.described(told)
        if not type_name or len(type_name) > TEXT_LENGTH or not type_name.isprintable():
            raise InvalidCommandError(f"a type is named by 1 to {TEXT_LENGTH} characters, not {type_name[:80]!r}")
        of_tenant = self._known.setdefault(tenant_id, {})
        known = of_tenant.get(type_name, {})
        before = known.get(told.name)
        if before is None and (len(known) >= COMMANDS_LIMIT or (not known and len(of_tenant) >= TYPES_LIMIT)):
            raise InvalidCommandError(f"{type_name[:80]} has {len(known)} commands: no more can be described")
        entry = Entry(
            "type_command.put", f"{type_name}/{told.name}", facts(told) if before is None else changes(before, told)
        )
        await self._registry.audit.recorded(tenant_id, [entry], queries.put_command, tenant_id, type_name, told)
        of_tenant.setdefault(type_name, {})[told.name] = told
        log.info("command described tenant_id=%s type=%r name=%s", tenant_id, type_name, told.name)
        return told

    async def remove(self, tenant_id: int, type_name: str, name: str) -> None:
        """Forget a description. Raises `UnknownTypeCommandError`."""
        before = self.command(tenant_id, type_name, name)
        entries = [Entry("type_command.remove", f"{type_name}/{name}", facts(before))]
        await self._registry.audit.recorded(tenant_id, entries, queries.delete_command, tenant_id, type_name, name)
        known = self._known.get(tenant_id, {}).get(type_name, {})
        known.pop(name, None)
        if not known:
            self._known.get(tenant_id, {}).pop(type_name, None)

    def _of(self, tenant_id: int, type_name: str) -> Mapping[str, CommandType]:
        return self._known.get(tenant_id, {}).get(type_name, {})
