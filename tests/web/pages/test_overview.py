from appliance.alerts.model import NewRule
from appliance.health import Status
from tests.web.house import Client, House


async def test_an_empty_gateway_tells_the_next_step(owner: Client) -> None:
    page = (await owner.get("/")).text
    assert "headworks device add sensor-001" in page
    assert "mosquitto_pub" in page


async def test_a_registered_device_that_is_silent_still_needs_the_step(owner: Client, house: House) -> None:
    await house.add_device("sensor-001", is_connected=False)
    page = (await owner.get("/")).text
    assert "mosquitto_pub" in page
    assert "of 1" in page


async def test_a_well_gateway_says_so(owner: Client, house: House) -> None:
    await house.add_device("sensor-001")
    await house.send("sensor-001", {"pressure": 45.0})
    page = (await owner.get("/")).text
    assert "Every device is online and within its limits" in page
    assert "mosquitto_pub" not in page
    assert str(house.gateway.data_folder) in page


async def test_what_is_wrong_is_in_sight(owner: Client, house: House) -> None:
    await house.gateway.alerts.add_rule(1, NewRule("High pressure", "pressure", "GREATER_THAN", 60.0))
    await house.add_device("sensor-001", name="Pump")
    await house.send("sensor-001", {"pressure": 61.0})
    await house.send("sensor-001", b"{not json")
    house.gateway.health.register("disk", lambda: Status(ok=False, summary="the disk is full"))
    page = (await owner.get("/")).text
    for text in ("High pressure", "Pump", "not JSON", "the disk is full", "Needs attention"):
        assert text in page, text
