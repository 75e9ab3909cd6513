"""Two tenants in one gateway: neither sees, guesses or reaches what is the other's, by any path of the web.

The first has devices, rules, alerts and tokens whose names hold the word canary; the second asks for them.
"""

import contextlib
import re
import sqlite3
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import httpx
import pytest
import websockets

from appliance.accounts.model import Role
from appliance.alerts.model import NewRule
from appliance.registry import authority
from appliance.registry.model import TlsFiles
from appliance.registry.own_authorities.model import Mode, Settings
from broker.ports import Denied, Principal
from broker.tls import tls_context
from tests.appliance.ingestion.mapping.examples import rule
from tests.appliance.registry.own_authorities.makers import Company, registered, shown
from tests.web import house as houses
from tests.web.afloat import cookie, own_origin, trusting
from tests.web.house import Client, House, app_of
from tests.web.routes import Route, routes
from tests.web.shadows import report
from web.live import NOT_THERE
from web.server import serving

FIRST, SECOND = 1, 2
CANARY = "canary-pump"
SHARED = "pump"
Ids = tuple[dict[type, str], dict[str, str]]
"""A value for each type of parameter, and for some by name."""
THEIRS: Ids = ({str: CANARY, int: "1", Path: "x"}, {})
NOWHERE: Ids = ({str: "nowhere-pump", int: "9999", Path: "x"}, {})
BODIES: dict[str, dict[str, object]] = {
    "PATCH /v1/alert-rules/{rule_id}": {"enabled": False},
    "PATCH /v1/devices/{device_id}": {"name": "taken over"},
    "POST /v1/devices/{device_id}/shadow": {"state": {"desired": {"mode": "taken over"}}},
    "POST /v1/devices/{device_id}/tokens": {"name": "taken over"},
    "PUT /v1/devices/{device_id}/state": {"state": "suspended"},
}
"""What makes a request whole, so that it is the id that it fails for."""


class Town:
    """The two tenants, and the second one's browser and script."""

    def __init__(self, house: House, browser: Client, script: Client, session_secret: str) -> None:
        self.house, self.browser, self.script, self.session_secret = house, browser, script, session_secret
        self.routes = [route for route in routes(app_of(house)) if not route.is_open and route.method != "WEBSOCKET"]

    async def ask(self, route: Route, ids: Ids) -> httpx.Response:
        path = route.filled(*ids)
        if path.startswith("/v1"):
            has_body = route.method in {"POST", "PUT", "PATCH"}
            return await self.script.request(route.method, path, json=BODIES.get(route.name, {}) if has_body else None)
        if route.method == "GET":
            return await self.browser.get(path)
        return await self.browser.submit(path, {"name": "taken over", "lifetime_days": "5"})


async def settle(house: House) -> None:
    """Give the first tenant one of everything, each with the number 1."""
    gateway = house.gateway

    def add_tenant(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'second', 0)")

    await gateway.registry._database.write(add_tenant)
    await gateway.accounts.add_token(FIRST, "canary script")
    await house.add_device(CANARY, name="canary name", zone="canary zone")
    await report(house, CANARY, {"mode": "canary mode"})
    await house.add_device(SHARED, name="canary twin")
    await gateway.registry.issue_certificate(FIRST, CANARY)
    await gateway.registry.tokens.issue(FIRST, CANARY, "canary token", 5)
    await gateway.alerts.add_rule(
        FIRST, NewRule(name="canary rule", metric="canaries", operator="GREATER_THAN", threshold=1.0)
    )
    await gateway.mapping.put(FIRST, rule(CANARY, topic="canary/#", publishers=[CANARY]))
    for device_id in (CANARY, SHARED):
        await house.send(device_id, {"readings": {"canaries": 7.0}})
    await gateway.registry.add_device(SECOND, SHARED, name="own twin")


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with houses.opened(tmp_path) as made:
        yield made


