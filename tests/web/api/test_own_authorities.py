"""`/v1/own-authorities`, and the certificates that wait."""

import pytest

from broker.ports import Denied, Principal
from tests.appliance.registry.own_authorities.makers import Company, shown
from tests.web.house import Client, House


@pytest.fixture
def company() -> Company:
    return Company()


async def told(script: Client, company: Company) -> dict[str, str]:
    made = await script.post("/v1/own-authorities/codes")
    assert made.status_code == 201
    assert len(made.json()["code"]) == 64
    return {"certificate_pem": company.pem.decode(), "proof_pem": company.proof(made.json()["code"]).decode()}


async def test_a_ca_is_registered_changed_listed_and_removed(script: Client, company: Company) -> None:
    made = await script.post("/v1/own-authorities", json=await told(script, company) | {"daily_limit": 7})
    assert made.status_code == 201, made.text
    [listed] = (await script.get("/v1/own-authorities")).json()["own_authorities"]
    assert listed == made.json()
    assert (listed["subject"], listed["mode"], listed["daily_limit"]) == ("CN=Example Factory", "register", 7)
    place = f"/v1/own-authorities/{listed['authority_number']}"
    assert (await script.put(place, json={"mode": "inactive"})).json()["mode"] == "inactive"
    assert (await script.put(place, json={"mode": "provision", "template": "gone"})).status_code in (200, 404)
    assert (await script.delete(place)).json() == {"revoked_count": 0}
    assert (await script.delete(place)).status_code == 404
    assert (await script.put(place, json={})).status_code == 404


async def test_what_cannot_be_registered_is_refused_with_a_reason(script: Client, company: Company) -> None:
    wish = await told(script, company)
    for changed, status, why in (
        ({"proof_pem": company.proof("ab").decode()}, 400, "registration code"),
        ({"certificate_pem": "?"}, 400, "no certificate in PEM form"),
        ({"daily_limit": -1}, 400, "daily_limit"),
        ({"mode": "open"}, 400, "mode"),
    ):
        answer = await script.post("/v1/own-authorities", json=wish | changed)
        assert (answer.status_code, why in answer.text) == (status, True), answer.text
    assert (await script.get("/v1/own-authorities")).json() == {"own_authorities": []}


async def test_a_certificate_waits_and_is_refused_and_accepted(script: Client, company: Company, house: House) -> None:
    await script.post("/v1/own-authorities", json=await told(script, company))
    registry, certificate = house.gateway.registry, company.issued("pump-7")
    assert isinstance(registry.authenticate(shown(certificate, "pump-7")), Denied)
    await registry.own_authorities.caught_up()
    [waiting] = (await script.get("/v1/enrolment/certificates")).json()["certificates"]
    assert (waiting["device_id"], waiting["is_registered"]) == ("pump-7", False)
    place = f"/v1/enrolment/certificates/{waiting['certificate_number']}"
    assert (await script.post(f"{place}/refuse")).status_code == 204
    assert (await script.get("/v1/enrolment/certificates")).json() == {"certificates": [], "refused": [waiting]}
    assert (await script.post(f"{place}/accept", json={"device_id": "pump-7"})).status_code == 404
    assert (await script.post(f"{place}/reconsider")).status_code == 204
    assert (await script.post(f"{place}/reconsider")).status_code == 404
    assert (await script.get("/v1/enrolment/certificates")).json() == {"certificates": [waiting], "refused": []}
    assert (await script.post(f"{place}/accept", json={"device_id": "a/b"})).status_code == 400
    assert (await script.post(f"{place}/accept", json={"device_id": "pump-7"})).status_code == 204
    assert registry.authenticate(shown(certificate, "pump-7")) == Principal(1, "pump-7")
    assert (await script.post("/v1/enrolment/certificates/77/refuse")).status_code == 404
