"""Every route has a least role, and the table is what is enforced."""

from pathlib import Path

import pytest

from appliance.accounts.model import Role
from tests.web import house as houses
from tests.web.house import Client, House
from tests.web.routes import routes
from web import roles
from web.roles import LEAST, RANK, is_enough, least_role

OPEN_ROUTES = {
    "GET /.well-known/est/cacerts",
    "GET /.well-known/est/csrattrs",
    "GET /.well-known/est/{label}/cacerts",
    "GET /.well-known/est/{label}/csrattrs",
    "GET /claim",
    "GET /enrol/{code}",
    "GET /healthz",
    "GET /metrics",
    "GET /pki/crl",
    "GET /readyz",
    "GET /sign-in",
    "GET /static/{name}",
    "GET /v1/device/identity",
    "POST /.well-known/est/simpleenroll",
    "POST /.well-known/est/simplereenroll",
    "POST /.well-known/est/{label}/simpleenroll",
    "POST /.well-known/est/{label}/simplereenroll",
    "POST /claim",
    "POST /enrol/{code}/bundle",
    "POST /enrol/{code}/certificate",
    "POST /sign-in",
    "WEBSOCKET /mqtt",
}
"""What answers everybody, or looks itself at who asks: each of these on purpose."""


async def test_every_route_that_is_not_open_has_a_least_role_and_no_row_is_of_nothing(house: House) -> None:
    guarded = {route.name for route in routes(houses.app_of(house)) if not route.is_open}
    assert guarded - set(LEAST) == set(), "add these to web/roles.py"
    assert set(LEAST) - guarded == set(), "take these out of web/roles.py"


async def test_what_is_open_is_open_on_purpose(house: House) -> None:
    assert {route.name for route in routes(houses.app_of(house)) if route.is_open} == OPEN_ROUTES


def test_a_route_without_a_row_is_for_owners() -> None:
    assert least_role("DELETE", "/v1/everything") is Role.OWNER
    assert least_role("OPTIONS", "/v1/everything") is Role.VIEWER


def test_what_configures_devices_is_for_installers_and_a_packet_log_for_operators_by_page_and_script() -> None:
    assert least_role("GET", "/v1/provisioning-templates") is Role.INSTALLER
    assert least_role("GET", "/v1/claims") is Role.INSTALLER
    for route in (("POST", "/devices/{device_id}/packets"), ("PUT", "/v1/devices/{device_id}/packets")):
        assert least_role(*route) is Role.OPERATOR


def test_no_viewer_changes_anything() -> None:
    allowed = {route for route, least in LEAST.items() if least is Role.VIEWER and not route.startswith("GET ")}
    # Tests of a policy and of mapping rules and a query of Prometheus change nothing: they are asked with a body.
    asked = {f"POST /v1/prometheus/api/v1/{name}" for name in ("labels", "query", "query_range", "series")}
    asked |= {"POST /v1/devices/{device_id}/policy/test", "POST /v1/mapping-rules/try"}
    assert allowed == asked | {"POST /sign-out", "WEBSOCKET /live"}


@pytest.mark.parametrize("role", list(Role))
def test_an_owner_may_do_what_any_other_may(role: Role) -> None:
    assert is_enough(Role.OWNER, role)
    assert is_enough(role, Role.VIEWER)
    assert sorted(RANK, key=RANK.__getitem__) == [Role.VIEWER, Role.INSTALLER, Role.OPERATOR, Role.OWNER]


async def token_client(house: House, role: Role) -> Client:
    client = Client(houses.app_of(house))
    token = await house.gateway.accounts.add_token(1, role.value, role)
    client.headers.update({"authorization": f"Bearer {token}", "accept": "application/json"})
    return client


@pytest.mark.parametrize("role", list(Role))
async def test_every_route_of_v1_lets_through_who_has_the_role_and_nobody_else(house: House, role: Role) -> None:
    async with await token_client(house, role) as client:
        for route in routes(houses.app_of(house)):
            if route.path.startswith("/v1/") and not route.is_open:
                path = route.filled({str: "nobody", int: "77", Path: "x"}, {})
                status = (await client.request(route.method, path)).status_code
                assert (status == 403) is not is_enough(role, least_role(route.method, route.path)), route.name
                assert status not in {401, 405, 500}, route.name


async def test_a_page_tells_who_may_not_what_it_takes(house: House, owner: Client) -> None:
    def demote(connection: object) -> None:
        connection.execute("UPDATE user SET role = 'viewer' WHERE tenant_id = 1")  # type: ignore[attr-defined]

    await house.gateway.accounts._database.write(demote)
    assert (await owner.get("/devices")).status_code == 200
    answer = await owner.submit("/tokens", {"name": "mine"})
    assert answer.status_code == 403
    assert "needs the role owner; you are signed in as viewer" in answer.text
    assert await house.gateway.accounts.tokens(1) == []


async def test_the_table_names_each_route_once() -> None:
    lists = (roles._FOR_VIEWERS, roles._FOR_INSTALLERS, roles._FOR_OPERATORS, roles._FOR_OWNERS)
    assert sum(map(len, lists)) == len(LEAST)
