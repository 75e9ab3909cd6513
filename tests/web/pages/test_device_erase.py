import re

from appliance.accounts.model import Role
from appliance.registry.catalogue.model import DeviceChange
from appliance.telemetry.keeping.erasing.agreement import DEVICES_LIMIT
from tests.web.house import EMAIL, Client, House
from web.roles import least_role

PATH = "/device-erase"
SEARCH = "attribute.owner:anna"


async def add_owned(house: House, device_id: str, owner: str) -> None:
    await house.add_device(device_id)
    await house.gateway.catalogue.change_device(1, device_id, DeviceChange(attributes={"owner": owner}))
    await house.send(device_id, {"pulse": 61})


async def settle(house: House) -> None:
    """Two devices of one person, and one of another."""
    for device_id, owner in (("cuff-1", "anna"), ("cuff-2", "Anna"), ("ring", "bert")):
        await add_owned(house, device_id, owner)


def hidden(page: str) -> dict[str, str]:
    """What the form of the page sends of itself."""
    return dict(re.findall(r'<input type="hidden" name="(q|devices)" value="([^"]*)">', page))


def is_there(house: House, device_id: str) -> bool:
    return bool(house.gateway.telemetry.latest(1, device_id))


async def test_what_a_search_finds_is_shown_and_erased_once_its_number_is_typed(owner: Client, house: House) -> None:
    await settle(house)
    listed = (await owner.get(f"/devices?q={SEARCH}")).text
    assert f'href="{PATH}?q=attribute.owner%3Aanna"' in listed
    page = (await owner.get(PATH, params={"q": SEARCH})).text
    assert "Erase what 2 devices sent?" in page
    assert "/devices/ring" not in page
    assert "It stays in backups" in page
    told = hidden(page)
    assert told == {"q": SEARCH, "devices": "cuff-1 cuff-2"}
    done = await owner.submit(PATH, {**told, "count": "2"})
    assert (done.status_code, done.headers["location"]) == (303, "/storage")
    assert [is_there(house, each) for each in ("cuff-1", "cuff-2", "ring")] == [False, False, True]
    acts = [each for each in await house.gateway.registry.audit.entries(1) if each.action == "telemetry.erase_many"]
    assert [(act.actor, act.subject) for act in acts] == [(EMAIL, SEARCH)]
    assert '"device_count":"2"' in acts[0].details


async def test_a_wrong_number_erases_nothing(owner: Client, house: House) -> None:
    await settle(house)
    told = hidden((await owner.get(PATH, params={"q": SEARCH})).text)
    for count in ("", "3", "yes", "02"):
        page = await owner.submit(PATH, {**told, "count": count})
        assert (page.status_code, "the number typed is not 2" in page.text) == (400, True)
    assert (is_there(house, "cuff-1"), house.gateway.room.keeping.pending) == (True, ())


async def test_who_was_shown_others_than_there_are_now_is_told_what_changed_and_asked_anew(
    owner: Client, house: House
) -> None:
    await settle(house)
    told = hidden((await owner.get(PATH, params={"q": SEARCH})).text)
    await add_owned(house, "scale", "anna")
    more = await owner.submit(PATH, {**told, "count": "2"})
    assert (more.status_code, "finds scale, too" in more.text) == (409, True)
    assert hidden(more.text)["devices"] == "cuff-1 cuff-2 scale"
    # As many, and others.
    for device_id in ("cuff-1", "scale"):
        await house.gateway.catalogue.change_device(1, device_id, DeviceChange(attributes={"owner": "carl"}))
    await add_owned(house, "scale-2", "anna")
    others = await owner.submit(PATH, {**told, "count": "2"})
    assert (others.status_code, "finds scale-2, too" in others.text) == (409, True)
    fewer = await owner.submit(PATH, {"q": SEARCH, "devices": "cuff-1 cuff-2 scale-2", "count": "3"})
    assert (fewer.status_code, "does not find cuff-1" in fewer.text) == (409, True)
    assert house.gateway.room.keeping.pending == ()


async def test_what_finds_nothing_everything_or_too_many_has_no_form(owner: Client, house: House) -> None:
    await house.add_device("pump-1")
    for search, words in (("", "search is empty"), ("nobody", "finds no device"), ("bad:x", "bad")):
        page = await owner.get(PATH, params={"q": search})
        assert (page.status_code, words in page.text, hidden(page.text)) == (200, True, {})
    assert (await owner.submit(PATH, {"count": "0"})).status_code == 400
    for number in range(DEVICES_LIMIT):
        await house.add_device(f"many-{number}", is_connected=False)
    assert hidden((await owner.get(PATH, params={"q": "many"})).text)
    await house.add_device("many-more", is_connected=False)
    page = await owner.get(PATH, params={"q": "many"})
    assert ("at most 1,000 are erased at once" in page.text, hidden(page.text)) == (True, {})


async def test_it_is_for_owners_and_needs_the_token_of_the_form(owner: Client, house: House) -> None:
    await settle(house)
    for method in ("GET", "POST"):
        assert least_role(method, PATH) is Role.OWNER
    told = {"q": SEARCH, "devices": "cuff-1 cuff-2", "count": "2"}
    assert (await owner.post(PATH, data=told)).status_code == 403
    assert is_there(house, "cuff-1")


async def test_a_search_is_text(owner: Client) -> None:
    assert "<img" not in (await owner.get(PATH, params={"q": "<img src=x>"})).text
