"""What drops ask of gateway.db: the tenants, and what has gone in a night already."""

import sqlite3
from typing import NamedTuple

from appliance.store.database import Select
from appliance.telemetry.keeping.plan import Spent


class Night(NamedTuple):
    """What had gone in a night when that was written down."""

    boot_id: str
    """The boot of the machine by whose clock it is; empty when it has no name."""
    seen_ms: int
    """When the night was last seen to go on, by that clock."""
    spent: Spent


def select_tenants() -> Select[int]:
    """Every tenant."""
    return Select("SELECT tenant_id FROM tenant ORDER BY tenant_id", (), int)


def select_night(tenant_id: int) -> Select[Night]:
    """The night that was written down last; none before the first one."""
    return Select(
        "SELECT boot_id, seen_ms, began_ms, day_count, budget_bytes FROM retention_night WHERE tenant_id = ?",
        (tenant_id,),
        lambda boot_id, seen_ms, *spent: Night(boot_id, seen_ms, Spent(*spent)),
    )


def save_night(connection: sqlite3.Connection, tenant_id: int, night: Night) -> None:
    """Write down what has gone in a night, in the place of what was written before."""
    connection.execute(
        "INSERT INTO retention_night (tenant_id, boot_id, seen_ms, began_ms, day_count, budget_bytes)"
        " VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (tenant_id) DO UPDATE SET boot_id = excluded.boot_id,"
        " seen_ms = excluded.seen_ms, began_ms = excluded.began_ms, day_count = excluded.day_count,"
        " budget_bytes = excluded.budget_bytes",
        (tenant_id, night.boot_id, night.seen_ms, *night.spent),
    )
