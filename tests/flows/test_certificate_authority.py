"""The CA in the hands of who runs the gateway: the root leaves it, a company's CA takes over, the log knows."""

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.appliance.registry import issuers
from tests.flows.running import ROOT, Device, RunningGateway, running

PASSPHRASE = "nine blue lamps hum"


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[RunningGateway]:
    with running(tmp_path) as gateway:
        yield gateway


def command(gateway: RunningGateway, *arguments: str | Path, typed: str = "") -> tuple[int, str]:
    """What somebody types takes a process of its own."""
    if not typed:
        return gateway.quick_command(*arguments)
    done = subprocess.run(
        [sys.executable, "-m", "appliance", *arguments, "--config", gateway.config, "--data", gateway.data],
        cwd=ROOT,
        input=typed,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_the_root_is_taken_away_and_put_back_and_the_log_is_whole(gateway: RunningGateway, tmp_path: Path) -> None:
    export = tmp_path / "root-export.pem"
    assert "never exported" in command(gateway, "ca", "remove-root")[1]
    assert command(gateway, "ca", "export-root", export, typed=PASSPHRASE + "\n")[0] == 0
    assert command(gateway, "ca", "remove-root")[0] == 0
    assert not (gateway.data / "pki" / "root.key").exists()
    assert gateway.end() == 0

    # It starts and works without the root, and says so.
    with running(tmp_path) as again:
        assert "removed from this gateway" in command(again, "ca", "status")[1]
        device = Device(again, "pump-1").wait_connected()
        device.close()
        assert "this passphrase" in command(again, "ca", "restore-root", export, typed="not the right one\n")[1]
        assert command(again, "ca", "restore-root", export, typed=PASSPHRASE + "\n")[0] == 0
        assert "and exported" in command(again, "ca", "status")[1]
        assert again.end() == 0

    status, told = command(gateway, "audit", "verify")
    assert (status, "unbroken" in told) == (0, True)
    with closing(sqlite3.connect(gateway.data / "gateway.db")) as database:
        database.execute("UPDATE audit_entry SET subject = 'somebody else' WHERE position = 2")
        database.commit()
    status, told = command(gateway, "audit", "verify")
    assert (status, "entry 2 was changed" in told) == (1, True)


def test_a_company_s_ca_issues_from_now_on_and_devices_of_before_come_back(
    gateway: RunningGateway, tmp_path: Path
) -> None:
    before = gateway.add_device("before")
    chain, key = issuers.company()
    for name, content in zip(("ca.pem", "ca.key"), issuers.files(chain, key), strict=True):
        (tmp_path / name).write_bytes(content)
    status, told = command(gateway, "ca", "use-issuer", tmp_path / "ca.key", tmp_path / "ca.key")
    assert (status, "no certificate" in told) == (2, True)
    status, told = command(gateway, "ca", "use-issuer", tmp_path / "ca.pem", tmp_path / "ca.key")
    assert (status, "Example Company Devices" in told) == (0, True)
    # Without a restart: the listener has changed, and both devices trust it by the same root.
    after = gateway.add_device("after")
    for device_id, folder in (("before", before), ("after", after)):
        Device(gateway, device_id, folder).wait_connected().close()
