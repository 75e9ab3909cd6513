"""What devices of a type understand."""

import pytest

from appliance.commands.catalogue import service
from appliance.commands.catalogue.model import CommandType, UnknownTypeCommandError
from appliance.commands.catalogue.service import TypeCommands
from appliance.commands.model import InvalidCommandError
from appliance.registry.service import Registry
from appliance.store.database import Database

TENANT = 1


async def test_descriptions_outlive_the_process_and_are_in_the_audit_log(
    database: Database, registry: Registry
) -> None:
    async with TypeCommands(database, registry).opened() as catalogue:
        for told in (CommandType("spin"), CommandType("halt"), CommandType("spin", "Spin")):
            await catalogue.put(TENANT, "pump", told)
        await catalogue.remove(TENANT, "pump", "halt")
        with pytest.raises(UnknownTypeCommandError):
            await catalogue.remove(TENANT, "pump", "halt")
    async with TypeCommands(database, registry).opened() as catalogue:
        assert catalogue.commands(TENANT, "pump") == [CommandType("spin", "Spin")]
        assert catalogue.commands(TENANT + 1, "pump") == []
        assert catalogue.command(TENANT, "pump", "spin").title == "Spin"
        await catalogue.remove(TENANT, "pump", "spin")
        assert catalogue.find(TENANT, "pump", "spin") is None
    entries = await registry.audit.entries(TENANT, limit=4)
    assert [(one.action, one.subject) for one in entries] == [
        ("type_command.remove", "pump/spin"),
        ("type_command.remove", "pump/halt"),
        ("type_command.put", "pump/spin"),
        ("type_command.put", "pump/halt"),
    ]


async def test_there_are_bounds(database: Database, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "COMMANDS_LIMIT", 1)
    async with TypeCommands(database, registry).opened() as catalogue:
        await catalogue.put(TENANT, "pump", CommandType("spin"))
        for type_name, name in (("pump", "halt"), ("", "halt"), ("x" * 257, "halt"), ("pump", "a b")):
            with pytest.raises(InvalidCommandError):
                await catalogue.put(TENANT, type_name, CommandType(name))
