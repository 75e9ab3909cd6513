import re

from appliance.health import Status
from appliance.instant import DAY_MS
from tests.web.house import EMAIL, Client, House


async def test_the_page_tells_who_where_and_how(owner: Client, house: House) -> None:
    house.gateway.health.register("broken", lambda: Status(ok=False, summary="no disk", details={"free_bytes": 7}))
    page = (await owner.get("/settings")).text
    fingerprint = house.gateway.registry.web_ca_fingerprint
    for text in (EMAIL, "owner", fingerprint, "no disk", "free bytes 7", "1.2.3", str(house.gateway.data_folder)):
        assert text in page, text


async def test_a_token_is_shown_once_and_works(owner: Client, stranger: Client) -> None:
    made = (await owner.submit("/tokens", {"name": "export"})).text
    found = re.search(r"hw_\d+\.[\w-]{20,}", made)
    assert found
    assert found[0] not in (await owner.get("/settings")).text
    answer = await stranger.get("/v1/status", headers={"authorization": f"Bearer {found[0]}"})
    assert answer.status_code == 200


async def test_a_token_is_revoked(owner: Client, house: House) -> None:
    await owner.submit("/tokens", {"name": "export"})
    assert (await owner.submit("/tokens/1/revoke")).status_code == 303
    [token] = await house.gateway.accounts.tokens(1)
    assert token.revoked_at is not None
    assert "revoked" in (await owner.get("/settings")).text


async def test_a_token_needs_a_name(owner: Client) -> None:
    answer = await owner.submit("/tokens", {"name": " "})
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text


async def test_a_token_may_do_what_its_role_may(owner: Client, stranger: Client) -> None:
    made = (await owner.submit("/tokens", {"name": "screen", "role": "viewer"})).text
    found = re.search(r"hw_\d+\.[\w-]{20,}", made)
    assert found
    assert "· viewer ·" in made
    stranger.headers.update({"authorization": f"Bearer {found[0]}", "accept": "application/json"})
    assert (await stranger.get("/v1/devices")).status_code == 200
    refused = await stranger.post("/v1/devices", json={"device_id": "pump"})
    assert refused.status_code == 403
    assert "needs the role installer; you are signed in as viewer" in refused.json()["detail"]
    assert (await owner.submit("/tokens", {"name": "x", "role": "emperor"})).status_code == 400


async def test_a_clock_that_is_not_believed_is_said_to_be_right(owner: Client, house: House) -> None:
    time = house.gateway.registry.time
    assert "The clock is not believed" not in (await owner.get("/settings")).text
    time.is_vouched_for = lambda _: True
    time._floor_at += 30 * 365 * DAY_MS
    assert "The clock is not believed" in (await owner.get("/settings")).text
    assert (await owner.submit("/settings/clock")).status_code == 303
    assert time.state.is_trusted
    assert "The clock is not believed" not in (await owner.get("/settings")).text


async def test_a_clock_that_cannot_be_right_is_not_made_so(owner: Client, house: House) -> None:
    house.gateway.registry.time._wall = lambda: 0
    answer = await owner.submit("/settings/clock")
    assert answer.status_code == 409
    assert "set it first" in answer.text
