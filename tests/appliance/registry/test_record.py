from appliance.registry import issue, record
from appliance.registry.model import DeviceState
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
