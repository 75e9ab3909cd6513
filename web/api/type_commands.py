"""`/v1/device-types/{name}/commands`: what commands devices of a type understand."""

from typing import Annotated

import msgspec
from litestar import Request, delete, get, put
from litestar.datastructures import State
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, PathParameter

from appliance.accounts.model import User
from appliance.commands.catalogue.model import CommandType, Kind, Parameter, Value
from appliance.commands.model import DialectName
from appliance.gateway import Gateway
from web.auth import Caller

AnyRequest = Request[User, Caller, State]
CommandName = Annotated[str, PathParameter()]


class ParameterInOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One value that a command asks for; of a string, `least` and `greatest` are numbers of characters."""

    name: str
    kind: Kind = Kind.STRING
    description: str = ""
    unit: str = ""
    least: float | None = None
    greatest: float | None = None
    choices: tuple[str, ...] = ()
    is_required: bool = False
    default: Value | None = None


class CommandTypeIn(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A command as it is to be described. In `payload_template`, JSON, `"${name}"` stands for a parameter."""

    title: str = ""
    description: str = ""
    parameters: tuple[ParameterInOut, ...] = ()
    dialect: DialectName = DialectName.ANY
    may_repeat: bool = False
    payload_template: str = ""


class CommandTypeOut(msgspec.Struct, frozen=True):
    """A command that devices of a type understand."""

    name: str
    title: str
    description: str
    parameters: tuple[ParameterInOut, ...]
    dialect: str
    may_repeat: bool
    payload_template: str


class CommandTypesOut(msgspec.Struct, frozen=True):
    """What devices of a type understand, sorted by name."""

    commands: list[CommandTypeOut]


@get("/v1/device-types/{name:str}/commands", tags=["commands"], summary="What devices of a type understand")
async def list_commands(name: FromPath[str], request: AnyRequest, gateway: NamedDependency[Gateway]) -> CommandTypesOut:
    """Every command that was described for a type; a type of which nothing at all is known is not found."""
    found = gateway.commands.catalogue.commands(request.user.tenant_id, name)
    if not found:
        gateway.catalogue.type(request.user.tenant_id, name)
    return CommandTypesOut([_out(one) for one in found])


@get("/v1/device-types/{name:str}/commands/{command:str}", tags=["commands"], summary="One command of a type")
async def get_command(
    name: FromPath[str], command: CommandName, request: AnyRequest, gateway: NamedDependency[Gateway]
) -> CommandTypeOut:
    """How a command is described."""
    return _out(gateway.commands.catalogue.command(request.user.tenant_id, name, command))


@put("/v1/device-types/{name:str}/commands/{command:str}", tags=["commands"], summary="Describe a command of a type")
async def put_command(
    name: FromPath[str],
    command: CommandName,
    data: JSONBody[CommandTypeIn],
    request: AnyRequest,
    gateway: NamedDependency[Gateway],
) -> CommandTypeOut:
    """Describe a command, in the place of what was told of it before."""
    fields = msgspec.structs.asdict(data)
    parameters = tuple(Parameter(**msgspec.structs.asdict(one)) for one in fields.pop("parameters"))
    told = CommandType(command, parameters=parameters, **fields)
    return _out(await gateway.commands.catalogue.put(request.user.tenant_id, name, told))


@delete("/v1/device-types/{name:str}/commands/{command:str}", tags=["commands"], summary="Forget a command of a type")
async def remove_command(
    name: FromPath[str], command: CommandName, request: AnyRequest, gateway: NamedDependency[Gateway]
) -> None:
    """Forget the description; what was sent stays in the ledger."""
    await gateway.commands.catalogue.remove(request.user.tenant_id, name, command)


def _out(told: CommandType) -> CommandTypeOut:
    return CommandTypeOut(
        name=told.name,
        title=told.title,
        description=told.description,
        parameters=tuple(ParameterInOut(**msgspec.structs.asdict(one)) for one in told.parameters),
        dialect=told.dialect.value,
        may_repeat=told.may_repeat,
        payload_template=told.payload_template,
    )


HANDLERS = (list_commands, get_command, put_command, remove_command)
