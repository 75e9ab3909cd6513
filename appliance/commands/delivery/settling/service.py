"""What was heard of commands on their way is brought to the ledger, many at a time. In the writer's thread."""

import sqlite3
from collections.abc import Sequence

from appliance.commands import queries, ruling
from appliance.commands.delivery.flight import Change, Evidence, Key
from appliance.commands.model import Command


def settle(connection: sqlite3.Connection, known: Sequence[tuple[Key, Evidence]], now: int) -> list[Change]:
    """What the evidence makes of each command."""
    numbers: dict[int, list[int]] = {}
    for key, _ in known:
        numbers.setdefault(key.tenant_id, []).append(key.command_number)
    found = {tenant_id: queries.by_numbers(connection, tenant_id, some) for tenant_id, some in numbers.items()}
    changes: list[Change] = []
    for key, evidence in known:
        before = found[key.tenant_id].get(key.command_number)
        if before is None:
            continue
        after = _ruled(before, key.attempt, evidence, now)
        if after is not before:
            # Another attempt of the same command may follow.
            found[key.tenant_id][key.command_number] = after
            changes.append((before, after))
    # In their order: of the same command, the last one counts.
    bare = {after.command_number for before, after in changes if ruling.is_same_offer(before, after)}
    bare -= {after.command_number for before, after in changes if not ruling.is_same_offer(before, after)}
    queries.note_evidence(connection, [after for _, after in changes if after.command_number in bare])
    queries.update_commands(connection, [after for _, after in changes if after.command_number not in bare])
    return changes


def _ruled(before: Command, attempt: int, evidence: Evidence, now: int) -> Command:
    after = ruling.evidenced(before, attempt, evidence.sent_at, evidence.acknowledged_at)
    if evidence.is_released:
        after = ruling.released(after, attempt, evidence.not_before if evidence.not_before > now else 0)
    if evidence.is_unconfirmed:
        after = ruling.unconfirmed(after, attempt)
    return after
