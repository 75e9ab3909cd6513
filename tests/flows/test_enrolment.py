"""The whole life of a device that has nothing but a key; and what a phone does with a code."""

import io
import re
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.flows import browser
from tests.flows.est import SETTINGS, Key, curl, publish, shared_port
from tests.flows.running import RunningGateway, running

XSS = "/CN=<img src=x onerror=alert(1)><script>alert(2)<\\/script>"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running(tmp_path_factory.mktemp("enrolment"), SETTINGS) as process:
        yield process


@pytest.fixture(scope="module")
def owner(gateway: RunningGateway) -> Iterator[tuple[Page, list[str]]]:
    with browser.opened() as (page, errors):
        browser.claim(page, gateway)
        yield page, errors


def test_a_device_knocks_is_let_in_sends_renews_and_its_old_certificate_ends(
    gateway: RunningGateway, owner: tuple[Page, list[str]], tmp_path: Path
) -> None:
    page, errors = owner
    page.goto(f"https://localhost:{gateway.web_port}/enrolment")
    expect(page.get_by_text("Nobody waits")).to_be_visible()
    key = Key(tmp_path / "first", "/CN=pump-7/serialNumber=4711")
    waits = curl(gateway, "pump/simpleenroll", body=key.request)
    assert (waits.status, waits.headers["retry-after"]) == (202, "5")
    # The open page shows it without being reloaded.
    expect(page.get_by_text("CN=pump-7", exact=False)).to_be_visible(timeout=10_000)
    page.get_by_role("button", name="Accept as pump-7").click()
    expect(page.get_by_text("Nobody waits")).to_be_visible()
    granted = curl(gateway, "pump/simpleenroll", body=key.request)
    assert granted.status == 200
    key.keep(granted.body)
    sent = publish(gateway, "pump-7", key)
    assert sent.returncode == 0, sent.stderr
    device = gateway.get("/v1/devices/pump-7", gateway.token())
    assert (device["type"], device["serial_number"]) == ("pump", "4711")

    renewed = Key(tmp_path / "second", "/CN=pump-7")
    shown = ("--cert", key.certificate, "--key", key.key)
    answer = curl(gateway, "simplereenroll", *shown, port=shared_port(gateway), body=renewed.request)
    assert answer.status == 200, answer.body
    renewed.keep(answer.body)
    assert publish(gateway, "pump-7", key).returncode == 0, "the old one is good until the new one was used"
    assert publish(gateway, "pump-7", renewed).returncode == 0
    gateway.wait_printed("renewed certificate took over device_id=pump-7")
    assert publish(gateway, "pump-7", key).returncode != 0
    assert publish(gateway, "pump-7", renewed).returncode == 0
    # The old one has no right to anything here either.
    assert curl(gateway, "simplereenroll", *shown, port=shared_port(gateway), body=key.request).status == 403
    assert errors == []


def test_what_a_stranger_calls_itself_does_nothing_on_the_page(
    gateway: RunningGateway, owner: tuple[Page, list[str]], tmp_path: Path
) -> None:
    page, errors = owner
    key = Key(tmp_path / "evil", XSS)
    assert curl(gateway, "simpleenroll", body=key.request).status == 202
    page.goto(f"https://localhost:{gateway.web_port}/enrolment")
    expect(page.get_by_text("onerror=alert(1)", exact=False).first).to_be_visible()
    assert page.locator("main img").count() == 0
    page.get_by_role("button", name="Refuse").click()
    expect(page.get_by_text("Nobody waits")).to_be_visible()
    refused = curl(gateway, "simpleenroll", body=key.request)
    assert (refused.status, "refused" in refused.body) == (403, True)
    assert errors == []


def test_a_phone_downloads_a_bundle_that_connects_once(
    gateway: RunningGateway, owner: tuple[Page, list[str]], tmp_path: Path
) -> None:
    page, errors = owner
    page.goto(f"https://localhost:{gateway.web_port}/enrolment")
    page.get_by_label("For which device").fill("phone-1")
    page.get_by_role("button", name="Make a code").click()
    expect(page.get_by_role("img", name=re.compile("QR code"))).to_be_visible()
    address = page.locator("#phone-address").get_attribute("href") or ""
    path = "/enrol/" + address.rpartition("/")[2]
    assert page.context.browser is not None
    with page.context.browser.new_context(ignore_https_errors=True) as context:
        phone = context.new_page()
        phone.goto(f"https://localhost:{gateway.web_port}{path}")
        phone.goto(f"https://localhost:{gateway.web_port}{path}")
        with phone.expect_download() as download:
            phone.get_by_role("button", name="Download key and certificate").click()
        archive = zipfile.ZipFile(io.BytesIO(Path(download.value.path()).read_bytes()))
        phone.goto(f"https://localhost:{gateway.web_port}{path}")
        expect(phone.get_by_text("was used")).to_be_visible()
    archive.extractall(tmp_path)
    bundle = tmp_path / "phone-1"
    done = subprocess.run(
        [
            "mosquitto_pub",
            "-h",
            "localhost",
            "-p",
            str(gateway.mqtt_port),
            "-i",
            "phone-1",
            "-q",
            "1",
            "--cafile",
            bundle / "root.pem",
            "--cert",
            bundle / "certificate.pem",
            "--key",
            bundle / "key.pem",
            "-t",
            "sensors/phone-1/telemetry",
            "-m",
            "{}",
        ],
        capture_output=True,
        timeout=30,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert errors == []
