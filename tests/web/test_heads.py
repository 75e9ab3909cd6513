"""What is asked without a body, with a method that is not there, or too often."""

from tests.web.house import EMAIL, Client, House
from web.auth import VISIT_COOKIE


async def test_head_is_get_without_its_body(owner: Client, script: Client, stranger: Client, house: House) -> None:
    await house.add_device("pump")
    for client, path in ((owner, "/devices"), (script, "/v1/devices/pump"), (stranger, "/healthz")):
        whole, head = await client.get(path), await client.head(path)
        assert (head.status_code, head.content) == (200, b"")
        assert whole.content
        assert head.headers["content-type"] == whole.headers["content-type"]
        assert "content-security-policy" in head.headers


async def test_head_is_for_nobody_who_may_not_get(stranger: Client, script: Client) -> None:
    assert (await stranger.head("/v1/devices")).status_code == 401
    assert (await script.head("/v1/devices/nobody")).status_code == 404
    assert (await script.head("/v1/alerts/1/acknowledge")).status_code == 405


async def test_a_method_that_is_not_there_is_told_which_are(script: Client, owner: Client) -> None:
    answer = await script.delete("/v1/devices")
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    page = await owner.put("/alerts")
    assert (page.status_code, page.headers["allow"]) == (405, "GET, HEAD, OPTIONS")


async def test_who_asks_too_often_is_told_when_to_come_back(stranger: Client, house: House) -> None:
    await house.claim()
    await stranger.get("/sign-in")
    stranger.session_secret = stranger.cookies[VISIT_COOKIE]
    answers = [await stranger.submit("/sign-in", {"email": EMAIL, "password": "wrong"}) for _ in range(6)]
    assert [answer.status_code for answer in answers] == [401] * 5 + [429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60
    assert "retry-after" not in answers[0].headers
