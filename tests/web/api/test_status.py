from appliance.health import Status
from tests.web.house import Client, House


async def test_the_status_tells_of_every_part(script: Client, house: House) -> None:
    await house.add_device("a")
    house.gateway.health.register("broken", lambda: Status(ok=False, summary="no disk", details={"free": 0}))
    status = (await script.get("/v1/status")).json()
    assert status["ok"] is False
    assert status["parts"]["broken"] == {"ok": False, "summary": "no disk", "details": {"free": 0}}
    assert (status["device_count"], status["connected_count"], status["version"]) == (1, 1, "1.2.3")


async def test_everybody_gets_one_word(stranger: Client, house: House) -> None:
    assert (await stranger.get("/healthz")).text == "ok\n"
    assert (await stranger.get("/readyz")).status_code == 503
    house.gateway.health.ready = True
    assert (await stranger.get("/readyz")).text == "ok\n"
    house.gateway.health.register("clock", lambda: Status(ok=False, summary="it is 1970", is_serving=True))
    answer = await stranger.get("/healthz")
    assert (answer.status_code, answer.text) == (200, "degraded\n")
    house.gateway.health.register("broken", lambda: Status(ok=False, summary="secret detail"))
    answer = await stranger.get("/healthz")
    assert (answer.status_code, answer.text) == (503, "not ok\n")
