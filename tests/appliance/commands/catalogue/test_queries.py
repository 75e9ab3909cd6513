"""Descriptions of commands on the disk."""

from appliance.commands.catalogue import queries
from appliance.commands.catalogue.model import CommandType, Kind, Parameter
from appliance.store.database import Database


async def test_a_description_is_read_as_it_was_written(database: Database) -> None:
    told = CommandType("spin", "Spin", parameters=(Parameter("rpm", Kind.INTEGER, default=3, least=0.5),))
    for each in (CommandType("spin"), told):
        await database.write(queries.put_command, 1, "pump", each)
    assert await database.read(queries.select_all()) == [(1, "pump", told)]
    await database.write(queries.delete_command, 1, "pump", "spin")
    assert await database.read(queries.select_all()) == []
