"""The page on which the commands of a device type are described."""

import re

import pytest

from appliance.commands.catalogue.model import CommandType, Kind, Parameter
from appliance.commands.model import DialectName
from appliance.registry.catalogue.model import DeviceType
from appliance.registry.model import NewDevice
from tests.web.house import Client, House

PAGE = "/device-types/commands"
HOSTILE = "<img src=x onerror=alert(1)>"
SPEED = {
    "type": "px",
    "name": "set_speed",
    "title": "Set the speed",
    "description": "From now on.",
    "rows": "2",
    "p1.name": "speed",
    "p1.kind": "integer",
    "p1.unit": "rpm",
    "p1.least": "0",
    "p1.greatest": "3000",
    "p1.is_required": "yes",
    "p2.name": "mode",
    "p2.kind": "enum",
    "p2.choices": "eco\r\nfull\r\n",
    "p2.default": "eco",
    "may_repeat": "yes",
    "dialect": "plain",
    "payload_template": '{"op": "spin", "rpm": "${speed}"}',
    "step": "keep",
}


@pytest.fixture
async def typed(house: House) -> House:
    """A house that knows a type of devices."""
    await house.gateway.catalogue.add_device(1, NewDevice("pump-1", type="px"))
    return house


def field(text: str, name: str) -> str:
    found = re.search(rf'<(input|select|textarea) [^>]*name="{re.escape(name)}"[^>]*>', text)
    assert found, name
    return found[0]


async def test_a_command_is_described_edited_and_removed_and_each_change_is_audited(
    owner: Client, typed: House
) -> None:
    assert "No command is described yet" in (await owner.get(f"{PAGE}?type=px")).text
    kept = await owner.submit(PAGE, SPEED)
    assert (kept.status_code, kept.headers["location"]) == (303, f"{PAGE}?type=px&command=set_speed")
    assert typed.gateway.commands.catalogue.command(1, "px", "set_speed") == CommandType(
        "set_speed",
        "Set the speed",
        "From now on.",
        (
            Parameter("speed", Kind.INTEGER, unit="rpm", least=0, greatest=3_000, is_required=True),
            Parameter("mode", Kind.ENUM, choices=("eco", "full"), default="eco"),
        ),
        DialectName.PLAIN,
        may_repeat=True,
        payload_template='{"op": "spin", "rpm": "${speed}"}',
    )
    page = (await owner.get(kept.headers["location"])).text
    assert re.search(r'<input name="name" value="set_speed"[^>]* readonly', page)
    assert 'value="3000"' in field(page, "p1.greatest")
    assert "checked" in field(page, "p1.is_required")
    edited = {**SPEED, "was": "set_speed", "title": "Another", "p1.greatest": "10"}
    assert (await owner.submit(PAGE, edited)).status_code == 303
    told = typed.gateway.commands.catalogue.command(1, "px", "set_speed")
    assert (told.title, told.parameters[0].greatest) == ("Another", 10)
    gone = await owner.submit(f"{PAGE}/remove", {"type": "px", "name": "set_speed"})
    assert gone.headers["location"] == f"{PAGE}?type=px"
    assert typed.gateway.commands.catalogue.commands(1, "px") == []
    log = (await owner.get("/audit")).text
    assert "Command of a device type described" in log
    assert "Command of a device type forgotten" in log


async def test_the_form_of_operators_is_shown_before_anything_is_kept(owner: Client, typed: House) -> None:
    page = await owner.submit(PAGE, {**SPEED, "step": "preview"})
    assert page.status_code == 200
    preview = page.text.partition('id="preview-title"')[2]
    assert "<fieldset disabled" in preview
    for part in ('type="number"', 'min="0"', 'max="3000"', " required"):
        assert part in field(preview, "p.speed")
    assert "0 to 3000 rpm" in preview
    assert '<option value="full">' in preview
    assert "Send “Set the speed”" in preview
    assert typed.gateway.commands.catalogue.commands(1, "px") == []


async def test_parameters_come_and_go_without_script_and_what_was_typed_stays(owner: Client, typed: House) -> None:
    more = (await owner.submit(PAGE, {**SPEED, "step": "add-row"})).text
    assert " autofocus" in field(more, "p3.name")
    assert 'value="speed"' in field(more, "p1.name")
    assert "Set the speed" in more
    less = (await owner.submit(PAGE, {**SPEED, "step": "remove-row-1"})).text
    assert 'value="mode"' in field(less, "p1.name")
    assert 'name="p2.name"' not in less
    assert 'name="rows" value="1"' in less
    assert typed.gateway.commands.catalogue.commands(1, "px") == []
    full = (await owner.submit(PAGE, {**SPEED, "rows": "999999", "step": "add-row"})).text
    assert full.count('class="parameter"') == 1
    most = (await owner.submit(PAGE, {**SPEED, "rows": "50", "step": "add-row"})).text
    assert most.count('class="parameter"') == 50
    assert "Add a parameter" not in most


