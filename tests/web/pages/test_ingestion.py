import html
import re

import pytest

from appliance.accounts.model import Role
from appliance.alerts.model import NewRule
from appliance.health import Status
from appliance.vitals.conditions import TOLD
from tests.web.house import Client, House
from web.pages.ingestion import offers, paint
from web.painting import Stage


async def test_an_empty_gateway_says_that_nothing_came(owner: Client) -> None:
    page = (await owner.get("/ingestion")).text
    assert page.count("Nothing in the last 15 minutes") == 6
    assert '<svg class="bars"' not in page
    assert 'href="/ingestion"' in (await owner.get("/settings")).text


async def test_each_stage_is_drawn_with_what_most_messages_did_not_take_longer_than(
    owner: Client, house: House
) -> None:
    await house.add_device("pump-1")
    now = house.clock()
    for number in range(3):
        await house.send("pump-1", {"pressure": 1.5}, at=now - 7_200_000 - number)
    page = (await owner.get("/ingestion")).text
    assert page.count('<svg class="bars"') == 6
    assert "Received to acknowledged" in page
    [age] = re.findall(r'id="age-title".*?</section>', page, re.DOTALL)
    assert "<title>105 min to 2.78 h: 3</title>" in age
    assert '95 of 100 within</dt><dd class="num">2.78 h<' in age


async def test_the_live_piece_is_the_same_as_on_the_page(owner: Client, house: House) -> None:
    painting = await paint(Stage(house.gateway, 1, {}, house.clock()))
    [part] = painting.whole
    assert part.template == "fragments/ingestion.html"
    assert painting.parts == {"ingestion": part}
    assert 'id="ingestion"' in (await owner.get("/ingestion")).text


@pytest.mark.parametrize(
    ("name", "metric", "threshold", "hold_ms"),
    [
        ("Disk fills up", "gateway.disk_days_left", 14, 600_000),
        ("Storing takes long", "gateway.store_p95_seconds", 1, 300_000),
    ],
)
async def test_a_rule_about_the_gateway_is_made_with_one_button_and_then_offered_no_more(
    owner: Client, house: House, name: str, metric: str, threshold: float, hold_ms: int
) -> None:
    page = (await owner.get("/ingestion")).text
    [form] = re.findall(rf'<form method="post" action="/alert-rules"(?:(?!</form>).)*{name}.*?</form>', page, re.DOTALL)
    fields = dict(re.findall(r'name="(\w+)" value="([^"]*)"', form.rpartition("<form")[2]))
    fields.pop("form_token")
    told = {name: html.unescape(value) for name, value in fields.items()}
    answer = await owner.submit("/alert-rules", {**told, "recipients": "maria@example.com"})
    assert answer.status_code == 303
    [rule] = house.gateway.alerts.rules(1)
    assert (rule.name, rule.metric, rule.threshold, rule.hold_ms) == (name, metric, threshold, hold_ms)
    assert rule.recipients == ("maria@example.com",)
    assert (await owner.get("/ingestion")).text.count("There is a rule") == 1


async def test_who_may_not_make_rules_is_not_offered_to(house: House, owner: Client) -> None:
    def demote(connection: object) -> None:
        connection.execute("UPDATE user SET role = ? WHERE tenant_id = 1", (Role.VIEWER.value,))  # type: ignore[attr-defined]

    await house.gateway.accounts._database.write(demote)
    page = (await owner.get("/ingestion")).text
    assert "Disk fills up" in page
    assert "Storing takes long" in page
    assert "Add rule" not in page


def test_what_is_offered_is_about_figures_that_there_are() -> None:
    assert {offer.metric for offer in offers([])} <= set(TOLD)


async def test_an_alert_about_the_gateway_names_it_and_leads_here(owner: Client, house: House) -> None:
    await house.add_device("pump-1")
    rule = NewRule("Not well", "gateway.unhealthy_parts", "GREATER_THAN", 0)
    await house.gateway.alerts.add_rule(1, rule)
    house.gateway.health.register("broken", lambda: Status(ok=False, summary="no disk"))
    await house.gateway.vitals.watch.measure()
    assert await house.gateway.vitals.watch.judge()
    page = (await owner.get("/alerts")).text
    assert '<a href="/ingestion">This gateway</a>' in page
    assert '<option value="gateway.disk_days_left">' in page
    assert "This gateway" in (await owner.get("/")).text
    firing = (await owner.get("/metrics")).text
    assert "headworks_alerts_firing 1\n" in firing
