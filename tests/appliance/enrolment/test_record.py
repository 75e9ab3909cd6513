import msgspec

from appliance.audit.change import TEXT_LENGTH
from appliance.enrolment import record
from appliance.enrolment.model import Claim
from appliance.registry.model import Certificate, Device, DeviceState, IssuedCertificate

CLAIM = Claim(1, 7, "line 4", "device", "", 0, 20, 3, "c" * 64, 0, 86_400_000, None)
CERTIFICATE = Certificate("f" * 64, "0a", 0, 86_400_000)
PUMP = Device(1, "pump", "", "pump", "north", "4711", DeviceState.ACTIVE, 0, 1)


def test_a_claim_is_told_with_how_far_it_goes() -> None:
    [entry] = record.claim_added(CLAIM)
    assert (entry.action, entry.subject) == ("claim.add", "line 4")
    assert entry.details == {
        "fingerprint": "c" * 64,
        "template": "device",
        "expires_at": "1970-01-02T00:00:00.000Z",
        "use_limit": "20",
    }
    [prepared] = record.prepared(CLAIM, CERTIFICATE)
    assert (prepared.subject, prepared.details) == ("line 4", {"fingerprint": "f" * 64, "serial": "0a"})


def test_a_device_that_enrols_is_told_of_as_new_or_with_what_is_another() -> None:
    kept = IssuedCertificate("pump", CERTIFICATE, "")
    used, added, issued = record.enrolled(CLAIM, None, PUMP, kept)
    assert (used.action, used.details["claim"], used.details["use_count"]) == ("claim.use", "line 4", "3")
    assert (added.action, added.details["zone"]) == ("device.add", "north")
    assert (issued.action, issued.details["key"]) == ("certificate.issue", "given out by the claim line 4")
    moved = msgspec.structs.replace(PUMP, zone="south")
    _, changed, _ = record.enrolled(CLAIM, PUMP, moved, kept)
    assert (changed.action, changed.details) == ("device.change", {"zone.before": "north", "zone.after": "south"})
    assert [entry.action for entry in record.enrolled(CLAIM, PUMP, PUMP, kept)] == ["claim.use", "certificate.issue"]


def test_of_a_template_so_much_is_kept_that_it_is_known_again() -> None:
    [added] = record.template_added("own", "x" * 5_000)
    assert added.details["body"].startswith("x" * TEXT_LENGTH + "… (5,000 characters, SHA-256 ")
    [removed] = record.template_removed("own")
    assert (added.subject, removed.subject) == ("own", "own")
