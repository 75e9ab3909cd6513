"""The registry at work, over a real database and a real folder of keys."""

import asyncio
import time
from pathlib import Path

import pytest

from appliance.errors import ConflictError, InvalidInputError, NotFoundError
from appliance.instant import DAY_MS
from appliance.policies.document import read
from appliance.policies.model import Policy
from appliance.registry.authority import names_in, read_certificate
from appliance.registry.model import (
    DEFAULT_TENANT,
    DeviceExistsError,
    DeviceRetiredError,
    DeviceState,
    InvalidDeviceIdError,
    InvalidHostNameError,
    KeyFolderError,
    NewDevice,
)
from appliance.registry.service import Registry
from appliance.store.database import Database
from broker.ports import ALLOWED, Connected, Denied, Disconnected, Principal
from tests.appliance.registry.examples import (
    NOW,
    FakeClock,
    add,
    client_context,
    denied_reason,
    der,
    refusal,
    server_context,
    shake_hands,
)


async def test_a_retired_device_never_comes_back(registry: Registry) -> None:
    await add(registry, "sensor-001")
    await registry.set_state(DEFAULT_TENANT, "sensor-001", DeviceState.RETIRED)
    with pytest.raises(DeviceRetiredError):
        await registry.set_state(DEFAULT_TENANT, "sensor-001", DeviceState.ACTIVE)
    with pytest.raises(DeviceRetiredError):
        await registry.issue_certificate(DEFAULT_TENANT, "sensor-001")
    with pytest.raises(DeviceRetiredError):
        await registry.issue_many(DEFAULT_TENANT, [NewDevice("sensor-002"), NewDevice("sensor-001")])
    assert [device.device_id for device in registry.devices(DEFAULT_TENANT)] == ["sensor-001"]
    with pytest.raises(DeviceExistsError):
        await registry.add_device(DEFAULT_TENANT, "sensor-001")


async def test_a_policy_that_changes_is_told_for_every_device_it_concerns(registry: Registry) -> None:
    for device_id, kind in (("pump-1", "pump"), ("pump-2", "pump"), ("fan-1", "fan"), ("fan-2", "fan")):
        await registry.add_device(DEFAULT_TENANT, device_id, type=kind)
    heard: list[tuple[int, str]] = []
    registry.rights_changed = lambda tenant_id, device_id: heard.append((tenant_id, device_id))
    said = {"statements": [{"effect": "deny", "actions": ["publish"], "resources": ["sensors/#"]}]}
    await registry.policies.put(DEFAULT_TENANT, Policy("quiet", read(said), ("pump",), ("fan-1",)))
    assert heard == [(DEFAULT_TENANT, device_id) for device_id in ("fan-1", "pump-1", "pump-2")]
    pump = Principal(DEFAULT_TENANT, "pump-1")
    assert "policy 'quiet' denies" in denied_reason(registry.may_publish(pump, "sensors/pump-1/x"))
    assert registry.may_publish(Principal(DEFAULT_TENANT, "fan-2"), "sensors/fan-2/x") == ALLOWED
    assert registry.may_retain(Principal(DEFAULT_TENANT, "fan-2"), "sensors/fan-2/x") == ALLOWED
    assert isinstance(registry.may_retain(pump, "sensors/fan-2/x"), Denied)


async def test_the_address_told_to_others_is_in_the_certificate(registry: Registry) -> None:
    certificate = read_certificate(registry.device_tls().certificate.read_bytes())
    names = names_in(certificate)
    assert registry.lan_host in (*names.addresses, *names.hosts)


async def test_what_cannot_be_added_is_refused_by_kind(registry: Registry) -> None:
    await registry.add_device(DEFAULT_TENANT, "a")
    with pytest.raises(DeviceExistsError) as exists:
        await registry.add_device(DEFAULT_TENANT, "a")
    assert isinstance(exists.value, ConflictError)
    with pytest.raises(InvalidDeviceIdError):
        await registry.add_device(DEFAULT_TENANT, "a/b")
    with pytest.raises(InvalidInputError):
        await registry.add_device(DEFAULT_TENANT, "b", zone="x" * 1000)
    with pytest.raises(NotFoundError):
        await registry.issue_certificate(DEFAULT_TENANT, "b")
    with pytest.raises(NotFoundError):
        await registry.certificates(DEFAULT_TENANT, "b")


async def test_of_many_that_add_one_device_one_succeeds(registry: Registry) -> None:
    answers = await asyncio.gather(
        *(registry.add_device(DEFAULT_TENANT, "a") for _ in range(20)), return_exceptions=True
    )
    assert sum(isinstance(answer, DeviceExistsError) for answer in answers) == 19


async def test_two_thousand_devices_take_seconds_and_the_loop_goes_on(registry: Registry) -> None:
    news = [NewDevice(f"sensor-{number:04}", zone="hall") for number in range(2_000)]
    turns = 0
    started = time.monotonic()
    issuing = asyncio.ensure_future(registry.issue_many(DEFAULT_TENANT, news))
    while not issuing.done():
        turns += 1
        await asyncio.sleep(0.001)
    bundles = await issuing
    assert time.monotonic() - started < 45
    assert turns > 50
    assert [bundle.device_id for bundle in bundles] == [new.device_id for new in news]
    assert len({bundle.fingerprint for bundle in bundles}) == 2_000
    assert refusal(registry, "sensor-1999", der(bundles[-1])) == ""
    assert registry.device(DEFAULT_TENANT, "sensor-1999").zone == "hall"


