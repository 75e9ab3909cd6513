"""The catalogue in use: devices by a form, by a table, by the command line; and each tenant with its own."""

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from playwright.sync_api import FilePayload, Page, expect

from appliance.registry.catalogue.model import DeviceType
from appliance.registry.model import NewDevice
from tests.flows import browser
from tests.flows.running import Device, running
from tests.web import house as houses
from tests.web.house import Client, House

TABLE = "Device ID;Name;Where;Floor\npump-2;Pump two;hall-2;3\npump-1;Pump one;hall-2;\nno way;;;\n"


def test_a_person_adds_a_device_imports_others_and_finds_them_again(tmp_path: Path) -> None:
    with running(tmp_path) as gateway, browser.opened() as (page, errors):
        browser.claim(page, gateway)
        base = f"https://localhost:{gateway.web_port}"
        _add_a_device(page, base)
        _import_a_table(page, base)
        _search_and_keep_the_search(page, base)
        with page.expect_download() as download:
            page.get_by_role("link", name="Export").click()
        lines = Path(download.value.path()).read_text("utf-8-sig").splitlines()
        assert lines[1:] == ["pump-2,Pump two,,hall-2,,active,,,3"]
        assert errors == []


def _add_a_device(page: Page, base: str) -> None:
    page.goto(f"{base}/devices")
    page.get_by_text("Add a device").click()
    page.get_by_label("Device id").fill("pump-1")
    page.get_by_label("Zone").fill("hall-1")
    page.get_by_role("button", name="Add device").click()
    expect(page.get_by_role("heading", name="pump-1")).to_be_visible()


def _import_a_table(page: Page, base: str) -> None:
    page.goto(f"{base}/device-import")
    file: FilePayload = {"name": "pumps.csv", "mimeType": "text/csv", "buffer": TABLE.encode("utf-8-sig")}
    page.get_by_label("CSV file").set_input_files(file)
    page.get_by_role("button", name="See what would happen").click()
    expect(page.get_by_text("1 new", exact=True)).to_be_visible()
    page.get_by_label("Where").select_option("zone")
    page.get_by_label("Floor").select_option("attribute.Floor")
    page.get_by_role("button", name="Look again").click()
    expect(page.get_by_role("cell", name="name, zone", exact=True)).to_be_visible()
    expect(page.get_by_text("cannot be a device id")).to_be_visible()
    page.get_by_role("button", name="Import 2 devices").click()
    expect(page.get_by_text("1 added, 1 changed, 0 left as they were, 1 refused.")).to_be_visible()


def _search_and_keep_the_search(page: Page, base: str) -> None:
    page.get_by_role("link", name="Show devices").click()
    page.get_by_label("Search devices").press_sequentially("zone:hall-2 attribute.floor:3")
    expect(page.locator("#row-pump-1")).to_have_count(0)
    expect(page.locator("#row-pump-2")).to_be_visible()
    page.get_by_label("Name of this search").fill("Third floor")
    page.get_by_role("button", name="Save search").click()
    # Saved, it is a link of its own from then on.
    expect(page.get_by_role("button", name="Forget")).to_be_visible()
    page.goto(f"{base}/devices")
    expect(page.locator("#row-pump-1")).to_be_visible()
    page.get_by_role("link", name="Third floor").click()
    expect(page.locator("#row-pump-1")).to_have_count(0)


def test_the_command_line_imports_devices_that_then_connect(tmp_path: Path) -> None:
    table, bundles = tmp_path / "devices.csv", tmp_path / "bundles"
    table.write_text("device_id\tname\npump-1\tOne\npump-2\tTwo\n")
    with running(tmp_path / "gateway") as gateway:
        tried = gateway.command("device", "import", str(table), "--dry-run", "--bundles", str(bundles))
        assert "2 new" in tried
        assert "Nothing was changed" in tried
        assert not bundles.exists()
        assert gateway.get("/v1/devices", gateway.token())["devices"] == []
        assert "2 new" in gateway.command("device", "import", str(table), "--bundles", str(bundles))
        device = Device(gateway, "pump-2", bundles / "pump-2").wait_connected()
        device.publish({"pressure": 1.5}, 1)
        device.wait_acknowledged(1)
        token = gateway.token()
        retired = gateway.call("PUT", "/v1/devices/pump-2/state", token, b'{"state": "retired"}')
        assert retired[1]["state"] == "retired"
        assert device.is_gone.wait(30)
        device.close()


@asynccontextmanager
async def scripts(house: House) -> AsyncIterator[tuple[Client, Client]]:
    """A client of each of two tenants."""

    def add(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO tenant (tenant_id, name, created_at) VALUES (2, 'other', 0)")

    await house.gateway.registry._database.write(add)
    app = houses.app_of(house)
    async with Client(app) as ours, Client(app) as theirs:
        for tenant_id, client in ((1, ours), (2, theirs)):
            token = await house.gateway.accounts.add_token(tenant_id, "test")
            client.headers.update({"authorization": f"Bearer {token}", "accept": "application/json"})
        yield ours, theirs


async def test_two_tenants_never_see_each_others_devices_types_and_filters(tmp_path: Path) -> None:
    async with houses.opened(tmp_path) as house, scripts(house) as (ours, theirs):
        catalogue = house.gateway.catalogue
        await catalogue.add_device(1, NewDevice("pump-1", name="secret", groups=("vault",), type="px"))
        await catalogue.add_device(2, NewDevice("pump-1", name="plain"))
        await catalogue.add_type(1, DeviceType("px", "secret", {"pressure": "kPa"}, 5_000))
        await catalogue.save_filter(1, "secret", "group:vault")
        for path in (
            "/v1/devices?q=secret",
            "/v1/devices",
            "/v1/devices/pump-1",
            "/v1/device-exports",
            "/v1/device-types",
            "/v1/device-filters",
            "/v1/device-groups",
        ):
            assert "secret" in (await ours.get(path)).text or "vault" in (await ours.get(path)).text, path
            answer = await theirs.get(path)
            assert answer.status_code == 200, path
            assert "secret" not in answer.text, path
            assert "vault" not in answer.text, path
        assert (await theirs.get("/v1/device-types/px")).status_code == 404
        assert (await theirs.get("/v1/devices?filter=secret")).status_code == 404
        assert (await theirs.delete("/v1/device-filters/secret")).status_code == 404
        assert (await theirs.patch("/v1/device-types/px", json={"description": "mine"})).status_code == 404
        assert catalogue.interval_ms(2, "pump-1") is None
        # The same id is another device: a table and a change reach only one's own.
        told = {"csv": "device_id,zone\npump-1,north\n"}
        assert (await theirs.post("/v1/device-imports", json=told)).json()["counts"]["changed"] == 1
        await theirs.patch("/v1/devices/pump-1", json={"name": "taken"})
        await theirs.put("/v1/devices/pump-1/state", json={"state": "retired"})
        own = house.gateway.registry.device(1, "pump-1")
        assert (own.name, own.zone, own.state.value) == ("secret", "", "active")
