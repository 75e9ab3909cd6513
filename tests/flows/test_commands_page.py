"""Commands and jobs in a real browser, with real devices: composed, followed live, waited for, called off."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.flows import browser
from tests.flows.command_devices import CommandDevice, Operator
from tests.flows.job_devices import JobDevice
from tests.flows.running import RunningGateway, running

SPEED = {
    "title": "Set the speed",
    "parameters": [
        {"name": "speed", "kind": "integer", "unit": "rpm", "least": 0, "greatest": 3_000, "is_required": True},
        {"name": "direction", "kind": "enum", "choices": ["forward", "backward"]},
    ],
}


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running(tmp_path_factory.mktemp("pages")) as process:
        yield process


@pytest.fixture(scope="module")
def seen(gateway: RunningGateway) -> Iterator[tuple[Page, list[str]]]:
    with browser.opened() as (page, errors):
        browser.claim(page, gateway)
        yield page, errors


@pytest.fixture(scope="module")
def operator(gateway: RunningGateway) -> Operator:
    return Operator(gateway)


def opened(page: Page, gateway: RunningGateway, path: str) -> Page:
    page.goto(f"https://localhost:{gateway.web_port}{path}")
    return page


def entry(page: Page, text: str) -> Locator:
    return page.locator("li.order").filter(has_text=text)


def pump(gateway: RunningGateway, operator: Operator, device_id: str) -> Path:
    """A device of a type whose commands are described."""
    bundle = gateway.add_device(device_id)
    assert operator.call("PATCH", f"/v1/devices/{device_id}", {"type": "px"})[0] == 200
    assert operator.call("PUT", "/v1/device-types/px/commands/set_speed", SPEED)[0] in (200, 201)
    return bundle


def test_a_described_command_is_composed_and_seen_to_advance_to_its_end(
    gateway: RunningGateway, operator: Operator, seen: tuple[Page, list[str]]
) -> None:
    page, errors = seen
    device = CommandDevice("pump-1", pump(gateway, operator, "pump-1"), ("cmd/pump-1/request/+",)).connect(gateway)
    device.answer = lambda _id, _payload: b'{"status": "in_progress"}'
    opened(page, gateway, "/devices/pump-1/commands")
    page.get_by_label("Speed").fill("1200")
    page.get_by_label("Direction").select_option("backward")
    page.get_by_role("button", name="Send “Set the speed”").click()
    row = entry(page, "set_speed")
    expect(row.locator(".pill").first).to_have_text("in progress")
    expect(row).to_contain_text(re.compile(r"sent \d\d:\d\d:\d\d written to its connection"))
    expect(row).to_contain_text("Waits for the device to finish")
    expect(row).to_contain_text("by PUBACK")
    row.locator("summary").click()
    expect(row.get_by_label("Payload")).to_contain_text('"direction": "backward"')
    # Nobody loads the page again: it goes on by itself, and what was opened stays open.
    [execution_id] = device.order
    said = b'{"status": "succeeded", "result": {"rpm": 1198}}'
    device.publish(f"cmd/pump-1/response/{execution_id}", said, execution_id)
    expect(row.locator(".pill").first).to_have_text("succeeded")
    expect(row.get_by_label("Result")).to_contain_text("1198")
    expect(row).not_to_contain_text("Waits")
    device.close()
    assert errors == []


def test_an_offline_device_is_waited_for_and_what_waits_is_called_off(
    gateway: RunningGateway, operator: Operator, seen: tuple[Page, list[str]]
) -> None:
    page, errors = seen
    bundle = gateway.add_device("sleeper")
    opened(page, gateway, "/devices/sleeper/commands")
    for name in ("reboot", "blink"):
        page.get_by_label("Name").fill(name)
        page.get_by_label("Payload", exact=True).first.fill('{"times": 3}')
        page.get_by_role("button", name="Send").click()
        expect(entry(page, name)).to_contain_text("Waits: the device is not connected")
    expect(page.locator("main")).not_to_contain_text("delivered", ignore_case=True)
    entry(page, "blink").get_by_role("button", name="Cancel").click()
    expect(entry(page, "blink").locator(".pill").first).to_have_text("cancelled")
    device = CommandDevice("sleeper", bundle, ("cmd/sleeper/request/+",)).connect(gateway)
    expect(entry(page, "reboot").locator(".pill").first).to_have_text("succeeded")
    expect(page.locator("#command-presence")).to_contain_text("Connected")
    assert [one.topic.rpartition("/")[2] for one in device.messages] == device.order
    assert len(device.order) == 1
    device.close()
    opened(page, gateway, "/devices/sleeper/commands?state=open")
    expect(page.get_by_text("No command is like this")).to_be_visible()
    assert errors == []


def test_a_command_goes_to_many_only_after_it_was_said_to_how_many(
    gateway: RunningGateway, operator: Operator, seen: tuple[Page, list[str]]
) -> None:
    page, errors = seen
    devices = []
    for device_id in ("lamp-1", "lamp-2"):
        bundle = gateway.add_device(device_id)
        assert operator.call("PATCH", f"/v1/devices/{device_id}", {"zone": "hall"})[0] == 200
        devices.append(CommandDevice(device_id, bundle, (f"cmd/{device_id}/request/+",)))
    devices[0].connect(gateway)
    opened(page, gateway, "/commands/new")
    page.get_by_role("navigation", name="Zones").get_by_role("link", name="hall").click()
    expect(page.locator("#meant")).to_contain_text("2 devices, 1 of them connected")
    page.get_by_label("Name").fill("blink")
    page.get_by_role("button", name="Go on: 2 devices").click()
    assert devices[0].order == []
    page.get_by_role("button", name="Send to 2 devices").click()
    head = page.locator("#batch-head")
    expect(head).to_contain_text("1 succeeded")
    expect(head).to_contain_text("1 queued")
    devices[1].connect(gateway)
    expect(head).to_contain_text("2 succeeded")
    expect(head).to_contain_text("All of them are over.")
    for device in devices:
        device.close()
    assert errors == []


def test_a_job_is_made_and_followed_device_by_device_to_its_end(
    gateway: RunningGateway, seen: tuple[Page, list[str]]
) -> None:
    page, errors = seen
    bundles = {name: gateway.add_device(name) for name in ("worker-1", "worker-2")}
    first, second = (JobDevice(name, bundle) for name, bundle in bundles.items())
    first.connect(gateway)
    first.ask()
    opened(page, gateway, "/jobs")
    page.get_by_role("link", name="New job").click()
    page.get_by_label("Job id").fill("rotate-1")
    page.get_by_label("Document").fill('{"operation": "rotate"}')
    page.locator("textarea[name=devices]").fill("worker-1, worker-2")
    page.get_by_role("button", name="See how many devices").click()
    expect(page.locator("#meant")).to_contain_text("2 devices now, 1 of them connected")
    page.get_by_role("button", name="Create job").click()
    expect(page.get_by_role("heading", name="rotate-1")).to_be_visible()
    expect(entry(page, "worker-1").locator(".pill").first).to_have_text("succeeded")
    expect(entry(page, "worker-2")).to_contain_text("Waits: the device is not connected")
    expect(page.locator("#job-head")).to_contain_text("1 queued")
    second.connect(gateway)
    second.ask()
    expect(entry(page, "worker-2").locator(".pill").first).to_have_text("succeeded")
    expect(page.locator("#job-head .pill").first).to_have_text("completed")
    opened(page, gateway, "/jobs")
    expect(page.locator("#job-rotate-1 svg.shares")).to_have_attribute("aria-label", "Devices: 2 succeeded")
    first.leave()
    second.leave()
    assert errors == []


def test_a_job_that_waits_is_called_back_and_deleted_by_typing_its_id(
    gateway: RunningGateway, seen: tuple[Page, list[str]]
) -> None:
    page, errors = seen
    gateway.add_device("worker-3")
    opened(page, gateway, "/jobs/new")
    page.get_by_label("Job id").fill("rotate-2")
    page.get_by_label("Document").fill("{}")
    page.locator("textarea[name=devices]").fill("worker-3")
    page.get_by_role("button", name="Create job").click()
    expect(entry(page, "worker-3")).to_contain_text("Waits: the device is not connected")
    page.locator("#delete summary").click()
    page.get_by_label("Type rotate-2 to delete it").fill("rotate")
    page.get_by_role("button", name="Delete the job").click()
    expect(page.get_by_role("alert")).to_contain_text("type its id, rotate-2")
    errors.clear()  # Chromium tells of every form that is refused.
    page.locator("#cancel summary").click()
    page.get_by_label("Reason").fill("the wrong file")
    page.get_by_role("button", name="Cancel the job").click()
    expect(entry(page, "worker-3").locator(".pill").first).to_have_text("cancelled")
    expect(page.locator("#job-head")).to_contain_text("the wrong file")
    # Nothing has to be typed any more, which a page knows that is opened now.
    page.reload()
    page.locator("#delete summary").click()
    page.get_by_role("button", name="Delete the job").click()
    expect(page.get_by_role("heading", name="Jobs")).to_be_visible()
    expect(page.locator("#job-rotate-2")).to_have_count(0)
    assert errors == []


def test_without_script_on_a_small_phone_a_command_is_sent_and_called_off_and_a_job_is_made(
    gateway: RunningGateway, seen: tuple[Page, list[str]]
) -> None:
    page, _ = seen
    gateway.add_device("plain-1")
    assert page.context.browser is not None
    context = page.context.browser.new_context(
        ignore_https_errors=True,
        java_script_enabled=False,
        viewport={"width": 360, "height": 740},
        storage_state=page.context.storage_state(),
    )
    plain = opened(context.new_page(), gateway, "/devices/plain-1/commands")
    plain.get_by_label("Name").fill("reboot")
    plain.locator("summary", has_text="Delivery").click()
    plain.get_by_label("Priority").fill("10")
    plain.get_by_label("Expires after, minutes").fill("never")
    plain.get_by_role("button", name="Send").click()
    expect(plain.get_by_text("'never' is no number")).to_be_visible()
    plain.get_by_label("Expires after, minutes").fill("5")
    plain.get_by_role("button", name="Send").click()
    expect(entry(plain, "reboot")).to_contain_text("Waits: the device is not connected")
    entry(plain, "reboot").get_by_role("button", name="Cancel").click()
    expect(entry(plain, "reboot").locator(".pill").first).to_have_text("cancelled")
    opened(plain, gateway, "/jobs/new")
    plain.get_by_label("Job id").fill("plain-job")
    plain.get_by_label("Document").fill("{}")
    plain.locator("textarea[name=devices]").fill("plain-1")
    plain.locator("summary", has_text="Time and further tries").click()
    plain.get_by_label("Time for a device, minutes").fill("30")
    plain.get_by_role("button", name="Create job").click()
    expect(plain.get_by_role("heading", name="plain-job")).to_be_visible()
    expect(plain.get_by_text("30 min")).to_be_visible()
    context.close()
