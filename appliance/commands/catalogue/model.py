"""What a command of a device type asks for."""

from enum import StrEnum

import msgspec

from appliance.commands.model import DialectName
from appliance.errors import NotFoundError


class UnknownTypeCommandError(NotFoundError):
    """Devices of this type understand no command of that name, as far as is described."""

    code = "unknown_type_command"


class Kind(StrEnum):
    """What a value is."""

    STRING = "string"
    INTEGER = "integer"
    NUMBER = "number"
    BOOLEAN = "boolean"
    ENUM = "enum"


Value = str | int | float | bool


class Parameter(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One value that a command asks for."""

    name: str
    kind: Kind = Kind.STRING
    description: str = ""
    unit: str = ""
    least: float | None = None
    """The least number; of a string, the fewest characters."""
    greatest: float | None = None
    """The greatest number; of a string, the most characters."""
    choices: tuple[str, ...] = ()
    """Of an enum."""
    is_required: bool = False
    default: Value | None = None


class CommandType(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command that devices of a type understand."""

    name: str
    title: str = ""
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    dialect: DialectName = DialectName.ANY
    """Which to prefer where a device has subscribed to several."""
    may_repeat: bool = False
    """Whether doing it twice is doing it once."""
    payload_template: str = ""
    """JSON in which `"${name}"` stands for the value of a parameter; without it, the payload is the parameters."""
