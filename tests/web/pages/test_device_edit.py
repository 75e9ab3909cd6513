from appliance.registry.catalogue.lifecycle import MOVES
from appliance.registry.model import DeviceState
from tests.web.house import Client, House
from web.pages.device_edit import MOVE_WORDS

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


def test_every_move_has_its_button() -> None:
    moves = {(before, after) for before, others in MOVES.items() for after in others}
    assert {(before, after) for before, after in moves if after is not DeviceState.RETIRED} == set(MOVE_WORDS)
