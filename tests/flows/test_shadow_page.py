"""The shadow editor in a real browser: what is desired is edited, the device answers, others are in the way."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, Route, async_playwright, expect

from tests.flows.browser import EXPECT_MS, OPTIONS
from tests.flows.test_pages import COLOUR_SCHEMES, DESKTOP, Window, opened
from tests.web import house as houses
from tests.web.house import House
from tests.web.shadows import report, say

SMALL = {"viewport": {"width": 360, "height": 740}, "is_mobile": True, "has_touch": True}
PATH = "/devices/pump-1/shadow"
REFUSED = "the server responded with a status of"
"""What Chromium says of every form that is refused."""

pytestmark = pytest.mark.asyncio(loop_scope="module")
expect.set_options(timeout=EXPECT_MS)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def browser() -> AsyncIterator[Browser]:
    async with async_playwright() as playwright:
        made = await playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(OPTIONS))
        yield made
        await made.close()


@pytest_asyncio.fixture(loop_scope="module")
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with houses.opened(tmp_path) as made:
        await made.add_device("pump-1", name="Pump house 1")
        yield made


async def furnish(house: House) -> None:
    """A shadow with a long history, one with a name, and values of every kind and width."""
    await report(house, "pump-1", {"mode": "auto", "interval": 60, "firmware": {"version": "1.4.2", "slots": [1, 2]}})
    for interval in range(30, 54):
        await say(house, "pump-1", {"desired": {"interval": interval}}, author="user maria@example.com")
    wide = {"endpoint": "x" * 300, "w" * 80: {"deep": {"deeper": {"deepest": [1.5, True, "on"]}}}, "mode": "hand"}
    await say(house, "pump-1", {"desired": wide}, author="user maria@example.com")
    await say(house, "pump-1", {"desired": {"colour": "blue"}}, name="display")


async def desire(page: Page, wanted: dict[str, Any] | str) -> None:
    """Write it into the form and save it."""
    text = wanted if isinstance(wanted, str) else json.dumps(wanted, indent=2)
    await page.get_by_label("All that is to be desired").fill(text)
    await page.locator("#shadow-save").click()


def expect_refusals(window: Window) -> None:
    """Forms were refused on purpose; nothing else may be complained of."""
    assert [told for told in window.complaints if REFUSED not in told] == []
    window.complaints.clear()


@pytest.mark.parametrize("has_script", [True, False], ids=["script", "no-script"])
async def test_a_shadow_is_edited_refused_in_conflict_and_restored(
    browser: Browser, house: House, has_script: bool
) -> None:
    await report(house, "pump-1", {"interval": 60})
    async with opened(browser, house, await house.claim(), java_script_enabled=has_script) as window:
        page = await window.open("/devices/pump-1")
        await page.get_by_role("link", name="Shadow").click()
        await desire(page, {"interval": 30, "mode": "auto"})
        await expect(page.get_by_text("Saved as version 2.")).to_be_visible()
        await expect(page.get_by_role("list", name="What is desired and not reported so")).to_contain_text("interval")

        await desire(page, '{"interval": 30\n "mode": 1}')
        await expect(page.get_by_role("alert").first).to_contain_text("Line 2, column 2: expecting ',' delimiter")
        await expect(page.get_by_label("All that is to be desired")).to_be_focused()

        await say(house, "pump-1", {"desired": {"mode": "hand"}}, author="user maria@example.com")
        await desire(page, {"interval": 15, "mode": "auto"})
        await expect(page.locator("#conflict")).to_contain_text("You began with version 2; it is version 3 by now")
        await expect(page.locator("#conflict")).to_contain_text('"auto"')
        await expect(page.locator("#conflict")).to_contain_text('"hand"')
        await page.get_by_role("button", name="Save mine").click()
        await expect(page.get_by_text("Saved as version 4.")).to_be_visible()

        await page.locator("#change-2 summary").click()
        await page.get_by_role("link", name="Restore this desired of version 2").click()
        await expect(page.get_by_role("list", name="What restoring would change")).to_contain_text("15")
        await page.get_by_role("button", name="Restore", exact=True).click()
        await expect(page.get_by_text("Saved as version 5.")).to_be_visible()
        shadow = await house.gateway.shadows.shadow(1, "pump-1", "")
        assert shadow is not None
        assert shadow.desired == {"interval": 30, "mode": "auto"}
        expect_refusals(window)


async def test_what_the_device_reports_is_on_the_page_at_once_and_nothing_that_is_typed_is_lost(
    browser: Browser, house: House
) -> None:
    await report(house, "pump-1", {"interval": 60})
    async with opened(browser, house, await house.claim()) as window:
        page = await window.open(PATH)
        await desire(page, {"interval": 30})
        delta = page.get_by_role("region", name="Delta", exact=True)
        await expect(delta).to_contain_text("1 differs")
        await page.locator("#change-2 summary").click()
        typed = page.get_by_label("All that is to be desired")
        await typed.fill('{"interval": 30, "mo')
        await report(house, "pump-1", {"interval": 30})
        await expect(delta).to_contain_text("The device reports everything that is desired.")
        await expect(page.locator("#change-3")).to_contain_text("device pump-1")
        await expect(page.locator("#change-2")).to_contain_text("added")
        assert await page.locator("#change-2 details").get_attribute("open") is not None
        await expect(page.locator("#shadow-news")).to_be_empty()
        await say(house, "pump-1", {"desired": {"mode": "hand"}}, author="user maria@example.com")
        await expect(page.locator("#shadow-news")).to_contain_text("Version 4 by user maria@example.com")
        await expect(typed).to_have_value('{"interval": 30, "mo')
        await expect(typed).to_be_focused()


async def test_reports_between_opening_the_form_and_saving_are_no_conflict(browser: Browser, house: House) -> None:
    async with opened(browser, house, await house.claim()) as window:
        page = await window.open(PATH)
        await expect(page.get_by_text("No shadow here yet")).to_be_visible()
        await report(house, "pump-1", {"interval": 60})
        await desire(page, {"interval": 30})
        await expect(page.get_by_text("Saved as version 2.")).to_be_visible()


async def test_who_saves_while_the_gateway_cannot_be_reached_is_told_and_loses_nothing(
    browser: Browser, house: House
) -> None:
    async with opened(browser, house, await house.claim()) as window:
        page = await window.open(PATH)
        await page.context.set_offline(offline=True)
        await desire(page, {"interval": 30})
        await expect(page.get_by_text("Nothing was saved")).to_be_visible()
        await expect(page.get_by_label("All that is to be desired")).to_have_value('{\n  "interval": 30\n}')
        await page.context.set_offline(offline=False)
        await page.locator("#shadow-save").click()
        await expect(page.get_by_text("Saved as version 1.")).to_be_visible()
        window.complaints.clear()


async def test_while_the_gateway_takes_its_time_the_page_says_so_and_nothing_is_sent_twice(
    browser: Browser, house: House
) -> None:
    async with opened(browser, house, await house.claim()) as window:
        page = await window.open(PATH)
        go_on = asyncio.Event()

        async def hold(route: Route) -> None:
            await go_on.wait()
            await route.continue_()

        await page.route("**/shadow", hold)
        await desire(page, {"interval": 30})
        await expect(page.get_by_text("Saving…")).to_be_visible()
        await expect(page.locator("#shadow-save")).to_be_disabled()
        go_on.set()
        await expect(page.get_by_text("Saved as version 1.")).to_be_visible()
        await expect(page.get_by_text("Saving…")).to_be_hidden()


async def test_a_named_shadow_is_made_and_everything_is_reached_by_the_keyboard(browser: Browser, house: House) -> None:
    async with opened(browser, house, await house.claim()) as window:
        page = await window.open(PATH)
        await page.locator("summary", has_text="Another shadow").press("Enter")
        await page.get_by_label("Name of the shadow").fill("display")
        await page.keyboard.press("Enter")
        await page.get_by_label("All that is to be desired").fill('{"colour": "blue"}')
        await page.get_by_label("All that is to be desired").press("Tab")
        await expect(page.locator("#shadow-save")).to_be_focused()
        await page.keyboard.press("Enter")
        await expect(page.get_by_text("Saved as version 1.")).to_be_visible()
        chips = page.get_by_role("navigation", name="Shadows of this device")
        await expect(chips.locator("[aria-current=page]")).to_contain_text("display")
        await page.locator("#change-1 summary").press("Enter")
        await expect(page.locator("#change-1")).to_contain_text('"blue"')


@pytest.mark.parametrize("size", [DESKTOP, SMALL], ids=["desktop", "phone"])
async def test_the_page_fits_and_its_console_stays_empty(browser: Browser, house: House, size: dict[str, Any]) -> None:
    await furnish(house)
    at = "2020-01-01T00:00:00"
    paths = (
        PATH,
        f"{PATH}?name=display",
        f"{PATH}?restore=5",
        f"{PATH}?name=nobody",
        f"{PATH}?before=9",
        f"{PATH}?at={at}",
    )
    async with opened(browser, house, await house.claim(), **size) as window:
        for path in paths:
            page = await window.open(path)
            for scheme in COLOUR_SCHEMES:
                await page.emulate_media(color_scheme=scheme)
                await page.evaluate("for (const each of document.querySelectorAll('main details')) each.open = true")
                width = await page.evaluate("document.documentElement.scrollWidth")
                assert width == size["viewport"]["width"], (path, scheme)
