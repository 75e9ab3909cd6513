"""The registry at work, over a real database and a real folder of keys."""

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from appliance.errors import ConflictError, InvalidInputError, NotFoundError
from appliance.instant import DAY_MS
from appliance.policies.document import read
from appliance.policies.model import Policy
from appliance.registry.authority import names_in, read_certificate
from appliance.registry.model import (
    DEFAULT_TENANT,
    Bundle,
    DeviceExistsError,
    DeviceRetiredError,
    DeviceState,
    InvalidDeviceIdError,
    InvalidHostNameError,
    KeyFolderError,
    NewDevice,
    UnknownCertificateError,
    UnknownDeviceError,
)
from appliance.registry.service import Registry
from appliance.store.database import Database, opened
from appliance.store.migrate import migrate
from broker.ports import ALLOWED, Authorizer, Connected, Decision, Denied, Disconnected, Principal
from tests.appliance.registry.examples import (
    NOW,
    FakeClock,
    client_context,
    credentials,
    der,
    server_context,
    shake_hands,
)


async def add(registry: Registry, device_id: str) -> Bundle:
    await registry.add_device(DEFAULT_TENANT, device_id)
    return await registry.issue_certificate(DEFAULT_TENANT, device_id)


def refusal(registry: Registry, client_id: str, certificate: bytes | None, username: str | None = None) -> str:
    answer = registry.authenticate(credentials(client_id, certificate, username))
    return answer.reason if isinstance(answer, Denied) else ""


def rights(registry: Registry, principal: Principal) -> list[Decision]:
    """What a device is told of its own topics."""
    name = principal.name
    return [
        registry.may_publish(principal, f"sensors/{name}/telemetry"),
        registry.may_subscribe(principal, f"cmd/{name}/#"),
        registry.may_receive(principal, f"cmd/{name}/restart"),
    ]


def denied_reason(decision: Decision) -> str:
    assert isinstance(decision, Denied)
    return decision.reason


async def test_a_device_is_who_its_certificate_says(registry: Registry) -> None:
    bundle = await add(registry, "sensor-001")
    authorizer: Authorizer = registry
    answer = authorizer.authenticate(credentials("sensor-001", der(bundle)))
    assert answer == Principal(DEFAULT_TENANT, "sensor-001")


async def test_a_device_cannot_use_the_name_of_another(registry: Registry) -> None:
    bundle = await add(registry, "sensor-001")
    await add(registry, "sensor-002")
    assert "client id 'sensor-002' is not the device's" in refusal(registry, "sensor-002", der(bundle))


async def test_a_user_name_changes_nothing(registry: Registry) -> None:
    bundle = await add(registry, "sensor-001")
    await add(registry, "sensor-002")
    assert refusal(registry, "sensor-001", der(bundle), "sensor-002") == ""
    assert refusal(registry, "sensor-001", None, "sensor-001")


async def test_a_valid_chain_that_is_bound_to_no_device_is_refused(
    registry: Registry, tmp_path: Path, clock: FakeClock
) -> None:
    await add(registry, "sensor-001")
    # The same CA over another database: the chain is right, but nobody here was given this certificate.
    async with (
        opened(tmp_path / "other.db", prepare=migrate) as other_database,
        Registry(other_database, tmp_path / "pki", clock).opened() as other,
    ):
        stranger = await add(other, "sensor-001")
    assert stranger.root_pem == registry.root_path.read_text()
    assert "is bound to no device here" in refusal(registry, "sensor-001", der(stranger))


async def test_a_revoked_certificate_is_refused_and_the_other_one_stays_good(
    registry: Registry, clock: FakeClock
) -> None:
    old = await add(registry, "sensor-001")
    new = await registry.issue_certificate(DEFAULT_TENANT, "sensor-001")
    assert refusal(registry, "sensor-001", der(old)) == ""
    await registry.revoke_certificate(DEFAULT_TENANT, "sensor-001", old.fingerprint)
    assert "was revoked" in refusal(registry, "sensor-001", der(old))
    assert refusal(registry, "sensor-001", der(new)) == ""
    with pytest.raises(UnknownCertificateError):
        await registry.revoke_certificate(DEFAULT_TENANT, "sensor-001", "f" * 64)


async def test_an_expired_certificate_is_refused(registry: Registry, clock: FakeClock) -> None:
    bundle = await add(registry, "sensor-001")
    clock.now = bundle.expires_at
    # Nobody stands behind this clock.
    registry.time.is_vouched_for = lambda _: False
    assert refusal(registry, "sensor-001", der(bundle)) == ""
    registry.time.is_vouched_for = lambda _: True
    assert "expired" in refusal(registry, "sensor-001", der(bundle))
    # A clock that is behind does not lock a device out.
    clock.now = 0
    assert refusal(registry, "sensor-001", der(bundle)) == ""


async def test_without_a_certificate_nobody_gets_in(registry: Registry) -> None:
    await add(registry, "sensor-001")
    assert "no certificate was shown" in refusal(registry, "sensor-001", None)