@pytest.fixture
async def town(house: House) -> AsyncIterator[Town]:
    await settle(house)
    accounts = house.gateway.accounts
    secret = await accounts.claim(await accounts.open_claim(SECOND), "second@example.com", houses.PASSWORD)
    token = await accounts.add_token(SECOND, "second", Role.OWNER)
    async with Client(app_of(house), secret) as browser, Client(app_of(house)) as script:
        script.headers.update({"authorization": f"Bearer {token}", "accept": "application/json"})
        yield Town(house, browser, script, secret)


def told(answer: httpx.Response) -> tuple[int, str]:
    """What an answer says, whatever the id that it was asked about."""
    text = re.sub(r"canary-pump|nowhere-pump|\b(1|9999)\b", "ID", answer.text)
    # Every page carries the moment of its making, and how busy the gateway was then.
    passing = r'(data-now|datetime|data-ago)="[^"]*"|<time[^>]*>[^<]*|<span class="lag">.*?</span>'
    return answer.status_code, re.sub(passing, "", text)


async def state_of_the_first(house: House) -> list[object]:
    gateway = house.gateway
    return [
        gateway.registry.devices(FIRST),
        [await gateway.registry.certificates(FIRST, device_id) for device_id in (CANARY, SHARED)],
        [gateway.registry.tokens.tokens(FIRST, device_id) for device_id in (CANARY, SHARED)],
        await gateway.shadows.shadow(FIRST, CANARY, ""),
        gateway.alerts.rules(FIRST),
        gateway.mapping.book.rules(FIRST),
        await gateway.alerts.alerts(FIRST, limit=100),
        await gateway.accounts.tokens(FIRST),
    ]


async def test_what_is_anothers_is_as_if_it_were_not_there(town: Town) -> None:
    before = await state_of_the_first(town.house)
    asked = [route for route in town.routes if route.parameters]
    assert len(asked) > 15
    for route in asked:
        theirs, nowhere = await town.ask(route, THEIRS), await town.ask(route, NOWHERE)
        assert told(theirs) == told(nowhere), route.name
        assert theirs.status_code < 500, route.name
        assert "canary n" not in theirs.text, route.name
        # Of a label that no series of one's own has, Prometheus says that it has no values. A type is a word that both
        # may use: what was described of one's own a moment ago is there.
        if route.method == "GET" and not any(word in route.path for word in ("openapi", "/label/", "/{command}")):
            assert theirs.status_code == 404, route.name
        if route.name in BODIES:
            assert theirs.status_code == 404, route.name
    assert await state_of_the_first(town.house) == before


async def test_no_list_page_or_export_tells_of_another_tenant(town: Town) -> None:
    for route in town.routes:
        if route.method == "GET" and not route.parameters:
            answer = await town.ask(route, THEIRS)
            # The canary's own tenant sees it in most of these.
            assert "canar" not in answer.text, route.name
            assert answer.status_code in {200, 303, 400}, route.name


async def test_searching_and_asking_by_name_finds_nothing_of_another(town: Town) -> None:
    for path in ("/devices?q=canary", "/devices?q=pump&metric=canaries", "/alerts?state=firing"):
        answer = await town.browser.get(path)
        assert answer.status_code == 200
        assert "canary name" not in answer.text
        assert "canary twin" not in answer.text
        assert "canary rule" not in answer.text


async def test_what_a_search_erases_is_ones_own_also_where_the_names_are_the_same(town: Town) -> None:
    gateway = town.house.gateway
    path = "/v1/telemetry?q=id:*"
    await gateway.telemetry.seal_all()
    # It counts only what is one's own, and tells of nothing else.
    refused = await town.script.delete(f"{path}&count=3")
    assert (refused.status_code, "finds 1 device (pump), and 3" in refused.json()["detail"]) == (409, True)
    assert (await town.script.delete(f"{path}&count=1")).json()["device_ids"] == [SHARED]
    assert (await town.script.delete("/v1/telemetry?q=canary&count=1")).status_code == 404
    page = await town.browser.get("/device-erase?q=id:*")
    assert ("Erase what 1 device sent?" in page.text, "canary" in page.text) == (True, False)
    await gateway.room.keeping.erase_pending()
    for device_id in (CANARY, SHARED):
        [series] = await gateway.telemetry.series(FIRST, device_id, ["canaries"], 0, 1 << 45, limit=9)
        assert list(series.values) == [7.0]
    actions = [entry.action for entry in await gateway.registry.audit.entries(FIRST)]
    assert not [action for action in actions if action.startswith("telemetry.eras")]


