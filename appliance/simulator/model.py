"""The nouns of the simulator."""

from enum import Enum

import msgspec

from appliance.simulator.wire import Identity


class Scenario(Enum):
    """What happens to the simulated devices."""

    STEADY = "steady"
    """Everything runs as it should."""
    PRESSURE_FAULT = "pressure-fault"
    """Every few minutes the pressure of one device climbs too high for a while."""
    STORM = "storm"
    """Every minute all devices lose their connection at once and come back."""


class Measurement(msgspec.Struct, frozen=True):
    """What a device measures at one moment."""

    flow_rate: float
    """Litres a minute."""
    pressure: float
    """Pounds per square inch."""
    temperature: float
    """Degrees Celsius, of the water."""
    battery_level: int
    """Percent."""
    signal_strength: int
    """dBm."""


class SimulatedDevice(msgspec.Struct, frozen=True):
    """A device that does not exist: its place among the others decides what it measures."""

    device_id: str
    identity: Identity | None
    """None: it connects without TLS."""
