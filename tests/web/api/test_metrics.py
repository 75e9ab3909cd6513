import httpx
import pytest

from appliance.accounts.model import Role
from appliance.stream.model import Start
from tests import exposition
from tests.web.house import HOST, Client, House, app_of

OPEN_METRICS = "application/openmetrics-text; version=1.0.0"


async def from_address(house: House, address: str, **headers: str) -> httpx.Response:
    """Ask from an address, with nothing but these headers."""
    transport = httpx.ASGITransport(app_of(house), client=(address, 4711))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url=f"https://{HOST}") as client:
        return await client.get("/metrics", headers=headers)


async def test_both_forms_tell_of_the_messages_that_came(script: Client, house: House) -> None:
    await house.add_device("pump-1")
    await house.send("pump-1", {"pressure": 1.5}, at=house.clock() - 90_000)
    await house.gateway.vitals.look_at_disk()
    answer = await script.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    found = exposition.read(answer.text, is_open_metrics=False)
    assert found["headworks_ingestion_messages_committed_total"].value() == 1
    assert found["headworks_ingestion_acknowledgement_seconds"].value("_count") == 1
    assert 90 <= found["headworks_ingestion_event_age_seconds"].value("_sum") < 120
    assert found["headworks_devices_connected"].value() == 1
    assert found["headworks_storage_log_bytes"].value() > 0
    answer = await script.get("/metrics", headers={"accept": OPEN_METRICS})
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.headers["vary"] == "accept"
    found = exposition.read(answer.text, is_open_metrics=True)
    assert found["headworks_ingestion_messages_committed"].value("_total") == 1
    assert found["headworks_storage_log_bytes"].unit == "bytes"


async def test_a_consumer_and_what_it_has_not_taken_is_told_to_its_tenant(script: Client, house: House) -> None:
    await house.gateway.stream.add(1, "uplink", Start.NOW)
    await house.add_device("pump-1")
    await house.send("pump-1", {"pressure": 1.5})
    found = exposition.read((await script.get("/metrics")).text, is_open_metrics=False)
    assert found["headworks_consumer_lag_reports"].value(consumer="uplink") == 1
    assert found["headworks_consumer_lag_bytes"].value(consumer="uplink") > 0
    assert found["headworks_consumer_lag_seconds"].value(consumer="uplink") >= 0


@pytest.mark.parametrize("role", list(Role))
async def test_a_token_of_any_role_will_do(house: House, role: Role) -> None:
    token = await house.gateway.accounts.add_token(1, role.value, role)
    assert (await from_address(house, "192.0.2.1", authorization=f"Bearer {token}")).status_code == 200


async def test_whoever_is_signed_in_may_look(owner: Client) -> None:
    assert "headworks_ready" in (await owner.get("/metrics")).text


async def test_a_stranger_is_refused_in_a_way_that_a_program_understands(stranger: Client, house: House) -> None:
    answer = await stranger.get("/metrics")
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert "metrics.networks" in answer.json()["detail"]
    answer = await from_address(house, "198.51.100.7", authorization="Bearer hw_1.wrong")
    assert answer.status_code == 401, "who shows a wrong token is told so, wherever it is"


async def test_a_listed_network_needs_no_token_and_no_other_is_listed(house: House) -> None:
    answer = await from_address(house, "198.51.100.7")
    assert answer.status_code == 200
    exposition.read(answer.text, is_open_metrics=False)
    for address in ("198.51.101.7", "127.0.0.1", "::1"):
        assert (await from_address(house, address)).status_code == 401
    forwarded = await from_address(house, "192.0.2.1", **{"x-forwarded-for": "198.51.100.7"})
    assert forwarded.status_code == 401