async def test_on_the_plain_listener_the_client_id_names_the_device(
    database: Database, tmp_path: Path, clock: FakeClock
) -> None:
    async with Registry(database, tmp_path / "pki", clock, trust_plain=True).opened() as registry:
        bundle = await add(registry, "sensor-001")
        plain = msgspec.structs.replace(credentials("sensor-001", None), transport="plain")
        assert registry.authenticate(plain) == Principal(DEFAULT_TENANT, "sensor-001")
        stranger = registry.authenticate(msgspec.structs.replace(plain, client_id="sensor-002"))
        assert isinstance(stranger, Denied)
        assert "no device has the client id" in stranger.reason
        # Elsewhere the client identifier is only a word, and a WebSocket is as open as the web.
        for transport in ("websocket", "tls"):
            elsewhere = registry.authenticate(msgspec.structs.replace(plain, transport=transport))
            assert isinstance(elsewhere, Denied), transport
            assert "no certificate was shown" in elsewhere.reason
        assert "not the device's" in refusal(registry, "sensor-002", der(bundle))
        await registry.set_state(DEFAULT_TENANT, "sensor-001", DeviceState.SUSPENDED)
        suspended = registry.authenticate(plain)
        assert isinstance(suspended, Denied)
        assert "is suspended" in suspended.reason


async def test_a_device_that_is_not_active_may_do_nothing(registry: Registry) -> None:
    bundle = await add(registry, "sensor-001")
    principal = Principal(DEFAULT_TENANT, "sensor-001")
    assert rights(registry, principal) == [ALLOWED] * 3
    await registry.set_state(DEFAULT_TENANT, "sensor-001", DeviceState.SUSPENDED)
    assert "is suspended" in refusal(registry, "sensor-001", der(bundle))
    assert [denied_reason(each) for each in rights(registry, principal)] == [
        "device sensor-001 is suspended: only an active device may take part"
    ] * 3
    await registry.set_state(DEFAULT_TENANT, "sensor-001", DeviceState.ACTIVE)
    assert refusal(registry, "sensor-001", der(bundle)) == ""
    assert rights(registry, principal) == [ALLOWED] * 3


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


async def test_no_policy_lets_a_device_in_under_the_name_of_another(registry: Registry) -> None:
    bundle = await add(registry, "sensor-001")
    said = {"Effect": "Allow", "Action": "iot:Connect", "Resource": "arn:aws:iot:*:*:client/*"}
    document = read({"Version": "2012-10-17", "Statement": said})
    await registry.policies.put(DEFAULT_TENANT, Policy("any-name", document, (), ("sensor-001",)))
    assert refusal(registry, "sensor-001-b", der(bundle)) == ""
    await add(registry, "sensor-002")
    assert "is the device id of another device" in refusal(registry, "sensor-002", der(bundle))


async def test_rights_are_refused_with_their_reason(registry: Registry) -> None:
    await add(registry, "sensor-001")
    principal = Principal(DEFAULT_TENANT, "sensor-001")
    denied = denied_reason(registry.may_publish(principal, "sensors/sensor-002/telemetry"))
    assert "no statement lets sensor-001 publish" in denied
    assert denied_reason(registry.may_subscribe(principal, "cmd/+/x"))
    assert "be sent 'cmd/sensor-002/x'" in denied_reason(registry.may_receive(principal, "cmd/sensor-002/x"))
    for stranger in (Principal(DEFAULT_TENANT, "sensor-009"), Principal(2, "sensor-001")):
        assert all(denied_reason(each) == f"{stranger.name} is not registered" for each in rights(registry, stranger))


async def test_whoever_operates_the_gateway_may_do_everything_but_speak_for_it(registry: Registry) -> None:
    person = Principal(DEFAULT_TENANT, "maria@example.com", is_operator=True)
    for topic in ("cmd/sensor-001/restart", "sensors/sensor-001/telemetry", "anything"):
        assert registry.may_publish(person, topic) == registry.may_receive(person, topic) == ALLOWED
    for topic_filter in ("#", "+/+", "$SYS/#"):
        assert registry.may_subscribe(person, topic_filter) == ALLOWED
    assert registry.may_receive(person, "$SYS/broker/uptime") == ALLOWED
    assert "only the gateway itself" in denied_reason(registry.may_publish(person, "$SYS/broker/uptime"))


async def test_devices_are_sorted_and_apart_by_tenant(registry: Registry) -> None:
    for device_id in ("b", "a", "C"):
        await registry.add_device(DEFAULT_TENANT, device_id, zone="cellar")
    assert [device.device_id for device in registry.devices(DEFAULT_TENANT)] == ["C", "a", "b"]
    assert registry.devices(2) == []
    assert registry.device(DEFAULT_TENANT, "a").zone == "cellar"
    with pytest.raises(UnknownDeviceError):
        registry.device(2, "a")
    registry.devices(DEFAULT_TENANT).clear()
    assert len(registry.devices(DEFAULT_TENANT)) == 3
    await registry.add_device(DEFAULT_TENANT, "B")
    assert [device.device_id for device in registry.devices(DEFAULT_TENANT)] == ["B", "C", "a", "b"]


async def test_what_others_ask_of_a_device_is_answered_for_strangers_too(registry: Registry) -> None:
    await registry.add_device(DEFAULT_TENANT, "a", name="Boiler", zone="cellar")
    await registry.add_device(DEFAULT_TENANT, "b")
    names = [registry.name_of(DEFAULT_TENANT, device_id) for device_id in "abc"]
    zones = [registry.zone_of(DEFAULT_TENANT, device_id) for device_id in "abc"]
    assert (names, zones) == (["Boiler", "b", "c"], ["cellar", "", ""])
    assert [registry.has_device(tenant_id, "a") for tenant_id in (DEFAULT_TENANT, 2)] == [True, False]


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
    assert time.monotonic() - started < 15
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
        assert not await registry.renew_server_certificates()
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
