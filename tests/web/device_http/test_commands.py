from tests.web.device_http.device import Device, refusal
from tests.web.house import House


async def test_a_device_is_told_that_others_send_commands(house: House, pump: Device) -> None:
    body = {"targetArn": "arn:aws:iot:local:1:thing/pump", "commandArn": "arn:aws:iot:local:1:command/open"}
    answer = await pump.post("/command-executions", json=body)
    assert refusal(answer) == (403, "AccessDeniedException")
    assert "/v1/devices/{device_id}/commands" in answer.json()["message"]
    assert await house.gateway.commands.commands(1) == []
