"""The devices of the demonstration: what they are called and where they stand."""

from appliance.registry.model import NewDevice

TYPE = "pump"
"""What all of them are."""

_POSITIONS = ("inlet", "outlet", "booster", "return")
_ZONES = ("zone-a", "zone-b", "zone-c", "zone-d")


def demo_devices(count: int) -> list[NewDevice]:
    """The first `count` devices: four in each pump house, and the pump houses take turns in the zones."""
    return [_demo_device(place) for place in range(count)]


def _demo_device(place: int) -> NewDevice:
    house, position = divmod(place, len(_POSITIONS))
    return NewDevice(
        device_id=f"pump-{place + 1:03d}",
        name=f"Pump house {house + 1} {_POSITIONS[position]}",
        type=TYPE,
        zone=_ZONES[house % len(_ZONES)],
    )
