import pytest

from tests.web.house import Client, House

PATH = "/v1/devices/pump/tokens"


async def test_a_token_is_made_listed_and_revoked(script: Client, house: House) -> None:
    await house.add_device("pump")
    made = (await script.post(PATH, json={"name": "old pump", "lifetime_days": 30})).json()
    assert made["token"].startswith("hwd_1.")
    assert (made["device_id"], made["token_number"]) == ("pump", 1)
    listed = await script.get(PATH)
    assert made["token"] not in listed.text
    [token] = listed.json()["tokens"]
    assert (token["name"], token["expires_at"], token["used_at"]) == ("old pump", made["expires_at"], None)
    assert (await script.delete(f"{PATH}/1")).status_code == 204
    [token] = (await script.get(PATH)).json()["tokens"]
    assert token["revoked_at"] is not None


@pytest.mark.parametrize(
    "body", [{}, {"name": ""}, {"name": "a" * 101}, {"name": "a", "lifetime_days": 0}, {"name": "a", "scope": "all"}]
)
async def test_what_is_no_token_is_refused(script: Client, house: House, body: dict[str, object]) -> None:
    await house.add_device("pump")
    assert (await script.post(PATH, json=body)).status_code == 400
    assert (await script.get(PATH)).json() == {"tokens": []}


async def test_what_is_not_there_is_not_found(script: Client, house: House) -> None:
    await house.add_device("pump")
    for answer in (
        await script.get("/v1/devices/nobody/tokens"),
        await script.post("/v1/devices/nobody/tokens", json={"name": "a"}),
        await script.delete(f"{PATH}/1"),
    ):
        assert answer.status_code == 404
