from tests.web.house import Client, House


async def test_a_device_is_registered_listed_and_read(script: Client) -> None:
    told = {"device_id": "sensor-001", "name": "Pump", "zone": "north", "type": "px", "serial_number": "7"}
    made = await script.post("/v1/devices", json=told)
    assert made.status_code == 201
    listed = (await script.get("/v1/devices")).json()["devices"]
    read = (await script.get("/v1/devices/sensor-001")).json()
    assert read.pop("problems") == []
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
