"""Chooses what devices are offered next, and has it on disk before a byte of it is written. In the writer's thread."""

import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

from appliance.commands import queries, ruling
from appliance.commands.delivery.flight import Change, Claimant, Place
from appliance.commands.dialects.choice import chosen
from appliance.commands.dialects.dialect import Dialect, Wire
from appliance.commands.model import By, Command, DialectName
from appliance.errors import InvalidInputError

Usual = Callable[[int, str, str], DialectName]
"""Gives the dialect in which a type's command is usually told: of tenant, type and name."""


class Claim(NamedTuple):
    """A command that is on disk as offered, and how it is to be written."""

    command: Command
    claimant: Claimant
    wire: Wire


def claim(
    claimants: Sequence[Claimant], dialects: Sequence[Dialect], usual: Usual, connection: sqlite3.Connection, now: int
) -> tuple[list[Claim], list[Change], list[Place]]:
    """What each is offered next; what can never be written; and those for whom nothing is left."""
    claims: list[Claim] = []
    unfit: list[Change] = []
    done: list[Place] = []
    for claimant in claimants:
        is_rest = False
        taken: list[Claim] = []
        for command in queries.next_commands(connection, claimant.tenant_id, claimant.device_id, now):
            if len(taken) == claimant.room:
                is_rest = True
                break
            if not ruling.is_offerable(command, now):
                continue
            wire = _wire(command, claimant, dialects, usual)
            if isinstance(wire, ruling.Reason):
                over = ruling.cancelled(command, wire, By.GATEWAY, now)
                unfit += [] if over is None else [(command, over)]
            elif wire is None:
                is_rest = True
            else:
                taken.append(Claim(ruling.offered(command, now), claimant, wire))
        claims += taken
        if not is_rest:
            done.append((claimant.tenant_id, claimant.device_id))
    queries.update_commands(connection, [*(one.command for one in claims), *(over for _, over in unfit)])
    return claims, unfit, done


def _wire(
    command: Command, claimant: Claimant, dialects: Sequence[Dialect], usual: Usual
) -> Wire | ruling.Reason | None:
    """How it is written; None where the device does not want it, or why it cannot be written at all."""
    preferred = usual(claimant.tenant_id, claimant.type_name, command.name)
    try:
        found = chosen(dialects, command, claimant.wants, preferred)
    except InvalidInputError as error:
        return ruling.Reason("NOT_ENCODABLE", f"it cannot be written as this device wants it: {error}")
    return None if found is None else found[1]
