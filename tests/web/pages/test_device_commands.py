"""The page of a device's commands."""

import re

from appliance.commands.catalogue.model import CommandType, Kind, Parameter
from appliance.commands.model import NewCommand, State
from appliance.registry.model import DeviceState, NewDevice
from tests.web.house import Client, House

HOSTILE = "<img src=x onerror=alert(1)>"
SPEED = CommandType(
    "set_speed",
    title="Set the speed",
    description="The pump runs at this speed from now on.",
    parameters=(
        Parameter("speed", Kind.INTEGER, "Of the shaft.", "rpm", least=0, greatest=3_000, is_required=True),
        Parameter("ramp", Kind.NUMBER, unit="s", default=1.5),
        Parameter("direction", Kind.ENUM, choices=("forward", "backward")),
        Parameter("now", Kind.BOOLEAN),
        Parameter("note", Kind.STRING, greatest=10),
    ),
)


async def described(house: House, *, is_connected: bool = False) -> None:
    await house.gateway.catalogue.add_device(1, NewDevice("pump-1", name="Feed pump", type="px"))
    await house.gateway.commands.catalogue.put(1, "px", SPEED)
    assert not is_connected


async def test_a_device_without_a_type_is_sent_a_payload_of_ones_own(owner: Client, house: House) -> None:
    await house.add_device("pump-1", is_connected=False)
    page = (await owner.get("/devices/pump-1/commands")).text
    assert "No command was sent yet" in page
    assert 'name="payload"' in page
    assert "With a type this device can have commands" in page
    sent = await owner.submit("/devices/pump-1/commands", {"command": "*", "name": "reboot", "payload": '{"in": 5}'})
    assert sent.status_code == 303
    [command] = await house.gateway.commands.commands(1, device_id="pump-1")
    assert sent.headers["location"] == f"/devices/pump-1/commands#command-{command.execution_id}"
    assert (command.name, command.payload) == ("reboot", b'{"in": 5}')


async def test_what_a_type_describes_is_a_form_with_its_units_and_limits(owner: Client, house: House) -> None:
    await described(house)
    page = (await owner.get("/devices/pump-1/commands")).text
    speed = re.search(r'<input name="p.speed"[^>]*>', page)
    assert speed
    for part in ('type="number"', 'min="0"', 'max="3000"', 'step="1"', " required"):
        assert part in speed[0]
    assert "The pump runs at this speed from now on." in page
    assert "0 to 3000 rpm" in page
    assert re.search(r'<input name="p.ramp" value="1.5"', page)
    assert '<option value="backward">' in page
    assert re.search(r'<input name="p.note"[^>]* maxlength="10"', page)
    assert 'name="payload"' not in page
    assert 'name="payload"' in (await owner.get("/devices/pump-1/commands?command=*")).text


async def test_what_is_typed_into_the_form_becomes_the_payload(owner: Client, house: House) -> None:
    await described(house)
    typed = {"command": "set_speed", "p.speed": "1200", "p.ramp": "2,5", "p.direction": "backward", "p.now": "yes"}
    delivery = {"priority": "7", "expires_minutes": "30", "retries": "2", "qos": "2", "may_repeat": "yes"}
    assert (await owner.submit("/devices/pump-1/commands", typed | delivery)).status_code == 303
    [command] = await house.gateway.commands.commands(1, device_id="pump-1")
    assert command.payload == b'{"speed":1200,"ramp":2.5,"direction":"backward","now":true}'
    assert (command.priority, command.retries_left, command.qos, command.may_repeat) == (7, 2, 2, True)
    assert command.expires_at - command.created_at == 30 * 60_000


async def test_every_error_stands_beside_its_field_and_what_was_typed_stays(owner: Client, house: House) -> None:
    await described(house)
    typed = {"command": "set_speed", "p.speed": "9000", "p.ramp": HOSTILE, "priority": "1000"}
    answer = await owner.submit("/devices/pump-1/commands", typed)
    assert answer.status_code == 400
    for name in ("p.speed", "p.ramp", "priority"):
        assert re.search(rf'name="{name}"[^>]*aria-invalid="true" aria-describedby="wrong-{name}"', answer.text), name
        assert f'id="wrong-{name}"' in answer.text
    assert "is at most 3000 rpm" in answer.text
    assert 'value="9000"' in answer.text
    assert "<img" not in answer.text
    assert re.search(r'<details class="card fold" open>', answer.text)
    assert await house.gateway.commands.commands(1) == []


async def test_an_offline_device_is_said_to_be_waited_for_and_never_more(owner: Client, house: House) -> None:
    await described(house)
    await house.gateway.commands.send(1, "pump-1", NewCommand("reboot"))
    page = (await owner.get("/devices/pump-1/commands")).text
    assert "Waits: the device is not connected" in page
    assert ">queued<" in page
    assert "delivered" not in page.lower()
    assert "acknowledged" not in page


