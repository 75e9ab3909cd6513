from collections.abc import AsyncIterator

import pytest
from litestar.datastructures import Headers
from litestar.exceptions import PermissionDeniedException

from tests.web.house import HOST, Client, House
from web.auth import SESSION_COOKIE, form_token
from web.protection import CONTENT_SECURITY_POLICY, TOKEN_FIELD, TOKEN_HEADER, check_origin


async def test_every_answer_carries_the_headers(owner: Client, stranger: Client) -> None:
    answers = [
        await stranger.get("/sign-in"),
        await stranger.get("/nothing-here"),
        await stranger.get("/v1/status"),
        await stranger.get("/static/nothing.js"),
        await owner.get("/"),
        await owner.get("/healthz"),
        await owner.post("/sign-out"),
    ]
    for answer in answers:
        assert answer.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cache-control"]


async def test_a_form_without_its_token_changes_nothing(owner: Client, house: House) -> None:
    for fields in ({}, {TOKEN_FIELD: "0" * 64}, {TOKEN_FIELD: form_token("another session")}):
        answer = await owner.post("/tokens", data={"name": "mine", **fields})
        assert answer.status_code == 403
        assert "out of date" in answer.text
    assert await house.gateway.accounts.tokens(1) == []
    assert (await owner.submit("/tokens", {"name": "mine"})).status_code == 200
    assert len(await house.gateway.accounts.tokens(1)) == 1


async def test_a_form_from_another_site_changes_nothing(owner: Client, house: House) -> None:
    for headers in (
        {"origin": "https://evil.example"},
        {"origin": "https://["},
        {"origin": "null"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        assert (await owner.submit("/tokens", {"name": "mine"}, **headers)).status_code == 403, headers
    assert await house.gateway.accounts.tokens(1) == []


async def test_the_api_asks_a_browser_for_the_token_and_a_script_not(owner: Client, script: Client) -> None:
    body = {"device_id": "sensor-001"}
    assert (await owner.post("/v1/devices", json=body)).status_code == 403
    answer = await owner.post("/v1/devices", json=body, headers={TOKEN_HEADER: form_token(owner.session_secret)})
    assert answer.status_code == 201
    assert (await script.post("/v1/devices", json={"device_id": "sensor-002"})).status_code == 201


async def test_no_page_changes_anything_by_being_looked_at(owner: Client) -> None:
    for path in ("/sign-out", "/tokens", "/alert-rules", "/alerts/1/acknowledge"):
        assert (await owner.get(path)).status_code in (404, 405)


async def test_a_body_that_is_too_large_is_refused_in_words(script: Client, house: House) -> None:
    limit = house.config.body_limit_bytes
    answer = await script.post("/v1/devices", content=b" " * (limit + 1), headers={"content-type": "application/json"})
    assert answer.status_code == 413
    assert str(limit) in answer.json()["detail"]

    async def unannounced() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b" " * (limit // 10)

    answer = await script.post("/v1/devices", content=unannounced(), headers={"content-type": "application/json"})
    assert answer.status_code == 413


async def test_the_host_that_was_asked_for_never_comes_back(stranger: Client) -> None:
    for path in ("/", "/sign-in", "/nothing-here", "/devices?next=1"):
        answer = await stranger.get(path, headers={"host": "evil.example"})
        assert "evil.example" not in answer.text + str(answer.headers)


async def test_a_host_that_is_no_address_is_no_defect(stranger: Client) -> None:
    for host in ("[", "a[b", "[::1", "x:99999", ""):
        for path, status in (
            ("/sign-in", 200),
            ("/", 303),
            ("/devices?q=1", 303),
            ("/v1/devices", 401),
            ("/none", 404),
        ):
            assert (await stranger.get(path, headers={"host": host})).status_code == status, (host, path)


def test_a_socket_must_say_where_it_comes_from() -> None:
    check_origin(Headers({"origin": f"https://{HOST}", "host": HOST}), must_say=True)
    check_origin(Headers({"host": HOST}), must_say=False)
    with pytest.raises(PermissionDeniedException):
        check_origin(Headers({"host": HOST}), must_say=True)


async def test_the_session_cookie_alone_is_not_enough(stranger: Client, house: House) -> None:
    stranger.cookies.set(SESSION_COOKIE, await house.claim(), domain="gateway.local", path="/")
    assert (await stranger.post("/sign-out")).status_code == 403
