"""`/v1/device-types/{name}/commands` for scripts."""

from tests.web.house import Client, House

SPIN = "/v1/device-types/pump/commands/spin"
TOLD = {
    "title": "Spin",
    "parameters": [
        {"name": "rpm", "kind": "integer", "unit": "rpm", "least": 0, "greatest": 3000, "is_required": True},
        {"name": "mode", "kind": "enum", "choices": ["eco", "full"], "default": "eco"},
    ],
    "payload_template": '{"op": "spin", "rpm": "${rpm}", "mode": "${mode}"}',
}


async def test_a_command_is_described_used_and_forgotten(script: Client, house: House) -> None:
    made = await script.put(SPIN, json=TOLD)
    assert (made.status_code, made.json()["name"], made.json()["dialect"]) == (200, "spin", "")
    assert (await script.get(SPIN)).json() == made.json()
    assert (await script.get("/v1/device-types/pump/commands")).json() == {"commands": [made.json()]}
    await script.post("/v1/devices", json={"device_id": "p", "type": "pump"})
    sent = await script.post("/v1/devices/p/commands", json={"name": "spin", "parameters": {"rpm": 300}})
    assert sent.json()["payload"] == {"op": "spin", "rpm": 300, "mode": "eco"}
    refused = await script.post("/v1/devices/p/commands", json={"name": "spin", "parameters": {"rpm": 4000}})
    assert (refused.status_code, refused.json()["code"]) == (400, "invalid_command")
    assert "at most 3000 rpm" in refused.json()["detail"]
    assert (await script.delete(SPIN)).status_code == 204
    assert (await script.get(SPIN)).json()["code"] == "unknown_type_command"


async def test_what_cannot_be_described_is_refused(script: Client) -> None:
    for told in ({"parameters": [{"name": "7"}]}, {"payload_template": "{"}):
        answer = await script.put(SPIN, json=told)
        assert (answer.status_code, answer.json()["code"]) == (400, "invalid_command")
    assert (await script.put(SPIN, json={"colour": 1})).status_code == 400
