"""A claim as a person downloads it: the program in it enrols a device, as it was shipped."""

import subprocess
import sys
import zipfile
from pathlib import Path

from tests.flows import browser
from tests.flows.running import running


def test_the_program_of_a_downloaded_claim_enrols_a_device_that_reports(tmp_path: Path) -> None:
    with running(tmp_path / "gateway") as gateway, browser.opened() as (page, _):
        browser.claim(page, gateway)
        page.goto(f"https://localhost:{gateway.web_port}/claims")
        page.get_by_label("Name").first.fill("line 1")
        with page.expect_download() as told:
            page.get_by_role("button", name="Make").first.click()
        told.value.save_as(tmp_path / "claim.zip")
        with zipfile.ZipFile(tmp_path / "claim.zip") as archive:
            archive.extractall(tmp_path)
        [folder] = tmp_path.glob("claim-*")
        done = subprocess.run(
            [sys.executable, folder / "enrol_aws_iot_sdk.py", "pump-7"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "pump-7 is enrolled" in done.stdout
        token = gateway.token()
        assert gateway.get("/v1/devices/pump-7", token)["serial_number"] == "pump-7"
        found = gateway.get("/v1/devices/pump-7/telemetry", token)["series"]
        assert [one["values"] for one in found if one["metric"] == "temperature"] == [[21.5]]
        assert (folder / "pump-7" / "key.pem").stat().st_mode & 0o777 == 0o600
