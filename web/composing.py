"""The composer of commands as pages show it: what can be chosen, the inputs, and what was typed into them. Pure."""

from collections.abc import Mapping, Sequence

import msgspec

from appliance.commands.catalogue.model import CommandType
from appliance.commands.model import NewCommand
from web import command_form
from web.command_form import Field

FREE = "*"
"""Stands for a payload of one's own where a command is chosen; no command has this name."""

CHOSEN = "command"
"""The field that says which command the form is for."""


class Choice(msgspec.Struct, frozen=True):
    """One command that can be chosen."""

    key: str
    label: str
    is_current: bool


class Composer(msgspec.Struct, frozen=True):
    """The form for one command."""

    choices: tuple[Choice, ...]
    key: str
    title: str
    description: str
    is_free: bool
    fields: tuple[Field, ...]
    typed: Mapping[str, str]
    complaints: Mapping[str, str]
    is_unfolded: bool
    """Whether something that was typed in, or is wrong, stands in the part that is folded."""
    content_types: Mapping[str, str]
    dialects: Mapping[str, str]
    qualities: Mapping[str, str]
    repeats: Mapping[str, str]


class Composed(msgspec.Struct, frozen=True):
    """What was typed into the form."""

    new: NewCommand
    complaints: Mapping[str, str]


_FOLDED = (
    "priority",
    "expires_minutes",
    "start_timeout_s",
    "finish_timeout_s",
    "retries",
    "may_repeat",
    "qos",
    "dialect",
)


def composer(
    commands: Sequence[CommandType],
    wanted: str,
    typed: Mapping[str, str] | None = None,
    complaints: Mapping[str, str] | None = None,
) -> Composer:
    """The form for the wanted command; for the first one where none is wanted, or there is none of that name."""
    typed, complaints = typed or {}, complaints or {}
    key = _key(commands, wanted)
    chosen = _chosen(commands, key)
    choices = [Choice(one.name, one.title or one.name, is_current=one.name == key) for one in commands]
    return Composer(
        choices=(*choices, Choice(FREE, "Free payload", is_current=key == FREE)),
        key=key,
        title=(chosen.title or chosen.name) if chosen else "Free payload",
        description=chosen.description if chosen else "",
        is_free=chosen is None,
        fields=tuple(command_form.fields_of(chosen, typed)) if chosen else (),
        typed=typed,
        complaints=complaints,
        is_unfolded=any(typed.get(name) or name in complaints for name in _FOLDED),
        content_types=command_form.CONTENT_TYPES,
        dialects=command_form.DIALECTS,
        qualities=command_form.QUALITIES,
        repeats=command_form.REPEATS,
    )


def composed(commands: Sequence[CommandType], typed: Mapping[str, str]) -> Composed:
    """The command that was typed into the form, and what is wrong with it."""
    chosen = _chosen(commands, typed.get(CHOSEN, FREE))
    name = chosen.name if chosen else typed.get("name", "").strip()
    return Composed(*command_form.command_typed(chosen, name, typed))


def _key(commands: Sequence[CommandType], wanted: str) -> str:
    names = [one.name for one in commands]
    return wanted if wanted in (*names, FREE) else next(iter(names), FREE)


def _chosen(commands: Sequence[CommandType], key: str) -> CommandType | None:
    return next((one for one in commands if one.name == key), None)
