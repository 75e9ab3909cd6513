from appliance.alerts.model import NewRule
from tests.web.house import Client, House


async def test_an_alert_is_listed_and_acknowledged(script: Client, house: House) -> None:
    await house.gateway.alerts.add_rule(1, NewRule("High", "pressure", "GREATER_THAN", 60.0, severity="high"))
    await house.add_device("a")
    await house.send("a", {"pressure": 61.5})
    [alert] = (await script.get("/v1/alerts?state=firing")).json()["alerts"]
    assert (alert["rule_name"], alert["device_id"], alert["opened_value"]) == ("High", "a", 61.5)
    assert (await script.get("/v1/alerts?state=acknowledged")).json()["alerts"] == []
    answer = await script.post(f"/v1/alerts/{alert['alert_id']}/acknowledge")
    assert answer.status_code == 200
    assert answer.json()["acknowledged_by"] == "token:test"
    [acknowledged] = (await script.get("/v1/alerts?state=acknowledged")).json()["alerts"]
    assert acknowledged["acknowledged_at"] is not None


async def test_wrong_questions_are_explained(script: Client) -> None:
    assert "burning" in (await script.get("/v1/alerts?state=burning")).json()["detail"]
    assert (await script.get("/v1/alerts?limit=0")).status_code == 400
    assert (await script.post("/v1/alerts/4711/acknowledge")).status_code == 404
