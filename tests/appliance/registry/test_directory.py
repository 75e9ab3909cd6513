"""What the registry knows by heart: who may connect, and what they may do."""

from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.instant import DAY_MS
from appliance.policies.document import read
from appliance.policies.model import Policy
from appliance.registry.admission import REMEMBERED_MS, is_forgettable
from appliance.registry.clock.trust import Reading, is_over
from appliance.registry.model import (
    DEFAULT_TENANT,
    Certificate,
    DeviceState,
    UnknownCertificateError,
    UnknownDeviceError,
)
from appliance.registry.service import Registry
from appliance.store.database import Database, opened
from broker.ports import ALLOWED, Authorizer, Credentials, Denied, Principal
from tests.appliance.registry.examples import (
    NOW,
    FakeClock,
    add,
    credentials,
    denied_reason,
    der,
    refusal,
    rights,
)
from tests.appliance.store.tables import up_to_date


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
        opened(tmp_path / "other.db", prepare=up_to_date) as other_database,
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
    assert registry.devices_of_all() == registry.devices(DEFAULT_TENANT)
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


class Newcomer:
    """Somebody who may enrol and nothing else."""

    def authenticate(self, credentials: Credentials) -> Principal | Denied | None:
        return Principal(1, "claim/7") if credentials.client_id == "newcomer" else None

    def publish_refusal(self, principal: Principal, topic: str) -> str | None:
        return None if topic == "ask" else f"{principal.name} may not"

    def subscribe_refusal(self, principal: Principal, topic_filter: str) -> str | None:
        return None if topic_filter == "answer" else f"{principal.name} may not"


async def test_who_is_no_device_yet_is_judged_by_whoever_knows_newcomers(registry: Registry) -> None:
    newcomer = Principal(1, "claim/7")
    strange = credentials("sensor-001", b"strange")
    assert registry.may_publish(newcomer, "ask") == Denied("claim/7 is not registered")
    registry.newcomers = Newcomer()
    assert isinstance(registry.authenticate(strange), Denied)
    assert registry.authenticate(credentials("newcomer", b"strange")) == newcomer
    assert registry.may_publish(newcomer, "ask") == ALLOWED
    assert registry.may_publish(newcomer, "answer") == Denied("claim/7 may not")
    assert registry.may_subscribe(newcomer, "answer") == registry.may_receive(newcomer, "answer") == ALLOWED
    assert isinstance(registry.may_subscribe(newcomer, "#"), Denied)


async def test_a_certificate_that_expires_is_told_of_once(registry: Registry, clock: FakeClock) -> None:
    await add(registry, "sensor-001")
    assert registry.newly_over() == []
    clock.now += 366 * DAY_MS
    registry.time.is_vouched_for = lambda _: True
    assert [bound.device_id for bound in registry.newly_over()] == ["sensor-001"]
    assert registry.newly_over() == []
    await registry.issue_certificate(DEFAULT_TENANT, "sensor-001")
    assert registry.newly_over() == []


@given(
    ends_in_ms=st.integers(-400 * DAY_MS, 400 * DAY_MS),
    is_revoked=st.booleans(),
    state=st.sampled_from(DeviceState),
    floor_ms=st.integers(-400 * DAY_MS, 400 * DAY_MS),
    is_synchronised=st.booleans(),
)
def test_no_certificate_is_forgotten_that_could_still_open_a_door_were_it_not_known_to_be_revoked(
    ends_in_ms: int, *, is_revoked: bool, state: DeviceState, floor_ms: int, is_synchronised: bool
) -> None:
    certificate = Certificate("f", "1", 0, NOW + ends_in_ms, revoked_at=NOW if is_revoked else None)
    reading = Reading(NOW, NOW + floor_ms, is_synchronised)
    if is_forgettable(certificate, state, reading):
        assert is_over(certificate.expires_at, reading)
        assert certificate.expires_at + REMEMBERED_MS <= NOW
        assert state is DeviceState.RETIRED
        assert reading.state.is_trusted


async def test_what_was_over_long_ago_is_forgotten_and_opens_as_little_as_before(
    registry: Registry, clock: FakeClock
) -> None:
    bundles = {name: await add(registry, name) for name in ("retired", "active", "late")}
    for name in ("retired", "late"):
        # Never forgotten while it has not ended, for its revocation would be forgotten with it.
        await registry.set_state(DEFAULT_TENANT, name, DeviceState.RETIRED)
    registry.time.is_vouched_for = lambda _: True
    assert registry.forget_long_over() == 0
    clock.now += 365 * DAY_MS + REMEMBERED_MS // 2
    assert registry.forget_long_over() == 0
    assert "revoked" in refusal(registry, "retired", der(bundles["retired"]))
    # A time server is believed so far ahead once it has held, or a person has said so.
    clock.now += REMEMBERED_MS
    await registry.time.reset()
    assert registry.forget_long_over() == 2
    assert registry.forget_long_over() == 0
    assert "bound to no device" in refusal(registry, "retired", der(bundles["retired"]))
    assert "expired" in refusal(registry, "active", der(bundles["active"]))
