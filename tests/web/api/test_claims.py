"""`/v1/claims` and `/v1/provisioning-templates`."""

from appliance.enrolment.template import DEFAULT_BODY
from tests.web.house import Client

WISH = {"name": "line 4", "expires_at": "2036-01-01T00:00:00Z", "use_limit": 10}


async def test_a_claim_is_made_listed_and_revoked(script: Client) -> None:
    made = await script.post("/v1/claims", json=WISH | {"serial_pattern": "PX-*", "serials": ["PX-1", "PX-1"]})
    assert made.status_code == 201
    assert "PRIVATE KEY" in made.json()["key_pem"]
    [claim] = (await script.get("/v1/claims")).json()["claims"]
    assert claim == made.json()["claim"]
    assert (claim["serial_pattern"], claim["serial_count"], claim["use_count"]) == ("PX-*", 1, 0)
    assert claim["revoked_at"] is None
    revoked = await script.post(f"/v1/claims/{claim['claim_number']}/revoke")
    assert revoked.status_code == 200
    assert revoked.json()["revoked_at"]
    assert "PRIVATE KEY" not in (await script.get("/v1/claims")).text


async def test_what_cannot_be_a_claim_is_refused_with_a_reason(script: Client) -> None:
    for told, code in (
        ({"expires_at": "soon"}, "invalid_claim"),
        ({"expires_at": "2001-01-01T00:00:00Z"}, "invalid_claim"),
        ({"use_limit": 0}, "invalid_claim"),
        ({"template": "nobody"}, "unknown_template"),
    ):
        answer = await script.post("/v1/claims", json=WISH | told)
        assert answer.json()["code"] == code, answer.text
    assert (await script.post("/v1/claims/77/revoke")).status_code == 404


async def test_a_template_is_added_used_and_removed(script: Client) -> None:
    made = await script.post("/v1/provisioning-templates", json={"name": "pumps", "body": DEFAULT_BODY})
    assert (made.status_code, made.json()) == (201, {"name": "pumps", "left_out": []})
    again = await script.post("/v1/provisioning-templates", json={"name": "pumps", "body": DEFAULT_BODY})
    assert again.status_code == 409
    broken = await script.post("/v1/provisioning-templates", json={"name": "broken", "body": "{"})
    assert (broken.status_code, broken.json()["code"]) == (400, "invalid_template")
    listed = (await script.get("/v1/provisioning-templates")).json()["provisioning_templates"]
    assert [one["name"] for one in listed] == ["device", "pumps"]
    assert (await script.delete("/v1/provisioning-templates/pumps")).status_code == 204
    assert (await script.delete("/v1/provisioning-templates/pumps")).status_code == 404


async def test_a_stranger_learns_nothing(stranger: Client) -> None:
    assert (await stranger.get("/v1/claims", headers={"accept": "application/json"})).status_code == 401
