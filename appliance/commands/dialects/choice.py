"""In which dialect a device is told of a command."""

from collections.abc import Sequence

from appliance.commands.dialects.dialect import Address, Answered, Dialect, Wanted, Wire
from appliance.commands.model import Command, DialectName


def chosen(
    dialects: Sequence[Dialect], command: Command, wants: Wanted, usual: DialectName
) -> tuple[DialectName, Wire] | None:
    """The request as it is to be written: in the command's own dialect, else in one that the device wants.

    Among several that it wants, `usual`, which its type says, comes first. None: it wants none.
    """
    own = command.dialect
    preferred = dialects if usual is DialectName.ANY else sorted(dialects, key=lambda one: one.name is not usual)
    for dialect in preferred:
        if own is not DialectName.ANY and own is not dialect.name:
            continue
        wire = dialect.wire(command, wants)
        if wire is not None:
            return dialect.name, wire
    return None


def addressed(dialects: Sequence[Answered], topic: str) -> tuple[Answered, Address] | None:
    """What the topic of a response says, and in which dialect; None where it is none."""
    for dialect in dialects:
        address = dialect.address(topic)
        if address is not None:
            return dialect, address
    return None
