from tests.web.house import Client, House

PUMP = {
    "name": "pump",
    "description": "Moves water",
    "units": {"pressure": "kPa"},
    "expected_interval_ms": 5_000,
    "metrics": {"pressure": {"kind": "number", "least": 0.0, "greatest": 60.0, "violation": "reject"}},
    "unknown_metrics": "flag",
}


async def test_a_type_is_described_changed_and_forgotten(script: Client, house: House) -> None:
    await script.post("/v1/devices", json={"device_id": "a", "type": "pump"})
    made = await script.post("/v1/device-types", json=PUMP)
    assert (made.status_code, made.json()) == (201, {**PUMP, "device_count": 1})
    assert (await script.post("/v1/device-types", json=PUMP)).status_code == 409
    changed = await script.patch("/v1/device-types/pump", json={"expected_interval_ms": None})
    assert changed.json() == {**made.json(), "expected_interval_ms": None}
    assert (await script.get("/v1/device-types")).json() == {"device_types": [changed.json()]}
    assert house.gateway.units.unit(1, "a", "pressure") == "kPa"
    rule = {"kind": "text"}
    other = await script.patch("/v1/device-types/pump", json={"metrics": {"mode": rule}, "unknown_metrics": "keep"})
    assert other.json()["metrics"] == {"mode": {**rule, "least": None, "greatest": None, "violation": "flag"}}
    assert other.json()["unknown_metrics"] == "keep"
    wrong = await script.patch("/v1/device-types/pump", json={"metrics": {"mode": {**rule, "least": 1}}})
    assert (wrong.status_code, "no least" in wrong.text) == (400, True)
    assert (await script.delete("/v1/device-types/pump")).status_code == 204
    assert (await script.get("/v1/device-types/pump")).json()["code"] == "unknown_device_type"


async def test_a_search_is_saved_replaced_and_forgotten(script: Client) -> None:
    await script.put("/v1/device-filters/my%20zone", json={"query": "zone:north"})
    saved = await script.put("/v1/device-filters/my%20zone", json={"query": "zone:south"})
    assert saved.json() == {"name": "my zone", "query": "zone:south"}
    assert (await script.get("/v1/device-filters")).json() == {"device_filters": [saved.json()]}
    wrong = await script.put("/v1/device-filters/x", json={"query": "colour:red"})
    assert (wrong.status_code, wrong.json()["code"]) == (400, "invalid_query")
    assert (await script.delete("/v1/device-filters/my%20zone")).status_code == 204
    assert (await script.delete("/v1/device-filters/my%20zone")).status_code == 404
