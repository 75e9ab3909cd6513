"""The page of CAs of one's own."""

import re

import pytest

from appliance.accounts.model import Role
from broker.ports import Denied, Principal
from tests.appliance.registry.own_authorities.makers import Company, shown
from tests.web.house import Client, House, app_of

HOSTILE = "<img src=x onerror=alert(1)>"


async def registered(owner: Client, company: Company, **told: str) -> str:
    """Register a CA by the forms; gives the number that it got."""
    page = (await owner.submit("/own-authorities/codes")).text
    found = re.search(r'id="registration-code">([0-9a-f]{64})<', page)
    assert found
    fields = {"certificate": company.pem.decode(), "proof": company.proof(found[1]).decode(), **told}
    answer = await owner.submit("/own-authorities", fields)
    assert answer.status_code == 303, answer.text
    shown_page = (await owner.get("/own-authorities")).text
    [number] = set(re.findall(r"/own-authorities/(\d+)/remove", shown_page))
    return str(number)


async def seen(house: House, company: Company, name: str) -> None:
    assert isinstance(house.gateway.registry.authenticate(shown(company.issued(name), name)), Denied)
    await house.gateway.registry.own_authorities.caught_up()


async def test_an_empty_page_says_what_such_a_ca_is_for(owner: Client) -> None:
    assert "No CA of your own yet" in (await owner.get("/own-authorities")).text


async def test_a_ca_is_registered_switched_off_and_removed(owner: Client, house: House) -> None:
    number = await registered(owner, Company(HOSTILE))
    page = (await owner.get("/own-authorities")).text
    assert "onerror=alert" in page
    assert "<img" not in page
    fields = {"mode": "inactive", "daily_limit": "5"}
    assert (await owner.submit(f"/own-authorities/{number}", fields)).status_code == 303
    assert "switched off" in (await owner.get("/own-authorities")).text
    assert (await owner.submit(f"/own-authorities/{number}/remove")).status_code == 303
    assert house.gateway.registry.own_authorities.authorities(1) == []


@pytest.mark.parametrize(
    ("told", "why"),
    [({"mode": "open"}, "no mode"), ({"daily_limit": "many"}, "whole number"), ({"proof": "?"}, "PEM form")],
)
async def test_what_is_wrong_is_said_and_what_was_typed_stays(owner: Client, told: dict[str, str], why: str) -> None:
    fields = {"certificate": Company().pem.decode(), "proof": "", **told}
    answer = await owner.submit("/own-authorities", fields)
    assert answer.status_code == 400
    assert why in answer.text
    assert "BEGIN CERTIFICATE" in answer.text


async def test_who_waits_is_on_both_pages_and_accepted_with_one_click(owner: Client, house: House) -> None:
    company = Company()
    await registered(owner, company)
    await seen(house, company, "pump-7")
    assert "Accept as pump-7" in (await owner.get("/enrolment")).text
    page = (await owner.get("/own-authorities")).text
    assert "Accept as pump-7" in page
    [number] = set(re.findall(r"/own-authorities/certificates/(\d+)/accept", page))
    answer = await owner.submit(f"/own-authorities/certificates/{number}/accept", {"device_id": "a b"})
    assert answer.status_code == 400
    answer = await owner.submit(f"/own-authorities/certificates/{number}/accept", {"device_id": "pump-7"})
    assert answer.status_code == 303
    assert house.gateway.registry.device(1, "pump-7").tenant_id == Principal(1, "pump-7").tenant_id
    assert "Accept as" not in (await owner.get("/own-authorities")).text


async def test_who_names_a_registered_device_is_not_let_in_by_one_click_and_can_be_refused(
    owner: Client, house: House
) -> None:
    company = Company()
    await house.add_device("pump-7")
    await registered(owner, company)
    await seen(house, company, "pump-7")
    page = (await owner.get("/own-authorities")).text
    assert "is registered already" in page
    assert "Accept as pump-7" not in page
    [number] = set(re.findall(r"/own-authorities/certificates/(\d+)/refuse", page))
    assert (await owner.submit(f"/own-authorities/certificates/{number}/refuse")).status_code == 303
    assert house.gateway.registry.own_authorities.undecided(1) == []
    page = (await owner.get("/own-authorities")).text
    assert f"/own-authorities/certificates/{number}/reconsider" in page
    assert f"/own-authorities/certificates/{number}/accept" not in page
    assert (await owner.submit(f"/own-authorities/certificates/{number}/reconsider")).status_code == 303
    assert f"/own-authorities/certificates/{number}/accept" in (await owner.get("/own-authorities")).text
    assert (await owner.submit(f"/own-authorities/certificates/{number}/reconsider")).status_code == 404


async def test_whoever_may_refuse_may_not_turn_the_refusal_of_another_round(house: House, owner: Client) -> None:
    company = Company()
    await registered(owner, company)
    await seen(house, company, "pump-7")
    own = house.gateway.registry.own_authorities
    [waiting] = own.undecided(1)
    await own.refuse(1, waiting.certificate_number)
    token = await house.gateway.accounts.add_token(1, "of an installer", Role.INSTALLER)
    async with Client(app_of(house)) as installer:
        installer.headers.update({"authorization": f"Bearer {token}", "accept": "application/json"})
        place = f"/v1/enrolment/certificates/{waiting.certificate_number}"
        assert (await installer.post(f"{place}/accept", json={"device_id": "pump-7"})).status_code == 404
        assert (await installer.post(f"{place}/reconsider")).status_code == 403
    assert not house.gateway.registry.has_device(1, "pump-7")


async def test_a_form_of_another_site_registers_nothing(owner: Client) -> None:
    assert (await owner.submit("/own-authorities/codes", origin="https://evil.example")).status_code == 403
