"""The ledger of all devices."""

from appliance.commands.model import NewCommand, Selection
from tests.web.house import Client, House


async def test_an_empty_ledger_says_what_it_is_for(owner: Client) -> None:
    page = (await owner.get("/commands")).text
    assert "No command was sent yet" in page
    assert 'aria-current="page"' in page


async def test_the_ledger_is_narrowed_by_state_device_name_and_batch(owner: Client, house: House) -> None:
    for device_id in ("pump-1", "pump-2"):
        await house.add_device(device_id, zone="north", is_connected=False)
    await house.gateway.commands.send(1, "pump-1", NewCommand("reboot"))
    stopped = await house.gateway.commands.send(1, "pump-2", NewCommand("stop"))
    await house.gateway.commands.cancel(1, stopped.execution_id)
    batch = await house.gateway.commands.send_to_many(1, Selection(zone="north"), NewCommand("blink"))
    counts = {
        "": 4,
        "?state=open": 3,
        "?state=cancelled": 1,
        "?device=pump-1": 2,
        "?name=blink": 2,
        "?name=blink&device=pump-2": 1,
        f"?batch={batch.batch_id}": 2,
        f"?batch={batch.batch_id}&device=pump-1": 1,
        "?device=nobody": 0,
        "?batch=nothing": 0,
        "?state=nonsense": 4,
        "?before=nonsense": 4,
    }
    for query, count in counts.items():
        answer = await owner.get(f"/commands{query}")
        assert answer.status_code == 200
        assert answer.text.count('<li class="order"') == count, query


async def test_a_name_is_searched_for_in_a_part_of_a_long_ledger_and_told_where_to_go_on(
    owner: Client, house: House, monkeypatch: object
) -> None:
    await house.add_device("pump-1", is_connected=False)
    await house.gateway.commands.send(1, "pump-1", NewCommand("first"))
    for number in range(12):
        await house.gateway.commands.send(1, "pump-1", NewCommand(f"other-{number}"))
    monkeypatch.setattr("web.orders.PIECE", 5)  # type: ignore[attr-defined]
    monkeypatch.setattr("web.orders.SEARCHED_LIMIT", 10)  # type: ignore[attr-defined]
    page = (await owner.get("/commands?name=first")).text
    assert "The ledger goes on: look further back with Older." in page
    older = page.partition(">Older<")[0].rpartition('href="')[2].partition('"')[0].replace("&amp;", "&")
    assert (await owner.get(older)).text.count('<li class="order"') == 1


async def test_a_ledger_tells_of_devices_that_are_gone(owner: Client, house: House) -> None:
    await house.add_device("pump-1", name="Feed pump", is_connected=False)
    await house.gateway.commands.send(1, "pump-1", NewCommand("reboot"))
    assert ">Feed pump</a>" in (await owner.get("/commands")).text


async def test_a_stranger_is_sent_to_the_sign_in_page(stranger: Client) -> None:
    assert (await stranger.get("/commands")).status_code in (302, 303, 401)
