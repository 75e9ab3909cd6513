"""Takes pictures of every page of a gateway that runs, at two sizes, light and dark.

scripts/screenshots.py ADDRESS EMAIL PASSWORD FOLDER
"""  # noqa: INP001  scripts are run, never imported

import sys
from pathlib import Path

from playwright.sync_api import Page, sync_playwright

PATHS = {"overview": "/", "devices": "/devices", "alerts": "/alerts?state=all", "settings": "/settings"}
SIZES = {"desktop": (1440, 900), "phone": (390, 844)}


def main() -> None:
    """Sign in once for each look, and take each page."""
    address, email, password, folder = sys.argv[1:]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        for scheme in ("light", "dark"):
            for size, (width, height) in SIZES.items():
                page = browser.new_page(
                    ignore_https_errors=True,
                    color_scheme="dark" if scheme == "dark" else "light",
                    viewport={"width": width, "height": height},
                )
                sign_in(page, address, email, password)
                device = first_device(page, address)
                own = {"device": device, "commands": f"{device}/commands", "shadow": f"{device}/shadow"}
                for name, path in {**PATHS, **own}.items():
                    page.goto(address + path)
                    # The first live update has come by then.
                    page.wait_for_timeout(1_500)
                    page.screenshot(path=Path(folder) / f"{name}-{size}-{scheme}.png")
                page.close()
        browser.close()


def sign_in(page: Page, address: str, email: str, password: str) -> None:
    """Open a session in this page."""
    page.goto(f"{address}/sign-in")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Sign in").click()
    page.get_by_role("heading", name="Overview").wait_for()


def first_device(page: Page, address: str) -> str:
    """The path of the first device's page; of the list when there is none."""
    page.goto(f"{address}/devices")
    links = page.locator(".c-name a")
    return links.first.get_attribute("href") or "/devices" if links.count() else "/devices"


if __name__ == "__main__":
    main()
