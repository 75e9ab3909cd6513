from appliance.accounts.model import Role
from appliance.registry.catalogue.lifecycle import MOVES
from appliance.registry.model import DeviceState
from tests.web.house import Client, House
from web.pages.device_edit import MOVE_WORDS
from web.roles import least_role

HOSTILE = "<img src=x>"


async def test_what_is_known_is_changed_by_the_form(owner: Client, house: House) -> None:
    await house.add_device("pump-1", name="Old", zone="north")
    told = {"name": HOSTILE, "groups": "b | a", "attributes": "floor = 3\r\nfirm = Acme", "notes": "one\r\ntwo"}
    saved = await owner.submit("/devices/pump-1/edit", told)
    assert (saved.status_code, saved.headers["location"]) == (303, "/devices/pump-1")
    device = house.gateway.registry.device(1, "pump-1")
    assert (device.name, device.zone, device.groups, device.notes) == (HOSTILE, "", ("a", "b"), "one\ntwo")
    assert device.attributes == {"firm": "Acme", "floor": "3"}
    page = (await owner.get("/devices/pump-1/edit")).text
    assert "a | b" in page
    assert "<img" not in page
    await owner.submit("/devices/pump-1/edit", {"attributes": "floor = 4"})
    assert house.gateway.registry.device(1, "pump-1").attributes == {"floor": "4"}


async def test_what_cannot_be_kept_is_told_beside_what_was_written(owner: Client, house: House) -> None:
    await house.add_device("pump-1")
    page = await owner.submit("/devices/pump-1/edit", {"name": "kept", "attributes": "floor"})
    assert page.status_code == 400
    assert "kept" in page.text
    assert 'role="alert"' in page.text
    assert (await owner.get("/devices/nobody/edit")).status_code == 404


async def test_a_device_is_suspended_taken_back_and_retired(owner: Client, house: House) -> None:
    await house.add_device("pump-1")
    path = "/devices/pump-1/state"
    for state in ("suspended", "active"):
        assert (await owner.submit(path, {"state": state})).status_code == 303
        assert house.gateway.registry.device(1, "pump-1").state == state
    assert "say that you are sure" in (await owner.submit(path, {"state": "retired"})).text
    assert (await owner.submit(path, {"state": "retired", "sure": "yes"})).status_code == 303
    back = await owner.submit(path, {"state": "active"})
    assert back.status_code == 409
    assert "a retired device stays so" in back.text
    assert (await owner.submit(path, {"state": "on"})).status_code == 400


async def test_readings_are_erased_by_an_owner_who_is_sure(owner: Client, house: House) -> None:
    await house.add_device("pump-1")
    await house.send("pump-1", {"pressure": 1.5})
    path = "/devices/pump-1/telemetry/erase"
    refused = await owner.submit(path)
    assert (refused.status_code, "say that you are sure" in refused.text) == (400, True)
    assert house.gateway.telemetry.latest(1, "pump-1")
    assert "Erase its readings" in (await owner.get("/devices/pump-1/edit")).text
    assert (await owner.submit(path, {"sure": "yes"})).status_code == 303
    assert house.gateway.telemetry.latest(1, "pump-1") == {}
    assert least_role("POST", "/devices/{device_id}/telemetry/erase") is Role.OWNER


async def test_a_device_is_retired_with_its_readings_if_asked(owner: Client, house: House) -> None:
    for device_id in ("kept", "erased"):
        await house.add_device(device_id)
        await house.send(device_id, {"pressure": 1.5})
    await owner.submit("/devices/kept/state", {"state": "retired", "sure": "yes"})
    await owner.submit("/devices/erased/state", {"state": "retired", "sure": "yes", "erase": "yes"})
    assert house.gateway.telemetry.latest(1, "kept")
    assert house.gateway.telemetry.latest(1, "erased") == {}


def test_every_move_has_its_button() -> None:
    moves = {(before, after) for before, others in MOVES.items() for after in others}
    assert {(before, after) for before, after in moves if after is not DeviceState.RETIRED} == set(MOVE_WORDS)
