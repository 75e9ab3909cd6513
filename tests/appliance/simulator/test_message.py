import msgspec

from appliance.simulator.message import payload_of, topic_of
from appliance.simulator.model import Measurement


def test_a_payload_is_the_message_that_real_devices_send() -> None:
    measurement = Measurement(125.5, 45.2, 18.3, 85, -65)
    assert msgspec.json.decode(payload_of("pump-001", 1_769_855_400_000, measurement, 7)) == {
        "deviceId": "pump-001",
        "timestamp": "2026-01-31T10:30:00.000Z",
        "readings": {"flowRate": 125.5, "pressure": 45.2, "temperature": 18.3},
        "batteryLevel": 85,
        "signalStrength": -65,
        "sequence": 7,
    }


def test_a_device_publishes_to_its_own_topic() -> None:
    assert topic_of("pump-001") == "sensors/pump-001/telemetry"
