from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.registry.model import check_device_id
from appliance.simulator.fleet import demo_devices


@settings(deadline=None)
@given(st.integers(0, 1_500))
def test_every_device_has_an_id_and_a_name_of_its_own(count: int) -> None:
    devices = demo_devices(count)
    assert len({device.device_id for device in devices}) == len({device.name for device in devices}) == count
    for device in devices:
        check_device_id(device.device_id)


@settings(deadline=None)
@given(st.integers(0, 1_500))
def test_the_id_of_the_manual_is_left_alone(count: int) -> None:
    assert "sensor-001" not in {device.device_id for device in demo_devices(count)}


def test_twenty_devices_stand_in_four_zones() -> None:
    devices = demo_devices(20)
    assert {device.zone for device in devices} == {"zone-a", "zone-b", "zone-c", "zone-d"}
    assert devices[0].device_id == "pump-001"
    assert devices[8].name == "Pump house 3 inlet"
