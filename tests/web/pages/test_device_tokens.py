import re

import pytest

from tests.web.house import Client, House

PATH = "/devices/pump/tokens"


async def test_a_token_is_shown_once(owner: Client, house: House) -> None:
    await house.add_device("pump")
    assert "No tokens" in (await owner.get(PATH)).text
    made = (await owner.submit(PATH, {"name": "<b>old</b>", "lifetime_days": "30"})).text
    found = re.search(r"hwd_\d+\.[\w-]{32}", made)
    assert found
    page = (await owner.get(PATH)).text
    assert found[0] not in page
    assert "&lt;b&gt;old&lt;/b&gt;" in page
    assert "never used" in page


async def test_a_token_is_revoked(owner: Client, house: House) -> None:
    await house.add_device("pump")
    await owner.submit(PATH, {"name": "a"})
    answer = await owner.submit(f"{PATH}/1/revoke")
    assert (answer.status_code, answer.headers["location"]) == (303, PATH)
    page = (await owner.get(PATH)).text
    assert ">revoked<" in page
    assert "/revoke" not in page


@pytest.mark.parametrize(
    "fields", [{"name": " "}, {"name": "a", "lifetime_days": "x"}, {"name": "a", "lifetime_days": "0"}]
)
async def test_what_is_wrong_is_told_on_the_page(owner: Client, house: House, fields: dict[str, str]) -> None:
    await house.add_device("pump")
    answer = await owner.submit(PATH, fields)
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text


async def test_a_device_that_is_not_there_has_no_tokens(owner: Client) -> None:
    for answer in (
        await owner.get(PATH),
        await owner.submit(PATH, {"name": "a"}),
        await owner.submit(f"{PATH}/1/revoke"),
    ):
        assert answer.status_code == 404
