"""The commands `ca` and `audit`: what they ask of the gateway, and what they print."""

import argparse
import base64
import getpass
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TextIO

from appliance.config import Config
from appliance.control import ControlError

Ask = Callable[[Config, str, dict[str, Any]], Any]
"""Asks the gateway, running or not."""

Commands = Any
"""What `add_subparsers` gives; its type is private to argparse."""


def add(commands: Commands, common: argparse.ArgumentParser, ask: Ask, typed: TextIO = sys.stdin) -> None:
    """Add the commands. A passphrase is asked for where `typed` is a terminal, and read from it where it is none."""
    ca = commands.add_parser("ca", help="look after the certificate authority of the devices")
    actions = ca.add_subparsers(required=True, metavar="ACTION")

    def action(name: str, words: str, run: Callable[[argparse.Namespace, Config, Ask], int]) -> argparse.ArgumentParser:
        made: argparse.ArgumentParser = actions.add_parser(name, parents=[common], help=words)
        made.set_defaults(command=lambda options, config: run(options, config, ask), typed=typed)
        return made

    action("status", "tell what issues certificates, and where the root's key is", _status)
    export = action("export-root", "write the root's key, encrypted, to a file, and read it back", _export)
    export.add_argument("file", type=Path, metavar="FILE")
    action("remove-root", "take the root's key off this gateway; it must have been exported", _remove)
    restore = action("restore-root", "put the root's key back from an export", _restore)
    restore.add_argument("file", type=Path, metavar="FILE")
    issuer = action("use-issuer", "let a CA of your own issue the certificates of devices", _use_issuer)
    issuer.add_argument("certificate", type=Path, metavar="CERT", help="its certificate and those above it, PEM")
    issuer.add_argument("key", type=Path, metavar="KEY", help="its private key, PEM, not encrypted")
    audit = commands.add_parser("audit", help="check the audit log").add_subparsers(required=True, metavar="ACTION")
    verify = audit.add_parser("verify", parents=[common], help="tell whether an entry was changed or removed")
    verify.set_defaults(command=lambda options, config: _verify(options, config, ask))


def _status(_: argparse.Namespace, config: Config, ask: Ask) -> int:
    _print_status(ask(config, "ca.status", {}))
    return 0


def _export(options: argparse.Namespace, config: Config, ask: Ask) -> int:
    passphrase = _passphrase(options.typed, is_new=True)
    exported = ask(config, "ca.export-root", {"passphrase": passphrase})
    try:
        descriptor = os.open(options.file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(exported)
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ControlError(f"{options.file} cannot be written: {error.strerror}") from None
    ask(config, "ca.confirm-export", {"exported": _text(options.file), "passphrase": passphrase})
    _say(f"The root's key is in {options.file}, encrypted; it was read back. Keep file and passphrase apart.")
    return 0


def _remove(_: argparse.Namespace, config: Config, ask: Ask) -> int:
    ask(config, "ca.remove-root", {})
    _say("The root's key is gone from this gateway. Devices are issued certificates as before.")
    _say("A flash card may keep what was deleted: whoever needs to be sure exports first and sets up on a new card.")
    return 0


def _restore(options: argparse.Namespace, config: Config, ask: Ask) -> int:
    exported = _text(options.file)
    ask(config, "ca.restore-root", {"exported": exported, "passphrase": _passphrase(options.typed, is_new=False)})
    _say("The root's key is back.")
    return 0


def _use_issuer(options: argparse.Namespace, config: Config, ask: Ask) -> int:
    files = {
        name: base64.b64encode(_bytes(path)).decode()
        for name, path in (("certificates", options.certificate), ("key", options.key))
    }
    _print_status(ask(config, "ca.use-issuer", files))
    return 0


def _verify(_: argparse.Namespace, config: Config, ask: Ask) -> int:
    verdicts = ask(config, "audit.verify", {})
    for verdict in verdicts:
        told = verdict["fault"] or "unbroken"
        _say(f"tenant {verdict['tenant_id']}\t{verdict['entry_count']} entries\t{verdict['hash']}\t{told}")
    return 1 if any(verdict["fault"] for verdict in verdicts) else 0


def _print_status(status: dict[str, Any]) -> None:
    where = {"here": "here, never exported", "exported": "here, and exported", "removed": "removed from this gateway"}
    _say(f"Root       {status['root']}, until {status['root_expires_at']}")
    _say(f"Root key   {where[status['root_key']]}")
    _say(f"Issuer     {status['issuer']}, until {status['issuer_expires_at']}")
    _say(f"           {status['issuer_name']}{'' if status['issuer_is_ours'] else ' (from elsewhere)'}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")


def _passphrase(typed: TextIO, *, is_new: bool) -> str:
    """From the keyboard, or the first line of what is piped in."""
    if not typed.isatty():
        return typed.readline().rstrip("\n")
    passphrase = getpass.getpass("Passphrase: ")
    if is_new and getpass.getpass("The same again: ") != passphrase:
        raise ControlError("the two passphrases are not the same")
    return passphrase


def _text(path: Path) -> str:
    return _bytes(path).decode("utf-8", "replace")


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ControlError(f"{path} cannot be read: {error.strerror}") from None
