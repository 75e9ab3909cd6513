"""`/v1/issuers`."""

from tests.web.house import Client, House


async def test_the_ca_in_use_is_revoked_with_what_it_has_issued_and_a_new_one_issues(
    house: House, script: Client
) -> None:
    await house.add_device("pump")
    await house.gateway.registry.issue_certificate(1, "pump")
    [issuer] = (await script.get("/v1/issuers")).json()["issuers"]
    assert (issuer["is_in_use"], issuer["revoked_at"]) == (True, None)
    answer = await script.post(f"/v1/issuers/{issuer['fingerprint']}/revoke")
    assert answer.status_code == 200, answer.text
    done = answer.json()
    assert (done["certificate_count"], done["issuer"]["revoked_at"] is None) == (1, False)
    listed = (await script.get("/v1/issuers")).json()["issuers"]
    assert listed[0] == done["successor"]
    assert listed[1] == done["issuer"]
    [certificate] = await house.gateway.registry.certificates(1, "pump")
    assert certificate.revoked_at is not None


async def test_a_ca_that_has_never_issued_here_is_not_found(script: Client) -> None:
    answer = await script.post(f"/v1/issuers/{'0' * 64}/revoke")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_issuer")