async def test_a_command_that_waits_is_cancelled_and_one_that_is_over_is_not(owner: Client, house: House) -> None:
    await described(house)
    command = await house.gateway.commands.send(1, "pump-1", NewCommand("reboot"))
    path = f"/devices/pump-1/commands/{command.execution_id}/cancel"
    assert f'formaction="{path}"' in (await owner.get("/devices/pump-1/commands")).text
    back = await owner.submit(path, {"back": "/commands?state=open"})
    assert (back.status_code, back.headers["location"]) == (303, "/commands?state=open")
    assert (await house.gateway.commands.command(1, command.execution_id)).state is State.CANCELLED
    page = (await owner.get("/devices/pump-1/commands")).text
    assert "cancelled" in page
    assert path not in page
    again = await owner.submit(path, {"back": "https://evil.example/"})
    assert again.status_code == 409
    assert 'role="alert"' in again.text


async def test_nobody_is_sent_elsewhere_by_an_address_in_a_form(owner: Client, house: House) -> None:
    await described(house)
    for number, bad in enumerate(("https://evil.example/", "//evil.example", "/sign-out", "/commands\r\nx: y", "")):
        command = await house.gateway.commands.send(1, "pump-1", NewCommand(f"reboot-{number}"))
        path = f"/devices/pump-1/commands/{command.execution_id}/cancel"
        assert (await owner.submit(path, {"back": bad})).headers["location"] == "/devices/pump-1/commands"


async def test_the_ledger_is_narrowed_and_goes_on_over_pages(owner: Client, house: House) -> None:
    await described(house)
    sent = [await house.gateway.commands.send(1, "pump-1", NewCommand(f"step-{number}")) for number in range(60)]
    await house.gateway.commands.cancel(1, sent[-1].execution_id)
    first = (await owner.get("/devices/pump-1/commands")).text
    assert first.count('<li class="order"') == 50
    assert "step-59" in first
    older = re.search(r'href="(/devices/pump-1/commands\?before=\d+)"', first)
    assert older
    rest = (await owner.get(older[1])).text
    assert rest.count('<li class="order"') == 10
    assert "step-0<" in rest
    closed = (await owner.get("/devices/pump-1/commands?state=closed")).text
    assert closed.count('<li class="order"') == 1
    assert "step-59" not in (await owner.get("/devices/pump-1/commands?state=open")).text
    assert "No command is like this" in (await owner.get("/devices/pump-1/commands?state=succeeded")).text


async def test_a_device_that_is_suspended_is_sent_nothing(owner: Client, house: House) -> None:
    await described(house)
    await house.gateway.registry.set_state(1, "pump-1", DeviceState.SUSPENDED)
    page = (await owner.get("/devices/pump-1/commands")).text
    assert "This device is suspended: nothing is sent to it." in page
    answer = await owner.submit("/devices/pump-1/commands", {"command": "*", "name": "reboot"})
    assert answer.status_code == 409


async def test_what_people_and_devices_write_is_never_markup(owner: Client, house: House) -> None:
    await house.gateway.registry.add_device(1, "pump-1", name=HOSTILE, zone="")
    await house.gateway.commands.send(1, "pump-1", NewCommand("reboot", HOSTILE.encode(), "text/plain"))
    page = await owner.get("/devices/pump-1/commands")
    assert page.status_code == 200
    assert "<img" not in page.text


async def test_a_viewer_sees_the_ledger_and_no_forms(owner: Client, house: House) -> None:
    await described(house)
    command = await house.gateway.commands.send(1, "pump-1", NewCommand("reboot"))

    def demote(connection: object) -> None:
        connection.execute("UPDATE user SET role = 'viewer' WHERE tenant_id = 1")  # type: ignore[attr-defined]

    await house.gateway.accounts._database.write(demote)
    page = (await owner.get("/devices/pump-1/commands")).text
    assert "reboot" in page
    assert "formaction" not in page
    assert "Send a command" not in page
    path = f"/devices/pump-1/commands/{command.execution_id}/cancel"
    assert (await owner.submit(path)).status_code == 403
    assert (await owner.submit("/devices/pump-1/commands", {"command": "*", "name": "x"})).status_code == 403


async def test_an_unknown_device_has_no_such_page(owner: Client) -> None:
    assert (await owner.get("/devices/nobody/commands")).status_code == 404


async def test_a_command_that_is_a_job_is_found_in_both_lists_and_ends_in_both(owner: Client, house: House) -> None:
    await house.add_device("pump-1", is_connected=False)
    told = {"command": "*", "name": "reboot", "payload": "{}", "dialect": "jobs"}
    assert (await owner.submit("/devices/pump-1/commands", told)).status_code == 303
    [command] = await house.gateway.commands.commands(1, device_id="pump-1")
    page = (await owner.get("/devices/pump-1/commands")).text
    assert "a job of AWS IoT" in page
    assert "it is among the jobs of the device, which has not begun it" in page
    link = f"/devices/pump-1/commands#command-{command.execution_id}"
    assert f'<a href="{link}"><b>{command.execution_id}</b></a><span class="pill">a command</span>' in page
    assert f'href="/jobs/{command.execution_id}"' not in page
    assert command.execution_id not in (await owner.get("/jobs")).text
    await house.gateway.jobs.cancel_execution(1, command.execution_id, "pump-1", reason="not today")
    page = (await owner.get("/devices/pump-1/commands?state=closed")).text
    assert "not today" in page
    assert (await house.gateway.commands.command(1, command.execution_id)).state is State.CANCELLED
