"""What the registry tells the audit log."""

from collections.abc import Sequence

from appliance.audit.model import Entry
from appliance.instant import to_text
from appliance.registry.model import DeviceState, IssuedCertificate

MADE_HERE = "made here"
MADE_BY_THE_DEVICE = "the device's own"


def issued(kept: Sequence[IssuedCertificate], key: str) -> list[Entry]:
    """Certificates were issued; `key` says who made the private key."""
    return [
        Entry(
            "certificate.issue",
            one.device_id,
            {
                "fingerprint": one.certificate.fingerprint,
                "serial": one.certificate.serial,
                "expires_at": to_text(one.certificate.expires_at),
                "key": key,
            },
        )
        for one in kept
    ]


def revoked(device_id: str, fingerprint: str) -> list[Entry]:
    """A certificate opens nothing any more."""
    return [Entry("certificate.revoke", device_id, {"fingerprint": fingerprint})]


def moved_on(device_id: str, before: DeviceState, after: DeviceState) -> list[Entry]:
    """A device is in another state of its life."""
    return [Entry("device.state", device_id, {"from": before.value, "to": after.value})]
