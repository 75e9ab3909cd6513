"""A person describes a command of a device type in a real browser, and sends it from the form that it becomes."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.flows import browser
from tests.flows.command_devices import CommandDevice, Operator
from tests.flows.running import RunningGateway, running


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running(tmp_path_factory.mktemp("types")) as process:
        yield process


@pytest.fixture(scope="module")
def seen(gateway: RunningGateway) -> Iterator[tuple[Page, list[str]]]:
    with browser.opened() as (page, errors):
        browser.claim(page, gateway)
        yield page, errors


def opened(page: Page, gateway: RunningGateway, path: str) -> Page:
    page.goto(f"https://localhost:{gateway.web_port}{path}")
    return page


def parameter(page: Page, number: int) -> Locator:
    return page.locator(f"#parameter-{number}")


def name_of(page: Page) -> Locator:
    return page.locator("#description input[name=name]")


def add_speed(page: Page) -> None:
    page.get_by_role("button", name="Add a parameter").click()
    speed = parameter(page, 1)
    # Whoever uses the keyboard is where they go on.
    expect(speed.locator("[name='p1.name']")).to_be_focused()
    page.keyboard.type("speed")
    speed.get_by_label("Kind").select_option("integer")
    expect(speed.get_by_label("Choices")).to_be_hidden()
    speed.get_by_label("Unit").fill("rpm")
    speed.get_by_label("At most").fill("3000")


def add_mode(page: Page) -> None:
    page.get_by_role("button", name="Add a parameter").click()
    mode = parameter(page, 2)
    mode.locator("[name='p2.name']").fill("mode")
    mode.get_by_label("Kind").select_option("enum")
    expect(mode.get_by_label("At most")).to_be_hidden()
    mode.get_by_label("Choices").fill("eco\nfull")


def send(page: Page) -> None:
    """Send the command, and see what the device says."""
    page.get_by_label("Speed").fill("1200")
    page.get_by_label("Mode").select_option("full")
    page.get_by_role("button", name="Send “Set the speed”").click()
    row = page.locator("li.order").filter(has_text="set_speed")
    expect(row.locator(".pill").first).to_have_text("succeeded")
    row.locator("summary").click()
    expect(row.get_by_label("Result")).to_contain_text("1198")


def test_a_command_is_described_and_sent_from_the_form_that_it_becomes(
    gateway: RunningGateway, seen: tuple[Page, list[str]]
) -> None:
    page, errors = seen
    bundle = gateway.add_device("pump-1")
    operator = Operator(gateway)
    assert operator.call("PATCH", "/v1/devices/pump-1", {"type": "px"})[0] == 200
    opened(page, gateway, "/device-types").get_by_role("link", name="Commands of px").click()
    name_of(page).fill("set_speed")
    page.get_by_label("Title").fill("Set the speed")
    add_speed(page)
    add_mode(page)
    expect(page.get_by_label("Title")).to_have_value("Set the speed")
    page.get_by_role("button", name="Show the form").click()
    preview = page.locator(".preview")
    expect(preview.get_by_label("Speed, rpm")).to_be_disabled()
    expect(preview.get_by_text("at most 3000 rpm")).to_be_visible()
    expect(preview.get_by_label("Mode")).to_contain_text("full")
    # Enter in a field keeps the command, and presses no other button.
    parameter(page, 1).locator("[name='p1.name']").press("Enter")
    expect(page.get_by_role("heading", name="Edit set_speed")).to_be_visible()
    device = CommandDevice("pump-1", bundle, ("cmd/pump-1/request/+",)).connect(gateway)
    device.answer = lambda _id, _payload: b'{"status": "succeeded", "result": {"rpm": 1198}}'
    send(opened(page, gateway, "/devices/pump-1/commands"))
    assert json.loads(device.messages[0].payload)["parameters"] == {"speed": 1_200, "mode": "full"}
    device.close()
    assert errors == []


def test_without_script_on_a_small_phone_a_command_is_described_mended_and_removed(
    gateway: RunningGateway, seen: tuple[Page, list[str]]
) -> None:
    page, _ = seen
    gateway.add_device("mixer-1")
    assert Operator(gateway).call("PATCH", "/v1/devices/mixer-1", {"type": "mx"})[0] == 200
    assert page.context.browser is not None
    context = page.context.browser.new_context(
        ignore_https_errors=True,
        java_script_enabled=False,
        viewport={"width": 360, "height": 740},
        storage_state=page.context.storage_state(),
    )
    plain = opened(context.new_page(), gateway, "/device-types/commands?type=mx")
    name_of(plain).fill("stir")
    plain.get_by_role("button", name="Add a parameter").click()
    parameter(plain, 1).locator("[name='p1.name']").fill("turns")
    parameter(plain, 1).get_by_label("Kind").select_option("integer")
    parameter(plain, 1).get_by_label("At most").fill("many")
    plain.get_by_role("button", name="Keep command").click()
    expect(plain.get_by_text("'many' is no number")).to_be_visible()
    parameter(plain, 1).get_by_label("At most").fill("9")
    plain.get_by_role("button", name="Add a parameter").click()
    plain.get_by_role("button", name="Remove parameter 2").click()
    expect(parameter(plain, 2)).to_have_count(0)
    plain.get_by_role("button", name="Keep command").click()
    expect(plain.get_by_role("heading", name="Edit stir")).to_be_visible()
    assert plain.evaluate("document.documentElement.scrollWidth") == 360
    plain.locator(".rules .confirm summary").click()
    plain.get_by_role("button", name="Remove stir for good").click()
    expect(plain.get_by_text("No command is described yet")).to_be_visible()
    # The places that a phone has no room for fold away.
    expect(plain.get_by_role("link", name="Jobs")).to_be_hidden()
    plain.locator("nav summary", has_text="More").click()
    plain.locator("nav").get_by_role("link", name="Jobs").click()
    expect(plain.get_by_role("heading", name="Jobs")).to_be_visible()
    context.close()
