"""Commands to many: asked about before they are sent, followed afterwards."""

import re

from appliance.commands.catalogue.model import CommandType
from appliance.commands.model import NewCommand, Selection, State
from appliance.registry.model import NewDevice
from tests.web.house import Client, House

BLINK = {"zone": "north", "command": "*", "name": "blink", "payload": '{"times": 3}'}


async def fleet(house: House) -> None:
    for number in range(3):
        told = NewDevice(f"pump-{number}", name=f"Pump {number}", type="px", zone="north", groups=("feed line",))
        await house.gateway.catalogue.add_device(1, told)
    await house.gateway.catalogue.add_device(1, NewDevice("valve-1", type="valve", zone="north"))


async def test_first_it_is_chosen_for_whom(owner: Client, house: House) -> None:
    await fleet(house)
    page = (await owner.get("/commands/new")).text
    assert "First choose for whom" in page
    for text in ("feed line", "north", "px", "valve"):
        assert text in page
    found = (await owner.get("/commands/new?group=feed+line")).text
    assert '<b class="num">3</b> devices, <b class="num">0</b> of them connected' in found
    assert "Pump 1" in found
    assert "Nobody is found by this" in (await owner.get("/commands/new?zone=nowhere")).text
    assert 'role="alert"' in (await owner.get("/commands/new?q=colour:red")).text


async def test_commands_that_all_of_them_understand_are_a_form(owner: Client, house: House) -> None:
    await fleet(house)
    await house.gateway.commands.catalogue.put(1, "px", CommandType("reboot", "Reboot"))
    assert ">Reboot</a>" in (await owner.get("/commands/new?type=px")).text
    assert ">Reboot</a>" not in (await owner.get("/commands/new?zone=north")).text
    await house.gateway.commands.catalogue.put(1, "valve", CommandType("reboot", "Reboot"))
    assert ">Reboot</a>" in (await owner.get("/commands/new?zone=north")).text


async def test_nothing_is_sent_before_somebody_has_seen_to_how_many(owner: Client, house: House) -> None:
    await fleet(house)
    asked = await owner.submit("/commands/batches", {**BLINK, "step": "check"})
    assert asked.status_code == 200
    assert "Send to 4 devices" in asked.text
    assert await house.gateway.commands.commands(1) == []
    key = re.search(r'name="key" value="([^"]+)"', asked.text)
    assert key
    told = {**BLINK, "step": "send", "count": "4", "key": key[1]}
    sent = await owner.submit("/commands/batches", told)
    assert sent.status_code == 303
    twice = await owner.submit("/commands/batches", told)
    assert twice.headers["location"] == sent.headers["location"]
    assert len(await house.gateway.commands.commands(1)) == 4
    page = (await owner.get(sent.headers["location"])).text
    assert "zone: north" in page
    assert 'aria-label="Devices: 4 queued"' in page
    assert page.count('<li class="order"') == 4


async def test_when_it_would_go_to_others_than_was_said_it_is_asked_again(owner: Client, house: House) -> None:
    await fleet(house)
    again = await owner.submit("/commands/batches", {**BLINK, "step": "send", "count": "3", "key": "k"})
    assert again.status_code == 200
    assert "eanwhile it would go to 4 devices, not to 3 as before" in again.text
    assert await house.gateway.commands.commands(1) == []


async def test_it_can_be_changed_and_what_is_wrong_is_said(owner: Client, house: House) -> None:
    await fleet(house)
    form = await owner.submit("/commands/batches", {**BLINK, "step": "change"})
    assert "&#34;times&#34;: 3" in form.text
    assert 'value="check"' in form.text
    wrong = await owner.submit("/commands/batches", {**BLINK, "payload": "{", "step": "check"})
    assert wrong.status_code == 400
    assert 'id="wrong-payload"' in wrong.text
    nobody = await owner.submit("/commands/batches", {**BLINK, "zone": "nowhere", "step": "send", "count": "0"})
    assert nobody.status_code == 400
    assert await house.gateway.commands.commands(1) == []


async def test_batches_are_listed_and_what_is_left_of_one_is_called_off(owner: Client, house: House) -> None:
    assert "Nothing was sent to many yet" in (await owner.get("/commands/batches")).text
    await fleet(house)
    batch = await house.gateway.commands.send_to_many(1, Selection(type="px"), NewCommand("blink"))
    path = f"/commands/batches/{batch.batch_id}"
    assert f'href="{path}"' in (await owner.get("/commands/batches")).text
    page = (await owner.get(path)).text
    assert page.count('<li class="order"') == 3
    assert f'action="{path}/cancel"' in page
    assert (await owner.submit(f"{path}/cancel")).status_code == 303
    assert {one.state for one in await house.gateway.commands.commands(1)} == {State.CANCELLED}
    after = (await owner.get(f"{path}?state=cancelled")).text
    assert "All of them are over." in after
    assert f'action="{path}/cancel"' not in after
    assert (await owner.get("/commands/batches/nothing")).status_code == 404


async def test_many_batches_have_pages(owner: Client, house: House) -> None:
    await fleet(house)
    for number in range(22):
        await house.gateway.commands.send_to_many(1, Selection(type="valve"), NewCommand(f"blink-{number}"))
    page = (await owner.get("/commands/batches")).text
    assert "blink-21" in page
    older = page.partition(">Older<")[0].rpartition('href="')[2].partition('"')[0]
    assert "blink-0<" in (await owner.get(older)).text


async def test_a_viewer_follows_and_sends_nothing(owner: Client, house: House) -> None:
    await fleet(house)
    batch = await house.gateway.commands.send_to_many(1, Selection(type="px"), NewCommand("blink"))

    def demote(connection: object) -> None:
        connection.execute("UPDATE user SET role = 'viewer' WHERE tenant_id = 1")  # type: ignore[attr-defined]

    await house.gateway.accounts._database.write(demote)
    page = (await owner.get(f"/commands/batches/{batch.batch_id}")).text
    assert "formaction" not in page
    assert "/commands/new" not in page
    assert (await owner.get("/commands/new")).status_code == 403
    assert (await owner.submit("/commands/batches", {**BLINK, "step": "send", "count": "4"})).status_code == 403
