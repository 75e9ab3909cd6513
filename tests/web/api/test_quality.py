import json

from tests.web.house import Client, House

PATH = "/v1/devices/sensor-001/quality"


async def test_how_well_a_device_reports_can_be_asked_for(script: Client, house: House) -> None:
    await house.add_device("sensor-001")
    assert (await script.get(PATH)).json() == {
        "device_id": "sensor-001",
        "since": None,
        "report_count": 0,
        "duplicate_reports": 0,
        "rejected_readings": 0,
        "flagged_readings": 0,
        "clock_behind_ms": None,
        "clock_sample_count": 0,
        "sequence": None,
    }
    now = house.clock()
    for number, ago_ms in ((1, 9_000), (5, 5_000), (3, 7_000)):
        await house.send("sensor-001", {"sequence": number, "flow": number}, at=now - ago_ms)
    again = {"timestamp": now - 5_000, "sequence": 5, "flow": 5}
    await house.send("sensor-001", json.dumps([again, {"timestamp": now - 4_000, "sequence": 6, "flow": 6}]).encode())
    found = (await script.get(PATH)).json()
    assert found["since"].endswith("Z")
    assert (found["report_count"], found["duplicate_reports"], found["clock_sample_count"]) == (5, 1, 4)
    assert found["clock_behind_ms"] >= 5_000
    assert found["sequence"].pop("last_gap_at").endswith("Z")
    assert found["sequence"] == {"highest": 6, "gaps": 1, "missing": 2, "late": 1, "duplicates": 1, "restarts": 0}


async def test_a_device_that_is_not_there_has_no_quality(script: Client) -> None:
    assert (await script.get("/v1/devices/nobody/quality")).json()["code"] == "unknown_device"
