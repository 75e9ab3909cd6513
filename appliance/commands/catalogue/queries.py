"""What the catalogue of commands asks of gateway.db, and what it writes there."""

import sqlite3

import msgspec

from appliance.commands.catalogue.model import CommandType
from appliance.store.database import Select


def put_command(connection: sqlite3.Connection, tenant_id: int, type_name: str, told: CommandType) -> None:
    """Keep a description, in the place of one of the same name."""
    sql = """
        INSERT INTO type_command (tenant_id, type, name, definition) VALUES (?, ?, ?, ?)
        ON CONFLICT (tenant_id, type, name) DO UPDATE SET definition = excluded.definition
    """
    connection.execute(sql, (tenant_id, type_name, told.name, msgspec.json.encode(told).decode()))


def delete_command(connection: sqlite3.Connection, tenant_id: int, type_name: str, name: str) -> None:
    """Forget a description."""
    sql = "DELETE FROM type_command WHERE tenant_id = ? AND type = ? AND name = ?"
    connection.execute(sql, (tenant_id, type_name, name))


def select_all() -> Select[tuple[int, str, CommandType]]:
    """Every description of every tenant."""
    sql = "SELECT tenant_id, type, definition FROM type_command ORDER BY tenant_id, type, name"
    return Select(sql, (), lambda tenant_id, type_name, text: (tenant_id, type_name, _told(text)))


def _told(text: str) -> CommandType:
    return msgspec.json.decode(text, type=CommandType)
