"""`/v1/devices/{device_id}/connections`."""

from broker.ports import Connected, Disconnected, Refused
from tests.web.house import Client, House


async def test_what_happened_to_the_connections_of_a_device_is_told_newest_first(house: House, script: Client) -> None:
    await house.add_device("pump", is_connected=False)
    now = house.clock()
    for event in (
        Refused(0, "", "pump", "192.0.2.7:1", "connect_denied", "revoked", now, at_connect=True),
        Connected(1, "pump", "pump", "192.0.2.7:2", now + 1, "a"),
        Disconnected(1, "pump", "pump", "keep alive ran out", now + 2, "a"),
    ):
        house.gateway.ingestion.note(event)
    answer = (await script.get("/v1/devices/pump/connections")).json()
    assert (answer["connected"], answer["reason"], answer["silent"]) == (False, "keep alive ran out", False)
    assert [(each["kind"], each["reason"]) for each in answer["events"]] == [
        ("disconnected", "keep alive ran out"),
        ("connected", ""),
        ("refused", "revoked"),
    ]
    before = answer["events"][0]["number"]
    older = (await script.get(f"/v1/devices/pump/connections?before={before}&limit=1")).json()
    assert [each["kind"] for each in older["events"]] == ["connected"]


async def test_a_device_that_does_not_exist_has_none(script: Client) -> None:
    answer = await script.get("/v1/devices/nobody/connections")
    assert (answer.status_code, answer.json()["code"]) == (404, "unknown_device")


async def test_all_certificates_of_devices_are_revoked_at_once(house: House, script: Client) -> None:
    await house.add_device("pump")
    await house.gateway.registry.issue_certificate(1, "pump")
    answer = await script.post("/v1/revocations", json={"device_ids": ["pump"]})
    assert (answer.status_code, answer.json()) == (201, {"revoked_count": 1})
    [certificate] = await house.gateway.registry.certificates(1, "pump")
    assert certificate.revoked_at is not None