async def test_every_error_stands_beside_its_field_and_nothing_is_kept(owner: Client, typed: House) -> None:
    wrong = {
        **SPEED,
        "name": "set speed",
        "p1.greatest": "fast",
        "p2.default": HOSTILE,
        "rows": "4",
        "p3.name": "1st",
        "p4.name": "speed",
        "p4.kind": "colour",
    }
    page = await owner.submit(PAGE, wrong)
    assert page.status_code == 400
    for name in ("name", "p1.greatest", "p2.default", "p3.name", "p4.name", "p4.kind"):
        assert f'aria-describedby="wrong-{name}"' in field(page.text, name), name
        assert f'id="wrong-{name}"' in page.text
    assert "6 fields are not as they have to be" in page.text
    assert 'value="fast"' in page.text
    assert "<img" not in page.text
    lost = await owner.submit(PAGE, {**SPEED, "payload_template": '{"rpm": "${rpm}"}'})
    assert "which is no parameter" in lost.text
    assert '<details class="card fold" open>' in lost.text
    assert typed.gateway.commands.catalogue.commands(1, "px") == []


async def test_a_new_command_does_not_take_the_place_of_another_by_its_name(owner: Client, typed: House) -> None:
    await owner.submit(PAGE, SPEED)
    again = await owner.submit(PAGE, {**SPEED, "title": "Lost"})
    assert again.status_code == 409
    assert "edit that one" in again.text
    assert typed.gateway.commands.catalogue.command(1, "px", "set_speed").title == "Set the speed"


async def test_a_type_of_any_name_has_the_page_and_an_unknown_one_has_none(owner: Client, house: House) -> None:
    await house.gateway.catalogue.add_device(1, NewDevice("pump-1", type="a/b & c?"))
    types = (await owner.get("/device-types")).text
    link = re.search(r'href="(/device-types/commands\?type=[^"]*)"', types)
    assert link
    page = await owner.get(link[1].replace("&amp;", "&"))
    assert page.status_code == 200
    assert "a/b &amp; c?" in page.text
    kept = await owner.submit(PAGE, {"type": "a/b & c?", "name": "reboot", "step": "keep"})
    assert (await owner.get(kept.headers["location"])).status_code == 200
    assert house.gateway.commands.catalogue.command(1, "a/b & c?", "reboot").parameters == ()
    assert (await owner.get(f"{PAGE}?type=nothing")).status_code == 404
    assert (await owner.submit(PAGE, {"type": "nothing", "name": "reboot"})).status_code == 404
    nowhere = await owner.get(PAGE)
    assert (nowhere.status_code, nowhere.headers["location"]) == (303, "/device-types")


async def test_the_last_command_of_a_type_that_nothing_else_is_of_leads_back_to_the_types(
    owner: Client, house: House
) -> None:
    await house.gateway.commands.catalogue.put(1, "ghost", CommandType("reboot"))
    assert (await owner.get(f"{PAGE}?type=ghost")).status_code == 200
    gone = await owner.submit(f"{PAGE}/remove", {"type": "ghost", "name": "reboot"})
    assert gone.headers["location"] == "/device-types"


async def test_the_types_tell_how_many_commands_each_has(owner: Client, typed: House) -> None:
    await typed.gateway.catalogue.add_type(1, DeviceType("mx"))
    await typed.gateway.commands.catalogue.put(1, "px", CommandType("reboot"))
    page = (await owner.get("/device-types")).text
    assert re.search(r'type=px">Commands <span class="dim num">1</span>', page)
    assert re.search(r'type=mx">Commands<span class="sr">', page)


async def test_what_people_write_is_never_markup(owner: Client, typed: House) -> None:
    told = CommandType("reboot", HOSTILE, HOSTILE, (Parameter("x", description=HOSTILE, unit=HOSTILE[:32]),))
    await typed.gateway.commands.catalogue.put(1, "px", told)
    page = await owner.get(f"{PAGE}?type=px&command=reboot")
    assert page.status_code == 200
    assert "<img" not in page.text


async def test_a_viewer_sees_what_is_described_and_no_form(owner: Client, typed: House) -> None:
    await owner.submit(PAGE, SPEED)

    def demote(connection: object) -> None:
        connection.execute("UPDATE user SET role = 'viewer' WHERE tenant_id = 1")  # type: ignore[attr-defined]

    await typed.gateway.accounts._database.write(demote)
    page = (await owner.get(f"{PAGE}?type=px")).text
    assert "Set the speed" in page
    assert "Remove" not in page
    assert 'id="description"' not in page
    assert (await owner.submit(PAGE, SPEED)).status_code == 403
    assert (await owner.submit(f"{PAGE}/remove", {"type": "px", "name": "set_speed"})).status_code == 403
