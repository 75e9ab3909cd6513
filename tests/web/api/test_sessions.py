"""`/v1/devices/{device_id}/sessions`."""

from broker.packets import V5, Subscribe, Subscription
from tests.web.house import Client, House
from tests.web.wired import plugged


async def test_what_is_kept_for_a_device_is_told(house: House, script: Client) -> None:
    await house.add_device("pump")
    wire = plugged(house, "pump", level=V5, expiry_s=600)
    wire.say(Subscribe(1, (Subscription("cmd/pump/#", 1),)), level=V5)
    [session] = (await script.get("/v1/devices/pump/sessions")).json()["sessions"]
    assert (session["client_id"], session["connected"], session["version"]) == ("pump", True, "5")
    assert (session["topic_filters"], session["ends_at"]) == (["cmd/pump/#"], None)
    wire.close("gone")
    [session] = (await script.get("/v1/devices/pump/sessions")).json()["sessions"]
    assert (session["connected"], session["expiry_s"], session["ends_at"][-1]) == (False, 600, "Z")


async def test_one_session_ends_by_its_client_identifier_and_all_without_one(house: House, script: Client) -> None:
    await house.add_device("pump")
    wires = {name: plugged(house, "pump", name, V5, 600) for name in ("pump", "pump/a b", "pump-c")}
    wires["pump-c"].close("gone")
    answer = await script.request("DELETE", "/v1/devices/pump/sessions?client_id=pump%2Fa%20b")
    assert answer.status_code == 204
    assert (wires["pump"].is_open, wires["pump/a b"].is_open) == (True, False)
    assert [each.client_id for each in house.gateway.broker.sessions(1, "pump")] == ["pump", "pump-c"]
    assert (await script.request("DELETE", "/v1/devices/pump/sessions")).status_code == 204
    assert list(house.gateway.broker.sessions(1, "pump")) == []


async def test_who_is_no_device_or_has_no_such_session_is_told(house: House, script: Client) -> None:
    await house.add_device("pump")
    await house.add_device("valve")
    wire = plugged(house, "valve")
    for path, code in (("nobody/sessions", "unknown_device"), ("pump/sessions?client_id=valve", "unknown_session")):
        answer = await script.request("DELETE", f"/v1/devices/{path}")
        assert (answer.status_code, answer.json()["code"]) == (404, code)
    assert (await script.get("/v1/devices/nobody/sessions")).status_code == 404
    assert wire.is_open
