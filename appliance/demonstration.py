"""The demonstration: a fleet that does not exist on the real path, a rule for it to break, and commands for it."""

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from pathlib import Path

from appliance import bundle_folder
from appliance.alerts.model import NewRule, Operator, Severity
from appliance.alerts.service import Alerts
from appliance.commands.catalogue.model import CommandType, Kind, Parameter
from appliance.commands.catalogue.service import TypeCommands
from appliance.instant import Clock
from appliance.registry import bundle
from appliance.registry.model import DEFAULT_TENANT, NewDevice
from appliance.registry.service import Registry
from appliance.simulator.duties import FASTEST_RPM
from appliance.simulator.fleet import TYPE, demo_devices
from appliance.simulator.model import Scenario
from appliance.simulator.service import Fleet, Simulation
from appliance.simulator.wire import Endpoint

DEVICE_COUNT = 20
MESSAGES_PER_SECOND = 0.5
RULE = NewRule(
    name="High pressure",
    metric="pressure",
    operator=Operator.GREATER_THAN,
    threshold=60.0,
    hold_ms=20_000,
    severity=Severity.HIGH,
    recipients=("operator@example.com",),
)
COMMANDS = (
    CommandType(
        "set_speed",
        title="Set the speed",
        description="The pump runs at this speed from now on, and its shadow says so.",
        parameters=(
            Parameter("speed", Kind.INTEGER, "Of the shaft.", "rpm", least=0, greatest=FASTEST_RPM, is_required=True),
        ),
        may_repeat=True,
    ),
    CommandType("restart", title="Restart", description="The pump starts again, which takes a few seconds."),
)
"""What the devices of the fleet understand."""


@contextlib.asynccontextmanager
async def running(
    registry: Registry, alerts: Alerts, catalogue: TypeCommands, data_folder: Path, endpoint: Endpoint, clock: Clock
) -> AsyncIterator[Fleet]:
    """Let the demonstration fleet live on this gateway; what it was issued is kept and used again."""
    if not any(rule.name == RULE.name for rule in alerts.rules(DEFAULT_TENANT)):
        await alerts.add_rule(DEFAULT_TENANT, RULE)
    if not catalogue.commands(DEFAULT_TENANT, TYPE):
        for command in COMMANDS:
            await catalogue.put(DEFAULT_TENANT, TYPE, command)
    devices = [NewDevice(each.device_id, each.name, each.type, each.zone) for each in demo_devices(DEVICE_COUNT)]
    folder = data_folder / "simulator"
    missing = [
        device
        for device in devices
        if not (
            registry.has_device(DEFAULT_TENANT, device.device_id) and bundle_folder.is_whole(folder / device.device_id)
        )
    ]
    if missing:
        bundles = await registry.issue_many(DEFAULT_TENANT, missing)
        for issued in bundles:
            await asyncio.to_thread(
                bundle_folder.write,
                folder / issued.device_id,
                bundle.as_files(issued, bundle.Address(endpoint.host, endpoint.port)),
            )
    simulation = Simulation(
        bundle_folder.simulated(folder, [device.device_id for device in devices]),
        MESSAGES_PER_SECOND,
        Scenario.PRESSURE_FAULT,
        obeys=True,
    )
    fleet = Fleet(simulation, endpoint, clock, random.random)
    async with fleet.running():
        yield fleet
