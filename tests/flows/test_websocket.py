"""A page of the dashboard speaks MQTT with the session of who is signed in, and shows the packets of a device."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.flows import browser
from tests.flows.running import Device, running

# CONNECT of MQTT 3.1.1 with the client identifier `page`, then SUBSCRIBE to `sensors/#`; gives the bytes that
# come until the telemetry of the device is among them.
SPEAK = """
() => new Promise((resolve, reject) => {
  const socket = new WebSocket("/mqtt", "mqtt");
  socket.binaryType = "arraybuffer";
  const connect = [16, 16, 0, 4, 77, 81, 84, 84, 4, 2, 0, 60, 0, 4, 112, 97, 103, 101];
  const subscribe = [130, 14, 0, 1, 0, 9, ...[..."sensors/#"].map((letter) => letter.charCodeAt(0)), 0];
  let heard = "";
  socket.onopen = () => { socket.send(new Uint8Array(connect)); socket.send(new Uint8Array(subscribe)); };
  socket.onmessage = ({ data }) => {
    heard += String.fromCharCode(...new Uint8Array(data));
    document.title = heard.includes("\\x90") ? "subscribed" : "connected";
    if (heard.includes("telemetry")) resolve(heard);
  };
  socket.onclose = ({ code }) => reject(new Error(`closed with ${code}`));
})
"""


@pytest.fixture
def page_and_errors() -> object:
    with browser.opened() as opened:
        yield opened


def test_a_page_speaks_mqtt_and_shows_the_packets_of_a_device(
    tmp_path: Path, page_and_errors: tuple[Page, list[str]]
) -> None:
    page, errors = page_and_errors
    with running(tmp_path) as gateway:
        browser.claim(page, gateway)
        device = Device(gateway, "pump-017").wait_connected()
        page.goto(f"https://localhost:{gateway.web_port}/devices/pump-017")
        page.get_by_role("button", name="Log for 5 minutes").click()
        expect(page.get_by_text("No packet yet.")).to_be_visible()
        page.evaluate(f"() => {{ window.heard = ({SPEAK})(); }}")
        expect(page).to_have_title("subscribed")
        device.publish({"pressure": 41.5})
        assert "pump-017" in page.evaluate("window.heard")
        rows = page.get_by_role("table").get_by_role("row")
        expect(rows.filter(has_text="PUBACK")).to_be_visible()
        expect(rows.filter(has_text="PUBLISH")).to_contain_text("sensors/pump-017/telemetry")
        page.get_by_role("button", name="Switch off").click()
        expect(page.get_by_role("button", name="Log for 5 minutes")).to_be_visible()
        expect(rows.filter(has_text="PUBACK")).to_be_visible()
        device.close()
    # The page says itself that the gateway has gone.
    assert [error for error in errors if "WebSocket" not in error and "ERR_CONNECTION" not in error] == []
