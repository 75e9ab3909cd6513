import httpx
from hypothesis import given
from hypothesis import strategies as st

from tests.web.house import EMAIL, PASSWORD, Client, House
from web.auth import SESSION_COOKIE, VISIT_COOKIE
from web.pages.sign_in import local_address


async def enter(stranger: Client, email: str = EMAIL, password: str = PASSWORD, next_: str = "/") -> httpx.Response:
    await stranger.get("/sign-in")
    stranger.session_secret = stranger.cookies[VISIT_COOKIE]
    return await stranger.submit("/sign-in", {"email": email, "password": password, "next": next_})


async def test_signing_in_leads_to_where_one_wanted(stranger: Client, house: House) -> None:
    await house.claim()
    answer = await enter(stranger, next_="/devices?state=offline")
    assert (answer.status_code, answer.headers["location"]) == (303, "/devices?state=offline")
    assert (await stranger.get("/devices")).status_code == 200


async def test_who_is_signed_in_is_led_on(owner: Client) -> None:
    assert (await owner.get("/sign-in?next=/alerts")).headers["location"] == "/alerts"


async def test_a_wrong_password_and_an_unknown_user_read_the_same(stranger: Client, house: House) -> None:
    await house.claim()
    wrong = await enter(stranger, password="not the password")
    unknown = await enter(stranger, email="nobody@example.com")
    assert wrong.status_code == unknown.status_code == 401
    assert wrong.text.replace(EMAIL, "") == unknown.text.replace("nobody@example.com", "")
    assert SESSION_COOKIE not in stranger.cookies


async def test_a_gateway_without_an_owner_says_what_to_do(stranger: Client) -> None:
    assert "claim link" in (await stranger.get("/sign-in")).text


async def test_signing_in_gives_a_new_session_each_time(stranger: Client, house: House) -> None:
    first = await house.claim()
    await enter(stranger)
    assert stranger.cookies[SESSION_COOKIE] != first


async def test_signing_out_ends_the_session_on_the_gateway(owner: Client) -> None:
    assert (await owner.submit("/sign-out")).status_code == 303
    owner.cookies.set(SESSION_COOKIE, owner.session_secret, domain="gateway.local", path="/")
    assert (await owner.get("/")).status_code == 303


async def test_an_over_session_does_not_stand_in_the_way(stranger: Client, house: House) -> None:
    await house.claim()
    stranger.cookies.set(SESSION_COOKIE, "long over", domain="gateway.local", path="/")
    assert (await enter(stranger)).status_code == 303


@given(st.text())
def test_nobody_is_led_to_another_site(wanted: str) -> None:
    address = local_address(wanted)
    assert address.startswith("/")
    assert not address.startswith("//")
    assert "\\" not in address


def test_ways_to_another_site_are_cut() -> None:
    for wanted in ("//evil.example", "https://evil.example", "/\\evil.example", "/x\r\nset-cookie: a", "evil"):
        assert local_address(wanted) == "/"
