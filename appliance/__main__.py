"""The command line: run, check-config, claim, device, token, simulate."""

import argparse
import asyncio
import base64
import json
import logging
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from appliance import (
    bundle_folder,
    command_ca,
    command_cold,
    command_erase,
    command_replay,
    command_telemetry,
    control,
    logs,
    plugins,
)
from appliance import config as settings
from appliance.accounts.model import Role
from appliance.config import Config
from appliance.console import Console, ImportReport, Issued, local_host, reached
from appliance.control import ControlError
from appliance.errors import ApplianceError
from appliance.folder_lock import folder_locked
from appliance.health import is_logged_by_journald
from appliance.lifetime import wall_clock
from appliance.registry import bundle
from appliance.simulator.model import Scenario
from appliance.simulator.service import Fleet, Simulation
from appliance.simulator.wire import Endpoint
from appliance.store.damage import damage_told
from appliance.telemetry.exporting.program.service import parquet_beside
from appliance.telemetry.keeping.service import erased_at_next_start

if TYPE_CHECKING:
    from appliance.process import Started

log = logging.getLogger(__name__)

Commands = Any
"""What `add_subparsers` gives; its type is private to argparse."""

INSTALLED_CONFIG = Path("/etc/headworks/config.toml")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; gives the exit status."""
    options = _parser().parse_args(arguments)
    try:
        config = _config(options)
        status: int = options.command(options, config)
    except ApplianceError as error:
        print(f"headworks: {error}", file=sys.stderr)
        return 2
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="headworks", description="A self-hosted IoT gateway.")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--config", type=Path, help="the settings file (TOML)")
    common.add_argument("--data", type=Path, help="the data folder, in place of the settings' own")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (_add_run, _add_check_config, _add_claim, _add_device, _add_token, _add_simulate):
        add(commands, common)
    command_ca.add(commands, common, _ask)
    command_telemetry.add(commands, common, _ask_running, wall_clock, parquet_beside)
    command_cold.add(commands, common, _ask_running)
    command_replay.add(commands, common, _ask_running, wall_clock, time.sleep)
    return parser


def _add_run(commands: Commands, common: argparse.ArgumentParser) -> None:
    run = commands.add_parser("run", parents=[common], help="run the gateway")
    run.add_argument("--demo", action="store_true", help="add twenty simulated devices on the real path")
    run.set_defaults(command=_run)


def _add_check_config(commands: Commands, common: argparse.ArgumentParser) -> None:
    check = commands.add_parser("check-config", parents=[common], help="check the settings and print what is in force")
    check.set_defaults(command=_check_config)


def _add_claim(commands: Commands, common: argparse.ArgumentParser) -> None:
    claim = commands.add_parser("claim", parents=[common], help="make a new claim link for the first owner")
    claim.set_defaults(command=_open_claim)


def _add_device(commands: Commands, common: argparse.ArgumentParser) -> None:
    device = commands.add_parser("device", help="register devices and issue their certificates")
    actions = device.add_subparsers(required=True, metavar="ACTION")
    add = actions.add_parser("add", parents=[common], help="register a device and write its bundle")
    add.add_argument("device_id")
    add.add_argument("--name", default="", help="what people call it")
    add.add_argument("--type", default="")
    add.add_argument("--zone", default="")
    add.add_argument("--serial-number", default="")
    add.add_argument("--out", type=Path, help="the folder for the bundle (default: DATA/bundles/DEVICE_ID)")
    add.set_defaults(command=_register_device)
    table = actions.add_parser("import", parents=[common], help="add and change devices by a table (CSV)")
    table.add_argument("file", type=Path, metavar="FILE", help="columns: device_id, name, type, attribute.X, …")
    table.add_argument("--dry-run", action="store_true", help="tell what would happen to each row, and change nothing")
    table.add_argument("--bundles", type=Path, metavar="FOLDER", help="make certificates for new devices, written here")
    table.add_argument("--programs", action="store_true", help="put the programs that send a first reading there, too")
    table.set_defaults(command=_import_devices)
    command_erase.add(actions, common, _ask)
    listing = actions.add_parser("list", parents=[common], help="list the devices")
    listing.set_defaults(command=_list_devices)


def _add_token(commands: Commands, common: argparse.ArgumentParser) -> None:
    token = commands.add_parser("token", help="make tokens for scripts")
    actions = token.add_subparsers(required=True, metavar="ACTION")
    add = actions.add_parser("add", parents=[common], help="make a token; it is shown once")
    add.add_argument("name", help="what it is for; shown in the list of tokens and in the audit log")
    roles = [role.value for role in Role]
    add.add_argument("--role", choices=roles, default=Role.OPERATOR.value, help="what it may do (operator)")
    add.set_defaults(command=_make_token)


def _add_simulate(commands: Commands, common: argparse.ArgumentParser) -> None:
    simulate = commands.add_parser("simulate", parents=[common], help="run devices that do not exist")
    simulate.add_argument("--devices", type=int, default=20)
    simulate.add_argument("--rate", type=float, default=1.0, help="messages a second of each device")
    simulate.add_argument("--scenario", choices=[each.value for each in Scenario], default=Scenario.STEADY.value)
    simulate.add_argument("--prefix", default="sim", help="their device ids begin with this")
    simulate.add_argument("--seconds", type=float, default=None, help="stop after this long")
    simulate.set_defaults(command=_simulate)


def _config(options: argparse.Namespace) -> Config:
    path = options.config
    if path is None and INSTALLED_CONFIG.exists():
        path = INSTALLED_CONFIG
    config = settings.load(path)
    return msgspec.structs.replace(config, data=str(options.data)) if options.data else config


def _run(options: argparse.Namespace, config: Config) -> int:
    logs.configure(config.log.level, for_journal=is_logged_by_journald())
    try:
        from appliance import process  # noqa: PLC0415  other commands begin in half the time without it

        with damage_told(config.data_folder / "gateway.db"):
            asyncio.run(process.run(config, _announce, demo=options.demo))
    except ApplianceError:
        raise
    except BaseExceptionGroup as group:
        return _ended(_causes(group))
    except Exception:
        log.critical("ended by a failure", exc_info=True)
        return 1
    return 0


def _ended(causes: Sequence[BaseException]) -> int:
    """Tell why the gateway ended: in a sentence where a person can mend it, with a traceback where it is a defect."""
    defects = [cause for cause in causes if not isinstance(cause, ApplianceError)]
    for cause in defects:
        log.critical("ended by a failure", exc_info=cause)
    if defects:
        return 1
    for cause in causes:
        print(f"headworks: {cause}", file=sys.stderr)
    return 2


def _causes(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [cause for inner in error.exceptions for cause in _causes(inner)]
    return [error]


def _announce(started: "Started") -> None:
    lines = [
        "",
        f"  Dashboard  https://localhost:{started.web_port}/",
        f"  MQTT       mqtts://localhost:{started.mqtt_port} (client certificate required)",
        f"  Data       {started.data_folder}",
    ]
    if started.shared_port:
        lines.append(f"  Shared     localhost:{started.shared_port} (MQTT for who asks for it by ALPN, else HTTPS)")
    if started.token_port:
        lines.append(f"  Token MQTT mqtts://localhost:{started.token_port} (a device shows its token as the password)")
    lines += [f"  Plain MQTT mqtt://localhost:{port} (nothing is encrypted)" for port in started.plain_ports]
    if started.enrolment_port:
        lines.append(
            f"  Enrolment  https://localhost:{started.enrolment_port}/ (EST, for devices that are not known yet)"
        )
    if started.knock_port:
        lines.append(f"  Knocking   https://localhost:{started.knock_port}/enrol (with a self-made certificate)")
    if started.lan_host:
        lines.append(f"  From elsewhere in the LAN, put {started.lan_host} in the place of localhost.")
    if started.trust_port:
        lines.append(f"  Trust      http://localhost:{started.trust_port}/trust, the CA behind the dashboard:")
        lines.append(f"             {started.web_ca_fingerprint}")
    if started.claim:
        lines.append(f"  Claim      https://localhost:{started.web_port}/claim#{started.claim}")
        lines.append("             Opens once, within 30 minutes, and makes you the owner.")
    print("\n".join(lines) + "\n", flush=True)


def _check_config(_: argparse.Namespace, config: Config) -> int:
    for sentence in plugins.read(config.plugins, config.mqtt.plain_networks).left_out:
        print(f"headworks: {sentence}", file=sys.stderr)
    print(settings.printed(config), end="")
    return 0


def _open_claim(_: argparse.Namespace, config: Config) -> int:
    secret = _ask(config, "claim", {})
    print(f"https://localhost:{config.http.port}/claim#{secret}")
    return 0


def _register_device(options: argparse.Namespace, config: Config) -> int:
    device = {
        "device_id": options.device_id,
        "name": options.name,
        "type": options.type,
        "zone": options.zone,
        "serial_number": options.serial_number,
    }
    issued = msgspec.convert(_ask(config, "device.add", {"devices": [device]}), Issued)
    [one] = issued.bundles
    folder = options.out or config.data_folder / "bundles" / one.device_id
    bundle_folder.write(folder, bundle.with_programs(one, issued.address))
    print(f"The bundle is in {folder}. Try it from there:\n")
    print(f"  {bundle.publish_line(one, issued.local_host, issued.address.mqtt_port)}")
    return 0


def _import_devices(options: argparse.Namespace, config: Config) -> int:
    try:
        content = options.file.read_bytes()
    except OSError as error:
        raise ControlError(f"{options.file} cannot be read: {error.strerror}") from None
    asked = {
        "content": base64.b64encode(content).decode(),
        "dry_run": options.dry_run,
        "certificates": options.bundles is not None and not options.dry_run,
    }
    report = msgspec.convert(_ask(config, "device.import", asked), ImportReport)
    for row in report.rows:
        if row.fate != "unchanged":
            print(f"line {row.line}\t{row.fate}\t{row.device_id}\t{row.reason}".rstrip())
    issued = report.issued
    for device_id, files in bundle.of_many(issued.bundles, issued.address, has_programs=options.programs):
        bundle_folder.write(options.bundles / device_id, files)
    print(", ".join(f"{count:,} {fate}" for fate, count in report.counts.items()))
    if options.dry_run:
        print("Nothing was changed: this was a dry run.")
    return 2 if report.counts["refused"] else 0


def _list_devices(_: argparse.Namespace, config: Config) -> int:
    devices = _ask(config, "device.list", {})
    try:
        for device in devices:
            state = "connected" if device["connected"] else device["state"]
            print(f"{device['device_id']}\t{state}\t{device['name']}")
        sys.stdout.flush()
    except BrokenPipeError:
        # Whoever reads, such as `head`, has seen enough: what is still to be written goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def _make_token(options: argparse.Namespace, config: Config) -> int:
    print(_ask(config, "token.add", {"name": options.name, "role": options.role}))
    return 0


def _simulate(options: argparse.Namespace, config: Config) -> int:
    device_ids = [f"{options.prefix}-{number:05d}" for number in range(1, options.devices + 1)]
    folder = config.data_folder / "simulator"
    missing = [device_id for device_id in device_ids if not bundle_folder.is_whole(folder / device_id)]
    host, port = local_host(config.mqtt.host), config.mqtt.port
    if missing:
        answer = _ask(config, "device.add", {"devices": [{"device_id": device_id} for device_id in missing]})
        issued = msgspec.convert(answer, Issued)
        port = issued.address.mqtt_port
        for one in issued.bundles:
            bundle_folder.write(folder / one.device_id, bundle.as_files(one, bundle.Address(host, port)))
    simulation = Simulation(bundle_folder.simulated(folder, device_ids), options.rate, Scenario(options.scenario))
    asyncio.run(_simulated(simulation, Endpoint(host, port, host), options.seconds))
    return 0


async def _simulated(simulation: Simulation, endpoint: Endpoint, seconds: float | None) -> None:
    fleet = Fleet(simulation, endpoint, wall_clock, random.random)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with fleet.running():
        try:
            async with asyncio.timeout(seconds):
                await stop.wait()
        except TimeoutError:
            pass
        print(fleet.status().summary)


def _ask(config: Config, call: str, arguments: dict[str, Any]) -> Any:
    """Ask the gateway that runs on the data folder, or do it oneself when none does."""
    try:
        return asyncio.run(control.ask(config.data_folder / "control.sock", call, arguments))
    except (ConnectionError, FileNotFoundError):
        return asyncio.run(_done_alone(config, call, arguments))
    except PermissionError:
        folder = config.data_folder
        raise ControlError(f"{folder} belongs to another user: run this as that user (sudo -u headworks …)") from None


def _ask_running(config: Config, call: str, arguments: dict[str, Any]) -> Any:
    """Ask the gateway that runs on the data folder: what is asked needs more of it than can be opened beside."""
    try:
        return asyncio.run(control.ask(config.data_folder / "control.sock", call, arguments))
    except (ConnectionError, FileNotFoundError):
        raise ControlError(f"no gateway runs on {config.data_folder}: start it first") from None
    except PermissionError:
        folder = config.data_folder
        raise ControlError(f"{folder} belongs to another user: run this as that user (sudo -u headworks …)") from None


async def _done_alone(config: Config, call: str, arguments: dict[str, Any]) -> Any:
    from appliance import process  # noqa: PLC0415  as for `_run`: a gateway that runs is asked without it

    with folder_locked(config.data_folder), damage_told(config.data_folder / "gateway.db"):
        async with process.foundation_opened(config, wall_clock) as foundation:
            mqtt = config.mqtt
            foundation.registry.reached = reached(mqtt.host, mqtt.port, mqtt.shared_port, config.http.port)
            erase = partial(erased_at_next_start, foundation.database, wall_clock)
            console = Console(foundation.registry, foundation.accounts, mqtt.host, foundation.catalogue, erase)
            result = await console.calls()[call](arguments)
            return json.loads(msgspec.json.encode(result))


if __name__ == "__main__":
    sys.exit(main())
