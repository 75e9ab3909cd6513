import httpx

from tests.web.house import EMAIL, PASSWORD, Client, House
from web.auth import SESSION_COOKIE, VISIT_COOKIE


async def fill(stranger: Client, code: str, password: str = PASSWORD) -> httpx.Response:
    await stranger.get("/claim")
    stranger.session_secret = stranger.cookies[VISIT_COOKIE]
    return await stranger.submit("/claim", {"code": code, "email": EMAIL, "password": password})


async def test_the_code_makes_an_owner_who_is_signed_in(stranger: Client, house: House) -> None:
    answer = await fill(stranger, await house.gateway.accounts.open_claim(1))
    assert answer.status_code == 303
    assert await house.gateway.accounts.has_owner(1)
    assert SESSION_COOKIE in stranger.cookies
    assert (await stranger.get("/")).status_code == 200


async def test_a_wrong_code_or_a_weak_password_is_explained(stranger: Client, house: House) -> None:
    code = await house.gateway.accounts.open_claim(1)
    wrong = await fill(stranger, "nonsense")
    assert wrong.status_code == 404
    assert 'value="nonsense"' in wrong.text
    weak = await fill(stranger, code, "short")
    assert weak.status_code == 400
    assert 'role="alert"' in weak.text
    assert 'value="short"' not in weak.text
    assert not await house.gateway.accounts.has_owner(1)
    assert (await fill(stranger, code)).status_code == 303


async def test_a_claimed_gateway_is_not_claimed_again(stranger: Client, house: House) -> None:
    await house.claim()
    assert (await stranger.get("/claim")).headers["location"] == "/sign-in"


async def test_a_claim_needs_the_form(stranger: Client, house: House) -> None:
    code = await house.gateway.accounts.open_claim(1)
    answer = await stranger.post("/claim", data={"code": code, "email": EMAIL, "password": PASSWORD})
    assert answer.status_code == 403
    assert not await house.gateway.accounts.has_owner(1)
