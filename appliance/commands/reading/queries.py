"""What is asked of the ledger of commands for people: nothing is changed by it, and one damaged row hides no other."""

from collections.abc import Iterator, Sequence

from appliance.commands.model import Batch, Command, State
from appliance.commands.row import READ, READ_BATCH, READ_BYTES, Salvaged, batch_of, command_of, counted_state, salvaged
from appliance.store.database import Select

_FROM = "FROM command LEFT JOIN command_batch USING (batch_number)"


def salvaging(select: Select[Command]) -> Select[Salvaged]:
    """The same question, of each row what can be read of it."""
    return Select(select.sql.replace(READ, READ_BYTES), select.parameters, salvaged)


def select_command(tenant_id: int, execution_id: str) -> Select[Command]:
    """The command of an execution id."""
    sql = f"SELECT {READ} {_FROM} WHERE command.tenant_id = ? AND execution_id = ?"
    return Select(sql, (tenant_id, execution_id), command_of)


def select_of_device(
    tenant_id: int, device_id: str, states: Sequence[State], before: int, limit: int
) -> Select[Command]:
    """Commands of a device with a number below `before`, the newest first."""
    where, values = _in(states)
    sql = f"""
        SELECT {READ} {_FROM} WHERE command.tenant_id = ? AND device_id = ? AND command_number < ? {where}
        ORDER BY command_number DESC LIMIT ?
    """
    return Select(sql, (tenant_id, device_id, before, *values, limit), command_of)


def select_of_batch(
    tenant_id: int, batch_number: int, states: Sequence[State], before: int, limit: int
) -> Select[Command]:
    """Commands of a batch with a number below `before`, the newest first."""
    where, values = _in(states)
    sql = f"""
        SELECT {READ} {_FROM} WHERE command.tenant_id = ? AND batch_number = ? AND command_number < ? {where}
        ORDER BY command_number DESC LIMIT ?
    """
    return Select(sql, (tenant_id, batch_number, before, *values, limit), command_of)


def select_all(tenant_id: int, states: Sequence[State], before: int, limit: int) -> Select[Command]:
    """Commands of a tenant with a number below `before`, the newest first."""
    where, values = _in(states)
    # In the order of the rows themselves: the newest are wanted, and there may be millions.
    sql = f"""
        SELECT {READ} FROM command NOT INDEXED LEFT JOIN command_batch USING (batch_number)
        WHERE command.tenant_id = ? AND command_number < ? {where}
        ORDER BY command_number DESC LIMIT ?
    """
    return Select(sql, (tenant_id, before, *values, limit), command_of)


def select_batches(tenant_id: int, before: int, limit: int) -> Select[Batch]:
    """Batches with a number below `before`, the newest first."""
    sql = f"""
        SELECT {READ_BATCH} FROM command_batch WHERE tenant_id = ? AND batch_number < ?
        ORDER BY batch_number DESC LIMIT ?
    """
    return Select(sql, (tenant_id, before, limit), batch_of)


def select_batch(tenant_id: int, batch_id: str) -> Select[Batch]:
    """One batch."""
    sql = f"SELECT {READ_BATCH} FROM command_batch WHERE tenant_id = ? AND batch_id = ?"
    return Select(sql, (tenant_id, batch_id), batch_of)


def select_counts(tenant_id: int, batch_numbers: Sequence[int]) -> Select[tuple[int, State, int]]:
    """How many commands of batches are in each state."""
    places = ", ".join("?" * len(batch_numbers))
    sql = f"""
        SELECT batch_number, CAST(state AS BLOB), COUNT(*) FROM command
        WHERE +tenant_id = ? AND batch_number IN ({places}) GROUP BY batch_number, state
    """
    return Select(sql, (tenant_id, *batch_numbers), _count)


def _count(number: int, state: bytes, count: int) -> tuple[int, State, int]:
    return number, counted_state(state.decode(errors="replace")), count


def _in(states: Sequence[State]) -> tuple[str, Iterator[str]]:
    if not states:
        return "", iter(())
    return f"AND state IN ({', '.join('?' * len(states))})", iter([state.value for state in states])