async def test_a_ca_lets_in_its_own_tenants_devices_alone_and_those_of_no_other_are_shut_out_by_it(
    town: Town, tmp_path: Path
) -> None:
    registry, mine, theirs = town.house.gateway.registry, Company(), Company("Another Factory")
    for name in ("Example Factory", "EXAMPLE  factory"):
        await registered(registry, mine, Settings(Mode.PROVISION), FIRST)
        taken = await town.script.post("/v1/own-authorities", json=await registration(town, Company(name)))
        assert taken.status_code == 409, taken.text
        [known] = registry.own_authorities.authorities(FIRST)
        await registry.own_authorities.remove(FIRST, known.authority_number)
    made = await town.script.post("/v1/own-authorities", json=await registration(town, theirs) | {"mode": "provision"})
    assert made.status_code == 201, made.text
    await registered(registry, mine, Settings(Mode.PROVISION), FIRST)
    # Also where they do not say which key has signed them.
    everybody = ((mine, FIRST, False), (mine, FIRST, True), (theirs, SECOND, False), (theirs, SECOND, True))
    for company, tenant_id, names_key in everybody:
        name = f"fan-{tenant_id}-{names_key}"
        key = authority.make_key()
        certificate = company.issued(name, key=key.public_key(), names_key=names_key)
        files = tmp_path / f"{name}.pem"
        files.write_text(authority.certificate_pem(certificate) + authority.key_pem(key))
        assert shakes_hands(registry.device_tls(), files)
        first = registry.authenticate(shown(certificate, name))
        assert isinstance(first, Denied)
        assert "connect again" in first.reason
        await registry.own_authorities.caught_up()
        assert registry.authenticate(shown(certificate, name)) == Principal(tenant_id, name)


async def test_only_who_has_a_code_learns_that_the_name_of_a_ca_is_taken(town: Town) -> None:
    registry, name = town.house.gateway.registry, "Canary Factory"
    await registered(registry, Company(name), Settings(), FIRST)
    guesses = [
        await town.script.post("/v1/own-authorities", json=await registration(town, Company(guess), "ab" * 32))
        for guess in (name, "No Factory")
    ]
    assert told(guesses[0]) == told(guesses[1])
    assert guesses[0].status_code == 400
    answer = await town.script.post("/v1/own-authorities", json=await registration(town, Company(name.upper())))
    assert answer.status_code == 409
    assert "called CN=CANARY FACTORY, is registered at this gateway already" in answer.text
    assert name not in answer.text
    assert (await town.script.get("/v1/own-authorities")).json() == {"own_authorities": []}


async def registration(town: Town, company: Company, code: str = "") -> dict[str, str]:
    code = code or (await town.script.post("/v1/own-authorities/codes")).json()["code"]
    return {"certificate_pem": company.pem.decode(), "proof_pem": company.proof(code).decode()}


