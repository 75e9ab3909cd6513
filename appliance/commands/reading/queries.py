"""What is asked of the ledger of commands for people: nothing is changed by it, and one damaged row hides no other."""

from collections.abc import Sequence
from typing import NamedTuple

from appliance.commands import row
from appliance.commands.model import Batch, Command, State
from appliance.store.database import Select


class Page(NamedTuple):
    """Some of the commands that are asked for, the newest first."""

    states: Sequence[State]
    """Only those in one of them, if there are any."""
    before: int
    """Only those with a number below this."""
    limit: int


def salvaging(select: Select[Command]) -> Select[row.Salvaged]:
    """The same question, of each row what can be read of it."""
    return Select(select.sql.replace(row.READ, row.READ_BYTES), select.parameters, row.salvaged)


def select_command(tenant_id: int, execution_id: str) -> Select[Command]:
    """The command of an execution id."""
    sql = f"SELECT {row.READ} {row.JOINED} WHERE command.tenant_id = ? AND execution_id = ?"
    return Select(sql, (tenant_id, execution_id), row.command_of)


def select_of_device(tenant_id: int, device_id: str, page: Page) -> Select[Command]:
    """Commands of a device."""
    return _select_of("device_id", tenant_id, device_id, page)


def select_of_batch(tenant_id: int, batch_number: int, page: Page) -> Select[Command]:
    """Commands of a batch."""
    return _select_of("batch_number", tenant_id, batch_number, page)


def select_all(tenant_id: int, page: Page) -> Select[Command]:
    """Commands of a tenant."""
    # In the order of the rows themselves: the newest are wanted, and there may be millions.
    sql = f"""
        SELECT {row.READ} FROM command NOT INDEXED LEFT JOIN command_batch USING (batch_number)
        WHERE command.tenant_id = ? AND command_number < ? {_in(page.states)}
        ORDER BY command_number DESC LIMIT ?
    """
    return Select(sql, (tenant_id, page.before, *page.states, page.limit), row.command_of)


def select_batches(tenant_id: int, before: int, limit: int) -> Select[Batch]:
    """Batches with a number below `before`, the newest first."""
    sql = f"""
        SELECT {row.READ_BATCH} FROM command_batch WHERE tenant_id = ? AND batch_number < ?
        ORDER BY batch_number DESC LIMIT ?
    """
    return Select(sql, (tenant_id, before, limit), row.batch_of)


def select_batch(tenant_id: int, batch_id: str) -> Select[Batch]:
    """One batch."""
    sql = f"SELECT {row.READ_BATCH} FROM command_batch WHERE tenant_id = ? AND batch_id = ?"
    return Select(sql, (tenant_id, batch_id), row.batch_of)


def select_counts(tenant_id: int, batch_numbers: Sequence[int]) -> Select[tuple[int, State, int]]:
    """How many commands of batches are in each state."""
    places = ", ".join("?" * len(batch_numbers))
    sql = f"""
        SELECT batch_number, CAST(state AS BLOB), COUNT(*) FROM command
        WHERE +tenant_id = ? AND batch_number IN ({places}) GROUP BY batch_number, state
    """
    return Select(sql, (tenant_id, *batch_numbers), _count)


def _count(number: int, state: bytes, count: int) -> tuple[int, State, int]:
    return number, row.counted_state(state.decode(errors="replace")), count


def _select_of(column: str, tenant_id: int, value: int | str, page: Page) -> Select[Command]:
    sql = f"""
        SELECT {row.READ} {row.JOINED} WHERE command.tenant_id = ? AND {column} = ? AND command_number < ?
            {_in(page.states)}
        ORDER BY command_number DESC LIMIT ?
    """
    return Select(sql, (tenant_id, value, page.before, *page.states, page.limit), row.command_of)


def _in(states: Sequence[State]) -> str:
    return f"AND state IN ({', '.join('?' * len(states))})" if states else ""
