"""What the registry tells the audit log."""

from collections.abc import Collection, Mapping, Sequence

import msgspec

from appliance.audit.change import changes, facts
from appliance.audit.model import Entry
from appliance.instant import to_text
from appliance.policies.model import Policy
from appliance.registry.model import Device, DeviceState, IssuedCertificate

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


def added(devices: Sequence[Device]) -> list[Entry]:
    """Devices were registered, with what was told of them."""
    return [Entry("device.add", one.device_id, facts(_told(one))) for one in devices]


def registered(known: Collection[str], devices: Sequence[Device], kept: Sequence[IssuedCertificate]) -> list[Entry]:
    """Devices got certificates that were made here, and those whose device ids were not known were registered."""
    return [*added([one for one in devices if one.device_id not in known]), *issued(kept, key=MADE_HERE)]


def imported(
    before: Mapping[str, Device], devices: Sequence[Device], kept: Sequence[IssuedCertificate], refused_count: int
) -> list[Entry]:
    """A table was imported; then what it did with each device. `before` is what was changed, by device id."""
    news = [one for one in devices if one.device_id not in before]
    counts = {
        "new_count": len(news),
        "changed_count": len(devices) - len(news),
        "refused_count": refused_count,
        "certificate_count": len(kept),
    }
    entries = [Entry("device.import", "table", {name: str(count) for name, count in counts.items()}), *added(news)]
    for one in devices:
        if one.device_id in before:
            entries += changed(before[one.device_id], one)
    return [*entries, *issued(kept, key=MADE_HERE)]


def changed(before: Device, after: Device) -> list[Entry]:
    """What is known of a device is another; nothing when it is not."""
    told = changes(_told(before), _told(after))
    return [Entry("device.change", after.device_id, told)] if told else []


def policy(before: Policy | None, after: Policy | None) -> list[Entry]:
    """A policy was added, changed or removed."""
    match before, after:
        case None, Policy():
            return [Entry("policy.add", after.name, facts(after))]
        case Policy(), None:
            return [Entry("policy.remove", before.name, facts(before))]
        case Policy(), Policy():
            return [Entry("policy.change", after.name, changes(before, after))]
        case _:
            return []


def described(before: msgspec.Struct | None, after: msgspec.Struct, name: str) -> list[Entry]:
    """A type of devices was described, or otherwise than before."""
    if before is None:
        return [Entry("device_type.add", name, facts(after))]
    told = changes(before, after)
    return [Entry("device_type.change", name, told)] if told else []


def forgotten(before: msgspec.Struct, name: str) -> list[Entry]:
    """A type of devices is not described any more."""
    return [Entry("device_type.remove", name, facts(before))]


def moved_on(device_id: str, before: DeviceState, after: DeviceState) -> list[Entry]:
    """A device is in another state of its life."""
    return [Entry("device.state", device_id, {"from": before.value, "to": after.value})]


class _Told(msgspec.Struct, frozen=True):
    """What people tell of a device."""

    name: str
    type: str
    zone: str
    serial_number: str
    groups: tuple[str, ...]
    attributes: Mapping[str, str]
    notes: str
    state: DeviceState


def _told(device: Device) -> _Told:
    return _Told(*(getattr(device, name) for name in _Told.__struct_fields__))