def shakes_hands(files: TlsFiles, client_files: Path) -> bool:
    """Whether a listener for devices takes who shows this certificate."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(files.trust)
    client.load_cert_chain(client_files)
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = (
        client.wrap_bio(back, there, server_hostname="localhost"),
        tls_context(files.certificate, files.key, files.trust).wrap_bio(there, back, server_side=True),
    )
    for end in ends * 3:
        with contextlib.suppress(ssl.SSLWantReadError):
            end.do_handshake()
    return ends[1].getpeercert(binary_form=True) is not None


async def test_devices_of_one_id_have_nothing_to_do_with_each_other(town: Town) -> None:
    mine = (await town.script.get(f"/v1/devices/{SHARED}")).json()
    assert (mine["name"], mine["last_seen_at"], mine["connected"]) == ("own twin", None, False)
    assert (await town.script.get(f"/v1/devices/{SHARED}/telemetry")).json()["series"] == []
    page = await town.browser.get(f"/devices/{SHARED}")
    assert "canar" not in page.text.lower()
    await town.house.gateway.registry.tokens.issue(SECOND, SHARED, "mine", 5)
    assert (await town.script.delete(f"/v1/devices/{SHARED}/tokens/1")).status_code == 404
    assert town.house.gateway.registry.tokens.tokens(FIRST, SHARED) == []


async def test_a_mapping_rule_that_is_anothers_reads_nothing_of_ones_own(town: Town) -> None:
    sample = {"publisher": SHARED, "topic": "canary/x", "payload": '{"x": 1}'}
    came = (await town.script.post("/v1/mapping-rules/try", json=sample)).json()
    assert (came["rule"], came["reports"], came["problems"]) == (None, [], [])
    # A rule of one's own that names another's device lets nobody report for it.
    document = {"topic": "lab/+", "device": {"from": "topic", "level": 2}, "publishers": [SHARED, CANARY]}
    assert (await town.script.put("/v1/mapping-rules/wide", json=document)).status_code == 200
    guesses = [
        await town.script.post("/v1/mapping-rules/try", json={**sample, **changed})
        for changed in (
            {"topic": f"lab/{CANARY}"},
            {"topic": "lab/nowhere-pump"},
            {"topic": f"lab/{SHARED}", "publisher": CANARY},
            {"topic": f"lab/{SHARED}", "publisher": "nowhere-pump"},
        )
    ]
    assert [each.json()["problems"][0]["kind"] for each in guesses] == ["unknown_device"] * 2 + ["no_device"] * 2
    assert told(guesses[0]) == told(guesses[1])
    assert told(guesses[2]) == told(guesses[3])


async def test_questions_about_readings_are_answered_from_ones_own_devices_only(town: Town) -> None:
    for query in (
        *("select=canaries", "select=count(canaries)&bin=1d&by=all", "select=count(canaries)&bin=1d&fill=zero"),
        *("select=canaries&zone=canary%20zone", f"select=canaries&device={SHARED}", "select=canaries&q=canary"),
    ):
        answer = await town.script.get(f"/v1/telemetry?{query}")
        assert "7.0" not in answer.text, query
        assert answer.json().get("rows", []) == [], query
    answers = [
        await town.script.get(f"/v1/telemetry?select=canaries&device={each}") for each in (CANARY, "nowhere-pump")
    ]
    assert len({told(answer) for answer in answers}) == 1


async def test_the_live_page_of_anothers_device_is_not_there(town: Town) -> None:
    house = town.house
    async with AsyncExitStack() as stack:
        served = await stack.enter_async_context(serving(house.gateway, house.config))
        for query in (f"view=device&device_id={CANARY}", "view=devices&q=canary", "view=overview"):
            socket = await stack.enter_async_context(
                websockets.connect(
                    f"wss://localhost:{served.port}/live?{query}",
                    ssl=trusting(house),
                    origin=websockets.Origin(own_origin(served)),
                    additional_headers=cookie(town.session_secret),
                    proxy=None,
                )
            )
            try:
                first = await socket.recv()
            except websockets.ConnectionClosed:
                assert socket.close_code == NOT_THERE
                assert "device_id" in query
            else:
                assert "canary name" not in str(first)
                assert "canary twin" not in str(first)


async def test_the_first_tenant_sees_its_canaries(town: Town) -> None:
    """Otherwise the tests above would find nothing because nothing is there."""
    async with Client(app_of(town.house), await town.house.claim()) as owner:
        for path in (
            "/devices",
            f"/devices/{CANARY}",
            "/alerts",
            f"/devices/{CANARY}/tokens",
            "/mapping-rules",
            "/settings",
        ):
            assert "canary" in (await owner.get(path)).text, path