async def test_many_with_one_bad_name_change_nothing(registry: Registry) -> None:
    with pytest.raises(InvalidDeviceIdError):
        await registry.issue_many(DEFAULT_TENANT, [NewDevice("a"), NewDevice("b/c")])
    assert registry.devices(DEFAULT_TENANT) == []


async def test_a_restart_keeps_devices_certificates_and_authorities(
    database: Database, tmp_path: Path, clock: FakeClock
) -> None:
    async with Registry(database, tmp_path / "pki", clock).opened() as first:
        good, revoked = await add(first, "a"), await add(first, "b")
        await first.revoke_certificate(DEFAULT_TENANT, "b", revoked.fingerprint)
        await first.issue_many(DEFAULT_TENANT, [NewDevice("c")])
        devices, fingerprint = first.devices(DEFAULT_TENANT), first.web_ca_fingerprint
        root = first.root_path.read_bytes()
    clock.now += DAY_MS
    async with Registry(database, tmp_path / "pki", clock).opened() as second:
        assert second.devices(DEFAULT_TENANT) == devices
        assert second.web_ca_fingerprint == fingerprint
        assert second.root_path.read_bytes() == root
        assert refusal(second, "a", der(good)) == ""
        assert "was revoked" in refusal(second, "b", der(revoked))


async def test_the_certificates_of_a_device_can_be_listed(registry: Registry, clock: FakeClock) -> None:
    old = await add(registry, "a")
    clock.now += DAY_MS
    new = await registry.issue_certificate(DEFAULT_TENANT, "a")
    found = await registry.certificates(DEFAULT_TENANT, "a")
    assert [one.fingerprint for one in found] == [new.fingerprint, old.fingerprint]
    assert [one.issued_at for one in found] == [NOW + DAY_MS, NOW]
    assert found[0].expires_at == new.expires_at


async def test_no_private_key_of_a_device_is_kept(registry: Registry, database: Database, tmp_path: Path) -> None:
    bundle = await add(registry, "a")
    secret = "".join(bundle.key_pem.splitlines()[1:-1]).encode()[20:60]
    for path in tmp_path.rglob("*"):
        if path.is_file():
            assert secret not in path.read_bytes().replace(b"\n", b"")


async def test_only_devices_are_counted_as_connected(registry: Registry) -> None:
    registry.note_connected(Connected(DEFAULT_TENANT, "user:owner@example.com", "screen", "192.168.4.20:5000", NOW))
    assert registry.connected_count(DEFAULT_TENANT) == 0


async def test_presence_follows_the_broker(registry: Registry) -> None:
    await registry.add_device(DEFAULT_TENANT, "a")
    assert registry.presence(DEFAULT_TENANT, "a").since == NOW
    registry.note_connected(Connected(DEFAULT_TENANT, "a", "a", "192.168.4.20:5000", NOW + 1))
    assert registry.presence(DEFAULT_TENANT, "a").connected
    assert registry.connected_count(DEFAULT_TENANT) == 1
    registry.note_disconnected(Disconnected(DEFAULT_TENANT, "a", "a", "closed", NOW + 2))
    assert registry.presence(DEFAULT_TENANT, "a").reason == "closed"
    assert registry.connected_count(DEFAULT_TENANT) == 0


async def test_the_files_it_names_open_both_listeners(registry: Registry, tmp_path: Path) -> None:
    bundle = await add(registry, "a")
    (tmp_path / "chain.pem").write_text(bundle.chain_pem)
    (tmp_path / "key.pem").write_text(bundle.key_pem)
    device = client_context(bundle.root_pem, tmp_path / "chain.pem", tmp_path / "key.pem")
    assert shake_hands(server_context(registry.device_tls(), asks_certificate=True), device, "localhost") == der(bundle)
    person = client_context(registry.web_ca_path.read_text())
    assert shake_hands(server_context(registry.web_tls(), asks_certificate=False), person, "127.0.0.1") is None
    assert registry.root_path.read_text() == bundle.root_pem
    assert len(registry.web_ca_fingerprint.split(":")) == 32


async def test_configured_names_are_in_the_certificates(database: Database, tmp_path: Path, clock: FakeClock) -> None:
    async with Registry(database, tmp_path / "pki", clock, ["gw.lan"]).opened() as registry:
        person = client_context(registry.web_ca_path.read_text())
        assert shake_hands(server_context(registry.web_tls(), asks_certificate=False), person, "gw.lan") is None
        assert not await registry.authorities.renew()
    with pytest.raises(InvalidHostNameError):
        async with Registry(database, tmp_path / "pki", clock, ["not a name"]).opened():
            pass


async def test_a_damaged_folder_of_keys_stops_the_start(database: Database, tmp_path: Path, clock: FakeClock) -> None:
    async with Registry(database, tmp_path / "pki", clock).opened() as registry:
        registry.root_path.with_name("root.key").unlink()
    with pytest.raises(KeyFolderError):
        async with Registry(database, tmp_path / "pki", clock).opened():
            pass


async def test_whoever_keeps_connections_hears_of_changed_rights(registry: Registry) -> None:
    await registry.add_device(DEFAULT_TENANT, "sensor-001")
    bundle = await registry.issue_certificate(DEFAULT_TENANT, "sensor-001")
    heard: list[tuple[int, str]] = []
    registry.rights_changed = lambda tenant_id, device_id: heard.append((tenant_id, device_id))
    await registry.revoke_certificate(DEFAULT_TENANT, "sensor-001", bundle.fingerprint)
    await registry.set_state(DEFAULT_TENANT, "sensor-001", DeviceState.SUSPENDED)
    assert heard == [(DEFAULT_TENANT, "sensor-001")] * 2
