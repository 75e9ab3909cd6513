"""The message a simulated device publishes: the form that real devices use."""

import msgspec

from appliance.instant import to_text
from appliance.simulator.model import Measurement


class _Readings(msgspec.Struct, frozen=True, rename="camel"):
    flow_rate: float
    pressure: float
    temperature: float


class _Message(msgspec.Struct, frozen=True, rename="camel"):
    device_id: str
    timestamp: str
    readings: _Readings
    battery_level: int
    signal_strength: int
    sequence: int


def topic_of(device_id: str) -> str:
    """Where a device publishes what it measures."""
    return f"sensors/{device_id}/telemetry"


def payload_of(device_id: str, at: int, measurement: Measurement, sequence: int) -> bytes:
    """One measurement as JSON."""
    readings = _Readings(measurement.flow_rate, measurement.pressure, measurement.temperature)
    return msgspec.json.encode(
        _Message(
            device_id=device_id,
            timestamp=to_text(at),
            readings=readings,
            battery_level=measurement.battery_level,
            signal_strength=measurement.signal_strength,
            sequence=sequence,
        )
    )
