import msgspec

from appliance.policies.model import Document, Policy
from appliance.registry import issue, record
from appliance.registry.catalogue.model import DeviceType
from appliance.registry.model import Device, DeviceState
from appliance.registry.pki import Pki
from tests.appliance.registry.examples import NOW


def test_what_is_told_of_an_issuance_names_the_certificate_and_holds_no_secret(keys: Pki) -> None:
    [issued] = issue.issue(keys, ["sensor-001"], NOW)
    [entry] = record.issued([issued.kept], record.MADE_HERE)
    assert (entry.action, entry.subject) == ("certificate.issue", "sensor-001")
    assert entry.details["fingerprint"] == issued.bundle.fingerprint
    assert "PRIVATE" not in str(entry)


def test_what_is_told_of_a_device() -> None:
    [revoked] = record.revoked("a", "f" * 64)
    assert (revoked.subject, revoked.details) == ("a", {"fingerprint": "f" * 64})
    [moved] = record.moved_on("a", DeviceState.ACTIVE, DeviceState.SUSPENDED)
    assert moved.details == {"from": "active", "to": "suspended"}


PUMP = Device(1, "pump", "", "pump", "north", "4711", DeviceState.ACTIVE, 0, 1)


def test_a_new_device_is_told_of_with_what_is_known_of_it() -> None:
    [added] = record.added([PUMP])
    told = {"serial_number": "4711", "state": "active", "type": "pump", "zone": "north"}
    assert (added.action, added.subject, added.details) == ("device.add", "pump", told)
    assert [entry.subject for entry in record.registered({"pump"}, [PUMP, _named("fan")], [])] == ["fan"]


def test_only_what_is_another_is_told_of_a_change() -> None:
    [changed] = record.changed(PUMP, msgspec.structs.replace(PUMP, zone="south", device_number=9))
    assert changed.details == {"zone.before": "north", "zone.after": "south"}
    assert record.changed(PUMP, PUMP) == []


def test_an_import_is_told_as_a_whole_and_device_by_device() -> None:
    moved = msgspec.structs.replace(PUMP, zone="south")
    whole, added, changed = record.imported({"pump": PUMP}, [_named("fan"), moved], [], 2)
    assert (whole.action, whole.details) == (
        "device.import",
        {"new_count": "1", "changed_count": "1", "refused_count": "2", "certificate_count": "0"},
    )
    assert (added.action, added.subject) == ("device.add", "fan")
    assert (changed.action, changed.subject) == ("device.change", "pump")


def test_a_policy_comes_changes_and_goes() -> None:
    pumps, fans = (Policy("p", Document(()), (name,)) for name in ("pump", "fan"))
    told = [record.policy(*both) for both in ((None, pumps), (pumps, fans), (fans, None))]
    assert [entry.action for [entry] in told] == ["policy.add", "policy.change", "policy.remove"]
    assert told[1][0].details == {"types.before": '["pump"]', "types.after": '["fan"]'}
    assert record.policy(None, None) == []


def test_a_type_comes_changes_and_goes() -> None:
    kind = DeviceType("pump", units={"pressure": "kPa"})
    changed = msgspec.structs.replace(kind, units={"pressure": "bar"})
    [added] = record.described(None, kind, "pump")
    [other] = record.described(kind, changed, "pump")
    [removed] = record.forgotten(changed, "pump")
    assert (added.action, added.subject, added.details["units.pressure"]) == ("device_type.add", "pump", "kPa")
    assert other.details == {"units.pressure.before": "kPa", "units.pressure.after": "bar"}
    assert (removed.action, removed.details["units.pressure"]) == ("device_type.remove", "bar")
    assert record.described(kind, kind, "pump") == []


def _named(device_id: str) -> Device:
    return msgspec.structs.replace(PUMP, device_id=device_id)
