import pytest

from appliance.alerts.model import NewRule
from appliance.errors import InvalidInputError
from appliance.notifications.model import NoticeAttempted
from tests.web.house import Client, House
from web.pages.alerts import RuleForm, new_rule

RULE = {
    "name": "High pressure",
    "metric": "pressure",
    "operator": "GREATER_THAN",
    "threshold": "60",
    "hold_seconds": "0",
    "severity": "critical",
    "recipients": "maria@example.com",
}


async def test_without_a_rule_the_page_asks_for_one(owner: Client) -> None:
    assert "No limit has been set yet" in (await owner.get("/alerts")).text


async def test_a_rule_is_typed_in_and_fires(owner: Client, house: House) -> None:
    assert (await owner.submit("/alert-rules", RULE)).status_code == 303
    assert "Nothing is firing" in (await owner.get("/alerts")).text
    await house.add_device("sensor-001", name="Pump")
    with house.gateway.bus.subscribe(NoticeAttempted) as sent:
        await house.send("sensor-001", {"pressure": 63.4})
        await sent.next_batch()
    page = (await owner.get("/alerts")).text
    for text in ("High pressure", "critical", "Pump", "63.4", "e-mail to maria@example.com sent", "Acknowledge"):
        assert text in page, text


async def test_an_alert_within_the_cooldown_says_why_nobody_was_told(owner: Client, house: House) -> None:
    await owner.submit("/alert-rules", RULE)
    await house.add_device("sensor-001")
    for pressure in (61.0, 50.0, 62.0):
        await house.send("sensor-001", {"pressure": pressure})
    page = (await owner.get("/alerts")).text
    assert "within the cooldown" in page
    assert "nobody to tell" not in page
    assert "for 0.0 s" not in page


async def test_a_wrong_rule_comes_back_with_what_was_typed(owner: Client) -> None:
    answer = await owner.submit("/alert-rules", {**RULE, "threshold": "high"})
    assert answer.status_code == 400
    assert "expected a number" in answer.text
    assert 'value="High pressure"' in answer.text
    answer = await owner.submit("/alert-rules", {**RULE, "recipients": "maria"})
    assert "expected an e-mail address" in answer.text


async def test_an_alert_is_acknowledged_by_the_user(owner: Client, house: House) -> None:
    await house.gateway.alerts.add_rule(1, NewRule("High", "pressure", "GREATER_THAN", 60.0))
    await house.add_device("sensor-001")
    await house.send("sensor-001", {"pressure": 61.0})
    answer = await owner.submit("/alerts/1/acknowledge", {"state": "all"})
    assert answer.headers["location"] == "/alerts?state=all"
    page = (await owner.get("/alerts?state=acknowledged")).text
    assert "owner@example.com" in page
    assert "formaction" not in page
    await house.send("sensor-001", {"pressure": 50.0})
    assert 'id="alert-1"' not in (await owner.get("/alerts")).text
    assert "resolved" in (await owner.get("/alerts?state=resolved")).text


async def test_a_rule_is_switched_off_and_on(owner: Client, house: House) -> None:
    await owner.submit("/alert-rules", RULE)
    for enabled in ("no", "yes"):
        await owner.submit("/alert-rules/1", {"enabled": enabled})
        [rule] = house.gateway.alerts.rules(1)
        assert rule.enabled is (enabled == "yes")
    assert (await owner.submit("/alert-rules/77", {"enabled": "no"})).status_code == 404


def test_what_is_typed_becomes_a_rule() -> None:
    form = RuleForm("n", "m", threshold="60,5", clear_threshold=" ", hold_seconds="1.5", zones="a, b ,", recipients="")
    rule = new_rule(form)
    assert (rule.threshold, rule.clear_threshold, rule.hold_ms, rule.zones) == (60.5, None, 1_500, ("a", "b"))
    for wrong in (
        RuleForm(threshold=""),
        RuleForm(threshold="1", hold_seconds="long"),
        RuleForm(threshold="1", hold_seconds="1e307"),
    ):
        with pytest.raises(InvalidInputError):
            new_rule(wrong)


async def test_a_hold_that_is_no_number_of_seconds_is_explained(owner: Client) -> None:
    for hold in ("inf", "nan", "1e300"):
        answer = await owner.submit("/alert-rules", {**RULE, "hold_seconds": hold})
        assert answer.status_code == 400, hold


async def test_a_number_beyond_every_row_is_answered(owner: Client) -> None:
    for path in (f"/alerts/{10**30}/acknowledge", f"/alert-rules/{10**30}", f"/tokens/{10**30}/revoke"):
        assert (await owner.submit(path)).status_code in (400, 404), path
