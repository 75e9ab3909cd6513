"""Devices for tests."""

from appliance.registry.model import Device, DeviceState


def device(device_id: str, zone: str = "", groups: tuple[str, ...] = ()) -> Device:
    """A device; what a test does not say is empty."""
    return Device(1, device_id, "", "", zone, "", DeviceState.ACTIVE, 0, 1, groups)
