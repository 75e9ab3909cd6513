from broker.packets import Pingreq, Publish
from tests.web.house import Client, House
from tests.web.wired import plugged
from web.packet_log import LOGS_ON_LIMIT

PATH = "/v1/devices/sensor-001/packets"


async def test_a_log_is_switched_on_read_and_switched_off(script: Client, house: House) -> None:
    await house.add_device("sensor-001")
    wire = plugged(house, "sensor-001")
    off = (await script.get(PATH)).json()
    assert off == {"on": False, "connected": True, "ends_at": None, "packet_count": 0, "packets": []}
    on = await script.put(PATH)
    assert (on.status_code, on.json()["on"]) == (200, True)
    wire.say(Publish("sensors/sensor-001/telemetry", b"12345", 0), Pingreq())
    log = (await script.get(PATH)).json()
    assert [packet["type"] for packet in log["packets"]] == ["PINGRESP", "PINGREQ", "PUBLISH"]
    published = log["packets"][2]
    assert published.pop("at").startswith("20")
    assert published == {
        "number": 1,
        "direction": "in",
        "client_id": "sensor-001",
        "type": "PUBLISH",
        "topic": "sensors/sensor-001/telemetry",
        "size": 5,
        "detail": "QoS 0",
    }
    assert (await script.delete(PATH)).status_code == 204
    assert (await script.get(PATH)).json()["on"] is False


async def test_what_cannot_be_logged_is_told(script: Client, house: House) -> None:
    for number in range(LOGS_ON_LIMIT + 1):
        await house.add_device(f"pump-{number}")
    answers = [await script.put(f"/v1/devices/pump-{number}/packets") for number in range(LOGS_ON_LIMIT + 1)]
    assert [answer.status_code for answer in answers] == [200] * LOGS_ON_LIMIT + [409]
    assert answers[-1].json()["code"] == "too_many_packet_logs"
    for call in (script.get, script.put, script.delete):
        assert (await call("/v1/devices/nobody/packets")).status_code == 404


async def test_strangers_see_no_packets(stranger: Client, house: House) -> None:
    await house.add_device("sensor-001")
    for call in (stranger.get, stranger.put, stranger.delete):
        assert (await call(PATH)).status_code in {401, 403}
