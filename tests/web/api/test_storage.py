"""Where the disk goes, and the erasing of readings, for scripts."""

from appliance.accounts.model import Role
from appliance.instant import DAY_MS, day_of
from appliance.registry.catalogue.model import DeviceChange
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
    # Today is not over, so none of it could go.
    assert told["staying_bytes"] == told["used_bytes"]
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


async def test_an_owner_erases_what_the_devices_of_a_person_have_sent(script: Client, house: House) -> None:
    for device_id, owner in (("cuff", "anna"), ("scale", "anna"), ("ring", "bert")):
        await house.add_device(device_id)
        await house.gateway.catalogue.change_device(1, device_id, DeviceChange(attributes={"owner": owner}))
        await house.send(device_id, {"pulse": 61})
    path = "/v1/telemetry?q=attribute.owner:anna"
    assert (await script.delete(f"{path}&count=2")).status_code == 403
    script.headers["authorization"] = f"Bearer {await house.gateway.accounts.add_token(1, 'o', Role.OWNER)}"
    refused = {
        path: (400, "finds 2 devices (cuff, scale): say how many you expect"),
        f"{path}&count=3": (409, "finds 2 devices (cuff, scale), and 3 were expected"),
        f"{path}&device=cuff": (409, "finds scale, too"),
        f"{path}&device=cuff&device=scale&device=old": (409, "does not find old"),
        f"{path}&count=2&start=2026-01-01": (400, "there is no parameter 'start'"),
        "/v1/telemetry?count=3": (400, "the search is empty"),
        "/v1/telemetry?q=nobody&count=1": (404, "finds no device"),
        "/v1/telemetry?q=bad:x&count=1": (400, "bad"),
    }
    for asked, (status, words) in refused.items():
        answer = await script.delete(asked)
        assert (answer.status_code, words in answer.json()["detail"]) == (status, True), answer.text
    assert house.gateway.room.keeping.pending == ()
    erased = await script.delete(f"{path}&count=2&device=cuff&device=scale")
    assert (erased.status_code, erased.json()) == (202, {"device_ids": ["cuff", "scale"], "state": "erasing"})
    assert [bool(house.gateway.telemetry.latest(1, each)) for each in ("cuff", "scale", "ring")] == [False, False, True]
    told = [each for each in (await script.get("/v1/audit")).json()["entries"] if each["action"] != "telemetry.erased"]
    assert [(each["action"], each["subject"], each["actor"]) for each in told[:3]] == [
        ("telemetry.erase", "scale", "token:o"),
        ("telemetry.erase", "cuff", "token:o"),
        ("telemetry.erase_many", "attribute.owner:anna", "token:o"),
    ]
    assert least_role("DELETE", "/v1/telemetry") is Role.OWNER
