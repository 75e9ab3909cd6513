"""The command `device erase`: what it asks of the gateway, running or not, and what it prints."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

import msgspec

from appliance.config import Config
from appliance.errors import InvalidInputError
from appliance.telemetry.keeping.erasing.agreement import Agreement, counted, require_agreed

Ask = Callable[[Config, str, dict[str, Any]], Any]
"""Asks the gateway that runs, or does it alone."""

Commands = Any
"""What `add_subparsers` gives; its type is private to argparse."""


def add(actions: Commands, common: argparse.ArgumentParser, ask: Ask) -> None:
    """Add the command."""
    erase = actions.add_parser("erase", parents=[common], help="erase what devices have sent; there is no way back")
    erase.add_argument("device_ids", nargs="*", metavar="DEVICE_ID")
    erase.add_argument("--yes", action="store_true", help="do not ask whether you are sure of the devices named")
    erase.add_argument("--search", default="", metavar="TEXT", help="those that a search finds: attribute.owner:anna")
    erase.add_argument(
        "--count", type=int, metavar="N", help="do not ask, and erase only if the search finds so many devices"
    )
    erase.set_defaults(command=lambda options, config: _erase(options, config, ask))


def _erase(options: argparse.Namespace, config: Config, ask: Ask) -> int:
    if bool(options.device_ids) is bool(options.search):
        raise InvalidInputError("whose readings? Name devices, or search for them with --search, one of the two")
    if options.device_ids and options.count is not None:
        raise InvalidInputError("--count goes with --search: who names devices knows how many they are")
    if options.search and options.yes:
        raise InvalidInputError("--yes does not go with --search, which may find others than you think: use --count N")
    return _erase_found(options, config, ask) if options.search else _erase_named(options, config, ask)


def _erase_named(options: argparse.Namespace, config: Config, ask: Ask) -> int:
    names = ", ".join(options.device_ids)
    if not options.yes and input(f"Erase everything that was received of {names}? Type yes: ") != "yes":
        return _nothing()
    ask(config, "device.erase", {"device_ids": options.device_ids})
    return _told(names)


def _erase_found(options: argparse.Namespace, config: Config, ask: Ask) -> int:
    search = options.search
    agreed = Agreement(count=options.count)
    if options.count is None:
        found = msgspec.convert(ask(config, "device.find", {"search": search}), list[str])
        agreed = Agreement(device_ids=frozenset(found))
        # One that finds nothing, or too many, is not asked about.
        require_agreed(found, agreed)
        sys.stdout.write("\n".join(found) + "\n")
        question = f"Erase everything that was received of {counted(len(found))}? Type {len(found)}: "
        if input(question).strip() != str(len(found)):
            return _nothing()
    arguments = {"search": search, "agreed": msgspec.to_builtins(agreed)}
    erased = msgspec.convert(ask(config, "device.erase_found", arguments), list[str])
    return _told(counted(len(erased)))


def _nothing() -> int:
    sys.stdout.write("Nothing was erased.\n")
    return 1


def _told(names: str) -> int:
    sys.stdout.write(
        f"What was received of {names} is shown to nobody any more, and erased from the disk soon.\n"
        "Backups and exports that were made before still hold it, and alerts the value that opened them.\n"
    )
    return 0
