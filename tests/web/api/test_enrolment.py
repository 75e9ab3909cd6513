import base64

from appliance.registry.model import DEFAULT_TENANT
from tests.appliance.enrolment.requests import request
from tests.web.enrolment import basic, enrol
from tests.web.house import Client, House


async def test_a_script_makes_a_code_a_device_uses_it_and_the_list_says_so(
    script: Client, stranger: Client, house: House
) -> None:
    made = await script.post("/v1/enrolment/codes", json={"target": "pump-7", "type": "pump", "valid_s": 3_600})
    assert made.status_code == 201
    assert made.json()["path"] == "/enrol/" + made.json()["code"].replace("-", "")
    assert (await enrol(stranger, authorization=basic("pump-7", made.json()["code"]))).status_code == 200
    [code] = (await script.get("/v1/enrolment/codes")).json()["codes"]
    assert (code["used_by"], code["is_open"], code["revoked_at"]) == ("pump-7", False, None)
    assert made.json()["code"] not in (await script.get("/v1/enrolment/codes")).text
    assert house.gateway.registry.device(DEFAULT_TENANT, "pump-7").type == "pump"


async def test_a_code_is_revoked(script: Client, stranger: Client) -> None:
    made = (await script.post("/v1/enrolment/codes", json={"target": "pump-7"})).json()
    assert (await script.delete(f"/v1/enrolment/codes/{made['code_number']}")).status_code == 204
    assert (await script.delete("/v1/enrolment/codes/99")).status_code == 404
    assert (await enrol(stranger, authorization=basic("pump-7", made["code"]))).status_code == 401
    [code] = (await script.get("/v1/enrolment/codes")).json()["codes"]
    assert code["revoked_at"] is not None


async def test_a_code_that_makes_no_sense_is_a_problem(script: Client) -> None:
    for body in ({"target": "pump 7"}, {"target": "a", "valid_s": 1}, {"target": "a", "valid_s": -1}, {"wrong": 1}):
        assert (await script.post("/v1/enrolment/codes", json=body)).status_code == 400, body


async def test_a_script_lets_in_and_refuses(script: Client, stranger: Client, house: House) -> None:
    bodies = [base64.b64encode(request(name)) for name in ("pump-1", "pump-2")]
    for body in bodies:
        await enrol(stranger, body, "pump/simpleenroll")
    second, first = (await script.get("/v1/enrolment/knocks")).json()["knocks"]
    assert (first["subject"], first["label"], first["key_kind"]) == ("CN=pump-1", "pump", "EC secp256r1")
    accept = f"/v1/enrolment/knocks/{first['knock_number']}/accept"
    assert (await script.post(accept, json={"device_id": "pump-1", "zone": "hall"})).status_code == 204
    assert (await script.post(accept, json={"device_id": "pump-1"})).status_code == 409
    assert (await script.post(f"/v1/enrolment/knocks/{second['knock_number']}/refuse")).status_code == 204
    assert [(await enrol(stranger, body)).status_code for body in bodies] == [200, 403]
    assert house.gateway.registry.device(DEFAULT_TENANT, "pump-1").zone == "hall"
    assert (await script.post("/v1/enrolment/knocks/99/refuse")).status_code == 404


async def test_strangers_see_and_decide_nothing(stranger: Client) -> None:
    stranger.headers["accept"] = "application/json"
    for method, path in (
        ("GET", "codes"),
        ("POST", "codes"),
        ("DELETE", "codes/1"),
        ("GET", "knocks"),
        ("POST", "knocks/1/accept"),
        ("POST", "knocks/1/refuse"),
    ):
        assert (await stranger.request(method, f"/v1/enrolment/{path}")).status_code == 401
