"""Where the disk goes, and the erasing of readings, for scripts."""

from appliance.accounts.model import Role
from appliance.instant import DAY_MS, day_of
from appliance.telemetry.keeping.room.reserve import Disk
from tests.web.house import Client, House
from web.roles import least_role


async def test_what_takes_room_is_told(script: Client, house: House) -> None:
    await house.add_device("pump-1")
    await house.send("pump-1", {"pressure": 1.5})
    told = (await script.get("/v1/storage")).json()
    assert (told["day_count"], told["oldest_day"], told["damaged"], told["erasing"]) == (0, None, [], [])
    house.gateway.room.look = lambda: Disk(3 * 10**9, 32 * 10**9, 0)
    [notice] = (await script.get("/v1/storage")).json()["notices"]
    assert "others fill the disk" in notice
    assert told["log_bytes"] > 0
    assert told["database_bytes"] > told["log_bytes"]
    await house.gateway.telemetry.seal_all()
    told = (await script.get("/v1/storage")).json()
    assert (told["day_count"], told["newest_day"]) == (1, day_of(house.clock()))
    assert told["open_bytes"] > 0
    parts = ("open_bytes", "sealed_bytes", "rollup_bytes", "database_bytes", "reserve_bytes", "journal_bytes")
    assert told["used_bytes"] == sum(told[part] for part in parts) + told["other_bytes"]
    assert (told["journal"]["is_on"], told["journal"]["whole_since"]) == (False, None)
    assert told["free_bytes"] <= told["disk_bytes"]
    assert (told["cold"]["is_on"], told["cold"]["day_count"], told["cold"]["oldest_day"]) == (False, 0, None)
    assert least_role("GET", "/v1/storage") is Role.VIEWER
    assert house.clock() // DAY_MS > 0


async def test_an_owner_erases_what_a_device_has_sent(script: Client, house: House) -> None:
    await house.add_device("pump-1")
    await house.send("pump-1", {"pressure": 1.5})
    assert (await script.delete("/v1/devices/pump-1/telemetry")).status_code == 403
    script.headers["authorization"] = f"Bearer {await house.gateway.accounts.add_token(1, 'o', Role.OWNER)}"
    assert (await script.delete("/v1/devices/nobody/telemetry")).status_code == 404
    erased = await script.delete("/v1/devices/pump-1/telemetry")
    assert (erased.status_code, erased.json()) == (202, {"device_id": "pump-1", "state": "erasing"})
    assert house.gateway.telemetry.latest(1, "pump-1") == {}
    [asked] = [
        each for each in (await script.get("/v1/audit")).json()["entries"] if each["action"] == "telemetry.erase"
    ]
    assert asked["subject"] == "pump-1"
