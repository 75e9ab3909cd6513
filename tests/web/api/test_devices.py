from pathlib import Path

from appliance.accounts.model import Role
from appliance.instant import DAY_MS, to_text
from tests.appliance.registry.examples import FakeClock
from tests.web.house import Client, House, app_of, opened
from web.shell import moment


async def test_a_device_is_registered_listed_and_read(script: Client) -> None:
    told = {"device_id": "sensor-001", "name": "Pump", "zone": "north", "type": "px", "serial_number": "7"}
    made = await script.post("/v1/devices", json=told)
    assert made.status_code == 201
    listed = (await script.get("/v1/devices")).json()["devices"]
    read = (await script.get("/v1/devices/sensor-001")).json()
    assert read.pop("problems") == []
    assert read.pop("renewal") is None
    assert listed == [made.json()] == [read]
    assert {key: read[key] for key in told} == told
    assert read["connected"] is False
    assert read["last_seen_at"] is None


async def test_a_device_is_registered_once(script: Client) -> None:
    assert (await script.post("/v1/devices", json={"device_id": "a"})).status_code == 201
    again = await script.post("/v1/devices", json={"device_id": "a"})
    assert (again.status_code, again.json()["code"]) == (409, "device_exists")


async def test_a_certificate_is_given_once_with_its_key(script: Client) -> None:
    await script.post("/v1/devices", json={"device_id": "a"})
    first, second = [(await script.post("/v1/devices/a/certificates")).json() for _ in range(2)]
    assert "PRIVATE KEY" in first["key_pem"]
    assert first["key_pem"] != second["key_pem"]
    assert first["fingerprint"] != second["fingerprint"]
    assert "key" not in " ".join((await script.get("/v1/devices/a")).json())
    assert (await script.post("/v1/devices/nobody/certificates")).status_code == 404


async def test_what_was_not_understood_is_told(script: Client, house: House) -> None:
    await house.add_device("a")
    await house.send("a", b"{not json")
    await house.send("a", b"{not json")
    [problem] = (await script.get("/v1/devices/a")).json()["problems"]
    assert problem["kind"] == "not_json"
    assert problem["occurrence_count"] == 2


async def test_what_is_known_of_a_device_is_changed_bit_by_bit(script: Client) -> None:
    told = {"device_id": "a", "groups": ["y", "x"], "attributes": {"floor": "3", "firm": "Acme"}, "notes": "n"}
    made = (await script.post("/v1/devices", json=told)).json()
    assert (made["groups"], made["attributes"]) == (["x", "y"], {"firm": "Acme", "floor": "3"})
    changed = (await script.patch("/v1/devices/a", json={"zone": "north", "attributes": {"floor": None}})).json()
    assert changed == {**made, "zone": "north", "attributes": {"firm": "Acme"}}
    assert (await script.patch("/v1/devices/a", json={"groups": ["a|b"]})).status_code == 400
    assert (await script.patch("/v1/devices/nobody", json={})).status_code == 404
    assert (await script.get("/v1/device-groups")).json() == {
        "device_groups": [{"name": "x", "device_count": 1}, {"name": "y", "device_count": 1}]
    }


async def test_a_device_moves_on_in_its_life_and_is_told_where_it_cannot_go(script: Client) -> None:
    await script.post("/v1/devices", json={"device_id": "a", "state": "pending"})
    refused = await script.put("/v1/devices/a/state", json={"state": "suspended"})
    assert (refused.status_code, refused.json()["code"]) == (409, "state_refused")
    assert "has not been accepted yet" in refused.json()["detail"]
    for state in ("active", "suspended", "active", "retired"):
        assert (await script.put("/v1/devices/a/state", json={"state": state})).json()["state"] == state
    assert (await script.put("/v1/devices/a/state", json={"state": "active"})).json()["code"] == "device_retired"
    assert (await script.put("/v1/devices/a/state", json={"state": "on"})).status_code == 400


async def test_devices_are_searched_page_by_page(script: Client) -> None:
    for number in range(5):
        await script.post("/v1/devices", json={"device_id": f"d{number}", "zone": "north" if number else "south"})
    await script.put("/v1/device-filters/north", json={"query": "zone:north"})
    first = (await script.get("/v1/devices?filter=north&limit=3")).json()
    assert ([one["device_id"] for one in first["devices"]], first["count"]) == (["d1", "d2", "d3"], 4)
    rest = (await script.get(f"/v1/devices?filter=north&limit=3&cursor={first['next_cursor']}")).json()
    assert ([one["device_id"] for one in rest["devices"]], rest["next_cursor"]) == (["d4"], None)
    assert (await script.get("/v1/devices?filter=north&q=d2")).json()["count"] == 1
    assert (await script.get("/v1/devices?q=state:on")).json()["code"] == "invalid_query"
    assert (await script.get("/v1/devices?filter=none")).status_code == 404


async def test_a_renewal_that_is_due_is_told(tmp_path: Path) -> None:
    clock = FakeClock(moment())
    async with opened(tmp_path, clock=clock) as house, Client(app_of(house)) as client:
        await house.add_device("pump-7", is_connected=False)
        issued = await house.gateway.registry.issue_certificate(1, "pump-7")
        clock.now += 250 * DAY_MS
        client.headers["authorization"] = f"Bearer {await house.gateway.accounts.add_token(1, 'test')}"
        told = (await client.get("/v1/devices/pump-7", headers={"accept": "application/json"})).json()["renewal"]
        assert (told["fingerprint"], told["expires_at"]) == (issued.fingerprint, to_text(issued.expires_at))
        assert (told["asked_at"], told["renewed_at"], told["obstacle"]) == (None, None, "it is not connected")


async def test_a_retired_device_loses_its_readings_if_an_owner_asks(script: Client, house: House) -> None:
    await house.add_device("pump-1")
    await house.send("pump-1", {"pressure": 1.5})
    path = "/v1/devices/pump-1/state"
    refused = await script.put(path, json={"state": "retired", "erase_readings": True})
    assert (refused.status_code, "owner" in refused.text) == (403, True)
    script.headers["authorization"] = f"Bearer {await house.gateway.accounts.add_token(1, 'o', Role.OWNER)}"
    wrong = await script.put(path, json={"state": "suspended", "erase_readings": True})
    assert (wrong.status_code, house.gateway.registry.device(1, "pump-1").state) == (400, "active")
    await script.put(path, json={"state": "retired", "erase_readings": True})
    assert house.gateway.registry.device(1, "pump-1").state == "retired"
    assert house.gateway.telemetry.latest(1, "pump-1") == {}
