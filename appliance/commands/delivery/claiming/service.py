"""Chooses what devices are offered next, and has it on disk before a byte of it is written. In the writer's thread.

To a device that hears of nothing but its jobs nothing is written: its commands become jobs.
"""

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec.structs import replace

from appliance.commands import queries, ruling
from appliance.commands.delivery.flight import Change, Claimant, Place
from appliance.commands.dialects.choice import chosen
from appliance.commands.dialects.dialect import Dialect, Wire
from appliance.commands.model import By, Command, DialectName
from appliance.errors import InvalidInputError

Usual = Callable[[int, str, str], DialectName]
"""Gives the dialect in which a type's command is usually told: of tenant, type and name."""

Waiting = Callable[[sqlite3.Connection, Claimant, int], Iterable[Command]]
"""Gives what may be offered to a device, in its order, as far as it is asked for."""


class Claim(NamedTuple):
    """A command that is on disk as offered, and how it is to be written."""

    command: Command
    claimant: Claimant
    wire: Wire


def all_waiting(connection: sqlite3.Connection, claimant: Claimant, now: int) -> Iterable[Command]:
    """Whatever waits for a device."""
    return queries.next_commands(connection, claimant.tenant_id, claimant.device_id, now)


def one_waiting(command_number: int) -> Waiting:
    """One command alone."""

    def waiting(connection: sqlite3.Connection, claimant: Claimant, now: int) -> Iterable[Command]:
        del now
        return queries.by_numbers(connection, claimant.tenant_id, [command_number]).values()

    return waiting


def claim(
    claimants: Sequence[Claimant],
    waiting: Waiting,
    dialects: Sequence[Dialect],
    usual: Usual,
    connection: sqlite3.Connection,
    now: int,
) -> tuple[list[Claim], list[Change], list[Place]]:
    """What each is offered next; what has changed otherwise, not kept yet; and those for whom nothing is left."""
    claims: list[Claim] = []
    others: list[Change] = []
    done: list[Place] = []
    for claimant in claimants:
        is_rest = False
        taken: list[Claim] = []
        for command in waiting(connection, claimant, now):
            if len(taken) == claimant.room:
                is_rest = True
                break
            if not ruling.is_offerable(command, now):
                continue
            found = _found(command, claimant, dialects, usual)
            if isinstance(found, ruling.Reason):
                over = ruling.cancelled(command, found, By.GATEWAY, now)
                others += [] if over is None else [(command, over)]
            elif found is None:
                is_rest = True
            elif found[0] is DialectName.JOBS:
                others.append((command, replace(command, dialect=DialectName.JOBS)))
            else:
                taken.append(Claim(ruling.offered(command, now), claimant, found[1]))
        claims += taken
        if not is_rest:
            done.append((claimant.tenant_id, claimant.device_id))
    queries.update_commands(connection, [one.command for one in claims])
    return claims, others, done


def at_once(
    commands: Sequence[Command],
    claimants: Mapping[Place, Claimant],
    dialects: Sequence[Dialect],
    usual: Usual,
    now: int,
) -> tuple[list[Command], list[Claim]]:
    """New commands as they are to be written down, and those among them that are offered along with it.

    `claimants` are devices for which nothing else waits. What cannot be written to one of them stays queued.
    """
    kept: list[Command] = []
    claims: list[Claim] = []
    for command in commands:
        claimant = claimants.get((command.tenant_id, command.device_id))
        offered = command
        if claimant is not None and ruling.is_offerable(command, now):
            found = _found_now(command, claimant, dialects, usual)
            if found is not None and found[0] is not DialectName.JOBS:
                # That it is new and that it is offered is one change.
                offered = replace(ruling.offered(command, now), version=command.version)
                claims.append(Claim(offered, claimant, found[1]))
        kept.append(offered)
    return kept, claims


def _found_now(
    command: Command, claimant: Claimant, dialects: Sequence[Dialect], usual: Usual
) -> tuple[DialectName, Wire] | None:
    """How it is told at once; None where it waits: whoever offers what waits tells, too, why it cannot be written."""
    try:
        found = _found(command, claimant, dialects, usual)
    except Exception:  # noqa: BLE001  one bad command keeps no other from being sent; it is met again and set aside
        return None
    return None if isinstance(found, ruling.Reason) else found


def _found(
    command: Command, claimant: Claimant, dialects: Sequence[Dialect], usual: Usual
) -> tuple[DialectName, Wire] | ruling.Reason | None:
    """How it is told; None where the device does not want it, or why it cannot be written at all."""
    preferred = usual(claimant.tenant_id, claimant.type_name, command.name)
    try:
        return chosen(dialects, command, claimant.wants, preferred)
    except InvalidInputError as error:
        return ruling.Reason(ruling.NOT_ENCODABLE, f"it cannot be written as this device wants it: {error}")
