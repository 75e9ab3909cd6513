"""The commands `ca`, `clock` and `audit`: what they ask of the gateway, and what they print."""

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
    action("issuers", "list the CAs that issue, or have issued, to devices", _issuers)
    revoke = action("revoke", "revoke a CA with everything that it has issued; there is no way back", _revoke)
    revoke.add_argument("fingerprint", metavar="FINGERPRINT", help="as `ca issuers` prints it")
    _add_hardware(action)
    clock = commands.add_parser("clock", help="tell what the clock is worth").add_subparsers(
        required=True, metavar="ACTION"
    )
    for name, words in (
        ("status", "tell the time, and whether it is believed"),
        ("reset", "say that the clock is right now, whatever was taken for past before"),
    ):
        told = clock.add_parser(name, parents=[common], help=words)
        told.set_defaults(command=lambda _, config, call=f"clock.{name}": _clock(call, config, ask))
    _add_own(action)
    audit = commands.add_parser("audit", help="check the audit log").add_subparsers(required=True, metavar="ACTION")
    verify = audit.add_parser("verify", parents=[common], help="tell whether an entry was changed or removed")
    verify.set_defaults(command=lambda options, config: _verify(options, config, ask))


def _add_hardware(action: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands for a key in a token."""
    hardware = action("use-hsm", "let a CA issue whose key is in the token of the settings", _use_hardware)
    hardware.add_argument(
        "--certificate", type=Path, metavar="CERT", help="its certificate from elsewhere and those above it, PEM"
    )
    request = action("hsm-request", "write a request for a certificate of the key in the token", _request_hardware)
    request.add_argument("file", type=Path, metavar="FILE")
    removal = action("remove-issuer-keys", "take issuing keys off this gateway; the token issues", _remove_issuer_keys)
    removal.add_argument("--yes", action="store_true", help="go on: there is no way back")


def _add_own(action: Callable[..., argparse.ArgumentParser]) -> None:
    """Add the commands for CAs of one's own."""
    action("code", "make a registration code, which a CA of your own signs as a common name", _code)
    register = action("register", "register a CA whose devices get in at their first connections", _register)
    register.add_argument("certificate", type=Path, metavar="CERT", help="the CA's certificate, PEM")
    register.add_argument("proof", type=Path, metavar="PROOF", help="the certificate it issued to the code, PEM")
    action("own", "list the CAs of your own", _own)
    change = action("change", "decide what becomes of the certificates of a CA of your own", _change)
    remove = action("remove", "remove a CA of your own, and revoke all of its certificates", _remove_own)
    for numbered in (change, remove):
        numbered.add_argument("number", type=int, metavar="NUMBER", help="of the CA, as `ca own` tells it")
    for decided in (register, change):
        decided.add_argument("--mode", choices=("register", "provision", "inactive"), help="of new certificates")
        decided.add_argument("--template", help="provisioning template; without it, the common name is the device id")
        decided.add_argument("--daily-limit", type=int, metavar="COUNT", help="most new ones in a day")


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


def _use_hardware(options: argparse.Namespace, config: Config, ask: Ask) -> int:
    certificates = _bytes(options.certificate) if options.certificate else b""
    _print_status(ask(config, "ca.use-hsm", {"certificates": base64.b64encode(certificates).decode()}))
    return 0


def _request_hardware(options: argparse.Namespace, config: Config, ask: Ask) -> int:
    request = ask(config, "ca.hsm-request", {})
    try:
        options.file.write_text(request, encoding="utf-8")
    except OSError as error:
        raise ControlError(f"{options.file} cannot be written: {error.strerror}") from None
    _say(f"The request is in {options.file}. With the certificate: headworks ca use-hsm --certificate CERT")
    return 0


def _remove_issuer_keys(options: argparse.Namespace, config: Config, ask: Ask) -> int:
    if not options.yes:
        raise ControlError(
            "nothing was removed: no CA whose key is on this gateway could issue again. Say --yes to go on"
        )
    removed = ask(config, "ca.remove-issuer-keys", {})
    _say(f"Gone from this gateway: {', '.join(removed)}. Devices are issued certificates by the token, as before.")
    _say("A flash card may keep what was deleted.")
    return 0


def _clock(call: str, config: Config, ask: Ask) -> int:
    report = ask(config, call, {})
    _say(f"Clock      {report['wall_at']}, {report['state']}")
    _say(f"Passed     {report['floor_at']} for sure")
    _say(f"Asked      the {report['witness']}, whether a time server stands behind the clock")
    _say(report["told"])
    return 0


def _code(_: argparse.Namespace, config: Config, ask: Ask) -> int:
    _say(ask(config, "ca.code", {}))
    return 0


def _register(options: argparse.Namespace, config: Config, ask: Ask) -> int:
    files = {
        name: base64.b64encode(_bytes(path)).decode()
        for name, path in (("certificate", options.certificate), ("proof", options.proof))
    }
    made = ask(config, "ca.register", {**files, "settings": _settings(options)})
    _say(f"{made['authority_number']}\t{made['settings']['mode']}\t{made['subject']}")
    return 0


def _own(_: argparse.Namespace, config: Config, ask: Ask) -> int:
    for each in ask(config, "ca.own", {}):
        told = (each["authority_number"], each["settings"]["mode"], f"{each['device_count']} devices", each["subject"])
        _say("\t".join(map(str, told)))
    return 0


def _change(options: argparse.Namespace, config: Config, ask: Ask) -> int:
    changed = ask(config, "ca.change", {"authority_number": options.number, "settings": _settings(options)})
    _say(f"{changed['authority_number']}\t{changed['settings']['mode']}\t{changed['subject']}")
    return 0


def _remove_own(options: argparse.Namespace, config: Config, ask: Ask) -> int:
    revoked = ask(config, "ca.remove", {"authority_number": options.number})
    _say(f"The CA was removed; {revoked} certificates of its devices were revoked.")
    return 0


def _settings(options: argparse.Namespace) -> dict[str, Any]:
    told = {"mode": options.mode, "template": options.template, "daily_limit": options.daily_limit}
    return {name: value for name, value in told.items() if value is not None}


def _verify(_: argparse.Namespace, config: Config, ask: Ask) -> int:
    verdicts = ask(config, "audit.verify", {})
    for verdict in verdicts:
        told = verdict["fault"] or "unbroken"
        _say(f"tenant {verdict['tenant_id']}\t{verdict['entry_count']} entries\t{verdict['hash']}\t{told}")
    return 1 if any(verdict["fault"] for verdict in verdicts) else 0


def _issuers(_: argparse.Namespace, config: Config, ask: Ask) -> int:
    for issuer in ask(config, "ca.issuers", {}):
        state = "revoked" if issuer["revoked_at"] is not None else "in use" if issuer["is_in_use"] else ""
        _say(f"{issuer['fingerprint']}\t{issuer['name']}\t{state}")
    return 0


def _revoke(options: argparse.Namespace, config: Config, ask: Ask) -> int:
    known = {issuer["fingerprint"]: issuer for issuer in ask(config, "ca.issuers", {})}
    issuer = known.get(options.fingerprint.lower())
    if issuer is None:
        raise ControlError(f"no CA with the fingerprint {options.fingerprint} has issued to devices here")
    _say(f"Every certificate that {issuer['name']} has issued will open nothing any more. There is no way back.")
    sys.stdout.write("Type the name of the CA to go on: ")
    sys.stdout.flush()
    if options.typed.readline().strip() != issuer["name"]:
        raise ControlError("nothing was revoked: that is not the name of the CA")
    done = ask(config, "ca.revoke", {"fingerprint": issuer["fingerprint"]})
    _say(f"{issuer['name']} is revoked, with {done['certificate_count']} certificates that were good until now.")
    if done["successor"] is not None:
        _say(f"{done['successor']['name']} issues from now on: {done['successor']['fingerprint']}")
    return 0


def _print_status(status: dict[str, Any]) -> None:
    where = {"here": "here, never exported", "exported": "here, and exported", "removed": "removed from this gateway"}
    _say(f"Root       {status['root']}, until {status['root_expires_at']}")
    _say(f"Root key   {where[status['root_key']]}")
    _say(f"Issuer     {status['issuer']}, until {status['issuer_expires_at']}")
    _say(f"           {status['issuer_name']}{'' if status['issuer_is_ours'] else ' (from elsewhere)'}")
    _say(f"Issuer key {'in a hardware token' if status['issuer_key'] == 'hardware' else 'here'}")


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
