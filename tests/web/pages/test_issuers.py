"""The page of the CAs that issue, and the question before one is revoked."""

from appliance.registry.revocation.issuers import Issuer
from tests.web.house import Client, House


async def in_use(house: House) -> Issuer:
    return (await house.gateway.registry.revocation.issuers(1))[0]


async def test_a_ca_is_revoked_once_its_name_was_typed(owner: Client, house: House) -> None:
    issuer = await in_use(house)
    page = f"/issuers/{issuer.fingerprint}/revoke"
    assert f'href="{page}"' in (await owner.get("/issuers")).text
    asked = (await owner.get(page)).text
    assert "There is no way back" in asked
    assert "makes a new CA under the root" in asked
    wrong = await owner.submit(page, {"name": "another name"})
    assert wrong.status_code == 400
    assert "Nothing was revoked" in wrong.text
    assert await in_use(house) == issuer
    done = await owner.submit(page, {"name": f" {issuer.name} "})
    assert (done.status_code, done.headers.get("location")) == (303, "/issuers"), done.text
    assert await in_use(house) != issuer
    listed = (await owner.get("/issuers")).text
    assert "nothing that it has issued opens anything" in listed
    assert f'href="{page}"' not in listed
    assert "It was revoked" in (await owner.get(page)).text


async def test_a_ca_that_is_not_known_has_no_page(owner: Client) -> None:
    assert (await owner.get("/issuers/00/revoke")).status_code == 404
