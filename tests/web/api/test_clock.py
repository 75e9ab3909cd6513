"""What the clock is worth, for scripts."""

from appliance.accounts.model import Role
from tests.web.house import Client, House
from web.roles import least_role


async def test_a_clock_that_is_not_believed_is_believed_once_an_operator_says_so(script: Client, house: House) -> None:
    house.gateway.registry.time.is_vouched_for = lambda _: True
    told = (await script.get("/v1/clock")).json()
    assert set(told) == {"state", "wall_at", "floor_at", "told", "witness"}
    reset = await script.post("/v1/clock/reset")
    assert reset.status_code in (200, 201)
    assert reset.json()["state"] == "synchronised"
    assert least_role("POST", "/v1/clock/reset") is least_role("POST", "/settings/clock") is Role.OPERATOR
    assert least_role("GET", "/v1/clock") is Role.VIEWER
