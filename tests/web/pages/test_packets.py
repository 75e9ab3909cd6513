import re

from broker.packets import Publish
from tests.web.house import Client, House
from tests.web.wired import plugged

PATH = "/devices/sensor-001"


async def test_the_log_is_switched_by_a_form_and_read_without_script(owner: Client, house: House) -> None:
    await house.add_device("sensor-001")
    wire = plugged(house, "sensor-001")
    assert "Log for 5 minutes" in (await owner.get(PATH)).text
    answer = await owner.submit(f"{PATH}/packets", {"is_on": "yes"})
    assert (answer.status_code, answer.headers["location"]) == (303, f"{PATH}#packets")
    assert "No packet yet" in (await owner.get(PATH)).text
    wire.say(Publish("sensors/sensor-001/telemetry", b"<script>&", 0))
    page = (await owner.get(PATH)).text
    for text in ("Switch off", "sensors/sensor-001/telemetry", "9 B", "from device", "1 packet."):
        assert text in page, text
    assert "&lt;script&gt;&amp;" not in page
    await owner.submit(f"{PATH}/packets", {"is_on": "no"})
    page = (await owner.get(PATH)).text
    assert "Log for 5 minutes" in page
    assert "Off for" in page
    assert "from device" in page


async def test_a_log_can_be_on_before_the_device_is_there(owner: Client, house: House) -> None:
    await house.add_device("sensor-001", is_connected=False)
    await owner.submit(f"{PATH}/packets", {"is_on": "yes"})
    assert "Waiting for the device to connect" in (await owner.get(PATH)).text


async def test_topics_of_devices_are_never_markup(owner: Client, house: House) -> None:
    await house.add_device("sensor-001")
    wire = plugged(house, "sensor-001")
    await owner.submit(f"{PATH}/packets", {"is_on": "yes"})
    wire.say(Publish("sensors/sensor-001/<b>bold</b>", b"", 0))
    page = (await owner.get(PATH)).text
    assert "<b>bold</b>" not in page
    assert re.search(r"&lt;b&gt;bold", page)


async def test_a_form_without_its_token_switches_nothing(owner: Client, house: House) -> None:
    await house.add_device("sensor-001")
    assert (await owner.post(f"{PATH}/packets", data={"is_on": "yes"})).status_code == 403
    assert "Log for 5 minutes" in (await owner.get(PATH)).text
    assert (await owner.submit("/devices/nobody/packets", {"is_on": "yes"})).status_code == 404
