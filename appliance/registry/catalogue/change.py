"""What a change makes of a device."""

import msgspec

from appliance.registry.catalogue.model import DeviceChange
from appliance.registry.catalogue.table import as_new
from appliance.registry.model import Device, NewDevice


def changed(device: Device, change: DeviceChange) -> NewDevice:
    """The device as it is to be."""
    attributes = dict(device.attributes)
    for key, text in change.attributes.items():
        if text:
            attributes[key] = text
        else:
            attributes.pop(key, None)
    told = {
        field: value
        for field in ("name", "type", "zone", "serial_number", "notes")
        if (value := getattr(change, field)) is not None
    }
    groups = device.groups if change.groups is None else tuple(sorted(set(change.groups)))
    return msgspec.structs.replace(as_new(device), groups=groups, attributes=dict(sorted(attributes.items())), **told)
