import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from appliance import bundle_folder, demonstration
from appliance.alerts.service import Alerts
from appliance.commands.catalogue.model import CommandType
from appliance.commands.catalogue.service import TypeCommands
from appliance.config import AlertsConfig
from appliance.registry.service import Registry
from appliance.simulator.fleet import demo_devices
from appliance.simulator.service import Fleet
from appliance.simulator.wire import Endpoint
from tests.appliance.examples import clock, registered, stored

NOWHERE = Endpoint("localhost", 1, "localhost")
"""A port that refuses at once: the fleet is to wait for its gateway, as real devices do."""


@contextlib.asynccontextmanager
async def demonstrated(folder: Path) -> AsyncIterator[tuple[Registry, Alerts, Fleet]]:
    async with stored(folder) as database, registered(database, folder) as registry:
        alerts = Alerts(database, AlertsConfig(), clock)
        async with (
            alerts.opened(),
            TypeCommands(database, registry).opened() as catalogue,
            demonstration.running(registry, alerts, catalogue, folder, NOWHERE, clock) as fleet,
        ):
            yield registry, alerts, fleet


async def test_the_fleet_is_registered_with_a_bundle_and_a_certificate_each(tmp_path: Path) -> None:
    async with demonstrated(tmp_path) as (registry, _, fleet):
        devices = registry.devices(1)
        assert [device.device_id for device in devices] == [device.device_id for device in demo_devices(20)]
        assert all(device.name and device.zone for device in devices)
        assert all(bundle_folder.is_whole(tmp_path / "simulator" / device.device_id) for device in devices)
        assert "20" in fleet.status().summary


async def test_the_rule_that_the_fleet_breaks_is_there_once_and_tells_somebody(tmp_path: Path) -> None:
    for _ in range(2):
        async with demonstrated(tmp_path) as (_, alerts, _):
            [rule] = alerts.rules(1)
            assert (rule.metric, rule.threshold, rule.recipients) == ("pressure", 60.0, ("operator@example.com",))


async def test_what_was_issued_is_used_again_and_only_what_is_missing_is_issued(tmp_path: Path) -> None:
    async with demonstrated(tmp_path):
        pass
    (tmp_path / "simulator" / "pump-002" / "root.pem").unlink()
    async with demonstrated(tmp_path) as (registry, _, _):
        counts = [len(await registry.certificates(1, f"pump-{number:03d}")) for number in (1, 2, 3)]
    assert counts == [1, 2, 1]


async def test_a_fleet_whose_gateway_was_begun_anew_is_registered_again(tmp_path: Path) -> None:
    async with demonstrated(tmp_path):
        pass
    for path in tmp_path.glob("gateway.db*"):
        path.unlink()
    async with demonstrated(tmp_path) as (registry, _, _):
        assert len(registry.devices(1)) == 20


@contextlib.asynccontextmanager
async def described(folder: Path) -> AsyncIterator[TypeCommands]:
    async with (
        stored(folder) as database,
        registered(database, folder) as registry,
        TypeCommands(database, registry).opened() as catalogue,
    ):
        yield catalogue


async def test_what_the_fleet_understands_is_described_and_what_a_person_changed_stays(tmp_path: Path) -> None:
    async with demonstrated(tmp_path):
        pass
    async with described(tmp_path) as catalogue:
        assert [told.name for told in catalogue.commands(1, "pump")] == ["restart", "set_speed"]
        await catalogue.remove(1, "pump", "restart")
        await catalogue.put(1, "pump", CommandType("set_speed", title="Another"))
    async with demonstrated(tmp_path):
        pass
    async with described(tmp_path) as catalogue:
        assert [told.title for told in catalogue.commands(1, "pump")] == ["Another"]
