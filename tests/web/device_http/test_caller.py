from collections.abc import AsyncIterator
from pathlib import Path
from types import SimpleNamespace

import pytest

from appliance.registry.model import DeviceState
from broker.limits import Limits
from broker.ports import Credentials, Denied, Principal
from tests.web import house as houses
from tests.web.device_http.device import Device, asking, certificate_of, refusal
from tests.web.house import House
from web.device_http.app import create_device_app

TOPIC = "/topics/sensors/pump/telemetry"


async def test_without_a_certificate_everything_is_refused_with_a_word_about_it(house: House) -> None:
    async with Device(house) as nobody:
        for method, path in (("POST", TOPIC), ("GET", "/retainedMessage"), ("GET", "/connections/pump")):
            answer = await nobody.request(method, path)
            assert refusal(answer) == (401, "UnauthorizedException"), path
            assert "no certificate was shown" in answer.json()["message"]


async def test_a_certificate_opens_nothing_once_it_is_no_longer_good(house: House) -> None:
    registry = house.gateway.registry
    await house.add_device("pump", is_connected=False)
    certificate = await certificate_of(house, "pump")
    async with Device(house, certificate) as pump:
        assert (await pump.post(TOPIC, content=b"x")).status_code == 200
        await registry.set_state(1, "pump", DeviceState.SUSPENDED)
        answer = await pump.post(TOPIC, content=b"x")
        assert refusal(answer) == (401, "UnauthorizedException")
        assert "suspended" in answer.json()["message"]
        assert answer.headers["connection"] == "close"
        await registry.set_state(1, "pump", DeviceState.ACTIVE)
        bound = registry.bearer(certificate)
        assert bound is not None
        await registry.revoke_certificate(1, "pump", bound.certificate.fingerprint)
        assert "revoked" in (await pump.post(TOPIC, content=b"x")).json()["message"]
    async with Device(house, b"of somebody else") as stranger:
        answer = await stranger.post(TOPIC, content=b"x")
        assert (refusal(answer)[0], "bound to no device" in answer.json()["message"]) == (401, True)


async def test_a_page_of_another_site_cannot_use_the_certificate_of_a_browser(pump: Device) -> None:
    for headers in ({"origin": "https://elsewhere.example"}, {"sec-fetch-site": "cross-site"}):
        assert refusal(await pump.post(TOPIC, content=b"x", headers=headers))[0] == 401
    assert (await pump.post(TOPIC, content=b"x", headers={"origin": "https://gateway.local"})).status_code == 200


@pytest.mark.parametrize("query", ["maxResults=0", "maxResults=201", "maxResults=x", "maxResults=-1", "maxResults="])
async def test_a_number_out_of_its_range_is_refused(pump: Device, query: str) -> None:
    answer = await pump.get(f"/retainedMessage?{query}")
    assert refusal(answer) == (400, "InvalidRequestException")
    assert "expected 1 to 200" in answer.json()["message"]


@pytest.mark.parametrize(
    ("method", "path", "kind", "topic"),
    [
        ("GET", "/things/fan/shadow", "publish_denied", "$aws/things/fan/shadow/get"),
        ("PUT", "/things/fan/jobs/$next", "publish_denied", "$aws/things/fan/jobs/start-next"),
        ("GET", "/retainedMessage/cmd/fan/last", "subscribe_not_authorized", "cmd/fan/last"),
    ],
)
async def test_what_is_denied_shows_on_its_page_as_over_mqtt(
    house: House, pump: Device, method: str, path: str, kind: str, topic: str
) -> None:
    answer = await pump.request(method, path, content=b"{}")
    assert refusal(answer) == (403, "ForbiddenException")
    while not (problems := await house.gateway.ingestion.problems(1, "pump")):
        await house.send("pump", {"x": 1})
    assert (problems[-1].kind, problems[-1].reason) == (kind, f"{topic}: {answer.json()['message']}")


async def test_a_device_has_one_budget_whatever_it_asks_for_and_over_however_many_connections(tmp_path: Path) -> None:
    async with houses.opened(tmp_path, limits=Limits(publishes_per_s=4)) as house, asking(house, "fan") as fan:
        await house.add_device("pump", is_connected=False)
        certificate, app = await certificate_of(house, "pump"), create_device_app(house.gateway)
        connections = [Device(house, certificate, app=app) for _ in range(3)]
        answers = []
        for number in range(30):
            path = ("/retainedMessage", "/things/pump/shadow", "/things/pump/jobs")[number % 3]
            answers.append(await connections[number % 3].get(path))
        refused = [answer for answer in answers if answer.status_code == 429]
        # They take less than three seconds, or there would be as many refusals too few.
        assert len(refused) > 0
        assert refusal(refused[0]) == (429, "ThrottlingException")
        assert refused[0].headers["retry-after"] == "1"
        assert (await fan.get("/retainedMessage")).status_code == 200
        while not (problems := await house.gateway.ingestion.problems(1, "pump")):
            await house.send("fan", {"x": 1})
        assert [problem.kind for problem in problems] == ["message_rate_too_high"]
        assert "4 requests" in problems[0].reason
        for each in connections:
            await each.aclose()


async def test_a_plugin_that_lets_nobody_in_lets_nobody_in_here(house: House, pump: Device) -> None:
    def refuse(credentials: Credentials) -> Principal | Denied:
        word = house.gateway.registry.authenticate(credentials)
        return word if credentials.transport == "tls" else Denied("the plugin Bouncer does not let it in")

    house.gateway.broker._permissions._authorizer = SimpleNamespace(authenticate=refuse)
    for method, path in (("POST", TOPIC), ("GET", "/retainedMessage"), ("GET", "/things/pump/shadow")):
        answer = await pump.request(method, path)
        assert refusal(answer) == (401, "UnauthorizedException"), path
        assert "Bouncer" in answer.json()["message"]


@pytest.mark.parametrize("headers", [{}, {"transfer-encoding": "chunked", "content-length": "1"}])
async def test_what_comes_in_chunks_counts_with_all_its_bytes(tmp_path: Path, headers: dict[str, str]) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(4):
            yield b"x" * 1_000

    async with houses.opened(tmp_path, limits=Limits(bytes_per_s=4_500)) as house, asking(house) as pump:
        answers = [await pump.post(TOPIC, content=chunks(), headers=headers) for _ in range(12)]
        told = [answer.status_code for answer in answers]
        # The first of each second is taken, whatever comes next.
        assert set(told) == {200, 429}
        refused = answers[told.index(429)]
        assert "4500 bytes" in refused.json()["message"]
