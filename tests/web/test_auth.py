from typing import Any

from appliance.errors import NotSignedInError
from tests.web.house import Client, House, app_of
from web.auth import SESSION_COOKIE, Caller, ended_cookie, form_token, host_cookie, new_visit

OPEN_PATHS = ("/sign-in", "/claim", "/healthz", "/readyz")
OWN_CHECKS = ("/mqtt", "/v1/device/identity", "/metrics")
"""Where something else is asked for: a token in CONNECT, a device's certificate, a token or a known network."""
PAGES = ("/", "/devices", "/devices/x", "/alerts", "/mailbox", "/settings")
API = ("/v1/devices", "/v1/devices/x", "/v1/alerts", "/v1/alert-rules", "/v1/status", "/v1/openapi.json")


async def test_a_stranger_is_led_to_the_sign_in_page(stranger: Client) -> None:
    for path in PAGES:
        answer = await stranger.get(path, headers={"accept": "*/*"})
        assert answer.status_code == 303, path
        assert answer.headers["location"].startswith("/sign-in"), path


async def test_a_stranger_gets_a_problem_from_the_api(stranger: Client) -> None:
    for path in API:
        answer = await stranger.get(path)
        assert answer.status_code == 401, path
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "not_signed_in"


async def test_every_route_is_closed_but_for_a_known_few(house: House) -> None:
    is_open = {
        route.path for route in app_of(house).routes for handler in _handlers(route) if handler.opt.get("is_open")
    }
    # Whoever asks for a certificate has none yet: these judge by a code, or let it wait in the tray.
    enrolment = {path for path in is_open if path.startswith(("/.well-known/est/", "/enrol/{code:str}"))}
    assert len(enrolment) == 11
    assert is_open - enrolment == {*OPEN_PATHS, *OWN_CHECKS, "/static/{name:path}", "/pki/crl"}


async def test_a_token_opens_the_api_and_no_page(script: Client) -> None:
    assert (await script.get("/v1/status")).status_code == 200
    assert (await script.get("/", headers={"accept": "text/html"})).status_code == 303


async def test_a_revoked_token_opens_nothing(script: Client, house: House) -> None:
    [token] = await house.gateway.accounts.tokens(1)
    await house.gateway.accounts.revoke_token(1, token.token_id)
    assert (await script.get("/v1/status")).status_code == 401


async def test_a_session_opens_the_api_too(owner: Client) -> None:
    assert (await owner.get("/v1/status")).status_code == 200


async def test_an_ended_session_opens_nothing(owner: Client, house: House) -> None:
    await house.gateway.accounts.sign_out(owner.session_secret)
    assert (await owner.get("/")).status_code == 303


async def test_htmx_is_told_to_leave_the_page(stranger: Client) -> None:
    answer = await stranger.get("/devices", headers={"hx-request": "true"})
    assert answer.headers["hx-redirect"] == "/sign-in?next=%2Fdevices"


def test_cookies_are_for_this_host_alone() -> None:
    for cookie in (host_cookie(SESSION_COOKIE, "x"), ended_cookie(SESSION_COOKIE)):
        text = cookie.to_header(header="")
        assert text.startswith("__Host-")
        for word in ("Secure", "HttpOnly", "SameSite=strict", "Path=/"):
            assert word in text
        assert "Domain" not in text


def test_a_form_token_belongs_to_its_secret_alone() -> None:
    assert form_token("a") == form_token("a") != form_token("b")
    assert "a-secret" not in form_token("a-secret")
    assert new_visit() != new_visit()


async def test_a_caller_knows_by_what_it_came(house: House) -> None:
    user = await house.gateway.accounts.user_of_session(await house.claim())
    assert Caller(user, "").user.email == "owner@example.com"
    try:
        await house.gateway.accounts.user_of_session("")
    except NotSignedInError:
        return
    raise AssertionError("an empty secret was a session")


def _handlers(route: Any) -> list[Any]:
    if hasattr(route, "route_handlers"):
        return list(route.route_handlers)
    return [route.route_handler]
