"""Commands as tests have them."""

from typing import Any

import msgspec

from appliance.commands.check import Wish, command_of
from appliance.commands.model import Command, NewCommand
from appliance.plane_settings import CommandsConfig

NOW = 1_800_000_000_000
EXECUTION = "0123456789abcdef0123456789abcdef"


def command(**fields: Any) -> Command:
    """A command that was just queued, but for these fields."""
    new = NewCommand("blink", b'{"times": 3}')
    made = command_of(Wish(new, "user maria", NOW, CommandsConfig()), 1, "lamp", EXECUTION)
    return msgspec.structs.replace(made, **{"command_number": 7, **fields})
