"""A real Chromium for stories, and the owner it signs in."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import ConsoleMessage, Page, expect, sync_playwright

from tests.flows.running import RunningGateway

PASSWORD = "a long enough sentence"  # the owner of a gateway that lives for one test
# Five seconds, which it otherwise waits for what is expected, are not much for a browser on a busy machine.
EXPECT_MS = 20_000
expect.set_options(timeout=EXPECT_MS)
OPTIONS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


@contextmanager
def opened() -> Iterator[tuple[Page, list[str]]]:
    """A page of a fresh browser, and the errors that its console has shown so far."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(OPTIONS))
        # The browser of a test trusts no CA of ours; what certificates are good for is tested elsewhere.
        context = browser.new_context(ignore_https_errors=True, viewport={"width": 1440, "height": 900})
        page = context.new_page()
        errors: list[str] = []

        def hear(message: ConsoleMessage) -> None:
            if message.type == "error":
                errors.append(message.text)

        page.on("console", hear)
        page.on("pageerror", lambda error: errors.append(str(error)))
        try:
            yield page, errors
        finally:
            context.close()
            browser.close()


def claim(page: Page, gateway: RunningGateway) -> None:
    """Become the owner by the link that the gateway printed."""
    page.goto(f"https://localhost:{gateway.web_port}/claim#{gateway.claim}")
    page.get_by_label("E-mail").fill("owner@example.com")
    page.get_by_label("Password", exact=False).first.fill(PASSWORD)
    page.get_by_role("button").last.click()
    expect(page.get_by_role("heading", name="Overview")).to_be_visible()
