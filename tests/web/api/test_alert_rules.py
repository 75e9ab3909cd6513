from tests.web.house import Client

RULE = {"name": "High", "metric": "pressure", "operator": "GREATER_THAN", "threshold": 60, "hold_ms": 5_000}


async def test_a_rule_is_kept_and_listed(script: Client) -> None:
    made = await script.post("/v1/alert-rules", json={**RULE, "recipients": ["maria@example.com"], "zones": ["north"]})
    assert made.status_code == 201
    assert (await script.get("/v1/alert-rules")).json()["alert_rules"] == [made.json()]
    assert made.json()["clear_threshold"] == 60
    assert made.json()["enabled"] is True


async def test_a_rule_is_switched_off_and_on(script: Client) -> None:
    rule_id = (await script.post("/v1/alert-rules", json=RULE)).json()["rule_id"]
    for enabled in (False, True):
        answer = await script.patch(f"/v1/alert-rules/{rule_id}", json={"enabled": enabled})
        assert answer.json()["enabled"] is enabled
    assert (await script.patch("/v1/alert-rules/99", json={"enabled": True})).status_code == 404


async def test_a_wrong_rule_is_explained(script: Client) -> None:
    answer = await script.post("/v1/alert-rules", json={**RULE, "operator": "BIGGER"})
    assert answer.status_code == 400
    assert "GREATER_THAN" in answer.json()["detail"]
    await script.post("/v1/alert-rules", json=RULE)
    assert (await script.post("/v1/alert-rules", json=RULE)).status_code == 409
